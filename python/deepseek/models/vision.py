# SPDX-License-Identifier: Apache-2.0
"""Image models; names of sizes, arguments and parameters are timm's, whose files they read."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from .. import _core
from .._whole_file import write_text
from ._files import read_config, read_weights, split_hub_arguments
from ._loading import split_load_options
from ._pretrained import PretrainedMixin
from .registry import SOURCES

#: timm's names of keys that are called otherwise here.
_ALIASES = {"in_chans": "in_channels"}
#: How images are prepared where nothing else is known: as for ImageNet.
_PREPARATION = {
    "input_size": [3, 224, 224],
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


class ImageConfig:
    """config.json of an image model, in timm's layout. Keys this library does not know are kept."""

    def __init__(self, architecture: str, num_classes: int, model_args: dict, **other):
        self.architecture, self.num_classes = architecture, num_classes
        #: What differs from the named size.
        self.model_args = dict(model_args)
        #: How the weights were made and how images are prepared.
        self.pretrained_cfg = {**_PREPARATION, **other.pop("pretrained_cfg", {})}
        self.other = other

    @property
    def num_labels(self) -> int:
        """The number of classes."""
        return self.num_classes

    @property
    def id2label(self) -> dict[int, str]:
        """Names of the classes: those of the file, else LABEL_0 and so on."""
        names = self.other.get("label_names") or self.pretrained_cfg.get("label_names") or []
        texts = self.other.get("label_descriptions") or {}
        if len(names) == self.num_classes:
            return {i: texts.get(name, name) for i, name in enumerate(names)}
        return {i: f"LABEL_{i}" for i in range(self.num_classes)}

    @id2label.setter
    def id2label(self, names: dict[int, str]) -> None:
        self.other.pop("label_descriptions", None)
        self.other["label_names"] = [names[i] for i in sorted(names)]

    @classmethod
    def from_dict(cls, values: dict, source: str = "config.json") -> "ImageConfig":
        """The keys of a config.json; FileFormatError for those of another kind of model."""
        values = dict(values)
        if "pretrained_cfg" not in values:  # timm's old layout had it all in one
            values = {
                "architecture": values.get("architecture"),
                "num_classes": values.get("num_classes", 1000),
                "pretrained_cfg": {k: v for k, v in values.items() if k != "architecture"},
                **({"label_names": values["labels"]} if "labels" in values else {}),
            }
        architecture, cfg = values.pop("architecture", None), values.get("pretrained_cfg")
        count = values.pop("num_classes", None)
        if count is None and isinstance(cfg, dict):
            count = cfg.get("num_classes", 1000)
        args = values.pop("model_args", {})
        for key, value, kind in (
            ("architecture", architecture, str),
            ("num_classes", count, int),
            ("pretrained_cfg", cfg, dict),
            ("model_args", args, dict),
        ):
            if not isinstance(value, kind):
                raise _core.FileFormatError(
                    f"{source}: {key} is {value!r}; a {kind.__name__} is expected of an image model"
                )
        return cls(architecture, count, args, **values)

    def to_dict(self) -> dict:
        """All keys."""
        return {
            "architecture": self.architecture,
            "num_classes": self.num_classes,
            **({"model_args": self.model_args} if self.model_args else {}),
            "pretrained_cfg": {**self.pretrained_cfg, "num_classes": self.num_classes},
            **self.other,
        }

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Writes config.json into the folder."""
        text = json.dumps(self.to_dict(), indent=2) + "\n"
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_text(Path(folder) / "config.json", text)

    def __eq__(self, other):
        return type(self) is type(other) and self.to_dict() == other.to_dict()

    def __repr__(self):
        return f"ImageConfig {json.dumps(self.to_dict(), indent=2)}"


def _square(name: str, value):
    """timm writes the size of an image as a number or as two equal ones."""
    if name in ("img_size", "patch_size", "window_size") and isinstance(value, list | tuple):
        if len(set(value)) == 1:
            return value[0]
    return value


class ImageModel(PretrainedMixin):
    """Mixed into every image model's class. Arguments are the fields of the model's configuration
    as timm names them, such as num_classes, in_channels (or in_chans), img_size and drop_rate."""

    config_class = ImageConfig
    config: ImageConfig
    _struct: type

    def __init__(self, *values, architecture: str | None = None, **named):
        fields = self._struct.fields
        if len(values) > len(fields):
            raise _core.ValueError(
                f"{type(self).__name__}: {len(values)} arguments; there are {len(fields)}"
            )
        given = {**dict(zip(fields, values, strict=False)), **named}
        native = self._struct() if architecture is None else self._size(architecture).copy()
        for name, value in given.items():
            key = _ALIASES.get(name, name)
            if key not in fields:
                raise _core.ValueError(
                    f"{type(self).__name__}: the argument '{name}' is unknown; "
                    f"there are {', '.join(fields)}"
                )
            try:
                setattr(native, key, _square(key, value))
            except TypeError:
                expected = type(getattr(native, key)).__name__
                raise _core.ValueError(
                    f"{type(self).__name__}: {name} is {value!r}; expected {expected}"
                ) from None
        super().__init__(native)
        self.num_classes = native.num_classes
        self.config = self._config_of(architecture or next(iter(self._struct.sizes)), native)

    @classmethod
    def _size(cls, architecture: str):
        if architecture not in cls._struct.sizes:
            raise _core.ValueError(
                f"{cls.__name__}: the size '{architecture}' is unknown; use "
                f"{', '.join(cls._struct.sizes)}"
            )
        return cls._struct.sizes[architecture]

    @classmethod
    def _config_of(cls, architecture: str, native) -> ImageConfig:
        named = cls._size(architecture)
        theirs = {ours: timm for timm, ours in _ALIASES.items()}
        args = {
            theirs.get(field, field): getattr(native, field)
            for field in cls._struct.fields
            if field != "num_classes" and getattr(native, field) != getattr(named, field)
        }
        side = getattr(native, "img_size", 224)
        return ImageConfig(
            architecture,
            native.num_classes,
            args,
            pretrained_cfg={"input_size": [native.in_channels, side, side]},
        )

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike,
        config: ImageConfig | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **changes,
    ):
        """The model of a folder or of a hub, in eval mode; dtype, device_map and state_dict are as
        of PreTrainedModel.from_pretrained(), other arguments change its configuration. With another
        num_classes, or num_labels, the classifier starts at random.

        Parameters the files lack are left at their random start and surplus ones are ignored; a
        LoadWarning lists both. ShapeError lists those of another shape, unless
        ignore_mismatched_sizes."""
        hub, changes = split_hub_arguments(changes)
        options, changes = split_load_options(changes)
        if "num_labels" in changes:
            changes["num_classes"] = changes.pop("num_labels")
        if config is None:
            config = ImageConfig.from_dict(read_config(name, **hub), str(name))
        model = cls._of_config(config, changes)
        model.name_or_path = str(name)
        weights = options.state_dict
        if weights is None:
            weights = read_weights(name, **hub)
        if model.num_classes != config.num_classes:
            weights = {k: v for k, v in weights.items() if not k.startswith(model._classifiers)}
        info = model._load(weights, str(name), ignore_mismatched_sizes)
        model._placed(options, weights)
        model.eval()
        return (model, info) if output_loading_info else model

    @classmethod
    def _from_config(cls, config: ImageConfig, **options) -> "ImageModel":
        options, changes = split_load_options(options)
        model = cls._of_config(config, changes)
        model._placed(options, {})
        return model

    @classmethod
    def _of_config(cls, config: ImageConfig, changes: dict) -> "ImageModel":
        kind = FAMILIES.get(config.architecture)
        if kind is None or not issubclass(kind, cls):
            known = [n for n, c in FAMILIES.items() if issubclass(c, cls)]
            raise _core.ValueError(
                f"{cls.__name__}: the architecture '{config.architecture}' is "
                + ("unknown" if kind is None else f"one of {kind.__name__}")
                + f"; use {', '.join(known[:8])}{' and so on' if len(known) > 8 else ''}"
            )
        args = {"num_classes": config.num_classes, **config.model_args, **changes}
        size = config.pretrained_cfg.get("input_size")
        if "img_size" in kind._struct.fields and "img_size" not in args and size:
            args["img_size"] = size[-1]
        model = kind(architecture=config.architecture, **args)
        model.config.pretrained_cfg = {
            **config.pretrained_cfg,
            "input_size": model.config.pretrained_cfg["input_size"]
            if "img_size" in kind._struct.fields
            else config.pretrained_cfg["input_size"],
        }
        if model.num_classes == config.num_classes:
            model.config.other = dict(config.other)
        else:
            model.config.pretrained_cfg.pop("label_names", None)
        return model

    def save_pretrained(self, folder: str | os.PathLike, max_shard_size: int | str = "5GB") -> None:
        """Writes config.json and model.safetensors, in parts above max_shard_size. timm reads them
        where the model is a named size with changes that timm has too."""
        self._save_weights(Path(folder), max_shard_size)
        self.config.save_pretrained(folder)

    def __reduce_ex__(self, protocol):
        parts = {name: child for name, child in self.named_children() if _pickles_alone(child)}
        state = {
            name: tensor
            for name, tensor in self.state_dict().items()
            if name.partition(".")[0] not in parts
        }
        arguments = (self.config.architecture, self.config.num_classes, self.config.model_args)
        return _restored, (type(self), arguments, parts, state, vars(self), self.training)


def _pickles_alone(module) -> bool:
    """Every module in it can be made again of its own arguments; blocks of models can not."""
    return all(
        type(m).__module__ != _core._hub.__name__ or "__init__" in vars(type(m))
        for m in module.modules()
    )


def _restored(kind, arguments, parts, state, attributes, training):
    random = _core.get_rng_state()
    architecture, num_classes, changes = arguments
    model = kind(architecture=architecture, num_classes=num_classes, **changes)
    _core.set_rng_state(random)
    for name, child in parts.items():  # a user may have replaced them
        setattr(model, name, child)
    model.load_state_dict(state, strict=False)
    vars(model).update(attributes)
    return model.train(training)


def _family(name: str, classifiers: tuple[str, ...], doc: str) -> type[ImageModel]:
    """The Python class over the C++ class of that name."""
    members = {
        "__module__": __name__,
        "__doc__": f"{doc} Arguments as of ImageModel.",
        "_struct": getattr(_core._hub, f"{name}Config"),
        "_classifiers": tuple(f"{c}." for c in classifiers),
    }
    return type(name, (ImageModel, getattr(_core._hub, name)), members)


VisionTransformer = _family(
    "VisionTransformer", ("head", "head_dist"), "Vision transformers: ViT, DeiT and DINOv2."
)
SwinTransformer = _family("SwinTransformer", ("head.fc",), "Swin Transformer.")
ResNet = _family("ResNet", ("fc",), "Residual networks, ResNeXt and Wide ResNet.")
EfficientNet = _family("EfficientNet", ("classifier",), "MobileNetV2 and V3, EfficientNet.")
VGG = _family("VGG", ("head.fc",), "VGG.")
DenseNet = _family("DenseNet", ("classifier",), "DenseNet.")
ConvNeXt = _family("ConvNeXt", ("head.fc",), "ConvNeXt and ConvNeXt V2.")

#: Classes by the names of their sizes.
FAMILIES: dict[str, type[ImageModel]] = {
    size: kind
    for kind in (ResNet, VGG, DenseNet, EfficientNet, ConvNeXt, VisionTransformer, SwinTransformer)
    for size in kind._struct.sizes
}
#: Names of those whose images have one size, the argument img_size.
SIZED = frozenset(name for name, kind in FAMILIES.items() if "img_size" in kind._struct.fields)


def _named(name: str, kind: type[ImageModel]) -> Callable[..., ImageModel]:
    def make(pretrained: bool = False, **arguments) -> ImageModel:
        if not isinstance(pretrained, bool):
            raise _core.ValueError(
                f"{name}: pretrained is {pretrained!r}; it is True or False, and other arguments "
                "are given by name, as in num_classes=10"
            )
        if not pretrained:
            return kind(architecture=name, **arguments)
        if name not in SOURCES:
            raise _core.ValueError(f"{name}: there are no pretrained weights; use pretrained=False")
        return kind.from_pretrained(f"deepseek/{name}", **arguments)

    make.__name__ = make.__qualname__ = name
    make.__module__ = __name__
    make.__doc__ = (
        f"The {kind.__name__} of this size: with random weights, or with those `deepseek models "
        f"show {name}` names. Other arguments change it, such as num_classes."
    )
    return make


#: Functions that make a model of each size.
MODELS: dict[str, Callable[..., ImageModel]] = {
    name: _named(name, kind) for name, kind in FAMILIES.items()
}
