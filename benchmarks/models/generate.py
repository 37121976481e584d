# SPDX-License-Identifier: Apache-2.0
"""Generation with GPT-2 against transformers: tokens a second of the same random weights.

    python benchmarks/models/generate.py [--size small] [--batch 1] [--beams 1] [--prompt 32]
                                         [--tokens 64] [--threads 2] [--rounds 9] [--clock wall]
                                         [--json FILE]

The tokens are compared first; different ones are not timed. The two take turns; a ratio is
transformers / deepseek of one round, above 1 is faster; median and quartiles over the rounds.
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
    "tiny": dict(vocab_size=97, n_embd=32, n_layer=2, n_head=4),
    "small": {},
    "medium": dict(n_embd=1024, n_layer=24, n_head=16),
}


def make_models(size: str):
    """(transformers' model, ours with its weights)."""
    torch.manual_seed(0)
    # Wider than the usual start, so that the best token is well ahead of the second.
    config = transformers.GPT2Config(**SIZES[size], initializer_range=0.1)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        return theirs, ds.models.GPT2LMHeadModel.from_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--batch", type=int, default=1, help="texts at once")
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=32, help="tokens of a prompt")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of a text")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: processor time of all threads, for a machine that is shared",
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    ds.set_num_threads(args.threads)
    torch.set_num_threads(args.threads)
    theirs, ours = make_models(args.size)
    vocab = theirs.config.vocab_size
    ids = np.random.default_rng(0).integers(0, vocab, (args.batch, args.prompt))
    options = {
        "max_new_tokens": args.tokens,
        "min_new_tokens": args.tokens,
        "num_beams": args.beams,
        "eos_token_id": vocab - 1,
        "pad_token_id": vocab - 1,
        "do_sample": False,
    }
    inputs = {"deepseek": ds.tensor(ids), "transformers": torch.tensor(ids)}
    mask = torch.ones_like(inputs["transformers"])
    steps = {
        "deepseek": lambda: ours.generate(inputs["deepseek"], **options),
        "transformers": lambda: theirs.generate(
            inputs["transformers"], attention_mask=mask, **options
        ),
    }
    first, second = (step().numpy() for step in steps.values())
    if first.shape != second.shape or (first != second).any():
        raise SystemExit("the tokens differ; not timed")
    clock = CLOCKS[args.clock]
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            start = clock()
            step()
            seconds[name].append(clock() - start)
    ratios = [t / o for t, o in zip(seconds["transformers"], seconds["deepseek"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    made = args.batch * args.tokens
    speeds = {name: made / statistics.median(times) for name, times in seconds.items()}
    print(
        f"gpt2-{args.size}: {middle:.2f}x of transformers (quartiles {low:.2f} to {high:.2f}, "
        f"{args.rounds} rounds), {speeds['deepseek']:.1f} tokens/s against "
        f"{speeds['transformers']:.1f}",
        flush=True,
    )
    if args.json:
        result = {
            **{k: v for k, v in vars(args).items() if k != "json"},
            "ratio": middle,
            "quartiles": [low, high],
            "tokens_per_second": speeds,
            "seconds": seconds,
        }
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
