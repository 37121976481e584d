# SPDX-License-Identifier: Apache-2.0
"""Loading a checkpoint against transformers with safetensors: time and peak memory.

    python benchmarks/models/load_checkpoint.py [--layers N] [--rounds N] [--clock cpu]

A BERT of N layers (12: BERT-base, 440 MB) with random weights is written by transformers. Each load
is a process of its own that builds the model, loads it and reads every parameter; the two libraries
take turns. The process times from_pretrained() and the reading; its peak of resident memory is what
the system counted, less that of a process that only imports the library. Mapped pages of the file
count as resident, so a load that copies nothing shows the size of the file. The sums of the
parameters are compared before anything is reported."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORTS = {
    "deepseek": "import deepseek as lib; from deepseek.models import BertModel",
    "transformers": "import torch as lib; from transformers import BertModel",
}
WRITE = """
import sys
from transformers import BertConfig, BertModel
BertModel(BertConfig(num_hidden_layers=int(sys.argv[2]))).save_pretrained(sys.argv[1])
"""
LOAD = """
import sys, time
clock = getattr(time, sys.argv[2])
start = clock()
model = BertModel.from_pretrained(sys.argv[1])
with lib.no_grad():
    total = sum(float(p.sum()) for p in model.parameters())
print(clock() - start, total)
"""


def run(library: str, folder: str | None, clock: str) -> tuple[float, float, int]:
    """(seconds, sum of all parameters, peak resident bytes) of one process."""
    code = IMPORTS[library] + (LOAD if folder else "\nprint(0, 0)")
    process = subprocess.Popen(
        [sys.executable, "-c", code, folder or "", clock],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=dict(os.environ, HF_HUB_OFFLINE="1"),
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"load_checkpoint.py: {library} ended with {process.returncode}")
    seconds, total = map(float, output.split()[-2:])
    return seconds, total, usage.ru_maxrss << 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=12, help="default %(default)s")
    parser.add_argument("--rounds", type=int, default=7, help="default %(default)s")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: processor time of all threads",
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    clock = {"wall": "perf_counter", "cpu": "process_time"}[args.clock]
    with tempfile.TemporaryDirectory() as folder:
        # Not here: a child's peak of memory begins with that of the process that starts it.
        subprocess.run([sys.executable, "-c", WRITE, folder, str(args.layers)], check=True)
        size = (Path(folder) / "model.safetensors").stat().st_size
        base = {library: run(library, None, clock)[2] for library in IMPORTS}
        rows: dict[str, list] = {library: [] for library in IMPORTS}
        for _ in range(args.rounds):
            for library in IMPORTS:
                rows[library].append(run(library, folder, clock))
    sums = {library: row[0][1] for library, row in rows.items()}
    if abs(sums["deepseek"] - sums["transformers"]) > 1e-4 * max(1, abs(sums["transformers"])):
        raise SystemExit(f"load_checkpoint.py: the sums of the parameters differ: {sums}")
    found = {"file_bytes": size}
    for library, row in rows.items():
        seconds = statistics.quantiles([r[0] for r in row], n=4)
        peak = statistics.median(r[2] for r in row) - base[library]
        found[library] = {"seconds": seconds, "peak_bytes": peak}
        print(
            f"{library}: {seconds[1] * 1e3:.0f} ms ({seconds[0] * 1e3:.0f} to "
            f"{seconds[2] * 1e3:.0f}), peak {peak / size:.2f} of the file's {size >> 20} MiB"
        )
    ratios = [b[0] / a[0] for a, b in zip(*rows.values(), strict=True)]
    found["ratio"] = statistics.quantiles(ratios, n=4)
    print("ratio {1:.2f} ({0:.2f} to {2:.2f})".format(*found["ratio"]))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
