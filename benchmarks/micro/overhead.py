# SPDX-License-Identifier: Apache-2.0
"""What deepseek costs beside arithmetic, against PyTorch eager in the same run.

    cmake --build build --target bench_record            # once: the C++ part
    python benchmarks/micro/overhead.py [--build build] [--json FILE]

- recording: seconds per node in C++ and from Python, PyTorch's dispatch of the same op
- a cached step: what a step with a value asked for adds to its recording
- overlap: a loop that asks for the loss in every step against one that asks at the end; the
  difference is recording hidden behind execution and the hand-over
- new graphs: processor time of training steps whose graph never repeats (dynamic_steps.py)
- threads: time of a training step with 1..N threads

Results are compared before anything is timed.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import deepseek as ds
import torch

ROOT = Path(__file__).parents[2]
NODES = 2000  # of a chain


def median_of(functions: dict, rounds: int) -> dict[str, float]:
    """Median seconds of each function, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def chain(x):
    y = x
    for _ in range(NODES):
        y = y + x
    return y


def recording(rounds: int) -> dict:
    """Seconds per node: ours records and frees, PyTorch dispatches and computes one element."""
    ours, theirs = ds.ones(1).evaluate(), torch.ones(1)
    if chain(ours).item() != chain(theirs).item():
        raise SystemExit("overhead.py: the chains differ")
    wanted = {"deepseek": lambda: chain(ours), "torch": lambda: chain(theirs)}
    weights = ds.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    wanted["deepseek_with_gradient"] = lambda: chain(weights[0])
    wanted["torch_with_gradient"] = lambda: chain(weights[1])
    return {name: s / NODES for name, s in median_of(wanted, rounds).items()}


def cached_step(rounds: int, steps: int = 500) -> dict:
    """Seconds of a step of one node with its value asked for, and of recording it alone."""
    x, t = ds.ones(1).evaluate(), torch.ones(1)
    if (x + x).item() != (t + t).item():
        raise SystemExit("overhead.py: the sums differ")

    def ours():
        for _ in range(steps):
            (x + x).item()

    def theirs():
        for _ in range(steps):
            (t + t).item()

    def recorded():
        for _ in range(steps):
            x + x

    found = median_of({"deepseek": ours, "torch": theirs, "recorded": recorded}, rounds)
    found = {name: seconds / steps for name, seconds in found.items()}
    found["added"] = found["deepseek"] - found["recorded"]
    return found


def overlap(rounds: int, steps: int = 10) -> dict:
    """A training loop with a sync in every step against one at its end."""
    model = ds.nn.Sequential(*[ds.nn.Linear(256, 256) for _ in range(16)])
    optimizer = ds.optim.SGD(model.parameters(), lr=1e-6)
    x = ds.randn(64, 256).evaluate()

    def step():
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def every():
        for _ in range(steps):
            step().item()

    def last():
        for _ in range(steps):
            loss = step()
        loss.item()

    every()
    found = median_of({"sync_every_step": every, "sync_at_the_end": last}, rounds)
    start = time.thread_time()
    last()
    found["recording"] = time.thread_time() - start
    return {name: seconds / steps for name, seconds in found.items()}


def new_graphs(rounds: int) -> dict:
    """Median processor seconds of each step of dynamic_steps.py, both on one thread. Both draw the
    same, so losses are compared step by step, the first ones before anything is timed."""
    from dynamic_steps import STEPS

    threads = ds.num_threads(), torch.get_num_threads()
    ds.set_num_threads(1)
    torch.set_num_threads(1)
    found = {}
    for make in STEPS:
        ours, theirs = make(ds, random.Random(0)), make(torch, random.Random(0))
        ours[0].load_state_dict(
            {name: ds.from_numpy(t.numpy().copy()) for name, t in theirs[0].state_dict().items()}
        )
        times: dict[str, list[float]] = {"deepseek": [], "torch": []}
        for turn in range(3 + 5 * rounds):
            losses = []
            for name, (_, step) in (("deepseek", ours), ("torch", theirs)):
                start = time.process_time()
                losses.append(step())
                if turn >= 3:
                    times[name].append(time.process_time() - start)
            if abs(losses[0] - losses[1]) > 1e-2 * abs(losses[1]) + 1e-4:
                raise SystemExit(f"overhead.py: losses of {make.__name__} differ: {losses}")
        found[make.__name__] = {name: statistics.median(taken) for name, taken in times.items()}
    ds.set_num_threads(threads[0])
    torch.set_num_threads(threads[1])
    return found


def one_thread_count(rounds: int) -> dict:
    """Seconds of a convolutional training step in this process, by framework."""
    sys.path.insert(0, str(ROOT / "benchmarks" / "models"))
    from cases import parse_line
    from engines import make

    case = parse_line("scaling resnet8 64x1x32x32 sgd f32 train", "overhead.py")
    threads = int(os.environ["OMP_NUM_THREADS"])
    engines = {name: make(name, case, threads) for name in ("deepseek", "torch")}
    engines["deepseek"].load(engines["torch"].state())
    for engine in engines.values():
        engine.run(2)
    return median_of({name: lambda e=e: e.run(1) for name, e in engines.items()}, rounds)


def thread_scaling(rounds: int) -> dict:
    """one_thread_count() for 1, 2, 4, ... threads, each in a process of its own."""
    available, count = len(os.sched_getaffinity(0)), 1
    found: dict[str, dict] = {}
    while count <= available:
        run = subprocess.run(
            [sys.executable, __file__, "--one-thread-count", "--rounds", str(rounds)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ, OMP_NUM_THREADS=str(count)),
        )
        found[str(count)] = json.loads(run.stdout)
        count = count * 2 if count * 2 <= available or count == available else available
    return found


def cpp(build: Path) -> dict | None:
    """The figures of bench_record; nothing when it was not built."""
    program = build / "bench_record"
    if not program.is_file():
        return None
    return json.loads(subprocess.run([program], check=True, stdout=subprocess.PIPE).stdout)


def say_cpp(k: dict | None) -> list[str]:
    if k is None:
        return ["C++ recording: skipped, build the target bench_record first"]
    return [
        f"C++ recording: add {k['add_seconds'] * 1e6:.2f} us a node, with gradient "
        f"{k['add_with_gradient_seconds'] * 1e6:.2f}, matmul {k['matmul_seconds'] * 1e6:.2f}; "
        f"a cached step with its value {k['cached_step_seconds'] * 1e6:.1f} us"
    ]


def say_recording(r: dict) -> list[str]:
    return [
        f"Python recording: {r['deepseek'] * 1e6:.2f} us a node, PyTorch eager "
        f"{r['torch'] * 1e6:.2f}; with gradient {r['deepseek_with_gradient'] * 1e6:.2f}, "
        f"PyTorch {r['torch_with_gradient'] * 1e6:.2f}"
    ]


def say_cached_step(c: dict) -> list[str]:
    return [
        f"cached step from Python: adds {c['added'] * 1e6:.1f} us to recording; in all "
        f"{c['deepseek'] * 1e6:.1f} us, PyTorch {c['torch'] * 1e6:.1f}"
    ]


def say_overlap(o: dict) -> list[str]:
    return [
        f"overlap: {o['sync_every_step'] * 1e3:.3f} ms a step with a sync each, "
        f"{o['sync_at_the_end'] * 1e3:.3f} with one at the end; recording "
        f"{o['recording'] * 1e3:.3f} ms"
    ]


def say_new_graphs(found: dict) -> list[str]:
    return [
        f"{name.replace('_', ' ')}: {t['deepseek'] * 1e3:.2f} ms a step, PyTorch "
        f"{t['torch'] * 1e3:.2f} ({t['torch'] / t['deepseek']:.2f}x)"
        for name, t in found.items()
    ]


def say_threads(threads: dict) -> list[str]:
    return [
        f"{count} threads: "
        + ", ".join(
            f"{name} {seconds * 1e3:.1f} ms ({threads['1'][name] / seconds:.2f}x of one)"
            for name, seconds in found.items()
        )
        for count, found in threads.items()
    ]


PARTS = {
    # name: (what measures it, what says it)
    "cpp": (lambda args: cpp(args.build), say_cpp),
    "recording": (lambda args: recording(args.rounds), say_recording),
    "cached_step": (lambda args: cached_step(args.rounds), say_cached_step),
    "overlap": (lambda args: overlap(args.rounds), say_overlap),
    "new_graphs": (lambda args: new_graphs(args.rounds), say_new_graphs),
    "threads": (lambda args: thread_scaling(args.rounds), say_threads),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="CMake's build folder")
    parser.add_argument(
        "--parts", default=",".join(PARTS), help="what to measure, by comma (default %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=15, help="default %(default)s")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--one-thread-count", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one_thread_count:
        print(json.dumps(one_thread_count(args.rounds)))
        return 0
    unknown = set(args.parts.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; use {', '.join(PARTS)}")
    torch.set_num_threads(ds.num_threads())
    figures = {"machine": ds.cpu_info(), "deepseek": ds.__version__, "torch": torch.__version__}
    for name in args.parts.split(","):
        measure, say = PARTS[name]
        figures[name] = measure(args)
        print("\n".join(say(figures[name])), flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
