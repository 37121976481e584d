# SPDX-License-Identifier: Apache-2.0
"""How far the arenas of training steps are above the least: the most bytes of temporaries in use at
one moment.

    python benchmarks/memory/fragmentation.py
    python benchmarks/memory/fragmentation.py benchmarks/cases/train.txt --shares 0.5

A line of a file is a case as for benchmarks/models/run.py, of which those that train count. Each is
planned on this machine, without a budget and with budgets that leave shares of its temporaries."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from cases import CaseError, read_cases
from process import Process, WorkerError

FILES = [str(Path(__file__).parents[1] / "cases" / name) for name in ("small.txt", "kinds.txt")]


def planned(case, limit: int | None) -> dict:
    worker = Process(
        "deepseek" if limit is None else f"deepseek:budget={limit}", case, 1, 600, "cpu"
    )
    try:
        worker.ask("build")
        return worker.ask("plan")
    finally:
        worker.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", default=FILES, help="default small.txt and kinds.txt")
    parser.add_argument("--shares", default="0.5", help="of the temporaries (default %(default)s)")
    args = parser.parse_args()
    worst = 0.0
    print("| case | temporaries | arena, MB | least, MB | above |\n| --- | --- | --- | --- | --- |")
    try:
        shares = [float(share) for share in args.shares.split(",") if share]
        cases = [case for path in args.files for case in read_cases(Path(path))]
        for case in (case for case in cases if case.mode == "train"):
            whole = planned(case, None)
            for share in [None, *shares]:
                plan = whole
                if share is not None:
                    try:
                        plan = planned(case, int(whole["peak"] - (1 - share) * whole["arena"]))
                    except WorkerError as error:
                        print(f"| {case.name} | {share:.0%} | {str(error).splitlines()[-1]} | | |")
                        continue
                above = plan["arena"] / plan["lower_bound"] - 1
                worst = max(worst, above)
                print(
                    f"| {case.name} | {'all' if share is None else f'{share:.0%}'} "
                    f"| {plan['arena'] / 1e6:.1f} | {plan['lower_bound'] / 1e6:.1f} "
                    f"| {above:.2%} |",
                    flush=True,
                )
    except (CaseError, OSError, ValueError, WorkerError) as error:
        sys.exit(f"fragmentation.py: {error}")
    print(f"\nthe worst: {worst:.2%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
