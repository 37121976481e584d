# SPDX-License-Identifier: Apache-2.0
"""Linear algebra on the last two dimensions, as torch.linalg."""

from typing import NamedTuple

from . import _core
from ._core import Tensor
from ._core._linalg import *  # noqa: F403


class LstsqResult(NamedTuple):
    """What lstsq returns: residuals is empty unless A has more rows than columns."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None):
    """Least squares solution of A X = B for A of full rank, by QR; rcond and driver are ignored."""
    x = _core._linalg._lstsq(A, B)
    rows, columns = A.shape[-2:]
    residuals = _core.empty((0,), dtype=A.dtype)
    if rows > columns and B.dim() == A.dim():
        residuals = (_core.matmul(A, x) - B).square().sum(-2)
    return LstsqResult(x, residuals, _core._linalg.matrix_rank(A), _core.empty((0,), dtype=A.dtype))
