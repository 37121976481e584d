# SPDX-License-Identifier: Apache-2.0
"""deepseek.data under PyTorch's name."""

from ..data import *  # noqa: F403
from ..data import __all__  # noqa: F401
