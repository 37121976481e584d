# SPDX-License-Identifier: Apache-2.0
"""Weight and spectral normalisation, as torch.nn.utils.parametrizations."""

from ... import _core
from ..._modes import no_grad
from .parametrize import register_parametrization

Module = _core.nn.Module
_normalize = _core._functional.normalize


def _norm_except(v, dim: int):
    """The norm over all dimensions but dim, which keep size 1; for -1 the norm of everything."""
    others = tuple(i for i in range(v.dim()) if i != dim)
    if dim == -1:
        return _core._linalg.vector_norm(v, 2.0)
    return _core._linalg.vector_norm(v, 2.0, others, True)


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g, weight_v):
        return weight_v * (weight_g / _norm_except(weight_v, self.dim))

    def right_inverse(self, weight):
        return _norm_except(weight, self.dim), weight


def weight_norm(module, name: str = "weight", dim: int | None = 0):
    """Splits a weight in length and direction: original0 and original1 (Salimans and Kingma,
    "Weight Normalization", 2016). dim keeps its own lengths; None has one length."""
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    def __init__(self, weight, n_power_iterations: int, dim: int, eps: float):
        super().__init__()
        if n_power_iterations <= 0:
            raise _core.ValueError(
                f"spectral_norm: n_power_iterations={n_power_iterations} must be positive"
            )
        self.dim = dim % max(weight.dim(), 1)
        self.eps = eps
        self.n_power_iterations = n_power_iterations
        if weight.dim() > 1:
            matrix = self._matrix(weight.detach())
            rows, columns = matrix.shape
            self.register_buffer("_u", _normalize(_core.randn(rows), dim=0, eps=eps))
            self.register_buffer("_v", _normalize(_core.randn(columns), dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _matrix(self, weight):
        return weight.movedim(self.dim, 0).flatten(1)

    def _iterate(self, matrix, times: int) -> None:
        with no_grad():
            for _ in range(times):
                self._u.copy_(_normalize(matrix.mv(self._v), dim=0, eps=self.eps))
                self._v.copy_(_normalize(matrix.t().mv(self._u), dim=0, eps=self.eps))

    def forward(self, weight):
        if weight.dim() == 1:
            return _normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / u.dot(matrix.mv(v))

    def right_inverse(self, value):
        return value


def spectral_norm(
    module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
):
    """Divides a weight by its largest singular value, which every training step refines by power
    iteration (Miyato et al., "Spectral Normalization", 2018)."""
    if dim is None:
        transposed = type(module).__name__.startswith("ConvTranspose")
        dim = 1 if transposed else 0
    norm = _SpectralNorm(getattr(module, name), n_power_iterations, dim, eps)
    return register_parametrization(module, name, norm)


__all__ = ["spectral_norm", "weight_norm"]
