# SPDX-License-Identifier: Apache-2.0
"""The layers under the module paths of torch.nn.modules, which users import private names from:
`nn.modules.batchnorm._BatchNorm`, `nn.modules.utils._pair`."""

import sys
from collections.abc import Iterable
from itertools import repeat
from types import ModuleType

from ... import _core
from .. import containers as _containers

_layers = _core.nn


def _ntuple(n: int, name: str):
    def parse(x):
        return tuple(x) if isinstance(x, Iterable) else tuple(repeat(x, n))

    parse.__name__ = name
    return parse


def _named(prefixes: tuple, exclude: tuple = ()) -> dict:
    """The layers whose names begin so."""
    return {
        name: value
        for name, value in vars(_layers).items()
        if isinstance(value, type) and name.startswith(prefixes) and not name.startswith(exclude)
    }


_CONTENTS = {
    "module": _named(("Module",), ("ModuleList", "ModuleDict", "ModuleHook")),
    "container": {
        name: getattr(_containers, name)
        for name in ("Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict")
    },
    "linear": _named(("Linear", "Bilinear", "Identity", "NonDynamically")),
    "conv": _named(("Conv", "_Conv")),
    "batchnorm": _named(("BatchNorm", "_BatchNorm", "_NormBase")),
    "instancenorm": _named(("InstanceNorm", "_InstanceNorm")),
    "normalization": _named(("LayerNorm", "GroupNorm", "RMSNorm", "LocalResponse")),
    "activation": _named(
        (
            "ReLU",
            "SiLU",
            "Mish",
            "SELU",
            "ELU",
            "CELU",
            "GELU",
            "GLU",
            "Hard",
            "Leaky",
            "Log",
            "PReLU",
            "RReLU",
            "Sigmoid",
            "Soft",
            "Tanh",
            "Threshold",
            "Multihead",
        ),
        ("SoftMarginLoss",),
    ),
    "pooling": _named(("MaxPool", "AvgPool", "Adaptive", "LPPool", "MaxUnpool")),
    "padding": _named(("ZeroPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "CircularPad")),
    "dropout": _named(("Dropout", "AlphaDropout", "FeatureAlpha")),
    "sparse": _named(("Embedding",)),
    "rnn": _named(("RNN", "LSTM", "GRU")),
    "transformer": _named(("Transformer",)),
    "pixelshuffle": _named(("PixelShuffle", "PixelUnshuffle")),
    "upsampling": _named(("Upsampl",)),
    "flatten": _named(("Flatten", "Unflatten")),
    "fold": _named(("Fold", "Unfold")),
    "distance": _named(("CosineSimilarity", "PairwiseDistance")),
    "loss": {
        name: value
        for name, value in vars(_layers).items()
        if isinstance(value, type) and issubclass(value, _layers._Loss)
    },
    "utils": {
        name: _ntuple(n, name)
        for name, n in (("_single", 1), ("_pair", 2), ("_triple", 3), ("_quadruple", 4))
    },
}

for _name, _contents in _CONTENTS.items():
    _module = ModuleType(f"{__name__}.{_name}")
    vars(_module).update(_contents)
    sys.modules[_module.__name__] = _module
    globals()[_name] = _module
    globals().update({n: v for n, v in _contents.items() if not n.startswith("_")})
