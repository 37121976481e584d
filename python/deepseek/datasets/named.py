# SPDX-License-Identifier: Apache-2.0
"""Images by name: digits come with the library, others from files or the network."""

import os
import tarfile
from pathlib import Path
from typing import NamedTuple

from .. import _core
from .._download import cache_folder, download
from ..data import Dataset
from ..transforms import Compose, Transform

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"


class ImageDataset(Dataset):
    """Images uint8 [C, H, W] and labels, read in C++; a transform runs in the loader's threads when
    it is one of deepseek.transforms."""

    def __init__(self, inner, classes: list[str], transform=None, target_transform=None):
        self._inner = inner
        self.classes = classes
        self.transform = transform
        self.target_transform = target_transform
        if target_transform is None:
            self._core_dataset = _with_transform(inner, transform)

    def __len__(self):
        return len(self._inner)

    def __getitem__(self, index):
        image, label = self._inner[index]
        if self.transform is not None:
            image = self.transform(image)
        label = int(label)
        return image, label if self.target_transform is None else self.target_transform(label)


def _with_transform(inner, transform):
    """The C++ data set with the transform; None when the transform is not C++."""
    if transform is None:
        return inner
    if isinstance(transform, Transform) and transform._inner is not None:
        return inner.transformed(transform._inner)
    return None


class Split(NamedTuple):
    """A training and a test set and what is known about them."""

    train: ImageDataset
    test: ImageDataset
    classes: list[str]
    image: tuple[int, int, int]  # 0 where sizes differ
    divisor: float
    mean: list[float]
    std: list[float]


def load(name: str, folder: str | os.PathLike = "", transform=None, test_transform=None) -> Split:
    """'digits', 'mnist', 'fashion_mnist', 'cifar10' (downloaded when missing),
    'imagefolder:PATH' or the path of a folder of images. KeyError for another name."""
    folder = os.fspath(folder)
    if name == "cifar10":
        folder = _cifar10_folder(folder)
    found = _core._data.load_dataset(name, folder)
    classes = found["classes"]
    return Split(
        ImageDataset(found["train"], classes, transform),
        ImageDataset(found["test"], classes, test_transform or transform),
        classes,
        found["image"],
        found["divisor"],
        found["mean"],
        found["std"],
    )


def _cifar10_folder(folder: str, url: str = CIFAR10_URL, sha256: str = CIFAR10_SHA256) -> str:
    """A folder with the binary files, downloaded and unpacked when they are missing."""
    root = Path(folder) if folder else cache_folder() / "datasets"
    inner = root / "cifar-10-batches-bin"
    for place in (root, inner):
        if (place / "test_batch.bin").is_file():
            return str(place)
    archive = download(url, root / "cifar-10-binary.tar.gz", sha256=sha256)
    partial = root / "cifar-10-batches-bin.part"
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            name = Path(member.name).name
            if member.isfile() and name.endswith(".bin"):
                partial.mkdir(parents=True, exist_ok=True)
                (partial / name).write_bytes(tar.extractfile(member).read())
    partial.rename(inner)
    return str(inner)


def _choose(split: Split, train: bool, transform, target_transform) -> ImageDataset:
    part = split.train if train else split.test
    return ImageDataset(part._inner, split.classes, transform, target_transform)


def Digits(train: bool = True, transform=None, target_transform=None) -> ImageDataset:
    """Handwritten digits 8 x 8 with values 0 to 16; every fifth is in the test set."""
    return _choose(load("digits"), train, transform, target_transform)


def MNIST(root="", train: bool = True, transform=None, target_transform=None) -> ImageDataset:
    """IDX files in root or in the cache folder."""
    return _choose(load("mnist", root), train, transform, target_transform)


def FashionMNIST(root="", train: bool = True, transform=None, target_transform=None):
    """IDX files in root, or those of Debian's package dataset-fashion-mnist."""
    return _choose(load("fashion_mnist", root), train, transform, target_transform)


def CIFAR10(root="", train: bool = True, transform=None, target_transform=None) -> ImageDataset:
    """The binary version, downloaded into root (or the cache folder) when it is missing."""
    return _choose(load("cifar10", root), train, transform, target_transform)


def ImageFolder(root, transform=None, target_transform=None) -> ImageDataset:
    """Images in folders named after their class."""
    inner, classes = _core._data.image_folder(os.fspath(root))
    return ImageDataset(inner, classes, transform, target_transform)


def default_transforms(split: Split, augment: bool = False) -> tuple[Compose, Compose]:
    """Transforms for training and test: to float, normalised; with augment, small shifts and turns
    (mirrored too where a picture is still the same thing, which a digit is not)."""
    from .. import transforms as t

    end = [t.ToTensor(split.divisor), t.Normalize(split.mean, split.std)]
    size = split.image[1:]
    if 0 in size:
        return (
            Compose([t.RandomResizedCrop(224), t.RandomHorizontalFlip(), *end]),
            Compose([t.Resize(256), t.CenterCrop(224), *end]),
        )
    if not augment:
        return Compose(end), Compose(end)
    if split.image[0] == 3:
        change = [t.RandomCrop(size, padding=4), t.RandomHorizontalFlip()]
    else:
        change = [t.RandomRotation(10), t.RandomTranslate(0.1)]
    return Compose([*change, *end]), Compose(end)
