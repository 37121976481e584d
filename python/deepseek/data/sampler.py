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
