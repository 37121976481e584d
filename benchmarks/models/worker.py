# SPDX-License-Identifier: Apache-2.0
"""One framework in a process of its own: answers JSON commands, a line each.

A process of its own keeps peak memory apart; the parent (run.py) alternates between processes.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from cases import Case, CaseError
from engines import Absent, make

# All threads' processor time is what a step takes on one core that nobody else uses.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def peak_memory() -> int:
    """Largest resident size in bytes since reset_peak_memory()."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak_memory() -> None:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


class Worker:
    def __init__(self, peer: str, case: Case, threads: int, clock: str):
        self.peer, self.case, self.threads = peer, case, threads
        self.now = CLOCKS[clock]

    def build(self, _):
        self.engine = make(self.peer, self.case, self.threads)
        return {}

    def save(self, path):
        np.savez(path, **self.engine.state())
        return {}

    def export(self, path):
        self.engine.export(path)
        return {}

    def open(self, path):
        self.engine.open(path)
        return {}

    def first(self, path):
        """Time of the very first step; the weights are then those of the file again."""
        with np.load(path) as state:
            state = dict(state)
        self.engine.load(state)
        seconds = self.steps(1)["seconds"]
        self.engine.load(state)
        return {"seconds": seconds}

    def check(self, path):
        np.savez(path, **self.engine.check())
        self.engine.release()
        reset_peak_memory()
        return {}

    def steps(self, count):
        start = self.now()
        self.engine.run(count)
        return {"seconds": (self.now() - start) / count}

    def memory(self, _):
        return {"bytes": peak_memory()}

    def losses(self, count):
        return {"losses": self.engine.losses(count)}

    def plan(self, _):
        return self.engine.plan()

    def details(self, _):
        return self.engine.details()

    def profile(self, _):
        return self.engine.profile()


def main() -> int:
    """usage: worker.py JSON with the peer, the case and the number of threads"""
    setup = json.loads(sys.argv[1])
    case = Case(**{**setup["case"], "batch": tuple(setup["case"]["batch"])})
    worker = Worker(setup["peer"], case, setup["threads"], setup["clock"])
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints does not get between the replies
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply = getattr(worker, command["do"])(command.get("with"))
        except Absent as reason:
            reply = {"absent": str(reason)}
        except CaseError as error:
            reply = {"error": str(error)}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
