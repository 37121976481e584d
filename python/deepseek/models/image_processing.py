# SPDX-License-Identifier: Apache-2.0
"""What turns images into a model's inputs, as timm's config.json or transformers'
preprocessor_config.json says."""

import json
import math
import os
from pathlib import Path

import numpy as np

from .. import _core, nn, transforms
from .._whole_file import write_text
from ._files import find_optional, read_config, read_json, split_hub_arguments
from .encoding import BatchEncoding
from .vision import ImageConfig

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_HALVES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def _square(side: int) -> dict:
    return {"height": side, "width": side}


_CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
#: Keys that files leave out have these values, by the beginning of image_processor_type.
_KINDS = {
    "ViT": {"size": _square(224), "resample": 2, **_HALVES},
    "DeiT": {"size": _square(256), "resample": 3, "crop_size": _square(224), **_HALVES},
    "ConvNext": {
        "size": {"shortest_edge": 384},
        "resample": 3,
        "crop_pct": 224 / 256,
        **_HALVES,
    },
    "CLIP": {
        "size": {"shortest_edge": 224},
        "resample": 3,
        "crop_size": _square(224),
        **_CLIP,
    },
    "Bit": {
        "size": {"shortest_edge": 224},
        "resample": 3,
        "crop_size": _square(224),
        **_CLIP,
    },
    "Beit": {"size": _square(224), "resample": 3, **_HALVES},
    "Siglip": {"size": _square(224), "resample": 3, **_HALVES},
    "Segformer": {"size": _square(512), "resample": 2, **_IMAGENET},
    "MobileNetV2": {
        "size": {"shortest_edge": 256},
        "resample": 2,
        "crop_size": _square(224),
        **_HALVES,
    },
    "EfficientNet": {
        "size": _square(346),
        "resample": 3,
        "crop_size": _square(289),
        "do_center_crop": False,
        "include_top": True,
        **_HALVES,
    },
}
#: The kind of a family's models.
_KIND_OF = {
    "vit": "ViT",
    "deit": "DeiT",
    "swin": "ViT",
    "resnet": "ConvNext",
    "convnext": "ConvNext",
    "convnextv2": "ConvNext",
    "clip": "CLIP",
    "dinov2": "Bit",
    "beit": "Beit",
    "siglip": "Siglip",
    "segformer": "Segformer",
    "mobilenet_v2": "MobileNetV2",
    "efficientnet": "EfficientNet",
}
#: Kinds whose files of old have one number for both sides.
_SQUARE = ("ViT", "DeiT", "Siglip", "Segformer", "EfficientNet")
_FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}


class _Nearest:
    """An image [C, H, W] of `size`, one number for the shorter side or two, whose pixels are the
    nearest ones."""

    def __init__(self, size):
        self.size = size

    def __call__(self, image):
        height, width = image.shape[1:]
        rows, columns = self._sides(height, width)
        at = [
            np.floor((np.arange(new) + 0.5) * (old / new)).astype(np.int64)
            for new, old in ((rows, height), (columns, width))
        ]
        return _core.tensor(image.numpy()[:, at[0][:, None], at[1]])

    def _sides(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.size, int):
            return tuple(self.size)
        shorter = min(height, width)
        return self.size * height // shorter, self.size * width // shorter


class ImagePreparation:
    """Turns an image into what a model was trained on: resized to `size` (of the shorter side, or
    height and width; as it is for None), its middle of `crop` pixels cut out (all of it for None),
    then normalised."""

    def __init__(self, size, crop, mean, std, interpolation: str = "bicubic", halves_up=False):
        self.channels, self.crop, self.halves_up = len(mean), crop, halves_up
        self.resize = self.resize_classes = None
        if size is not None:
            self.resize = self.resize_classes = _Nearest(size)
            if interpolation != "nearest":
                self.resize = transforms.Resize(size, interpolation, antialias=True)
        self.normalize = transforms.Normalize(mean, std)

    @classmethod
    def of_model(cls, model) -> "ImagePreparation":
        """As the files of a model say, or what is usual for its family."""
        config = model.config
        if isinstance(config, ImageConfig):
            return cls.of_config(config)
        return cls.of_values(_values_of(model))

    @classmethod
    def of_config(cls, config: ImageConfig) -> "ImagePreparation":
        """As timm's pretrained_cfg says."""
        cfg = config.pretrained_cfg
        size, part = cfg.get("test_input_size") or cfg["input_size"], cfg.get("crop_pct") or 0.875
        mode = cfg.get("crop_mode", "center")
        for key, values in (("input_size", size), ("mean", cfg["mean"]), ("std", cfg["std"])):
            if not isinstance(values, list | tuple) or not all(
                isinstance(value, int | float) and (value > 0 or key == "mean") for value in values
            ):
                raise _core.FileFormatError(f"config.json: {key} {values!r} must be numbers")
        if len(size) != 3 or not isinstance(part, int | float) or not 0 < part <= 4:
            raise _core.FileFormatError(
                f"config.json: input_size {size!r} must be three numbers and crop_pct {part!r} one"
            )
        crop = [int(side) for side in size[1:]]
        if mode not in ("center", "squash"):
            raise _core.ValueError(f"pipeline: crop_mode '{mode}' is unknown; use center or squash")
        scaled = [math.floor(side / part) for side in crop]
        size = tuple(scaled) if mode == "squash" or scaled[0] != scaled[1] else scaled[0]
        return cls(size, crop, cfg["mean"], cfg["std"], cfg.get("interpolation", "bicubic"), True)

    @classmethod
    def of_values(cls, values: dict) -> "ImagePreparation":
        """As the keys of a preprocessor_config.json say; FileFormatError for damaged ones."""
        kind = _kind_of(values)
        given = {key: value for key, value in values.items() if value is not None}
        given = {**_KINDS[kind], **given}
        mean, std = given["image_mean"], given["image_std"]
        if not given.get("do_normalize", True):
            mean, std = [0.0] * len(mean), [1.0] * len(std)
        if given.get("include_top"):  # normalised again, without a mean
            std = [deviation * deviation for deviation in std]
        if not given.get("do_rescale", True):
            scale = 255.0
        else:
            scale = 255.0 * given.get("rescale_factor", 1 / 255)
        if given.get("rescale_offset"):
            mean = [middle + 1 for middle in mean]
        # What normalises is given numbers from 0 to 1.
        mean, std = ([number / scale for number in numbers] for numbers in (mean, std))
        if given["resample"] not in _FILTERS:
            raise _core.ValueError(
                f"preprocessor_config.json: resample {given['resample']!r} is unknown; use 0, 2 or "
                "3"
            )
        size = _size_of(given, "size", square=kind in _SQUARE)
        crop = None
        if kind == "ConvNext" and isinstance(size, int):
            # Small images are cut out of larger ones, large ones are squashed.
            edge, small = size, size < 384
            size = int(edge / given["crop_pct"]) if small else (edge, edge)
            crop = (edge, edge) if small else None
        elif given.get("do_center_crop", "crop_size" in _KINDS[kind]):
            crop = _size_of(given, "crop_size", square=True)
        if not given.get("do_resize", True):
            size = None
        elif crop is None and not isinstance(size, int):
            crop = size
        return cls(size, crop, mean, std, _FILTERS[given["resample"]])

    def __call__(self, image):
        image = self._read(image)
        if self.resize is not None:
            image = self.resize(image)
        return self.normalize(self._middle(image).evaluate())

    def classes(self, picture, reduced: bool = False):
        """The class i64 of every pixel of the image that is made of a picture of classes: a file, a
        PIL image or numbers [height, width]. reduced: they are one less, and 0 is 255."""
        if isinstance(picture, str | os.PathLike):
            picture = _core._io.read_image(os.fspath(picture), "gray")[0].numpy()
        told = np.asarray(picture).astype(np.int64)
        if told.ndim != 2:
            raise _core.ValueError(
                f"image processor: a picture of classes must be [height, width], not {told.shape}"
            )
        if reduced:
            told = np.where((told == 0) | (told == 255), 255, told - 1)
        told = _core.tensor(told[None])
        if self.resize_classes is not None:
            told = self.resize_classes(told)
        return self._middle(told)[0]

    def _middle(self, image):
        """The part that is cut out."""
        crop = self.crop or image.shape[1:]
        top, left = (
            round(room / 2) if self.halves_up else room // 2
            for room in (image.shape[1] - crop[0], image.shape[2] - crop[1])
        )
        if top < 0 or left < 0:
            raise _core.ValueError(
                f"pipeline: {crop} pixels can not be cut from an image of {image.shape[1:]}"
            )
        return image[:, top : top + crop[0], left : left + crop[1]]

    def _read(self, image):
        """Files, PIL images, arrays [height, width(, channels)], tensors [channels, ...]."""
        if isinstance(image, str | os.PathLike):
            if not Path(image).is_file():
                raise _core.IOError(f"pipeline: there is no image file {image}")
            return _core._io.read_image(os.fspath(image), "gray" if self.channels == 1 else "rgb")
        if hasattr(image, "convert"):
            image = image.convert("L" if self.channels == 1 else "RGB")
        image = transforms._image(image)
        if image.dim() != 3 or image.dtype != _core.uint8:
            raise _core.ValueError(
                "pipeline: an image is a file, a PIL image, an array of uint8 [height, width, "
                f"channels] or a tensor of uint8 [channels, height, width], not {image.dtype} of "
                f"{image.dim()} dimensions"
            )
        if image.shape[0] == 1 and self.channels == 3:
            return image.expand(3, -1, -1).contiguous()
        return image


def _values_of(model) -> dict:
    """The keys of the file beside a model; without one those that are usual for its family."""
    values = _file_values(model.name_or_path) if model.name_or_path else {}
    if values:
        return values
    config = model.config
    side = getattr(getattr(config, "vision_config", config), "image_size", 224)
    return _usual(_KIND_OF.get(config.model_type, "ViT"), side)


def _usual(kind: str, side: int) -> dict:
    """The keys for a model of images of `side` pixels that comes without a file."""
    values: dict = {"image_processor_type": kind}
    if kind == "Segformer":
        return values
    if kind in ("ViT", "Siglip", "EfficientNet"):
        return {**values, "size": _square(side)}
    if kind == "MobileNetV2":
        larger = {"shortest_edge": round(side / 0.875)}
        return {**values, "size": larger, "crop_size": _square(side)}
    if kind == "CLIP":
        return {**values, "size": {"shortest_edge": side}, "crop_size": _square(side)}
    if kind == "DeiT":
        larger = _square(round(side / 0.875))
        return {**values, **_IMAGENET, "size": larger, "crop_size": _square(side)}
    return {**values, **_IMAGENET, "size": {"shortest_edge": side}}


def _kind_of(values: dict) -> str:
    """The name in _KINDS of the class that wrote the keys."""
    name = values.get("image_processor_type") or values.get("feature_extractor_type") or "CLIP"
    for kind in _KINDS:
        if str(name).startswith(kind):
            return kind
    raise _core.ValueError(
        f"preprocessor_config.json: the image processor {name!r} is unknown; there are "
        f"{', '.join(f'{kind}ImageProcessor' for kind in _KINDS)}"
    )


def _size_of(values: dict, key: str, square: bool):
    """A number for the shorter side, or (height, width); of an old file's number, by `square`."""
    size = values.get(key)
    found = size
    if isinstance(size, dict):
        found = size.get("shortest_edge") or (size.get("height"), size.get("width"))
    elif isinstance(size, int) and square:
        found = (size, size)
    sides = found if isinstance(found, tuple) else (found,)
    if not all(isinstance(side, int) and side > 0 for side in sides):
        raise _core.FileFormatError(
            f"preprocessor_config.json: {key} is {size!r}; a shortest_edge, or a height and a "
            "width are expected"
        )
    return found


def _file_values(name, **hub) -> dict:
    """The keys of the file beside a model; none without one."""
    for file in ("preprocessor_config.json", "processor_config.json"):
        path = find_optional(name, file, **hub)
        if path is not None:
            values = read_json(path)
            return values.get("image_processor", values)
    return {}


class ImageProcessor:
    """Images as a model's pixel_values; `preparation` does one image."""

    def __init__(self, preparation: ImagePreparation | None = None, **values):
        #: The keys of preprocessor_config.json.
        self.values = values
        self.preparation = preparation or ImagePreparation.of_values(values)

    def __getattr__(self, name: str):
        """The keys of the file, and those that its kind of processor has by default."""
        values = self.__dict__.get("values") or {}
        usual = _KINDS[_kind_of(values)] if values else {}
        if name in values or name in usual:
            return values.get(name, usual.get(name))
        raise AttributeError(f"the image processor has no '{name}'")

    @classmethod
    def of_model(cls, model) -> "ImageProcessor":
        """As ImagePreparation.of_model()."""
        if isinstance(model.config, ImageConfig):
            return cls(ImagePreparation.of_config(model.config))
        return cls(**_values_of(model))

    def __call__(
        self, images, segmentation_maps=None, return_tensors: str = "ds", **more
    ) -> BatchEncoding:
        """pixel_values [images, channels, height, width] of an image or a list of them: files, PIL
        images, arrays or tensors of uint8. segmentation_maps: a picture of classes for each, of
        which labels i64 [images, height, width] are made. return_tensors: ds (or pt) or np; other
        keys of the file may be replaced for a call."""
        if return_tensors not in ("ds", "pt", "np"):
            raise _core.ValueError(
                f"image processor: return_tensors {return_tensors!r} is unknown; use ds or np"
            )
        if more:
            replaced = type(self)(**{**self.values, **more})
            return replaced(images, segmentation_maps, return_tensors)
        several = isinstance(images, list | tuple)
        made = [self.preparation(image) for image in (images if several else [images])]
        if not made:
            raise _core.ValueError("image processor: there are no images")
        found = {"pixel_values": _core.stack(made)}
        if segmentation_maps is not None:
            maps = segmentation_maps if several else [segmentation_maps]
            if len(maps) != len(made):
                raise _core.ValueError(
                    f"image processor: {len(maps)} segmentation_maps for {len(made)} images"
                )
            reduced = bool(self.values.get("do_reduce_labels", self.values.get("reduce_labels")))
            found["labels"] = _core.stack([self.preparation.classes(map, reduced) for map in maps])
        if return_tensors == "np":
            found = {name: tensor.numpy() for name, tensor in found.items()}
        return BatchEncoding(found)

    def post_process_semantic_segmentation(self, outputs, target_sizes=None) -> list:
        """The likeliest class i64 [height, width] of every pixel, for each image; target_sizes are
        the sides that they are to have, by default those of the logits."""
        logits = outputs.logits
        if target_sizes is None:
            return list(logits.argmax(1))
        if len(target_sizes) != logits.shape[0]:
            raise _core.ValueError(
                f"post_process_semantic_segmentation: {len(target_sizes)} target_sizes for "
                f"{logits.shape[0]} images"
            )
        return [
            nn.functional.interpolate(row[None], size=tuple(sides), mode="bilinear")[0].argmax(0)
            for row, sides in zip(logits, target_sizes, strict=True)
        ]

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Writes preprocessor_config.json into the folder; timm's models have theirs in
        config.json."""
        if self.values:
            Path(folder).mkdir(parents=True, exist_ok=True)
            text = json.dumps(self.values, indent=2, sort_keys=True) + "\n"
            write_text(Path(folder) / "preprocessor_config.json", text)


class AutoImageProcessor:
    """What prepares images for the model of a folder or a hub."""

    @staticmethod
    def from_pretrained(name: str | os.PathLike, **hub) -> ImageProcessor:
        """As preprocessor_config.json says, or timm's config.json; IOError without either."""
        hub, others = split_hub_arguments(hub)
        values = _file_values(name, **hub)
        if values:
            return ImageProcessor(**{**values, **others})
        values = read_config(name, **hub)
        if "architecture" not in values:
            raise _core.IOError(f"{name} has no preprocessor_config.json")
        config = ImageConfig.from_dict(values, str(name))
        return ImageProcessor(ImagePreparation.of_config(config))


class _Named(ImageProcessor):
    """An image processor of one kind, whose keys have the defaults that they have there."""

    def __init__(self, preparation: ImagePreparation | None = None, **values):
        super().__init__(preparation, **{"image_processor_type": type(self).__name__, **values})

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, **hub) -> ImageProcessor:
        """As AutoImageProcessor.from_pretrained()."""
        return AutoImageProcessor.from_pretrained(name, **hub)


#: The classes that transformers has, by name.
PROCESSORS = {
    name: type(name, (_Named,), {"__module__": __name__, "__doc__": _Named.__doc__})
    for name in (f"{kind}ImageProcessor" for kind in _KINDS)
}
globals().update(PROCESSORS)
