# SPDX-License-Identifier: Apache-2.0
"""Writes scheduler_tables.inc: the rates (and momenta) PyTorch's schedulers give, step by step."""

import warnings
from pathlib import Path

import torch
from torch.optim import lr_scheduler as s

warnings.simplefilter("ignore")
STEPS = 12

CASES = {
    "step": lambda o: s.StepLR(o, 3, 0.5),
    "multi_step": lambda o: s.MultiStepLR(o, [2, 5, 5, 9], 0.5),
    "constant": lambda o: s.ConstantLR(o, 0.25, 4),
    "linear": lambda o: s.LinearLR(o, 0.1, 0.8, 6),
    "exponential": lambda o: s.ExponentialLR(o, 0.9),
    "polynomial": lambda o: s.PolynomialLR(o, 8, 2.0),
    "cosine": lambda o: s.CosineAnnealingLR(o, 5, 0.01),
    "restarts": lambda o: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    "lambda": lambda o: s.LambdaLR(o, lambda e: 1 / (1 + e)),
    "multiplicative": lambda o: s.MultiplicativeLR(o, lambda e: 1 - 0.05 * e),
    "one_cycle": lambda o: s.OneCycleLR(o, 0.8, total_steps=12),
    "one_cycle_three": lambda o: s.OneCycleLR(
        o, 0.8, total_steps=14, three_phase=True, anneal_strategy="linear", div_factor=10
    ),
    "cyclic": lambda o: s.CyclicLR(o, 0.1, 0.5, 3, 2),
    "cyclic_2": lambda o: s.CyclicLR(o, 0.1, 0.5, 2, mode="triangular2"),
    "cyclic_exp": lambda o: s.CyclicLR(o, 0.1, 0.5, 2, mode="exp_range", gamma=0.9),
    "sequential": lambda o: s.SequentialLR(
        o,
        [s.LinearLR(o, 0.1, 1.0, 4), s.ExponentialLR(o, 0.9), s.CosineAnnealingLR(o, 6)],
        [4, 8],
    ),
    "chained": lambda o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9), s.StepLR(o, 5, 0.5)]
    ),
}


def rows(make):
    params = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [{"params": params[:1]}, {"params": params[1:], "lr": 0.04}], lr=0.4, momentum=0.9
    )
    scheduler = make(optimizer)
    for _ in range(STEPS):
        yield [g["lr"] for g in optimizer.param_groups] + [optimizer.param_groups[0]["momentum"]]
        optimizer.step()
        scheduler.step()


def main():
    text = "// First group's rate, second group's rate, momentum, for each step.\n"
    for name, make in CASES.items():
        values = ", ".join(f"{value:.17g}" for row in rows(make) for value in row)
        text += f'{{"{name}", {{{values}}}}},\n'
    Path(__file__).with_name("scheduler_tables.inc").write_text(text)


main()
