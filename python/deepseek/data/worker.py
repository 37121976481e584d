# SPDX-License-Identifier: Apache-2.0
"""Worker processes: each answers requests for batches over its own pipe."""

import multiprocessing
import os
import random
import signal
import traceback
from multiprocessing.connection import wait
from typing import NamedTuple

import numpy as np

from .. import _core


class WorkerError(_core.Error, RuntimeError):
    """A worker process ended, or did not answer in time."""


class WorkerInfo(NamedTuple):
    """Which worker this process is."""

    id: int
    num_workers: int
    seed: int
    dataset: object


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process: which one; None in the main process."""
    return _info


class _Array(NamedTuple):
    """A tensor on its way between processes."""

    values: np.ndarray
    dtype: str


def _pack(value):
    if isinstance(value, _core.Tensor):
        name = str(value.dtype).split(".")[-1]
        array = value.detach()
        return _Array((array.float() if name == "bfloat16" else array).numpy(), name)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_pack(v) for v in value))
    if isinstance(value, tuple | list):
        return type(value)(_pack(v) for v in value)
    if isinstance(value, dict):
        return {k: _pack(v) for k, v in value.items()}
    return value


def unpack(value):
    """What a worker sent, with tensors made again."""
    if isinstance(value, _Array):
        tensor = _core.from_numpy(value.values)
        return tensor.bfloat16() if value.dtype == "bfloat16" else tensor
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(unpack(v) for v in value))
    if isinstance(value, tuple | list):
        return type(value)(unpack(v) for v in value)
    if isinstance(value, dict):
        return {k: unpack(v) for k, v in value.items()}
    return value


class Failure(NamedTuple):
    """An exception of a worker."""

    type: type
    text: str

    def throw(self, worker: int):
        message = f"in DataLoader worker process {worker}:\n{self.text}"
        try:
            error = self.type(message)
        except Exception:
            error = RuntimeError(message)
        raise error


class End:
    """A worker's stream has no more batches."""


def _serve(pipe, dataset, fetch_type, arguments, info: WorkerInfo, init) -> None:
    global _info
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides
    # A team of threads does not survive fork(), and workers are parallel among themselves.
    _core.set_num_threads(1)
    _info = info
    random.seed(info.seed)
    np.random.seed(info.seed % 2**32)
    _core.manual_seed(info.seed)
    try:
        if init is not None:
            init(info.id)
        fetch = fetch_type(dataset, *arguments)
        problem = None
    except Exception as error:
        problem = Failure(type(error), traceback.format_exc())
    while True:
        try:
            request = pipe.recv()
        except (EOFError, OSError):
            break
        if request is None:
            break
        number, indices = request
        try:
            answer = problem or _pack(fetch(indices))
        except StopIteration:
            answer = End()
        except Exception as error:
            answer = Failure(type(error), traceback.format_exc())
        try:
            pipe.send((number, answer))
        except (BrokenPipeError, OSError):
            break
        except Exception as error:  # the answer cannot be pickled
            pipe.send((number, Failure(type(error), traceback.format_exc())))
    os._exit(0)  # nothing of the main process is to be torn down here


class Pool:
    """Workers and the answers that came out of turn."""

    def __init__(
        self,
        count: int,
        dataset,
        fetch_type,
        arguments,
        seed: int,
        init,
        timeout: float,
        context: str | None,
    ):
        _core.synchronize()  # no lock of the engine may be held while forking
        ctx = multiprocessing.get_context(context or "fork")
        self._timeout = timeout
        self._pipes, self._processes = [], []
        self._answers: dict = {}
        for i in range(count):
            mine, theirs = ctx.Pipe()
            info = WorkerInfo(i, count, seed + i, dataset)
            process = ctx.Process(
                target=_serve,
                args=(theirs, dataset, fetch_type, arguments, info, init),
                daemon=True,
            )
            process.start()
            theirs.close()
            self._pipes.append(mine)
            self._processes.append(process)

    def ask(self, worker: int, number: int, indices) -> None:
        try:
            self._pipes[worker].send((number, indices))
        except (BrokenPipeError, OSError):
            self._dead(worker)

    def answer(self, worker: int, number: int):
        """The answer to a request; raises what the worker raised."""
        while number not in self._answers:
            pipe, process = self._pipes[worker], self._processes[worker]
            ready = wait([pipe, process.sentinel], self._timeout or None)
            if not ready:
                raise WorkerError(
                    f"DataLoader: worker {worker} gave no batch within {self._timeout} seconds; "
                    "raise timeout or look at what the data set waits for"
                )
            if pipe not in ready and not pipe.poll():
                self._dead(worker)
            try:
                got, value = pipe.recv()
            except (EOFError, OSError):
                self._dead(worker)
            self._answers[got] = value
        value = self._answers.pop(number)
        if isinstance(value, Failure):
            value.throw(worker)
        return value

    def _dead(self, worker: int):
        process = self._processes[worker]
        process.join(1)
        code = process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        raise WorkerError(
            f"DataLoader: worker {worker} (process {process.pid}) ended by {how}; it may have run "
            "out of memory. num_workers=0 shows the error here"
        )

    def close(self) -> None:
        for pipe in self._pipes:
            try:
                pipe.send(None)
            except (BrokenPipeError, OSError):
                pass
            pipe.close()
        for process in self._processes:
            process.join(0.5)
            if process.is_alive():
                process.terminate()
                process.join(1)
        self._pipes, self._processes = [], []
