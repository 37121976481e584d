# SPDX-License-Identifier: Apache-2.0
"""Data sets: images by name, and tables of text, numbers and images from files or a hub."""

from .features import ClassLabel, DatasetInfo, Features, Image, List, Sequence, Value
from .fingerprint import disable_caching, enable_caching, is_caching_enabled
from .loading import load_dataset, load_from_disk
from .mix import concatenate_datasets, interleave_datasets
from .named import (
    CIFAR10,
    MNIST,
    Digits,
    FashionMNIST,
    ImageDataset,
    ImageFolder,
    Split,
    _cifar10_folder,
    default_transforms,
    load,
)
from .progress import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from .splits import DatasetDict, IterableDatasetDict
from .stream import IterableDataset
from .table import Dataset
