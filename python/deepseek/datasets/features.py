# SPDX-License-Identifier: Apache-2.0
"""What the columns of a data set hold, written to files as the package `datasets` writes it."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import _core
from .arrow import pyarrow

_NAMES = {"float": "float32", "double": "float64", "halffloat": "float16"}


@dataclass(frozen=True)
class Value:
    """Numbers, text, dates, by the name of the type: int64, float32, string, bool, binary..."""

    dtype: str


@dataclass(frozen=True)
class ClassLabel:
    """Classes as numbers from 0 that have names."""

    names: tuple[str, ...]

    def __init__(self, names=None, num_classes: int | None = None):
        if names is None and num_classes is None:
            raise _core.ValueError("ClassLabel: give names or num_classes")
        made = tuple(map(str, range(num_classes) if names is None else names))
        if len(set(made)) != len(made):
            raise _core.ValueError("ClassLabel: two classes have the same name")
        object.__setattr__(self, "names", made)

    @property
    def num_classes(self) -> int:
        """How many there are."""
        return len(self.names)

    def str2int(self, name):
        """The number of a class, or of each in a list. ValueError when there is none."""
        if not isinstance(name, str):
            return [self.str2int(each) for each in name]
        if name not in self.names:
            raise _core.ValueError(
                f"ClassLabel: there is no class '{name}'; there are {', '.join(self.names[:10])}"
            )
        return self.names.index(name)

    def int2str(self, number):
        """The name of a class, or of each in a list. IndexError when there is none."""
        if hasattr(number, "__len__"):
            return [self.int2str(int(each)) for each in number]
        if not 0 <= number < len(self.names):
            raise _core.IndexError(f"ClassLabel: class {number} of {len(self.names)}")
        return self.names[number]


@dataclass(frozen=True)
class List:
    """Lists of one feature; length -1 where it varies."""

    feature: Any
    length: int = -1


def Sequence(feature: Any, length: int = -1):  # noqa: N802, the name of the package `datasets`
    """List(feature, length); of a dict a dict of lists."""
    if isinstance(feature, Mapping):
        return {name: Sequence(inner, length) for name, inner in feature.items()}
    return List(feature, length)


@dataclass(frozen=True)
class Image:
    """JPEG or PNG, as a path or as bytes; a row holds it as a tensor uint8 [C, H, W], with mode
    "pil" as an image of Pillow, without `decode` as {"path", "bytes"}."""

    decode: bool = True
    mode: str = "rgb"

    def read(self, value: Mapping | None):
        """The pixels."""
        if value is None or not self.decode:
            return value
        if self.mode == "pil":
            import PIL.Image

            return PIL.Image.open(io.BytesIO(value["bytes"]) if value["bytes"] else value["path"])
        if value["bytes"] is not None:
            return _core._io.decode_image(value["bytes"], value["path"] or "image", self.mode)
        return _core._io.read_image(value["path"], self.mode)


Feature = Value | ClassLabel | List | Image | dict


def arrow_type(feature: Feature):
    """The type that stores a feature. ValueError for a name that is none."""
    pa = pyarrow()
    if isinstance(feature, ClassLabel):
        return pa.int64()
    if isinstance(feature, Image):
        return pa.struct({"bytes": pa.binary(), "path": pa.string()})
    if isinstance(feature, List):
        return pa.list_(arrow_type(feature.feature), feature.length)
    if isinstance(feature, Mapping):
        return pa.struct({name: arrow_type(inner) for name, inner in feature.items()})
    zone = re.fullmatch(r"timestamp\[(s|ms|us|ns), tz=(.+)\]", feature.dtype)
    if zone:
        return pa.timestamp(zone[1], zone[2])
    decimal = re.fullmatch(r"decimal128\((\d+), (-?\d+)\)", feature.dtype)
    if decimal:
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    try:
        return pa.type_for_alias(feature.dtype)
    except ValueError as error:
        raise _core.ValueError(f"Value: '{feature.dtype}' is no type of a column") from error


def feature_of(type) -> Feature:
    """The feature that a type of Arrow stands for."""
    pa = pyarrow()
    if pa.types.is_fixed_size_list(type):
        return List(feature_of(type.value_type), type.list_size)
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return List(feature_of(type.value_type))
    if pa.types.is_struct(type):
        return {field.name: feature_of(field.type) for field in type}
    return Value(_NAMES.get(str(type), str(type)))


def decodes(feature: Feature) -> bool:
    """Whether a row holds something else than what is stored."""
    if isinstance(feature, Mapping):
        return any(map(decodes, feature.values()))
    return decodes(feature.feature) if isinstance(feature, List) else isinstance(feature, Image)


def decoded(feature: Feature, value):
    """What a row holds for a stored value."""
    if value is None or not decodes(feature):
        return value
    if isinstance(feature, Image):
        return feature.read(value)
    if isinstance(feature, List):
        return [decoded(feature.feature, inner) for inner in value]
    return {name: decoded(inner, value[name]) for name, inner in feature.items()}


def _to_json(feature: Feature) -> dict:
    if isinstance(feature, Value):
        return {"dtype": feature.dtype, "_type": "Value"}
    if isinstance(feature, ClassLabel):
        return {"names": list(feature.names), "_type": "ClassLabel"}
    if isinstance(feature, Image):
        return {"_type": "Image"}
    if isinstance(feature, List):
        return {
            "feature": _to_json(feature.feature),
            "length": feature.length,
            "_type": "Sequence",  # the name that old and new versions of the package read
        }
    return {name: _to_json(inner) for name, inner in feature.items()}


def _from_json(json) -> Feature:
    if isinstance(json, list):
        return List(_from_json(json[0]))
    kind = json.get("_type")
    if not isinstance(kind, str):
        return {name: _from_json(inner) for name, inner in json.items()}
    if kind == "Value":
        return Value(json["dtype"])
    if kind == "ClassLabel":
        return ClassLabel(json.get("names"), json.get("num_classes"))
    if kind == "Image":
        return Image(json.get("decode", True))
    if kind in ("List", "Sequence", "LargeList"):
        return List(_from_json(json["feature"]), json.get("length", -1))
    raise _core.NotImplementedError(f"datasets: columns of the kind '{kind}' are not read here")


class Features(dict):
    """Features by column, in order."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        for name, feature in self.items():
            if not isinstance(feature, Feature):
                raise _core.DTypeError(
                    f"Features: '{name}' is {feature.__class__.__name__}; use Value, ClassLabel, "
                    "List, Image or a dict of these"
                )

    def to_dict(self) -> dict:
        """As the package `datasets` writes them into files."""
        return self.to_json()

    @classmethod
    def from_dict(cls, values: Mapping) -> "Features":
        """Of what to_dict() returned, here or there."""
        return cls.from_json(values)

    def copy(self) -> "Features":
        """The same columns, to change."""
        return Features(self)

    @property
    def schema(self):
        """The schema of Arrow that stores them."""
        return pyarrow().schema({name: arrow_type(feature) for name, feature in self.items()})

    @classmethod
    def from_schema(cls, schema) -> "Features":
        """Of a schema of Arrow, with the classes that the package `datasets` wrote into it."""
        import json

        made = cls({field.name: feature_of(field.type) for field in schema})
        written = (schema.metadata or {}).get(b"huggingface")
        if written is None:
            return made
        try:
            info = json.loads(written).get("info") or {}
            return made.known(cls.from_json(info.get("features") or {}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _core.FileFormatError(
                f"datasets: the description of the columns is damaged: {error!r}"
            ) from error

    def known(self, others: Mapping) -> "Features":
        """These, with those of `others` that are stored in the same type."""
        return Features(
            {
                name: others[name]
                if name in others and arrow_type(others[name]) == arrow_type(mine)
                else mine
                for name, mine in self.items()
            }
        )

    def to_json(self) -> dict:
        """As the package `datasets` writes them."""
        return {name: _to_json(feature) for name, feature in self.items()}

    @classmethod
    def from_json(cls, json: Mapping) -> "Features":
        """Of what the package `datasets` wrote."""
        return cls({name: _from_json(inner) for name, inner in json.items()})


@dataclass
class DatasetInfo:
    """What is known of a data set beside its rows; dataset_size in bytes."""

    features: Features | None = None
    dataset_size: int | None = None
    description: str = ""
    citation: str = ""
    homepage: str = ""
    license: str = ""
