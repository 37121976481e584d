# SPDX-License-Identifier: Apache-2.0
"""Tokenising in C++ against the package `tokenizers`, in the same run.

    python benchmarks/micro/tokenizing.py TOKENIZER TEXT [--rounds N] [--clock cpu] [--json FILE]

TOKENIZER is a tokenizer.json, TEXT a file whose lines are encoded one by one and as one batch, with
all threads, or with one:

    OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 python benchmarks/micro/tokenizing.py ...

The ids are compared before anything is timed. Both sides make lists of ids in Python. The two take
turns; what is printed are the median and the quartiles of the rounds, and of the ratios within a
round."""

import argparse
import json
import statistics
from pathlib import Path

import tokenizers
from deepseek import _core
from timing import CLOCKS, add_options, timed


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median": middle, "low": low, "high": high}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("text", type=Path)
    add_options(parser)
    args = parser.parse_args()
    lines = [line for line in args.text.read_text("utf-8").split("\n") if line]
    mine = _core._text.Tokenizer.from_file(str(args.tokenizer))
    theirs = tokenizers.Tokenizer.from_file(str(args.tokenizer))
    theirs.no_padding()
    theirs.no_truncation()

    def ours_batch():
        return mine.encode_batch(lines, ids_only=True)

    def theirs_batch():
        return [encoding.ids for encoding in theirs.encode_batch(lines)]

    def ours_each():
        return [mine.encode_batch([line], ids_only=True)[0] for line in lines]

    def theirs_each():
        return [theirs.encode(line).ids for line in lines]

    cases = {"encode_batch": (ours_batch, theirs_batch), "encode": (ours_each, theirs_each)}
    clock, found = CLOCKS[args.clock], {}
    size = sum(len(line.encode()) for line in lines)
    for name, (ours, others) in cases.items():
        if ours() != others():
            raise SystemExit(f"tokenizing.py: {name}: the ids differ")
        pairs = [(timed(ours, 1, clock), timed(others, 1, clock)) for _ in range(args.rounds)]
        found[name] = {
            "deepseek_s": spread([a for a, _ in pairs]),
            "tokenizers_s": spread([b for _, b in pairs]),
            "ratio": spread([b / a for a, b in pairs]),
        }
        row = found[name]
        print(
            f"{name}: {len(lines)} lines, {size} bytes: deepseek "
            f"{row['deepseek_s']['median'] * 1e3:.1f} ms, tokenizers "
            f"{row['tokenizers_s']['median'] * 1e3:.1f} ms, ratio {row['ratio']['median']:.2f} "
            f"({row['ratio']['low']:.2f} to {row['ratio']['high']:.2f})"
        )
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
