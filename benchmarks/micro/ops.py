# SPDX-License-Identifier: Apache-2.0
"""Single operations and the update of many small tensors against PyTorch eager in one run.

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
from op_cases import CASES, RANDOM, floats
from timing import CLOCKS, add_options, timed


def both(function, *arrays):
    """The same function of the same arrays in both frameworks."""
    ours, theirs = [ds.tensor(a) for a in arrays], [torch.tensor(a) for a in arrays]
    return lambda: function(ds, *ours), lambda: function(torch, *theirs)


OPTIMIZER = "AdamW, 160 tensors of 256"
TURN_SECONDS = 0.02  # far above the clock's resolution


def check(name, ours, theirs) -> None:
    """The results agree, or nothing is timed."""
    a, b = ours(), theirs()
    half = b.dtype == torch.bfloat16
    a, b = (x.float().numpy() if half else x.numpy() for x in (a, b))
    spread = max(1.0, float(np.abs(b).std())) if b.dtype.kind != "b" else 1.0
    if name in RANDOM:
        a, b = (np.array([x.mean(), x.std(), (x == 0).mean()], np.float64) for x in (a, b))
        np.testing.assert_allclose(a, b, atol=5e-3 * spread, err_msg=name)
    else:
        # Long sums round by their terms, not by what is left of them.
        tolerance = 2e-2 if half else 1e-4
        atol = tolerance * spread if b.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=atol, err_msg=name)


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
