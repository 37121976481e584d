# SPDX-License-Identifier: Apache-2.0
"""What it gains to choose kernels by measurement (ds.tune) over choosing them by rule.

    python benchmarks/micro/tuning.py [--case NAME] [--rounds 15] [--clock cpu] [--json FILE]

Products of few rows and of small matrices. Each is tuned once, in a cache folder of its own; both
results are compared with NumPy's before anything is timed, then rule and choice take turns, on
operands that come from memory where a model's would. Reports the rule's time over the choice's
(above 1 the choice is faster), median and quartiles, and both kernels.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile

CACHE = tempfile.TemporaryDirectory(prefix="ds_tuning_")  # gone at the end
os.environ["DS_CACHE"] = CACHE.name
os.environ["DS_TUNE"] = "0"

import deepseek as ds  # noqa: E402
import numpy as np  # noqa: E402
from timing import CLOCKS, add_options, timed  # noqa: E402

TURN_SECONDS = 0.02  # far above the clock's resolution
SPREAD = 64 << 20  # bytes of operands that take turns: more than the caches hold
DRAW = np.random.default_rng(0)

# Left and right operand; the right one of a linear layer lies by columns.
LINEAR = [
    (rows, k, n)
    for rows in (4, 8, 16, 32)
    for k, n in ((256, 1024), (768, 768), (768, 3072), (3072, 768))
]
CASES = {f"linear {m}x{k}-{n}": ((m, k), (n, k), True) for m, k, n in LINEAR}
CASES |= {f"product {m}x{k}-{n}": ((m, k), (k, n), False) for m, k, n in LINEAR}
CASES |= {
    f"bmm {b} of {m}x{k}-{n}{', transposed' * by_columns}": (
        (b, m, k),
        (b, n, k) if by_columns else (b, k, n),
        by_columns,
    )
    for b, m, k, n in (
        (512, 16, 16, 16),
        (256, 24, 24, 24),
        (96, 64, 64, 64),
        (96, 128, 64, 128),
        (96, 128, 128, 64),
        (48, 10, 33, 17),
    )
    for by_columns in (False, True)
}


def operands(left, right):
    """Pairs that take turns."""
    size = 4 * int(np.prod(left) + np.prod(right))
    count = max(1, min(16, SPREAD // size))

    def draw(shape):
        return ds.tensor(DRAW.standard_normal(shape).astype(np.float32))

    return [(draw(left), draw(right)) for _ in range(count)]


def measure(name: str, rounds: int, clock) -> dict:
    left, right, by_columns = CASES[name]
    pairs = operands(left, right)
    turn = 0

    def product():
        nonlocal turn
        a, b = pairs[turn % len(pairs)]
        turn += 1
        value = (a @ (b.transpose(-1, -2) if by_columns else b)).evaluate()
        ds.synchronize()
        return value

    with ds.tune() as tuned:
        product()
    (choice,) = tuned.choices or [None]
    a, b = (x.numpy().astype(np.float64) for x in pairs[0])
    expected = a @ (b.swapaxes(-1, -2) if by_columns else b)
    for how in ("off", "use"):
        ds._core._set_tuning(how)
        turn = 0
        scale = float(np.abs(expected).max())
        np.testing.assert_allclose(product().numpy(), expected, rtol=1e-4, atol=1e-5 * scale)
    repeat = max(1, int(TURN_SECONDS / max(timed(product, 2, clock), 1e-6)))
    times = {"off": [], "use": []}
    for _ in range(rounds):
        for how, found in times.items():
            ds._core._set_tuning(how)
            product()  # planned anew
            found.append(timed(product, repeat, clock))
    low, middle, high = statistics.quantiles(
        [a / b for a, b in zip(times["off"], times["use"], strict=True)], n=4
    )
    found = {
        "case": name,
        "rule": choice.rule if choice else "",
        "choice": choice.kernel if choice else "",
        "ratio": middle,
        "quartiles": [low, high],
        "seconds": {how: statistics.median(t) for how, t in times.items()},
    }
    print(
        f"{name}: {middle:.2f}x ({low:.2f} to {high:.2f}), {found['seconds']['use'] * 1e6:.0f} us, "
        f"{found['rule']} -> {found['choice']}",
        flush=True,
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=[*CASES], action="append")
    add_options(parser)
    args = parser.parse_args()
    clock = CLOCKS[args.clock]
    results = [measure(name, args.rounds, clock) for name in args.case or CASES]
    if args.json:
        about = {"machine": ds.cpu_info(), "threads": ds.num_threads(), "results": results}
        args.json.write_text(json.dumps(about, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
