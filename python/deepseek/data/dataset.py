# SPDX-License-Identifier: Apache-2.0
"""Data sets: samples by index, or a stream."""

import bisect
import itertools
from collections.abc import Sequence

from .. import _core


class Dataset:
    """Samples by index: define __len__ and __getitem__."""

    def __getitem__(self, index):
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__")

    def __add__(self, other):
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """A stream of samples: define __iter__. With workers each iterates its own copy; use
    get_worker_info() to share the work."""

    def __iter__(self):
        raise NotImplementedError(f"{type(self).__name__} defines no __iter__")


class TensorDataset(Dataset):
    """Rows of tensors with one first size. Its batches are made in C++."""

    def __init__(self, *tensors):
        if not tensors:
            raise _core.ValueError("TensorDataset: needs at least one tensor")
        if any(t.dim() == 0 or t.shape[0] != tensors[0].shape[0] for t in tensors):
            shapes = ", ".join(str(tuple(t.shape)) for t in tensors)
            raise _core.ShapeError(f"TensorDataset: the first sizes of {shapes} differ")
        self.tensors = tensors
        self._core_dataset = _core._data.array_dataset(list(tensors))

    def __len__(self):
        return self.tensors[0].shape[0]

    def __getitem__(self, index):
        return tuple(t[index] for t in self.tensors)


class ConcatDataset(Dataset):
    """Data sets one after the other."""

    def __init__(self, datasets: Sequence[Dataset]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise _core.ValueError("ConcatDataset: needs at least one data set")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __len__(self):
        return self.cumulative_sizes[-1]

    def __getitem__(self, index):
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise _core.IndexError(f"ConcatDataset: index {index} of {len(self)} samples")
        part = bisect.bisect_right(self.cumulative_sizes, place)
        before = self.cumulative_sizes[part - 1] if part else 0
        return self.datasets[part][place - before]


class ChainDataset(IterableDataset):
    """Streams one after the other."""

    def __init__(self, datasets):
        self.datasets = datasets

    def __iter__(self):
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self):
        return sum(len(d) for d in self.datasets)


class StackDataset(Dataset):
    """Data sets side by side: a sample is the tuple (or dict, for named ones) of theirs."""

    def __init__(self, *args, **kwargs):
        if bool(args) == bool(kwargs):
            raise _core.ValueError("StackDataset: give data sets by position or by name")
        self.datasets = kwargs or args
        sizes = {len(d) for d in (kwargs.values() if kwargs else args)}
        if len(sizes) != 1:
            raise _core.ValueError(f"StackDataset: the lengths {sorted(sizes)} differ")
        self._length = sizes.pop()

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        if isinstance(self.datasets, dict):
            return {name: d[index] for name, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)


class Subset(Dataset):
    """Some samples of a data set."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]):
        self.dataset = dataset
        self.indices = list(indices)
        inner = getattr(dataset, "_core_dataset", None)
        if inner is not None:
            self._core_dataset = inner.subset([int(i) for i in self.indices])

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]


def random_split(dataset: Dataset, lengths: Sequence[int | float], generator=None) -> list[Subset]:
    """Disjoint parts of the given sizes, or of the given shares of 1."""
    total = len(dataset)
    sizes = list(lengths)
    if any(isinstance(size, float) for size in sizes):
        if abs(sum(sizes) - 1) > 1e-6:
            raise _core.ValueError(f"random_split: the shares {sizes} do not add up to 1")
        sizes = [int(total * share) for share in sizes]
        for i in range(total - sum(sizes)):
            sizes[i % len(sizes)] += 1
    if sum(sizes) != total:
        raise _core.ValueError(
            f"random_split: the sizes add up to {sum(sizes)}, the data set has {total} samples"
        )
    seed = int(_core.randint(0, 2**62, (1,), generator=generator))
    order = _core._data.shuffled(total, seed, 0)
    ends = list(itertools.accumulate(sizes))
    return [
        Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=False)
    ]
