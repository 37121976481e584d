# SPDX-License-Identifier: Apache-2.0
"""A worker process seen from the parent: commands go in, replies come out."""

import dataclasses
import json
import os
import select
import subprocess
import sys
from pathlib import Path

from cases import Case


class WorkerError(Exception):
    """A worker failed, died or took too long."""


class WorkerAbsent(WorkerError):
    """The peer is not installed or not made for the case."""


class Process:
    def __init__(self, peer: str, case: Case, threads: int, limit: float, clock: str):
        self.peer, self.limit, self.first = peer, limit, 0.0
        setup = {"peer": peer, "case": dataclasses.asdict(case), "threads": threads, "clock": clock}
        # Every framework waits in OpenMP as deepseek does by default: a pool that spins long after
        # its turn would take the cores of the next one.
        environment = {"GOMP_SPINCOUNT": "10000", **os.environ, "OMP_NUM_THREADS": str(threads)}
        program = os.environ.get("LITERT_PYTHON", "") if peer == "litert" else ""
        self.child = subprocess.Popen(
            [
                program or sys.executable,
                str(Path(__file__).with_name("worker.py")),
                json.dumps(setup),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self.buffer = b""

    def ask(self, do: str, argument=None) -> dict:
        """Sends a command and waits for its reply; WorkerError with the worker's own words."""
        try:
            self.child.stdin.write(json.dumps({"do": do, "with": argument}).encode() + b"\n")
            self.child.stdin.flush()
        except OSError:
            raise WorkerError(self._death(do)) from None
        reply = json.loads(self._line(do))
        if "absent" in reply:
            raise WorkerAbsent(reply["absent"])
        if "error" in reply:
            raise WorkerError(f"{self.peer} failed at {do}: {reply['error']}")
        return reply

    def _line(self, do: str) -> bytes:
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.child.stdout], [], [], self.limit)
            if not ready:
                raise WorkerError(f"{self.peer} gave no answer to {do} in {self.limit:.0f} s")
            more = os.read(self.child.stdout.fileno(), 1 << 16)
            if not more:
                raise WorkerError(self._death(do))
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def _death(self, do: str) -> str:
        return f"{self.peer} ended at {do} with status {self.child.wait()}"

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()
