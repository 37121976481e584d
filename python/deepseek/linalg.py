# SPDX-License-Identifier: Apache-2.0
"""Linear algebra on the last two dimensions, as torch.linalg."""

from ._core._linalg import *  # noqa: F403
