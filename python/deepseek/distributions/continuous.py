# SPDX-License-Identifier: Apache-2.0
"""Distributions of real numbers."""

import math

from .. import _core
from .._info import finfo
from ..linalg import solve_triangular
from .distribution import HALF_LOG_TWO_PI, Distribution, sum_last, tensors


class _LocScale(Distribution):
    """A location and a scale; `loc + scale * noise` is a draw."""

    has_rsample = True
    _parameters = {"loc": 0, "scale": 0}

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = tensors(loc, scale)
        super().__init__(self.loc.shape, (), validate_args)
        self._require(lambda: self.loc == self.loc, "loc is NaN")
        self._require(lambda: self.scale > 0, "scale must be positive")

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    def _noise(self, shape):
        raise NotImplementedError

    def rsample(self, sample_shape=()):
        return self.loc + self.scale * self._noise(self._extended_shape(sample_shape))


class Normal(_LocScale):
    """The normal distribution of a mean and a standard deviation."""

    def _noise(self, shape):
        return _core.randn(shape, dtype=self.loc.dtype, device=self.loc.device)

    @property
    def stddev(self):
        return self.scale

    @property
    def variance(self):
        return self.scale**2

    def log_prob(self, value):
        z = (value - self.loc) / self.scale
        return -(z * z) / 2 - self.scale.log() - HALF_LOG_TWO_PI

    def cdf(self, value):
        return 0.5 * (1 + ((value - self.loc) / (self.scale * math.sqrt(2))).erf())

    def icdf(self, value):
        return self.loc + self.scale * (2 * value - 1).erfinv() * math.sqrt(2)

    def entropy(self):
        return 0.5 + HALF_LOG_TWO_PI + self.scale.log()


class LogNormal(Normal):
    """exp of a normal variable with the given mean and standard deviation."""

    def rsample(self, sample_shape=()):
        return super().rsample(sample_shape).exp()

    def log_prob(self, value):
        return super().log_prob(value.log()) - value.log()

    def cdf(self, value):
        return super().cdf(value.log())

    def icdf(self, value):
        return super().icdf(value).exp()

    @property
    def mean(self):
        return (self.loc + self.scale**2 / 2).exp()

    @property
    def mode(self):
        return (self.loc - self.scale**2).exp()

    @property
    def variance(self):
        square = self.scale**2
        return square.expm1() * (2 * self.loc + square).exp()

    @property
    def stddev(self):
        return self.variance.sqrt()

    def entropy(self):
        return super().entropy() + self.loc


class Laplace(_LocScale):
    """The two-sided exponential distribution."""

    def _noise(self, shape):
        eps = finfo(self.loc.dtype).eps
        u = _core.rand(shape, dtype=self.loc.dtype, device=self.loc.device) * (2 - eps) + (eps - 1)
        return -u.sign() * (-u.abs()).log1p()

    @property
    def stddev(self):
        return math.sqrt(2) * self.scale

    @property
    def variance(self):
        return 2 * self.scale**2

    def log_prob(self, value):
        return -(value - self.loc).abs() / self.scale - (2 * self.scale).log()

    def cdf(self, value):
        z = value - self.loc
        return 0.5 - 0.5 * z.sign() * (-z.abs() / self.scale).expm1()

    def icdf(self, value):
        term = value - 0.5
        return self.loc - self.scale * term.sign() * (-2 * term.abs()).log1p()

    def entropy(self):
        return 1 + (2 * self.scale).log()


class Uniform(Distribution):
    """All numbers of [low, high) alike."""

    has_rsample = True
    _parameters = {"low": 0, "high": 0}

    def __init__(self, low, high, validate_args=None):
        self.low, self.high = tensors(low, high)
        super().__init__(self.low.shape, (), validate_args)
        self._require(lambda: self.low < self.high, "low must be below high")

    @property
    def mean(self):
        return (self.low + self.high) / 2

    @property
    def variance(self):
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        u = _core.rand(shape, dtype=self.low.dtype, device=self.low.device)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value):
        inside = (value >= self.low) & (value < self.high)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def cdf(self, value):
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value):
        return value * (self.high - self.low) + self.low

    def entropy(self):
        return (self.high - self.low).log()


class Exponential(Distribution):
    """The time until an event of a given rate."""

    has_rsample = True
    _parameters = {"rate": 0}

    def __init__(self, rate, validate_args=None):
        (self.rate,) = tensors(rate)
        super().__init__(self.rate.shape, (), validate_args)
        self._require(lambda: self.rate > 0, "rate must be positive")

    @property
    def mean(self):
        return 1 / self.rate

    @property
    def mode(self):
        return _core.zeros_like(self.rate)

    @property
    def stddev(self):
        return 1 / self.rate

    @property
    def variance(self):
        return 1 / self.rate**2

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        u = _core.rand(shape, dtype=self.rate.dtype, device=self.rate.device)
        return -(-u).log1p() / self.rate

    def log_prob(self, value):
        return self.rate.log() - self.rate * value

    def cdf(self, value):
        return 1 - (-self.rate * value).exp()

    def icdf(self, value):
        return -(-value).log1p() / self.rate

    def entropy(self):
        return 1 - self.rate.log()


class MultivariateNormal(Distribution):
    """Normal vectors of a mean and one of: a covariance matrix, a precision matrix, a lower
    triangular factor of the covariance."""

    has_rsample = True

    def __init__(
        self,
        loc,
        covariance_matrix=None,
        precision_matrix=None,
        scale_tril=None,
        validate_args=None,
    ):
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1 or given[0].dim() < 2 or loc.dim() < 1:
            raise _core.ValueError(
                "MultivariateNormal: give a vector loc and one matrix: covariance_matrix, "
                "precision_matrix or scale_tril"
            )
        if scale_tril is None:
            if covariance_matrix is None:
                covariance_matrix = precision_matrix.inverse()
            scale_tril = covariance_matrix.cholesky()
        size = loc.shape[-1]
        batch = tuple(_core.broadcast_tensors(loc[..., 0], scale_tril[..., 0, 0])[0].shape)
        self.loc = loc.expand(*batch, size)
        self.scale_tril = scale_tril.expand(*batch, size, size)
        super().__init__(batch, (size,), validate_args)

    @property
    def covariance_matrix(self):
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self):
        return self.covariance_matrix.inverse()

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        return (self.scale_tril**2).sum(-1)

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        noise = _core.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self):
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value):
        difference = (value - self.loc).unsqueeze(-1)
        size = self.event_shape[0]
        factor = self.scale_tril.expand(*difference.shape[:-2], size, size)
        z = solve_triangular(factor, difference, upper=False).squeeze(-1)
        return -sum_last(z * z, 1) / 2 - self._half_log_det() - size * HALF_LOG_TWO_PI

    def entropy(self):
        return self.event_shape[0] * (0.5 + HALF_LOG_TWO_PI) + self._half_log_det()

    def expand(self, batch_shape):
        size = self.event_shape[0]
        loc = self.loc.expand(*batch_shape, size)
        factor = self.scale_tril.expand(*batch_shape, size, size)
        return MultivariateNormal(loc, scale_tril=factor, validate_args=self._validate_args)

    def __repr__(self):
        return f"MultivariateNormal(loc: {tuple(self.loc.shape)})"
