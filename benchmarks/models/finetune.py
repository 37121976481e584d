# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning BERT through the public API against transformers on PyTorch.

    python benchmarks/models/finetune.py [--size base] [--precision bf16] [--batch 4] [--length 128]
                                         [--steps 3] [--rounds 5] [--threads 2] [--clock wall]
                                         [--peers loop,trainer,compile] [--json FILE]

Ours is ds.Trainer. Peers: `loop`, a plain PyTorch loop with fused AdamW (and autocast in bf16);
`compile`, the same with torch.compile, which needs g++; `trainer`, transformers.Trainer, which
needs accelerate. A turn trains --steps steps with dropout, AdamW, clipping and a linear schedule;
loading, saving and evaluation are not in its time. Without dropout the losses of the first steps
are compared first; who differs is not timed. All take turns; a ratio is peer / deepseek of one
round, above 1 is faster; median and quartiles over the rounds.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import deepseek as ds
import numpy as np
import torch
import transformers
from worker import CLOCKS

SIZES = {
    "tiny": dict(
        vocab_size=97,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    ),
    "base": {},
}
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
# Losses of the first steps: how far apart rounding may take them, relatively.
TOLERANCE = {"f32": 2e-3, "bf16": 3e-2}
RATE = 2e-5


def make_rows(args) -> list[dict]:
    rng = np.random.default_rng(0)
    vocabulary = SIZES[args.size].get("vocab_size", 30522)
    return [
        {
            "input_ids": rng.integers(0, vocabulary, args.length).tolist(),
            "attention_mask": [1] * args.length,
            "label": int(rng.integers(2)),
        }
        for _ in range(args.batch * args.steps)
    ]


class Clock:
    """Callback of both trainers: the time between the begin and the end of training."""

    def __init__(self, clock):
        self.clock, self.seconds = clock, 0.0

    def on_train_begin(self, args, state, control, **kwargs):
        self.seconds = -self.clock()

    def on_train_end(self, args, state, control, **kwargs):
        self.seconds += self.clock()


class TheirClock(Clock, transformers.TrainerCallback):
    pass


def arguments(args, folder: Path, dropout: bool) -> dict:
    """What both trainers are told; without dropout every loss is logged, to be compared."""
    return {
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": args.batch,
        "train_sampling_strategy": "sequential",
        "max_steps": args.steps,
        "learning_rate": RATE,
        "weight_decay": 0.01,
        "bf16": args.precision == "bf16",
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_strategy": "no" if dropout else "steps",
        "logging_steps": 1,
        "disable_tqdm": True,
        "report_to": "none",
    }


class Quiet(ds.Trainer):
    """Keeps the model it has trained to itself."""

    def save_model(self, output_dir=None):
        pass


def losses_of(history: list[dict]) -> list[float]:
    return [log["loss"] for log in history if "loss" in log]


class Ours:
    def __init__(self, args, folder: Path, rows, dropout: bool):
        model = ds.models.BertForSequenceClassification.from_pretrained(
            folder, **({} if dropout else STILL)
        )
        self.clock = Clock(CLOCKS[args.clock])
        self.trainer = Quiet(
            model,
            ds.TrainingArguments(**arguments(args, folder, dropout)),
            train_dataset=rows,
            callbacks=[self.clock],
        )
        self.trainer.pop_callback(ds.PrinterCallback)

    def turn(self) -> float:
        self.trainer.train()
        return self.clock.seconds

    def losses(self) -> list[float]:
        return losses_of(self.trainer.log_history)


def their_model(folder: Path, dropout: bool):
    changes = {} if dropout else STILL
    return transformers.BertForSequenceClassification.from_pretrained(folder, **changes).train()


class TheirTrainer:
    def __init__(self, args, folder: Path, rows, dropout: bool):
        self.clock = TheirClock(CLOCKS[args.clock])
        self.trainer = transformers.Trainer(
            their_model(folder, dropout),
            transformers.TrainingArguments(use_cpu=True, **arguments(args, folder, dropout)),
            train_dataset=rows,
            data_collator=transformers.default_data_collator,
            callbacks=[self.clock],
        )
        self.trainer.remove_callback(transformers.PrinterCallback)

    def turn(self) -> float:
        self.trainer.train()
        return self.clock.seconds

    def losses(self) -> list[float]:
        return losses_of(self.trainer.state.log_history)


class Loop:
    compiled = False

    def __init__(self, args, folder: Path, rows, dropout: bool):
        self.args, self.rows, self.model = args, rows, their_model(folder, dropout)
        self.forward = torch.compile(self.model) if self.compiled else self.model
        self.found: list[float] = []

    def turn(self) -> float:
        args, clock = self.args, CLOCKS[self.args.clock]
        named = list(self.model.named_parameters())
        groups = [
            {"params": [p for _, p in named if p.dim() > 1], "weight_decay": 0.01},
            {"params": [p for _, p in named if p.dim() <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)
        schedule = transformers.get_linear_schedule_with_warmup(optimizer, 0, args.steps)
        found = []
        start = clock()
        for step in range(args.steps):
            part = self.rows[step * args.batch : (step + 1) * args.batch]
            batch = transformers.default_data_collator(part)
            with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
                loss = self.forward(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            found.append(loss.detach())
        seconds = clock() - start
        self.found = [loss.item() for loss in found]
        return seconds

    def losses(self) -> list[float]:
        return self.found


class CompiledLoop(Loop):
    compiled = True


PEERS = {"loop": Loop, "compile": CompiledLoop, "trainer": TheirTrainer}


def check(name: str, ours: list[float], theirs: list[float], tolerance: float) -> None:
    if not np.allclose(ours, theirs, rtol=tolerance):
        raise SystemExit(f"{name}: the losses differ, {ours} and {theirs}; not timed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--precision", choices=TOLERANCE, default="bf16")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=128, help="tokens of a text")
    parser.add_argument("--steps", type=int, default=3, help="steps of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", default="loop,trainer")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: processor time of all threads, for a machine that is shared",
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    peers = args.peers.split(",")
    for name in peers:
        if name not in PEERS:
            parser.error(f"the peer '{name}' is unknown; there are {', '.join(PEERS)}")
    ds.set_num_threads(args.threads)
    torch.set_num_threads(args.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    rows = make_rows(args)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        config = transformers.BertConfig(**SIZES[args.size])
        transformers.BertForSequenceClassification(config).save_pretrained(folder)
        makers = {"deepseek": Ours, **{peer: PEERS[peer] for peer in peers}}
        expected: list[float] = []
        for peer, make in makers.items():
            still = make(args, folder, rows, dropout=False)
            still.turn()
            expected = expected or still.losses()
            check(peer, expected, still.losses(), TOLERANCE[args.precision])
            del still
        sides = {peer: make(args, folder, rows, dropout=True) for peer, make in makers.items()}
        for side in sides.values():
            side.turn()  # plans, compilation, memory
        seconds: dict[str, list[float]] = {peer: [] for peer in sides}
        for _ in range(args.rounds):
            for peer, side in sides.items():
                seconds[peer].append(side.turn())
    report(args, seconds)


def report(args, seconds: dict[str, list[float]]) -> None:
    samples = args.batch * args.steps
    speeds = {peer: samples / statistics.median(times) for peer, times in seconds.items()}
    ratios = {}
    print(
        f"bert-{args.size} {args.precision}, {args.batch}x{args.length}: "
        f"{speeds['deepseek']:.2f} texts/s"
    )
    for peer, times in seconds.items():
        if peer == "deepseek":
            continue
        found = [t / o for t, o in zip(times, seconds["deepseek"], strict=True)]
        low, middle, high = statistics.quantiles(found, n=4)
        ratios[peer] = {"ratio": middle, "quartiles": [low, high]}
        print(
            f"  {middle:.2f}x of {peer} (quartiles {low:.2f} to {high:.2f}, {args.rounds} rounds), "
            f"{speeds[peer]:.2f} texts/s",
            flush=True,
        )
    if args.json:
        result = {
            **{k: v for k, v in vars(args).items() if k != "json"},
            "ratios": ratios,
            "texts_per_second": speeds,
            "seconds": seconds,
        }
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
