# SPDX-License-Identifier: Apache-2.0
"""Samplers: the order in which a data set is read."""

import random
from collections.abc import Iterator, Sequence

from .. import _core


def draw_seed(generator=None) -> int:
    """A seed from the generator, by default the one of manual_seed()."""
    return int(_core.randint(0, 2**62, (1,), generator=generator))


class Sampler:
    """Iterates over indices of a data set."""

    def __iter__(self) -> Iterator:
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, ..."""

    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


class RandomSampler(Sampler):
    """Every index once in random order, or num_samples draws with replacement."""

    def __init__(
        self, data_source, replacement: bool = False, num_samples: int | None = None, generator=None
    ):
        self.data_source = data_source
        self.replacement = replacement
        self.num_samples = len(data_source) if num_samples is None else num_samples
        self.generator = generator
        if self.num_samples < 0:
            raise _core.ValueError(f"RandomSampler: num_samples {num_samples} is negative")

    def __iter__(self):
        size = len(self.data_source)
        seed = draw_seed(self.generator)
        if self.replacement:
            draw = random.Random(seed)
            yield from (draw.randrange(size) for _ in range(self.num_samples))
            return
        left, epoch = self.num_samples, 0
        while left > 0 and size > 0:
            order = _core._data.shuffled(size, seed, epoch)
            yield from order[:left]
            left -= size
            epoch += 1

    def __len__(self):
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator=None):
        self.indices = list(indices)
        self.generator = generator

    def __iter__(self):
        order = _core._data.shuffled(len(self.indices), draw_seed(self.generator), 0)
        return (self.indices[i] for i in order)

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """num_samples draws with probabilities in proportion to weights."""

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator=None
    ):
        self.weights = [float(w) for w in weights]
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator
        if not self.weights or min(self.weights) < 0 or sum(self.weights) <= 0:
            raise _core.ValueError(
                "WeightedRandomSampler: weights must not be negative and not all zero"
            )
        if not replacement and num_samples > sum(w > 0 for w in self.weights):
            raise _core.ValueError(
                f"WeightedRandomSampler: {num_samples} draws without replacement need as many "
                "positive weights"
            )

    def __iter__(self):
        draw = random.Random(draw_seed(self.generator))
        places = range(len(self.weights))
        if self.replacement:
            return iter(draw.choices(places, self.weights, k=self.num_samples))
        # Efraimidis and Spirakis (2006): the largest u^(1/w) win.
        keys = [draw.random() ** (1 / w) if w > 0 else -1.0 for w in self.weights]
        return iter(sorted(places, key=lambda i: -keys[i])[: self.num_samples])

    def __len__(self):
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of batch_size indices of another sampler."""

    def __init__(self, sampler, batch_size: int, drop_last: bool = False):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise _core.ValueError(f"BatchSampler: batch_size {batch_size!r} must be at least 1")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self):
        batch = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self):
        size = len(self.sampler)
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)


class BucketBatchSampler(Sampler):
    """Lists of indices of samples of about the same length, so that little is padded.

    lengths: of every sample. batch_size: samples of a batch. max_tokens: largest sum of a batch's
    lengths, all padded to the longest; a longer sample is a batch of its own. shuffle: batches and
    what they hold change from epoch to epoch (set_epoch), as seed says. ValueError when neither
    batch_size nor max_tokens is given."""

    #: Batches' worth of samples that are sorted together: more pad less and mix less.
    WINDOW = 50

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int | None = None,
        max_tokens: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
    ):
        for name, value in (("batch_size", batch_size), ("max_tokens", max_tokens)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise _core.ValueError(f"BucketBatchSampler: {name} {value!r} must be at least 1")
        if batch_size is None and max_tokens is None:
            raise _core.ValueError("BucketBatchSampler: give batch_size or max_tokens")
        self.lengths = [int(length) for length in lengths]
        self.batch_size, self.max_tokens = batch_size, max_tokens
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose order comes next."""
        self.epoch = epoch

    def _full(self, count: int, longest: int) -> bool:
        """A batch of so many samples takes no other one."""
        by_count = self.batch_size is not None and count >= self.batch_size
        return by_count or (self.max_tokens is not None and (count + 1) * longest > self.max_tokens)

    def __iter__(self):
        size = len(self.lengths)
        order = _core._data.shuffled(size, self.seed, self.epoch) if self.shuffle else range(size)
        mean = max(sum(self.lengths) // max(size, 1), 1)
        window = self.WINDOW * (self.batch_size or max(self.max_tokens // mean, 1))
        window = window if self.shuffle else max(size, 1)
        batches = []
        for start in range(0, size, window):
            batch: list[int] = []
            # The longest comes first, so it is what the others are padded to.
            for index in sorted(order[start : start + window], key=lambda i: -self.lengths[i]):
                if batch and self._full(len(batch), self.lengths[batch[0]]):
                    batches.append(batch)
                    batch = []
                batch.append(index)
            batches.append(batch)
        if self.shuffle:
            mixed = _core._data.shuffled(len(batches), self.seed + 1, self.epoch)
            batches = [batches[i] for i in mixed]
        return iter(batches)

    def __len__(self):
        return sum(1 for _ in self)
