# SPDX-License-Identifier: Apache-2.0
"""DataLoader: batches of a data set, made ahead by threads in C++ or by worker processes."""

import itertools
import math

from .. import _core
from .collate import default_collate
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed
from .worker import End, Pool, unpack


class _IndexFetch:
    """A batch from a list of indices."""

    def __init__(self, dataset, collate):
        self.dataset, self.collate = dataset, collate

    def __call__(self, indices):
        if isinstance(indices, list):
            return self.collate([self.dataset[i] for i in indices])
        return self.collate(self.dataset[indices])


class _StreamFetch:
    """The next batch of a stream."""

    def __init__(self, dataset, collate, batch_size, drop_last):
        self.stream = iter(dataset)
        self.collate, self.batch_size, self.drop_last = collate, batch_size, drop_last

    def __call__(self, _indices):
        if self.batch_size is None:
            return self.collate(next(self.stream))
        samples = list(itertools.islice(self.stream, self.batch_size))
        if not samples or (self.drop_last and len(samples) < self.batch_size):
            raise StopIteration
        return self.collate(samples)


def _itself(sample):
    return sample


class DataLoader:
    """Batches of a data set; arguments are PyTorch's.

    Data sets whose samples are made in C++ (TensorDataset, deepseek.datasets) use num_workers
    threads, others worker processes. An exception in a worker is raised in the loop, with the
    worker's traceback. state_dict() says where the loader stands: order and position are restored
    by load_state_dict(). pin_memory and persistent_workers are accepted and change nothing.

    batch_size="auto": a trainer's fit() takes the largest batch whose planned peak fits the memory
    budget. effective_batch_size: then the samples of an optimizer step, which the trainer keeps by
    accumulating gradients over batches that divide it."""

    def __init__(
        self,
        dataset,
        batch_size: int | str | None = 1,
        shuffle: bool | None = None,
        sampler=None,
        batch_sampler=None,
        num_workers: int = 0,
        collate_fn=None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn=None,
        multiprocessing_context: str | None = None,
        generator=None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        seed: int | None = None,
        effective_batch_size: int | None = None,
    ):
        if num_workers < 0:
            raise _core.ValueError(f"DataLoader: num_workers {num_workers} is negative")
        if timeout < 0:
            raise _core.ValueError(f"DataLoader: timeout {timeout} is negative")
        self._check_automatic(dataset, batch_size, sampler, batch_sampler, effective_batch_size)
        self.effective_batch_size = effective_batch_size
        self._automatic = batch_size == "auto"
        #: The batch size follows the memory that is free.
        self.adapts = self._automatic
        if self._automatic:
            batch_size = 1
        if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
            raise _core.ValueError(f"DataLoader: batch_size {batch_size!r} must be at least 1")
        self._stream = isinstance(dataset, IterableDataset)
        if self._stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise _core.ValueError(
                "DataLoader: a stream has its own order; leave out shuffle and samplers"
            )
        if shuffle and (sampler is not None or batch_sampler is not None):
            raise _core.ValueError("DataLoader: give shuffle or a sampler, not both")
        if batch_sampler is not None and (batch_size != 1 or sampler is not None or drop_last):
            raise _core.ValueError(
                "DataLoader: batch_sampler stands for batch_size, shuffle, sampler and drop_last"
            )
        self.dataset = dataset
        self.batch_size = None if batch_sampler is not None else batch_size
        self.drop_last = drop_last
        self.num_workers = num_workers
        self.collate_fn = collate_fn or (
            default_collate if self._batched(batch_sampler) else _itself
        )
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.prefetch_factor = prefetch_factor or 2
        self._context = multiprocessing_context
        self._shuffle = bool(shuffle)
        self._seed = seed
        self._epoch, self._position, self._resume = 0, 0, False
        self.sampler = self.batch_sampler = None
        self._threads = None
        if not self._stream:
            self._make_samplers(sampler, batch_sampler)
        self._plain = sampler is None and batch_sampler is None and collate_fn is None
        self._maybe_make_threads()
        if self._automatic:
            self.batch_size = "auto"

    @staticmethod
    def _check_automatic(dataset, batch_size, sampler, batch_sampler, effective) -> None:
        if batch_size == "auto":
            if isinstance(dataset, IterableDataset) or batch_sampler is not None:
                raise _core.ValueError(
                    "DataLoader: batch_size='auto' needs a data set with a length and no "
                    "batch_sampler"
                )
        elif effective is not None:
            raise _core.ValueError(
                "DataLoader: effective_batch_size belongs to batch_size='auto'; with a batch size, "
                "tell the trainer its gradient_accumulation"
            )
        if effective is not None and (not isinstance(effective, int) or effective < 1):
            raise _core.ValueError(
                f"DataLoader: effective_batch_size {effective!r} must be at least 1"
            )

    def example(self, count: int, sample=None):
        """A batch of `count` times a sample, by default the first of the data set."""
        sample = self.dataset[0] if sample is None else sample
        return self.collate_fn([sample] * count)

    def set_batch_size(self, batch_size: int) -> None:
        """Other batches from the next loop on; ValueError where something else makes them."""
        if self._stream or self.sampler is None or self.batch_size is None:
            raise _core.ValueError("DataLoader: set_batch_size needs a loader with a batch size")
        self.batch_sampler = BatchSampler(self.sampler, batch_size, self.drop_last)
        self.batch_size, self._automatic, self.adapts = batch_size, False, False
        self._maybe_make_threads()

    def _fixed(self) -> None:
        """ValueError while the batch size is not known."""
        if self._automatic:
            raise _core.ValueError(
                "DataLoader: batch_size='auto' is found by a trainer's fit(); set_batch_size() "
                "sets it for other loops"
            )

    def _maybe_make_threads(self) -> None:
        core = getattr(self.dataset, "_core_dataset", None)
        if self._plain and self.batch_size is not None and core is not None:
            self._make_threads()

    def _batched(self, batch_sampler) -> bool:
        return self.batch_size is not None or batch_sampler is not None

    def _make_samplers(self, sampler, batch_sampler) -> None:
        if batch_sampler is not None:
            self.batch_sampler = batch_sampler
            return
        if sampler is None:
            kind = RandomSampler if self._shuffle else SequentialSampler
            sampler = kind(self.dataset)
        self.sampler = sampler
        if self.batch_size is not None:
            self.batch_sampler = BatchSampler(sampler, self.batch_size, self.drop_last)

    def _make_threads(self) -> None:
        self._threads = _core._data.DataLoader(
            self.dataset._core_dataset,
            self.batch_size,
            self._shuffle,
            self.drop_last,
            self.num_workers,
            self.prefetch_factor,
            self._fixed_seed(),
        )

    def _fixed_seed(self) -> int:
        if self._seed is None:
            self._seed = draw_seed(self.generator)
        return self._seed

    def __len__(self):
        self._fixed()
        if self._stream:
            if not hasattr(self.dataset, "__len__"):
                raise TypeError(f"{type(self.dataset).__name__}, a stream, has no length")
            size = len(self.dataset)
            if self.batch_size is None:
                return size
            return size // self.batch_size if self.drop_last else math.ceil(size / self.batch_size)
        return len(self.batch_sampler if self.batch_sampler is not None else self.sampler)

    def _orders(self):
        """Index lists of this epoch; the order depends on the seed and the epoch only."""
        if self._shuffle and isinstance(self.sampler, RandomSampler):
            order = _core._data.shuffled(len(self.dataset), self._fixed_seed(), self._epoch)
            if self.batch_size is None:
                return iter(order)
            return iter(BatchSampler(order, self.batch_size, self.drop_last))
        if hasattr(self.batch_sampler, "set_epoch"):
            self.batch_sampler.set_epoch(self._epoch)
        return iter(self.batch_sampler if self.batch_sampler is not None else self.sampler)

    def __iter__(self):
        self._fixed()
        if self._threads is not None:
            resume, self._resume = self._resume, False
            return self._threads.resume() if resume else iter(self._threads)
        if not self._resume:
            if self._position:
                self._epoch += 1  # the last epoch was left early
            self._position = 0
        self._resume = False
        return self._run()

    def _run(self):
        if self._stream:
            orders, fetch_type = itertools.repeat(None), _StreamFetch
            arguments = (self.collate_fn, self.batch_size, self.drop_last)
        else:
            orders, fetch_type, arguments = self._orders(), _IndexFetch, (self.collate_fn,)
            next(itertools.islice(orders, self._position, self._position), None)
        if self.num_workers == 0:
            fetch = fetch_type(self.dataset, *arguments)
            batches = self._here(fetch, orders)
        else:
            batches = self._in_workers(fetch_type, arguments, orders)
        for batch in batches:
            self._position += 1
            yield batch
        self._epoch += 1
        self._position = 0

    def _here(self, fetch, orders):
        for indices in orders:
            try:
                batch = fetch(indices)
            except StopIteration:
                return
            yield batch

    def _in_workers(self, fetch_type, arguments, orders):
        pool = Pool(
            self.num_workers,
            self.dataset,
            fetch_type,
            arguments,
            self._fixed_seed() + self._epoch * 1_000_003,
            self.worker_init_fn,
            self.timeout,
            self._context,
        )
        try:
            asked = itertools.count()
            pending: dict[int, int] = {}  # request: worker
            live = list(range(self.num_workers))

            def ask(worker):
                indices = next(orders, End)
                if indices is not End:
                    number = next(asked)
                    pending[number] = worker
                    pool.ask(worker, number, indices)

            for _ in range(self.prefetch_factor):
                for worker in live:
                    ask(worker)
            for number in itertools.count():
                if number not in pending:
                    if not pending:
                        return
                    continue
                worker = pending.pop(number)
                batch = pool.answer(worker, number)
                if isinstance(batch, End):
                    if worker in live:
                        live.remove(worker)
                    continue
                if worker in live:
                    ask(worker)
                yield unpack(batch)
        finally:
            pool.close()

    def state_dict(self) -> dict:
        """Seed, epoch and position."""
        epoch, position = (
            self._threads.state if self._threads is not None else (self._epoch, self._position)
        )
        return {"seed": self._fixed_seed(), "epoch": epoch, "position": position}

    def load_state_dict(self, state: dict) -> None:
        """The next loop goes on behind the batch that state_dict() saw last."""
        self._seed = state["seed"]
        self._epoch, self._position = state["epoch"], state["position"]
        self._resume = True
        if self._threads is not None:
            self._make_threads()
            self._threads.state = (self._epoch, self._position)
