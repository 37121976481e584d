# SPDX-License-Identifier: Apache-2.0
"""deepseek against its peers on whole models, in one alternating run.

    python benchmarks/models/run.py [--cases train] [--only mlp,lstm] [--peers torch,torch:all]
                                    [--json FILE] [--table]

Every framework runs in a process of its own with the same weights and the same batch. Outputs,
losses and gradients are compared with PyTorch eager first; a case that differs is not timed. Then
the processes take turns, round by round, and the ratio of a round (peer / deepseek, above 1 is
faster) is what is reported: median and quartiles. Also first step, peak memory, share of the
measured peak, recording cost per node and plans made in the steady state.

Peers: torch (eager FP32, as it comes), torch:channels_last, torch:bf16, torch:compile (needs g++),
combinations (torch:channels_last+compile), torch:all; jax (jit) for training, onnxruntime,
openvino and litert for inference. What is not installed or not made for a case is reported as
skipped. LiteRT's converter brings other versions of packages: LITERT_PYTHON names the interpreter
of an environment with benchmarks/requirements-litert.txt.
"""

import argparse
import dataclasses
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import report
import roofline
from cases import FOLDER, Case, CaseError, read_cases
from compare import Disagreement, compare
from engines import ENGINES, TORCH_OPTIONS
from process import Process, WorkerAbsent, WorkerError

ROOT = Path(__file__).parents[2]
RELATIVE = "benchmarks/models/run.py"  # how the page names this program
DEFAULT_TEXT = ROOT.parent / "shared" / "data" / "tinyshakespeare.txt"
DEFAULT_PEERS = "torch,torch:channels_last,jax,onnxruntime,openvino,litert"
CHUNK_SECONDS = 0.2  # what one turn takes at least: far above the clock's and the pipe's noise


def start(peer: str, case: Case, args, folder: Path) -> Process:
    """A worker that has run its first step and agrees with the reference."""
    worker = Process(peer, case, args.threads, args.limit, args.clock)
    try:
        worker.ask("build")
        if peer.split(":")[0] in ("onnxruntime", "openvino"):
            worker.ask("open", str(folder / "model.onnx"))
        elif peer == "litert":
            worker.ask("open", str(folder / "state.npz"))
        worker.first = worker.ask("first", str(folder / "state.npz"))["seconds"]
        found = folder / f"{peer.replace(':', '-')}.npz"
        worker.ask("check", str(found))
        precision = "bf16" if halves(peer) else case.precision
        rounded = folder / "rounded.npz" if precision == "bf16" else None
        compare(found, folder / "reference.npz", precision, rounded)
        return worker
    except BaseException:
        worker.close()
        raise


def start_reference(case: Case, args, folder: Path) -> Process:
    """PyTorch eager in FP32: makes the weights and what the others are compared with."""
    plain = dataclasses.replace(case, precision="f32")
    worker = Process("torch", plain, args.threads, args.limit, args.clock)
    try:
        worker.ask("build")
        worker.ask("save", str(folder / "state.npz"))
        worker.first = worker.ask("first", str(folder / "state.npz"))["seconds"]
        worker.ask("check", str(folder / "reference.npz"))
        return worker
    except BaseException:
        worker.close()
        raise


def halves(peer: str) -> bool:
    return "bf16" in peer or peer.endswith(":all")


def check_rounded(case: Case, args, folder: Path) -> None:
    """What PyTorch eager computes under bfloat16 autocast: how much this precision loses."""
    worker = Process("torch:bf16", case, args.threads, args.limit, args.clock)
    try:
        worker.ask("build")
        worker.ask("first", str(folder / "state.npz"))
        worker.ask("check", str(folder / "rounded.npz"))
    finally:
        worker.close()


def start_all(case: Case, args, folder: Path) -> tuple[dict[str, Process], dict[str, str]]:
    """Workers by peer, and the peers left out with the reason."""
    workers, skipped = {"torch": start_reference(case, args, folder)}, {}
    try:
        peers = [p for p in args.peers if p != "torch"]
        if case.precision == "bf16" or any(map(halves, peers)):
            check_rounded(case, args, folder)
        if case.mode == "infer" and {"onnxruntime", "openvino"} & set(peers):
            try:
                workers["torch"].ask("export", str(folder / "model.onnx"))
            except WorkerError as error:
                skipped |= {p: f"no ONNX file ({error})" for p in ("onnxruntime", "openvino")}
        for peer in ["deepseek", *peers]:
            if peer in skipped:
                continue
            try:
                workers[peer] = start(peer, case, args, folder)
            except WorkerAbsent as reason:
                skipped[peer] = str(reason)
            except (WorkerError, Disagreement) as error:
                if peer == "deepseek":
                    raise
                skipped[peer] = str(error)
        return workers, skipped
    except BaseException:
        for worker in workers.values():
            worker.close()
        raise


def alternate(workers: dict[str, Process], rounds: int, budget: float) -> dict[str, list[float]]:
    """Seconds per step of every worker, round by round; at least 3 rounds."""
    for worker in workers.values():
        worker.ask("steps", 1)
    seconds = {peer: worker.ask("steps", 1)["seconds"] for peer, worker in workers.items()}
    counts = {peer: max(1, round(CHUNK_SECONDS / s)) for peer, s in seconds.items()}
    round_seconds = sum(seconds[p] * counts[p] for p in workers)
    rounds = min(rounds, max(3, int(budget / round_seconds)))
    times: dict[str, list[float]] = {peer: [] for peer in workers}
    for _ in range(rounds):
        for peer, worker in workers.items():
            times[peer].append(worker.ask("steps", counts[peer])["seconds"])
    return times


def run_case(case: Case, args) -> dict:
    with tempfile.TemporaryDirectory() as name:
        workers, skipped = start_all(case, args, Path(name))
        try:
            times = alternate(workers, args.rounds, args.budget)
            result = {"case": dataclasses.asdict(case), "skipped": skipped, "peers": {}}
            for peer, worker in workers.items():
                result["peers"][peer] = {
                    "seconds": times[peer],
                    "first_step_seconds": worker.first,
                    "peak_memory_bytes": worker.ask("memory")["bytes"],
                    "details": worker.ask("details"),
                }
            if args.profile:
                result["profile"] = workers["deepseek"].ask("profile")
        finally:
            for worker in workers.values():
                worker.close()
    return report.summarize(result)


def select(args) -> list[Case]:
    """The cases of the chosen files, or of these the chosen names."""
    cases = []
    for name in args.cases.split(","):
        path = Path(name) if name.endswith(".txt") else FOLDER / f"{name}.txt"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.txt")))
            raise CaseError(f"no case file {path}; there are {known}")
        cases += read_cases(path)
    if args.only:
        wanted = args.only.split(",")
        missing = set(wanted) - {c.name for c in cases}
        if missing:
            raise CaseError(
                f"no case {', '.join(sorted(missing))} in {args.cases}; there are "
                f"{', '.join(c.name for c in cases)}"
            )
        cases = [c for c in cases if c.name in wanted]
    text = str(args.text) if args.text.is_file() else ""
    return [
        dataclasses.replace(c, text=text) if c.model == "char_transformer" else c for c in cases
    ]


def parse_peers(text: str) -> list[str]:
    peers = text.split(",")
    for peer in peers:
        name, _, options = peer.partition(":")
        unknown = set(options.split("+")) - {"", "all", *TORCH_OPTIONS}
        known = {*ENGINES, "jax", "litert"} - {"deepseek"}
        if name not in known or unknown or (options and name != "torch"):
            raise CaseError(
                f"peer '{peer}' is unknown; use torch, torch:OPTIONS with OPTIONS of "
                f"{'+'.join(TORCH_OPTIONS)} or all, jax, onnxruntime, openvino, litert"
            )
    return peers


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top.add_argument(
        "--cases",
        default="train",
        help="files of benchmarks/cases, without .txt, by comma (default %(default)s)",
    )
    top.add_argument("--only", help="names of cases, by comma")
    top.add_argument("--peers", default=DEFAULT_PEERS, help="by comma (default %(default)s)")
    top.add_argument("--rounds", type=int, default=9, help="at most (default %(default)s)")
    top.add_argument(
        "--budget",
        type=float,
        default=60,
        help="seconds of timing per case, at least 3 rounds (default %(default)s)",
    )
    top.add_argument(
        "--limit",
        type=float,
        default=600,
        help="seconds after which a worker is given up (default %(default)s)",
    )
    top.add_argument("--threads", type=int, default=0, help="default: one per core")
    top.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu counts processor time: for a machine that others use too, with "
        "--threads 1 (default %(default)s)",
    )
    top.add_argument(
        "--text",
        type=Path,
        default=DEFAULT_TEXT,
        help="text of the character model; random characters where there is none",
    )
    top.add_argument(
        "--peaks",
        type=roofline.parse_peaks,
        metavar="GFLOPS,GBS",
        help="the machine's peaks, instead of measuring them",
    )
    top.add_argument("--profile", action="store_true", help="also print where our time goes")
    top.add_argument("--json", type=Path, help="write the figures here")
    top.add_argument(
        "--table", action="store_true", help="write table and plot into docs/performance.md"
    )
    return top


def main() -> int:
    args = parser().parse_args()
    try:
        args.peers = parse_peers(args.peers)
        cases = select(args)
    except CaseError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    args.threads = args.threads or (roofline.cores() if args.clock == "wall" else 1)
    peaks = args.peaks or roofline.measure_apart(args.threads, args.clock)
    print(
        f"peak: {peaks['flops'] / 1e9:.0f} GFLOP/s, {peaks['bandwidth'] / 1e9:.1f} GB/s", flush=True
    )
    document = {
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join([RELATIVE, *sys.argv[1:]]),
        "python": platform.python_version(),
        "threads": args.threads,
        "clock": args.clock,
        "peaks": peaks,
        "results": [],
    }
    failed = 0
    for case in cases:
        try:
            result = run_case(case, args)
        except (WorkerError, Disagreement, CaseError) as error:
            failed += 1
            result = {"case": dataclasses.asdict(case), "error": str(error)}
        document["results"].append(result)
        print(report.describe(result, peaks), flush=True)
        if args.json:
            args.json.write_text(json.dumps(document, indent=1) + "\n")
    if args.table:
        report.write_page(document, report.PAGE)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
