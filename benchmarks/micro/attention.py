# SPDX-License-Identifier: Apache-2.0
"""scaled_dot_product_attention against PyTorch's, forward and forward + backward, alternating.

    python benchmarks/micro/attention.py [--only gpt2] [--dtype bf16] [--permuted] [--threads 1]
                                         [--rounds 15] [--clock cpu] [--json FILE]

Results and gradients are compared first; a case that differs is not timed. A ratio is PyTorch /
deepseek of one round, above 1 is faster; median and quartiles over the rounds are reported.
"""

import argparse
import json
import statistics

import deepseek as ds
import numpy as np
import torch
from timing import CLOCKS, add_options, timed

CASES = {
    # name: ([B, H, T, D], causal)
    "bert-base": ((8, 12, 128, 64), False),
    "gpt2-small": ((2, 12, 512, 64), True),
    "vit-s": ((16, 6, 197, 64), False),
}
DTYPES = {"f32": ("float32", 1e-4), "bf16": ("bfloat16", 2e-2)}  # and error over the largest value
TURN_SECONDS = 0.05  # far above the clock's resolution


class Ours:
    framework = ds

    def __init__(self, arrays, dtype: str, permuted: bool, causal: bool):
        dtype = getattr(self.framework, dtype)
        *leaves, self.diff = (self.framework.tensor(a).to(dtype) for a in arrays)
        self.leaves = [x.requires_grad_() for x in leaves]
        self.permuted, self.causal = permuted, causal

    def attend(self, leaves):
        heads = [x.transpose(1, 2) for x in leaves] if self.permuted else leaves
        attention = self.framework.nn.functional.scaled_dot_product_attention
        out = attention(*heads, is_causal=self.causal)
        return out.transpose(1, 2) if self.permuted else out

    @staticmethod
    def finish(values) -> None:
        ds.evaluate(values)
        ds.synchronize()

    def forward(self):
        with ds.no_grad():
            out = self.attend(self.leaves)
        self.finish([out])
        return [out]

    def both(self):
        out = self.attend(self.leaves)
        grads = ds.autograd.grad(out, self.leaves, self.diff)
        self.finish([out, *grads])
        return [out, *grads]


class Theirs(Ours):
    framework = torch

    def forward(self):
        with torch.no_grad():
            return [self.attend(self.leaves)]

    def both(self):
        out = self.attend(self.leaves)
        return [out, *torch.autograd.grad(out, self.leaves, self.diff)]


def check_agreement(ours, theirs, tolerance: float) -> None:
    for name, mine, other in zip(("out", "diff_q", "diff_k", "diff_v"), ours, theirs, strict=False):
        mine, other = (x.detach().float().numpy() for x in (mine, other))
        error = np.abs(mine - other).max() / np.abs(other).max()
        if not error < tolerance:
            raise SystemExit(f"{name} differs by {error:.3g}; not timed")


def alternate(steps: dict, rounds: int, clock) -> dict:
    """Seconds of every step, round by round."""
    repeat = {
        name: max(1, round(TURN_SECONDS / timed(step, 2, clock))) for name, step in steps.items()
    }
    seconds = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(timed(step, repeat[name], clock))
    return seconds


def run_case(name: str, precision: str, permuted: bool, rounds: int, clock) -> list[dict]:
    (batch, heads, length, dim), causal = CASES[name]
    shape = (batch, length, heads, dim) if permuted else (batch, heads, length, dim)
    draw = np.random.default_rng(0)
    arrays = [draw.standard_normal(shape).astype(np.float32) for _ in range(4)]
    dtype, tolerance = DTYPES[precision]
    ours, theirs = (kind(arrays, dtype, permuted, causal) for kind in (Ours, Theirs))
    check_agreement(ours.both(), theirs.both(), tolerance)
    # Two products of [T, D] and [T, T] forward and five backward; half of them when causal.
    flops = 4 * batch * heads * length * length * dim * (0.5 if causal else 1)
    results = []
    for what, factor in (("forward", 1), ("both", 3.5)):
        seconds = alternate(
            {"deepseek": getattr(ours, what), "PyTorch": getattr(theirs, what)}, rounds, clock
        )
        ratios = [t / o for t, o in zip(seconds["PyTorch"], seconds["deepseek"], strict=False)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        speed = factor * flops / statistics.median(seconds["deepseek"]) / 1e9
        label = "forward" if what == "forward" else "forward + backward"
        print(
            f"{name}, {label}: {middle:.2f}x of PyTorch (quartiles {low:.2f} to {high:.2f}, "
            f"{rounds} rounds), {speed:.0f} GFLOP/s",
            flush=True,
        )
        results.append(
            {
                "case": name,
                "shape": shape,
                "pass": label,
                "ratio": middle,
                "quartiles": [low, high],
                "gflops": speed,
                "seconds": seconds,
            }
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--dtype", choices=DTYPES, default="f32")
    parser.add_argument(
        "--permuted",
        action="store_true",
        help="heads as views of [B, T, H, D], as projections leave them",
    )
    parser.add_argument("--threads", type=int, default=1)
    add_options(parser)
    args = parser.parse_args()
    ds.set_num_threads(args.threads)
    torch.set_num_threads(args.threads)
    names = [args.only] if args.only else list(CASES)
    clock = CLOCKS[args.clock]
    results = [
        result
        for name in names
        for result in run_case(name, args.dtype, args.permuted, args.rounds, clock)
    ]
    if args.json:
        args.json.write_text(
            json.dumps(
                {
                    "threads": args.threads,
                    "dtype": args.dtype,
                    "permuted": args.permuted,
                    "clock": args.clock,
                    "results": results,
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
