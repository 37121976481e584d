# SPDX-License-Identifier: Apache-2.0
"""Does training in BF16 end where training in FP32 ends? Held-out accuracy over several seeds.

    python benchmarks/models/convergence.py [--tasks images,text] [--seeds 5] [--threads 1]
                                            [--precisions f32,bf16] [--json FILE] [--page]

Precisions: f32, bf16, f16 of deepseek, and torch: PyTorch in FP32 from the same weights over the
same batches, with its own random numbers for dropout.

images: a small convolutional network on Fashion-MNIST (Debian's package dataset-fashion-mnist),
with MixedPrecisionTrainer. text: a small GPT-2 that predicts the next character of Shakespeare,
with ds.Trainer; --text names the file. Runs of one seed start from the same weights and see the
same data in the same order. Prints mean and standard deviation over the seeds and the paired
difference; --page writes the table and the curves into docs/guide/training.md.
"""

import argparse
import json
import math
import platform
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import deepseek as ds
import numpy as np

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide" / "training.md"
PLOT = PAGE.with_name("convergence.svg")
TEXT = ROOT.parent / "shared" / "data" / "tinyshakespeare.txt"
MARKS = ("<!-- convergence: written by benchmarks/models/convergence.py -->", "<!-- end -->")
NAMES = {"f32": "FP32", "bf16": "BF16", "f16": "FP16", "torch": "PyTorch FP32"}
COLORS = {"f32": "#1f6fb4", "bf16": "#d9541a", "f16": "#3a923a", "torch": "#777777"}
DTYPES = {"bf16": ds.bfloat16, "f16": ds.float16}


def in_torch(values):
    """Tensors as PyTorch's, also in dicts and lists."""
    import torch

    if isinstance(values, dict):
        return {name: in_torch(value) for name, value in values.items()}
    if isinstance(values, tuple | list):
        return [in_torch(value) for value in values]
    return torch.tensor(values.detach().numpy())


def cosine(optimizer, steps: int):
    """PyTorch's schedule that our runs have too."""
    import transformers

    return transformers.get_cosine_schedule_with_warmup(optimizer, math.ceil(steps / 20), steps)


class Images:
    """Fashion-MNIST: 20,000 pictures to learn from, all 10,000 to test."""

    title, measure = "Fashion-MNIST, convolutional network", "accuracy"
    epochs, batch, count, rate = 6, 64, 20_000, 2e-3

    def __init__(self, args):
        split = ds.datasets.load("fashion_mnist")
        rows = zip((split.train, split.test), (self.count, len(split.test)), strict=True)
        self.train, self.test = (self._tensors(part, count, split) for part, count in rows)

    @staticmethod
    def _tensors(part, count: int, split):
        samples = [part[i] for i in range(count)]
        images = np.stack([image.numpy() for image, _ in samples]).astype(np.float32)
        images = (images / split.divisor - split.mean[0]) / split.std[0]
        labels = np.array([label for _, label in samples])
        return ds.data.TensorDataset(ds.tensor(images), ds.tensor(labels))

    @staticmethod
    def network(nn):
        """The layers, of either library."""
        return nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Dropout(0.2)),
            nn.Linear(64, 10),
        )

    def run_torch(self, model, train, test) -> list[float]:
        """The same in PyTorch, from the model's weights."""
        import torch

        theirs = self.network(torch.nn)
        theirs.load_state_dict(in_torch(model.state_dict()))
        optimizer = torch.optim.AdamW(theirs.parameters(), lr=self.rate, weight_decay=0.01)
        schedule = cosine(optimizer, len(train) * self.epochs)
        curve = []
        for _ in range(self.epochs):
            theirs.train()
            for batch in train:
                images, labels = in_torch(batch)
                torch.nn.functional.cross_entropy(theirs(images), labels).backward()
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            theirs.eval()
            with torch.no_grad():
                hits = [(theirs(x).argmax(1) == y).float() for x, y in map(in_torch, test)]
            curve.append(torch.cat(hits).mean().item())
        return curve

    def run(self, precision: str, seed: int) -> list[float]:
        """Accuracy on the test pictures after every epoch."""
        ds.manual_seed(seed)
        model = self.network(ds.nn)
        train = ds.data.DataLoader(self.train, batch_size=self.batch, shuffle=True, seed=seed)
        test = ds.data.DataLoader(self.test, batch_size=500)
        if precision == "torch":
            return self.run_torch(model, train, test)
        optimizer = ds.optim.AdamW(model.parameters(), lr=self.rate, weight_decay=0.01)
        steps = len(train) * self.epochs
        trainer = ds.MixedPrecisionTrainer(
            model,
            optimizer,
            fp16_layers=[] if precision == "f32" else ["conv", "linear"],
            dtype=DTYPES.get(precision),
            metrics=["accuracy"],
            scheduler=ds.optim.lr_scheduler.cosine_with_warmup(
                optimizer, math.ceil(steps / 20), steps
            ),
            progress=False,
        )
        return [log["val_accuracy"] for log in trainer.fit(train, self.epochs, validation=test)]


class Characters:
    """What a tokenizer is for the blocks of running text: one id for each character."""

    eos_token_id = pad_token_id = model_max_length = None

    def __init__(self, text: str):
        self.ids = {letter: i for i, letter in enumerate(sorted(set(text)))}

    def __call__(self, text: str, **options) -> dict:
        return {"input_ids": [self.ids[letter] for letter in text]}


class Text:
    """Shakespeare, by characters: the last tenth is held out."""

    title, measure = "Shakespeare, GPT-2 of 2 layers", "accuracy of the next character"
    epochs, batch, length, rate = 6, 16, 64, 2e-3

    def __init__(self, args):
        text = args.text.read_text("utf-8")
        self.tokenizer = Characters(text)
        cut = len(text) * 9 // 10
        self.train, self.test = [{"text": text[:120_000]}], [{"text": text[cut : cut + 40_000]}]

    def run(self, precision: str, seed: int) -> list[float]:
        """Share of held-out characters that are foretold, after every epoch."""
        ds.manual_seed(seed)
        config = ds.models.GPT2Config(
            vocab_size=len(self.tokenizer.ids),
            n_embd=128,
            n_layer=2,
            n_head=4,
            n_positions=self.length,
        )
        with tempfile.TemporaryDirectory() as folder:
            trainer = ds.Trainer(
                ds.models.GPT2LMHeadModel(config),
                ds.TrainingArguments(
                    output_dir=folder,
                    num_train_epochs=self.epochs,
                    per_device_train_batch_size=self.batch,
                    per_device_eval_batch_size=64,
                    learning_rate=self.rate,
                    lr_scheduler_type="cosine",
                    warmup_ratio=0.05,
                    weight_decay=0.01,
                    max_length=self.length,
                    bf16=precision == "bf16",
                    fp16=precision == "f16",
                    seed=seed,
                    save_strategy="no",
                    disable_tqdm=True,
                ),
                train_dataset=self.train,
                eval_dataset=self.test,
                processing_class=self.tokenizer,
                preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
                compute_metrics=lambda r: {"right": np.mean(r[0][:, :-1] == r[1][:, 1:])},
            )
            trainer.pop_callback(ds.PrinterCallback)
            if precision == "torch":
                return self.run_torch(trainer, folder)
            trainer.train()
        return [float(log["eval_right"]) for log in trainer.log_history if "eval_right" in log]

    def run_torch(self, trainer, folder: str) -> list[float]:
        """The same in PyTorch, from the trainer's weights over its batches."""
        import torch
        import transformers

        trainer.save_model(folder)
        theirs = transformers.GPT2LMHeadModel.from_pretrained(folder)
        decayed = set(trainer.get_decay_parameter_names(trainer.model))
        named = dict(theirs.named_parameters())
        groups = [
            {"params": [p for n, p in named.items() if n in decayed], "weight_decay": 0.01},
            {"params": [p for n, p in named.items() if n not in decayed], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.rate)
        train, test = trainer.get_train_dataloader(), trainer.get_eval_dataloader()
        schedule, curve = cosine(optimizer, len(train) * self.epochs), []
        for _ in range(self.epochs):
            theirs.train()
            for batch in train:
                theirs(**in_torch(batch)).loss.backward()
                torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            theirs.eval()
            with torch.no_grad():
                hits = [
                    (theirs(**b).logits[:, :-1].argmax(-1) == b["labels"][:, 1:]).float()
                    for b in map(in_torch, test)
                ]
            curve.append(torch.cat(hits).mean().item())
        return curve


TASKS = {"images": Images, "text": Text}


def table(results: dict) -> list[str]:
    """Lines of Markdown: one for every task."""
    precisions = [p for p in NAMES if p in next(iter(results.values()))["curves"]]
    head = ["task", *(f"{NAMES[p]}, mean (std)" for p in precisions)]
    head += [f"{NAMES[p]} - FP32, paired mean (standard error)" for p in precisions[1:]]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for result in results.values():
        final = {p: [100 * curve[-1] for curve in result["curves"][p]] for p in precisions}
        cells = [f"{statistics.mean(v):.2f} ({statistics.stdev(v):.2f})" for v in final.values()]
        for precision in precisions[1:]:
            apart = [a - b for a, b in zip(final[precision], final["f32"], strict=True)]
            error = statistics.stdev(apart) / len(apart) ** 0.5
            cells.append(f"{statistics.mean(apart):+.2f} ({error:.2f})")
        name = f"{result['title']}: {result['measure']}, %"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def plot(results: dict) -> str:
    """One panel for every task: mean over the seeds, and their range as a band."""
    width, height, left, top, gap = 330, 220, 46, 30, 30
    total = len(results) * (width + gap)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{top + height + 44}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for panel, result in enumerate(results.values()):
        curves = {p: 100 * np.array(result["curves"][p]) for p in NAMES if p in result["curves"]}
        low = min(c.min() for c in curves.values())
        high = max(c.max() for c in curves.values())
        epochs = next(iter(curves.values())).shape[1]
        x0, inner = panel * (width + gap) + left, width - left

        def x(epoch, x0=x0, inner=inner, epochs=epochs):
            return x0 + inner * epoch / max(epochs - 1, 1)

        def y(value, low=low, high=high):
            return top + height * (high - value) / max(high - low, 1e-9)

        parts.append(f'<text x="{x0}" y="18" font-weight="bold">{result["title"]}</text>')
        parts.append(
            f'<rect x="{x0}" y="{top}" width="{inner}" height="{height}" fill="none" '
            'stroke="#999"/>'
        )
        for value in np.linspace(low, high, 5):
            parts.append(
                f'<text x="{x0 - 5}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.1f}</text>'
            )
        for epoch in range(epochs):
            parts.append(
                f'<text x="{x(epoch):.1f}" y="{top + height + 15}" text-anchor="middle">'
                f"{epoch + 1}</text>"
            )
        parts.append(f'<text x="{x0}" y="{top + height + 34}">epoch; {result["measure"]}, %</text>')
        for row, (precision, values) in enumerate(curves.items()):
            color = COLORS[precision]
            upper = [f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(values.max(0))]
            lower = [f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(values.min(0))]
            middle = [f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(values.mean(0))]
            parts.append(
                f'<polygon points="{" ".join(upper + lower[::-1])}" fill="{color}" '
                'opacity="0.18"/>'
            )
            parts.append(
                f'<polyline points="{" ".join(middle)}" fill="none" stroke="{color}" '
                'stroke-width="1.8"/>'
            )
            parts.append(
                f'<text x="{x0 + inner - 8}" y="{top + height - 10 - 14 * row}" '
                f'text-anchor="end" fill="{color}">{NAMES[precision]}</text>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def machine() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = next((line for line in lines if line.startswith("model name")), None)
    return found.split(":")[1].strip() if found else platform.machine()


def write_page(results: dict, args) -> None:
    given = [a for a in sys.argv[1:] if a != "--json" and a != str(args.json)]
    command = " ".join(["python benchmarks/models/convergence.py", *given])
    lines = [
        MARKS[0],
        "",
        f"    {command}",
        "",
        f"on {machine()}, {time.strftime('%Y-%m-%d')}, {args.seeds} seeds:",
        "",
        *table(results),
        "",
        "![held-out accuracy after every epoch: mean, and range over the seeds](convergence.svg)",
        "",
        MARKS[1],
    ]
    text = PAGE.read_text("utf-8")
    pattern = re.escape(MARKS[0]) + ".*?" + re.escape(MARKS[1])
    if not re.search(pattern, text, re.S):
        raise SystemExit(f"{PAGE} has no {MARKS[0]}")
    PAGE.write_text(re.sub(pattern, lambda _: "\n".join(lines), text, flags=re.S), "utf-8")
    PLOT.write_text(plot(results), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default="images,text")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--precisions", default="f32,bf16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--text", type=Path, default=TEXT)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", action="store_true", help="write the guide's table and plot")
    args = parser.parse_args()
    tasks, precisions = args.tasks.split(","), args.precisions.split(",")
    for given, known in ((tasks, TASKS), (precisions, NAMES)):
        unknown = set(given) - set(known)
        if unknown:
            parser.error(f"'{min(unknown)}' is unknown; use {', '.join(known)}")
    if "f32" not in precisions or args.seeds < 2:
        parser.error("f32, which the others are compared with, and two seeds are needed")
    ds.set_num_threads(args.threads)
    if "torch" in precisions:
        import torch

        torch.set_num_threads(args.threads)
    results = {}
    for name in tasks:
        task = TASKS[name](args)
        curves: dict[str, list] = {precision: [] for precision in precisions}
        for seed in range(args.seeds):
            for precision in precisions:
                start = time.process_time()
                if precision == "torch":
                    torch.manual_seed(seed)
                curves[precision].append(task.run(precision, seed))
                print(
                    f"{name}, seed {seed}, {NAMES[precision]}: {curves[precision][-1][-1]:.4f}, "
                    f"{time.process_time() - start:.0f} s of processor time",
                    flush=True,
                )
        results[name] = {"title": task.title, "measure": task.measure, "curves": curves}
    print("\n".join(table(results)))
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=1))
    if args.page:
        write_page(results, args)


if __name__ == "__main__":
    main()
