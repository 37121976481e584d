# SPDX-License-Identifier: Apache-2.0
"""A deep-learning framework: plain PyTorch-style code, one graph compiler."""

import math as _math
import os as _os

# OpenMP's threads spin between parallel loops. By default so long that a second busy process makes
# every step ten times slower; this many turns still bridge the gaps inside a step. The OpenMP
# library reads it when it is loaded.
if "OMP_WAIT_POLICY" not in _os.environ:
    _os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from . import _core  # noqa: E402

_core._set_package_path(_os.path.dirname(__file__) + _os.sep)

# Tensor, its functions, dtypes and error types; all names without a leading underscore.
from ._core import *  # noqa: E402, F403

# The binding's submodules; the packages of these names are imported below.
for _name in ("nn", "optim", "train"):
    globals().pop(_name, None)

from . import (  # noqa: E402
    amp,
    autograd,
    cuda,
    data,
    datasets,
    debug,
    distributions,
    func,
    hub,
    io,
    linalg,
    memory,
    models,
    nn,
    optim,
    peft,
    pipelines,
    random,
    special,
    train,
    transforms,
    utils,
)
from ._compile import compile  # noqa: E402
from ._core import Tensor, __version__, float16, float32, float64, int16, int32, int64  # noqa: E402
from ._info import *  # noqa: E402, F403
from ._modes import (  # noqa: E402
    autocast,
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from ._trainer import *  # noqa: E402, F403
from ._tune import tune  # noqa: E402
from ._tune import warn_of_trouble as _warn_of_trouble  # noqa: E402
from .amp import GradScaler  # noqa: E402
from .func import vmap  # noqa: E402
from .pipelines import pipeline  # noqa: E402
from .random import initial_seed, seed  # noqa: E402
from .serialization import load, save  # noqa: E402
from .train import MixedPrecisionTrainer  # noqa: E402

inf = _math.inf
nan = _math.nan
pi = _math.pi
e = _math.e
newaxis = None
half, float, double = float16, float32, float64
short, int, long = int16, int32, int64


#: Functions of layers that PyTorch has at its top level too.
for _name in (
    "adaptive_avg_pool1d",
    "avg_pool1d",
    "bilinear",
    "celu",
    "celu_",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "hardshrink",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu_",
    "rrelu",
    "selu",
    "selu_",
    "threshold",
    "threshold_",
):
    globals()[_name] = getattr(nn.functional, _name)


def is_tensor(obj):
    """True for a Tensor."""
    return isinstance(obj, Tensor)


_warn_of_trouble()

__all__ = [name for name in dir() if not name.startswith("_")]
