# SPDX-License-Identifier: Apache-2.0
"""Time against memory of a training step, against PyTorch with and without checkpoints.

    python benchmarks/memory/frontier.py
    python benchmarks/memory/frontier.py --cases resnet50:32x3x224x224:sgd --shares 0.5,0.25 --alone

Each way to run the step has a process of its own: deepseek without a budget and with budgets that
leave shares of its temporaries, PyTorch as it comes and with torch.utils.checkpoint around every
block. Outputs, losses and gradients are compared first (without dropout); within a budget three
steps have to give the losses of the run without one, bit for bit. Then the processes take turns.
The peak is the largest resident size, read from outside, of another process that only trains.

--peaks adds budgets that are shares of the whole planned peak, parameters and optimizer state
included; --offload names a folder for what such a budget has no room for.
--torch-budgets adds torch.compile with torch._functorch.config.activation_memory_budget.
With --alone processes follow each other, each with two steps to warm up, for cases that do not fit
side by side; then only the losses of deepseek's own ways are compared."""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import run as models
from cases import CaseError, parse_line
from process import Process, WorkerError

CASES = "resnet50:4x3x128x128:sgd,char_transformer:32x64:adamw"


def resident(worker: Process) -> int:
    """Largest resident size of a worker in bytes."""
    text = Path(f"/proc/{worker.child.pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) * 1024


def parse_case(text: str):
    fields = text.split(":")
    if len(fields) != 3:
        raise CaseError(f"case '{text}': write model:batch:optimizer, as gpt2_small:1x256:adamw")
    model, batch, optimizer = fields
    return parse_line(f"{model} {model} {batch} {optimizer} f32 train", text)


def peak_of(worker: Process, case, args) -> int:
    """The resident peak of a process that trains three steps the way a worker does."""
    fresh = Process(worker.peer, case, args.threads, args.limit, args.clock)
    try:
        fresh.ask("build")
        fresh.ask("steps", 3)
        return resident(fresh)
    finally:
        fresh.close()


def _plan(case, args) -> dict:
    """The plan of a step without a budget, from a process that is not timed."""
    worker = Process("deepseek", case, args.threads, args.limit, args.clock)
    try:
        worker.ask("build")
        return worker.ask("plan")
    finally:
        worker.close()


def all_ways(case, args) -> dict[str, str]:
    """Peers by the names of the ways; the first two have no budget."""
    plan = _plan(case, args)
    limits = {f"{s:.0%}": int(plan["peak"] - (1 - s) * plan["arena"]) for s in args.shares}
    limits |= {f"{share:.0%} of the peak": int(share * plan["peak"]) for share in args.peaks}
    return {
        "torch": "torch",
        "deepseek": "deepseek",
        **{f"deepseek, {name}": f"deepseek:budget={limit}" for name, limit in limits.items()},
        "torch, checkpoint": "torch:checkpoint",
        **{
            f"torch.compile, budget {share:g}": f"torch:compile:activation_budget={share:g}"
            for share in args.torch_budgets
        },
    }


def start_all(case, args, folder: Path) -> tuple[dict[str, Process], dict[str, str]]:
    """Workers by name, all of which agree with PyTorch; ways that cannot run, with the reason."""
    workers, skipped = {"torch": models.start_reference(case, args, folder)}, {}
    try:
        workers["deepseek"] = models.start("deepseek", case, args, folder)
        for name, peer in list(all_ways(case, args).items())[2:]:
            try:
                workers[name] = models.start(peer, case, args, folder)
            except WorkerError as error:
                skipped[name] = str(error)
        return workers, skipped
    except BaseException:
        close(workers)
        raise


def close(workers: dict[str, Process]) -> None:
    for worker in workers.values():
        worker.close()


def compare_losses(workers: dict[str, Process]) -> None:
    """A budget changes no bit of the losses of training, dropout included."""
    ours = {name: w for name, w in workers.items() if name.startswith("deepseek")}
    losses = {name: w.ask("losses", 3)["losses"] for name, w in ours.items()}
    for name, found in losses.items():
        if found != losses["deepseek"]:
            raise WorkerError(
                f"{name} has the losses {found}, without a budget {losses['deepseek']}"
            )


def run_alone(case, args) -> dict:
    """The figures of run_case() from processes that follow each other."""
    ways, skipped, losses = {}, {}, {}
    peers = all_ways(case, args)
    for _ in range(args.rounds):
        for way, peer in peers.items():
            worker = Process(peer, case, args.threads, args.limit, args.clock)
            try:
                worker.ask("build")
                ours = way.startswith("deepseek")
                if ours:
                    found = worker.ask("losses", 2)["losses"]
                    if losses.setdefault("of all", found) != found:
                        raise WorkerError(f"{way} has the losses {found}, another {losses}")
                else:
                    worker.ask("steps", 2)
                figures = ways.setdefault(way, {"seconds": [], "resident": 0})
                figures["seconds"].append(worker.ask("steps", 1)["seconds"])
                figures["resident"] = max(figures["resident"], resident(worker))
                if ours:
                    figures.update(worker.ask("plan"))
            except WorkerError as error:
                skipped[way] = str(error)
            finally:
                worker.close()
        peers = {way: peer for way, peer in peers.items() if way not in skipped}
    return {"case": case.name, "batch": list(case.batch), "ways": ways, "skipped": skipped}


def run_case(case, args) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workers, skipped = start_all(case, args, folder)
        try:
            compare_losses(workers)
            times = models.alternate(workers, args.rounds, args.budget)
            ways = {}
            for way, worker in workers.items():
                planned = worker.ask("plan") if way.startswith("deepseek") else {}
                ways[way] = {
                    "seconds": times[way],
                    "resident": peak_of(worker, case, args),
                    **planned,
                }
        finally:
            close(workers)
    return {"case": case.name, "batch": list(case.batch), "ways": ways, "skipped": skipped}


def table(result: dict) -> str:
    """The figures of a case as Markdown."""
    ways, batch = result["ways"], "x".join(map(str, result["batch"]))
    lines = [
        f"| {result['case']} {batch} | step, ms | time | temporaries | planned peak, MB "
        "| resident, MB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    ours, theirs = ways["deepseek"], ways["torch"]
    for way, figures in ways.items():
        base = ours if way.startswith("deepseek") else theirs
        ratios = [a / b for a, b in zip(figures["seconds"], base["seconds"], strict=True)]
        share = f"{figures['arena'] / ours['arena']:.2f}x" if "arena" in figures else ""
        peak = f"{figures['peak'] / 1e6:.0f}" if "peak" in figures else ""
        lines.append(
            f"| {way} | {statistics.median(figures['seconds']) * 1e3:.4g} "
            f"| {statistics.median(ratios):.2f}x | {share} | {peak} "
            f"| {figures['resident'] / 1e6:.0f} |"
        )
    lines += [f"\nwithout {way}: {reason}" for way, reason in result["skipped"].items()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=CASES, help="default %(default)s")
    parser.add_argument(
        "--shares",
        default="0.75,0.5,0.42",
        help="of the temporaries that a budget leaves (default %(default)s)",
    )
    parser.add_argument(
        "--peaks", default="", help="of the planned peak that a budget leaves, as 0.33"
    )
    parser.add_argument("--offload", metavar="FOLDER", help="where what does not fit may lie")
    parser.add_argument(
        "--torch-budgets", default="", help="of torch.compile's activations, as 0.5,0.25"
    )
    parser.add_argument("--alone", action="store_true", help="one process at a time")
    parser.add_argument("--rounds", type=int, default=9, help="at most (default %(default)s)")
    parser.add_argument("--budget", type=float, default=60, help="seconds of timing per case")
    parser.add_argument("--limit", type=float, default=600, help="seconds for an answer")
    parser.add_argument("--threads", type=int, default=1, help="default %(default)s")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="cpu", help="processor time")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    args = parser.parse_args()
    try:
        for name in ("shares", "peaks", "torch_budgets"):
            given = getattr(args, name).split(",")
            setattr(args, name, [float(share) for share in given if share])
        if args.offload:
            os.environ["DS_OFFLOAD_DIR"] = args.offload
        cases = [parse_case(text) for text in args.cases.split(",")]
        results = []
        for case in cases:
            run = run_alone if args.alone else run_case
            results.append(run(case, SimpleNamespace(**vars(args))))
            print(table(results[-1]) + "\n", flush=True)
    except (CaseError, ValueError, WorkerError) as error:
        sys.exit(f"frontier.py: {error}")
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
