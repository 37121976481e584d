# SPDX-License-Identifier: Apache-2.0
"""What `deepseek plan` foresees against what training takes. Each case runs in a process of its
own, whose resident size is read from outside.

    python benchmarks/memory/validate.py
    python benchmarks/memory/validate.py --cases resnet50:8x224,gpt2:1x256 --json figures.json

A case is model:batch x size. Columns: what the plan for a device that is not here (null backend)
foresees, what the plan on this machine says, what the process grew by at its peak. The pages of
libraries that it used for the first time, which all processes share, are not counted."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

CASES = "resnet18:16x128,resnet50:8x224,gpt2:1x256,gpt2:2x512"
OPTIMIZER = "adamw"


def worker(model: str, batch: int, size: int) -> None:
    """Trains a few steps. Each line on stdout waits for one on stdin: before there is a model,
    after the first step, at the end."""
    import deepseek as ds
    from deepseek import plan

    layers = plan.layers_of(model)
    ds.ones(3).sum().item()

    def wait(message):
        print(json.dumps(message), flush=True)
        sys.stdin.readline()

    wait({})
    case = plan.Case(model, batch, size)
    net, loss = plan.steps.text(case, layers) if layers else plan.steps.image(case)
    optimizer = plan.OPTIMIZERS[OPTIMIZER](net.parameters())

    def step():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        return value.item()

    step()
    ds.empty_cache()  # first weights that were drawn and replaced
    wait({})
    value = [step() for _ in range(3)][-1]
    assert value == value, "the loss is not a number"
    wait({"planned": ds.memory.summary().peak})


def resident(process: int) -> int:
    """Most bytes of a process that were in memory at once, without the files it maps."""
    text = Path(f"/proc/{process}/status").read_text()
    most, files = (int(text.split(name)[1].split()[0]) * 1024 for name in ("VmHWM:", "RssFile:"))
    return most - files


def measure(model: str, batch: int, size: int) -> dict:
    from deepseek import plan

    step = plan.record(plan.Case(model, batch, size, "fp32", OPTIMIZER))
    foreseen = (
        step.parameters
        + step.gradients
        + step.optimizer
        + step.activations
        + step.workspace
        + step.inputs
    )
    command = [sys.executable, __file__, "--worker", f"{model}:{batch}x{size}"]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    replies = []
    for stage in range(3):
        line = child.stdout.readline()
        if not line:
            sys.exit(f"{model}: the worker ended with status {child.wait()}")
        replies.append((json.loads(line), resident(child.pid)))
        if stage == 1:  # the peak starts again from what is resident now
            Path(f"/proc/{child.pid}/clear_refs").write_text("5")
        child.stdin.write("\n")
        child.stdin.flush()
    child.wait()
    (_, before), _, (reply, after) = replies
    return {
        "case": f"{model}:{batch}x{size}",
        "foreseen": int(foreseen),
        "planned": reply["planned"],
        "resident": after - before,
    }


def parse_case(text: str) -> tuple[str, int, int]:
    model, _, shape = text.partition(":")
    batch, _, size = shape.partition("x")
    if not (batch.isdigit() and size.isdigit()):
        sys.exit(f"case '{text}': write model:batchxsize, for example resnet50:8x224")
    return model, int(batch), int(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=CASES, help="default %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(*parse_case(args.worker))
        return
    print(
        "| case | foreseen, MB | planned here, MB | resident, MB | foreseen / planned "
        "| foreseen / resident |\n| --- | --- | --- | --- | --- | --- |"
    )
    rows = []
    for text in args.cases.split(","):
        row = measure(*parse_case(text))
        rows.append(row)
        sizes = [row[name] for name in ("foreseen", "planned", "resident")]
        print(
            f"| {row['case']} | "
            + " | ".join(f"{size / 1e6:.1f}" for size in sizes)
            + f" | {sizes[0] / sizes[1]:.3f} | {sizes[0] / sizes[2]:.3f} |",
            flush=True,
        )
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
