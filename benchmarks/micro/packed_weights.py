# SPDX-License-Identifier: Apache-2.0
"""What it saves that inference keeps packed weights from call to call.

    python benchmarks/micro/packed_weights.py [--rounds 15] [--json FILE]

Two networks with the same weights take turns. Those of the second share memory with NumPy, which
may write to it, so they are packed anew in each call. Outputs are compared before anything is
timed.
Reports time with packing over time without: median and quartiles.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import deepseek as ds
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from networks import image  # noqa: E402


def measure(name: str, rounds: int) -> dict:
    ds.manual_seed(0)
    kept = getattr(image, name)(ds).eval()
    ds.manual_seed(0)
    shared = getattr(image, name)(ds).eval()
    for parameter in shared.parameters():
        parameter.detach().numpy()
    x = ds.randn(1, 3, 224, 224)

    def calls(network, count):
        start = time.perf_counter()
        for _ in range(count):
            output = network(x).numpy()
        return (time.perf_counter() - start) / count, output

    ratios, seconds = [], []
    with ds.no_grad():
        outputs = [calls(network, 2)[1] for network in (kept, shared)]
        np.testing.assert_array_equal(*outputs)
        for _ in range(rounds):
            without, with_packing = calls(kept, 3)[0], calls(shared, 3)[0]
            seconds.append(without)
            ratios.append(with_packing / without)
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {"ratio": middle, "low": low, "high": high, "seconds": statistics.median(seconds)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    figures = {}
    for name in ("resnet50", "mobilenet_v2"):
        f = figures[name] = measure(name, args.rounds)
        print(
            f"{name}, batch 1: {f['seconds'] * 1e3:.1f} ms; packing in each call takes "
            f"{f['ratio']:.2f}x ({f['low']:.2f} to {f['high']:.2f})"
        )
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
