# SPDX-License-Identifier: Apache-2.0
"""Transforms of images, as torchvision.transforms. They run in C++ on uint8 or float32 images
[channels, height, width]; arrays [height, width(, channels)] and PIL images are converted."""

import numpy as np

from . import _core

_t = _core._data


def _image(value):
    """Any kind of image as a tensor [C, H, W]."""
    if isinstance(value, _core.Tensor):
        return value
    array = np.asarray(value)
    if array.ndim == 2:
        array = array[:, :, None]
    return _core.tensor(np.ascontiguousarray(array.transpose(2, 0, 1)))


def _pair(size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


class Transform:
    """Callable on one image. Random ones draw from the generator of manual_seed()."""

    _random = False

    def __init__(self, inner, text: str):
        self._inner = inner
        self._text = text

    def __call__(self, image):
        seed = int(_core.randint(0, 2**62, (1,))) if self._random else 0
        return self._inner(_image(image), seed)

    def __repr__(self):
        return f"{type(self).__name__}({self._text})"


class Compose(Transform):
    """Several transforms, one after the other; any callable may be among them."""

    def __init__(self, transforms):
        self.transforms = list(transforms)
        known = all(isinstance(t, Transform) and t._inner for t in self.transforms)
        inner = _t.compose([t._inner for t in self.transforms]) if known else None
        super().__init__(inner, ", ".join(map(repr, self.transforms)))

    def __call__(self, image):
        for transform in self.transforms:
            image = transform(image)
        return image


class ToTensor(Transform):
    """Pixels 0 to 255 as float32 in 0 to 1."""

    def __init__(self, divisor: float = 255.0):
        super().__init__(_t.to_float(divisor), "")


class Normalize(Transform):
    """(x - mean) / std per channel."""

    def __init__(self, mean, std):
        def numbers(v):
            return [float(v)] if isinstance(v, int | float) else list(v)

        super().__init__(_t.normalize(numbers(mean), numbers(std)), f"mean={mean}, std={std}")


class Resize(Transform):
    """To (height, width), or so that the shorter side has `size`. With antialias the image is
    smoothed before it shrinks, with the pixels of Pillow, which is what pretrained models expect;
    without, interpolation is bilinear."""

    def __init__(self, size, interpolation: str = "bilinear", antialias: bool = False):
        if not antialias and interpolation != "bilinear":
            raise _core.ValueError(
                f"Resize: the interpolation {interpolation!r} needs antialias=True"
            )
        sizes = (size,) if isinstance(size, int) else tuple(size)
        kind = ("resample" if antialias else "resize") + ("_shorter" if len(sizes) == 1 else "")
        filters = (interpolation,) if antialias else ()
        super().__init__(getattr(_t, kind)(*sizes, *filters), f"{size}")


class CenterCrop(Transform):
    """The middle part."""

    def __init__(self, size):
        super().__init__(_t.center_crop(*_pair(size)), f"{size}")


class Grayscale(Transform):
    """Gray, `num_output_channels` times."""

    def __init__(self, num_output_channels: int = 1):
        super().__init__(_t.grayscale(num_output_channels), f"{num_output_channels}")


class RandomCrop(Transform):
    """A part at a random place, of the image with a border of zeros."""

    _random = True

    def __init__(self, size, padding: int = 0):
        super().__init__(_t.random_crop(*_pair(size), padding), f"{size}, padding={padding}")


class RandomResizedCrop(Transform):
    """A part of random size and shape, resized."""

    _random = True

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
        super().__init__(_t.random_resized_crop(*_pair(size), *scale, *ratio), f"{size}")


class RandomHorizontalFlip(Transform):
    """Mirrored with probability p."""

    _random = True

    def __init__(self, p: float = 0.5):
        super().__init__(_t.random_horizontal_flip(p), f"p={p}")


class RandomVerticalFlip(Transform):
    """Upside down with probability p."""

    _random = True

    def __init__(self, p: float = 0.5):
        super().__init__(_t.random_vertical_flip(p), f"p={p}")


class RandomRotation(Transform):
    """Turned by up to `degrees` either way."""

    _random = True

    def __init__(self, degrees: float):
        super().__init__(_t.random_rotation(degrees), f"{degrees}")


class RandomTranslate(Transform):
    """Moved by up to `fraction` of the size in each direction."""

    _random = True

    def __init__(self, fraction: float):
        super().__init__(_t.random_translate(fraction), f"{fraction}")


class ColorJitter(Transform):
    """Brightness and contrast scaled at random."""

    _random = True

    def __init__(self, brightness: float = 0, contrast: float = 0):
        super().__init__(
            _t.color_jitter(brightness, contrast), f"brightness={brightness}, contrast={contrast}"
        )


class RandomErasing(Transform):
    """A random rectangle set to zero with probability p."""

    _random = True

    def __init__(self, p: float = 0.5):
        super().__init__(_t.random_erasing(p), f"p={p}")
