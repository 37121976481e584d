# SPDX-License-Identifier: Apache-2.0
"""Result types of functions that return several tensors."""

from typing import NamedTuple

from ._core import Tensor


class ValuesIndices(NamedTuple):
    """Values and where they stand, as torch.return_types."""

    values: Tensor
    indices: Tensor
