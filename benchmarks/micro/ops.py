# SPDX-License-Identifier: Apache-2.0
"""Index, random, integer, sorting, product and optimizer kernels against PyTorch eager in one run.

    python benchmarks/micro/ops.py [--case NAME] [--rounds 15] [--clock cpu] [--json FILE]

Every result is compared before it is timed; random ops, whose numbers differ, by their moments.
Reports PyTorch's time over ours (above 1 is faster): median and quartiles of alternating rounds.
"""

import argparse
import json
import platform
import statistics
import sys

import deepseek as ds
import numpy as np
import torch
from timing import CLOCKS, add_options, timed

DRAW = np.random.default_rng(0)
ROWS, WIDTH, TOKENS = 30522, 768, 4096  # BERT's vocabulary and width, 8 sequences of 512


def floats(*shape):
    return DRAW.standard_normal(shape).astype(np.float32)


def integers(high, *shape):
    return DRAW.integers(0, high, shape)


def zipf(*shape):
    """Token numbers as they occur in text: a few make up most of it."""
    return np.minimum(DRAW.zipf(1.2, shape), ROWS) - 1


def both(function, *arrays):
    """The same function of the same arrays in both frameworks."""
    ours, theirs = [ds.tensor(a) for a in arrays], [torch.tensor(a) for a in arrays]
    return lambda: function(ds, *ours), lambda: function(torch, *theirs)


def embedding_gradient(f, table, tokens, diff):
    return f.zeros_like(table).index_add(0, tokens, diff)


def dropout(f, x):
    return f.nn.functional.dropout(x, 0.1)


def masked_mean(f, tokens, x):
    mask = tokens != 0
    return f.where(mask, x, 0.0).sum() / mask.sum()


def accuracy(f, logits, labels):
    return (logits.argmax(-1) == labels).sum()


TABLE, TOKEN_ROWS = floats(ROWS, WIDTH), floats(TOKENS, WIDTH)
LOGITS = floats(512, 50257)
CASES = {
    # name: (function of a framework and arrays, arrays)
    "embedding": (lambda f, w, i: w.index_select(0, i), TABLE, zipf(TOKENS)),
    "embedding gradient": (embedding_gradient, TABLE, zipf(TOKENS), TOKEN_ROWS),
    "embedding gradient, one token": (
        embedding_gradient,
        TABLE,
        np.zeros(TOKENS, np.int64),
        TOKEN_ROWS,
    ),
    "gather": (lambda f, x, i: x.gather(1, i), floats(4096, 1024), integers(1024, 4096, 256)),
    "scatter_add": (
        lambda f, x, i, s: x.scatter_add(1, i, s),
        floats(4096, 256),
        integers(256, 4096, 512),
        floats(4096, 512),
    ),
    "index_copy": (
        lambda f, x, i, s: x.index_copy(0, i, s),
        floats(8192, 256),
        DRAW.permutation(8192)[:4096],
        floats(4096, 256),
    ),
    "nonzero": (lambda f, m: m.nonzero(), integers(2, 1024, 1024).astype(bool)),
    "searchsorted": (lambda f, s, v: f.searchsorted(s, v), np.sort(floats(4096)), floats(1 << 18)),
    "rand": (lambda f: f.rand(1 << 22),),
    "randn": (lambda f: f.randn(1 << 22),),
    "dropout": (dropout, floats(4096, WIDTH)),
    "token mask": (masked_mean, zipf(1 << 20), floats(1 << 20)),
    "i64 arithmetic": (lambda f, a, b: a * 3 + b, integers(99, 1 << 21), integers(99, 1 << 21)),
    "i64 remainder": (lambda f, a: a % 7, integers(1 << 40, 1 << 20)),
    "f64 arithmetic": (
        lambda f, a, b: a * b + a,
        floats(1 << 20).astype(np.float64),
        floats(1 << 20).astype(np.float64),
    ),
    "logical_and": (
        lambda f, a, b: a & b,
        integers(2, 1 << 22).astype(bool),
        integers(2, 1 << 22).astype(bool),
    ),
    "accuracy": (accuracy, floats(4096, 1000), integers(1000, 4096)),
    "topk": (lambda f, x: f.topk(x, 50)[0], LOGITS),
    "sort rows": (lambda f, x: f.sort(x, 1)[0], floats(1024, 1024)),
    "sort one row": (lambda f, x: f.sort(x, 0)[0], floats(1 << 20)),
    "cumsum": (lambda f, x: f.cumsum(x, 1), floats(2048, 1024)),
    "cumsum of columns": (lambda f, x: f.cumsum(x, 0), floats(2048, 1024)),
    "cummax": (lambda f, x: f.cummax(x, 1)[0], floats(2048, 1024)),
}
# The three products of a linear layer: rows, features in, features out.
for m, k, n in ((32, 256, 1024), (128, 768, 3072), (1024, 768, 3072)):
    x, w, diff = floats(m, k), floats(n, k), floats(m, n)
    CASES[f"linear {m}x{k}-{n}"] = (lambda f, x, w: f.matmul(x, w.T), x, w)
    CASES[f"linear {m}x{k}-{n}, diff_src"] = (lambda f, d, w: f.matmul(d, w), diff, w)
    CASES[f"linear {m}x{n}-{k}, diff_src"] = (lambda f, x, w: f.matmul(x, w), x, floats(k, n))
    CASES[f"linear {m}x{k}-{n}, diff_weights"] = (lambda f, d, x: f.matmul(d.T, x), diff, x)
RANDOM = {"rand", "randn", "dropout"}
OPTIMIZER = "AdamW, 160 tensors of 256"
TURN_SECONDS = 0.02  # far above the clock's resolution


def check(name, ours, theirs) -> None:
    """The results agree, or nothing is timed."""
    a, b = ours().numpy(), theirs().numpy()
    if name in RANDOM:
        a, b = (np.array([x.mean(), x.std(), (x == 0).mean()], np.float64) for x in (a, b))
        np.testing.assert_allclose(a, b, atol=5e-3, err_msg=name)
    else:
        # Long sums round by their terms, not by what is left of them.
        atol = 1e-4 * max(1.0, float(np.abs(b).std())) if b.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol, err_msg=name)


class Updates:
    """The optimizer's part of a step, gradients being there."""

    def __init__(self, framework, arrays, gradients, **options):
        self.framework = framework
        self.parameters = [framework.tensor(a.copy(), requires_grad=True) for a in arrays]
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = framework.tensor(gradient)
        self.optimizer = framework.optim.AdamW(self.parameters, lr=1e-3, **options)

    def step(self):
        self.optimizer.step()
        if self.framework is ds:
            ds.synchronize()

    def values(self):
        return [p.detach().numpy() for p in self.parameters]


def optimizers():
    arrays, gradients = [floats(256) for _ in range(160)], [floats(256) for _ in range(160)]
    runners = {
        "deepseek": Updates(ds, arrays, gradients),
        "PyTorch foreach": Updates(torch, arrays, gradients, foreach=True),
        "PyTorch fused": Updates(torch, arrays, gradients, fused=True),
    }
    for runner in runners.values():
        for _ in range(3):
            runner.step()
    for name, runner in runners.items():
        for a, b in zip(runners["deepseek"].values(), runner.values(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)
    return {name: runner.step for name, runner in runners.items()}


def case_runners(name):
    if name == OPTIMIZER:
        return optimizers()
    ours, theirs = both(*CASES[name])
    check(name, ours, theirs)

    def computed():
        ours().evaluate()
        ds.synchronize()

    return {"deepseek": computed, "PyTorch": theirs}


def run_case(name: str, rounds: int, clock) -> dict:
    runners = case_runners(name)
    timed(runners["deepseek"], 1, clock)  # the plan is made
    repeat = max(1, int(TURN_SECONDS / max(timed(runners["deepseek"], 2, clock), 1e-6)))
    times = {peer: [] for peer in runners}
    for _ in range(rounds):
        for peer, function in runners.items():
            times[peer].append(timed(function, repeat, clock))
    result = {"case": name, "seconds": {p: statistics.median(t) for p, t in times.items()}}
    for peer in list(runners)[1:]:
        low, middle, high = statistics.quantiles(
            [t / o for t, o in zip(times[peer], times["deepseek"], strict=True)], n=4
        )
        result[peer] = {"ratio": middle, "quartiles": [low, high]}
        print(
            f"{name}: {middle:.2f}x of {peer} ({low:.2f} to {high:.2f}), "
            f"{result['seconds']['deepseek'] * 1e6:.0f} us",
            flush=True,
        )
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=[*CASES, OPTIMIZER], action="append")
    add_options(parser)
    args = parser.parse_args()
    torch.set_num_threads(ds.num_threads())
    results = [
        run_case(name, args.rounds, CLOCKS[args.clock]) for name in args.case or [*CASES, OPTIMIZER]
    ]
    if args.json:
        about = {
            "machine": ds.cpu_info(),
            "threads": ds.num_threads(),
            "clock": args.clock,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "deepseek": ds.__version__,
            "results": results,
        }
        args.json.write_text(json.dumps(about, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
