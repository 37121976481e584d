# SPDX-License-Identifier: Apache-2.0
"""What all distributions share: shapes, sampling without gradient, checks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import _core
from .._modes import no_grad

Tensor = _core.Tensor


def tensors(*values) -> list[Tensor]:
    """Numbers and tensors as tensors of one shape, numbers in the dtype of the tensors."""
    given = [value for value in values if isinstance(value, Tensor)]
    dtype = given[0].dtype if given else _core.get_default_dtype()
    made = [v if isinstance(v, Tensor) else _core.tensor(v, dtype=dtype) for v in values]
    return list(_core.broadcast_tensors(*made))


def shape_of(sizes) -> tuple:
    return (sizes,) if isinstance(sizes, int) else tuple(sizes)


def sum_last(x: Tensor, dims: int) -> Tensor:
    """Summed over the last `dims` dimensions."""
    return x.sum(tuple(range(-dims, 0))) if dims else x


class Distribution:
    """A probability distribution, or a batch of independent ones. `batch_shape` is the shape of the
    batch, `event_shape` that of one draw. Parameters are checked only with validate_args=True:
    a check waits until they are computed. Values are not checked."""

    has_rsample = False
    has_enumerate_support = False
    #: Parameters by name, and how many dimensions of each belong to one event.
    _parameters: dict[str, int] = {}

    def __init__(self, batch_shape=(), event_shape=(), validate_args=None):
        self._batch_shape, self._event_shape = tuple(batch_shape), tuple(event_shape)
        self._validate_args = bool(validate_args)

    @property
    def batch_shape(self) -> tuple:
        return self._batch_shape

    @property
    def event_shape(self) -> tuple:
        return self._event_shape

    def _missing(self, name: str):
        return NotImplementedError(f"{type(self).__name__} defines no {name}")

    @property
    def mean(self) -> Tensor:
        raise self._missing("mean")

    @property
    def mode(self) -> Tensor:
        raise self._missing("mode")

    @property
    def variance(self) -> Tensor:
        raise self._missing("variance")

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """A draw [*sample_shape, *batch_shape, *event_shape] through which gradients flow to the
        parameters."""
        raise self._missing("rsample")

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """A draw without gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def sample_n(self, n: int) -> Tensor:
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density or probability at a value, [*batch_shape]."""
        raise self._missing("log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        raise self._missing("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        raise self._missing("icdf")

    def entropy(self) -> Tensor:
        """In nats, [*batch_shape]."""
        raise self._missing("entropy")

    def perplexity(self) -> Tensor:
        return self.entropy().exp()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        raise self._missing("enumerate_support")

    def expand(self, batch_shape: Sequence[int]) -> Distribution:
        """The same distribution for a larger batch."""
        batch_shape = shape_of(batch_shape)
        parameters = {}
        for name, event_dims in self._parameters.items():
            value = getattr(self, name)
            event = tuple(value.shape)[value.dim() - event_dims :] if event_dims else ()
            parameters[name] = value.expand(*batch_shape, *event)
        return type(self)(**parameters, validate_args=self._validate_args)

    def _extended_shape(self, sample_shape=()) -> tuple:
        return shape_of(sample_shape) + self._batch_shape + self._event_shape

    def _require(self, condition, what: str) -> None:
        """With validate_args: ValueError unless `condition` holds everywhere."""
        if self._validate_args and not bool(condition().all()):
            raise _core.ValueError(f"{type(self).__name__}: {what}")

    def __repr__(self):
        shapes = ", ".join(f"{n}: {tuple(getattr(self, n).shape)}" for n in self._parameters)
        return f"{type(self).__name__}({shapes})"


class Independent(Distribution):
    """The last `reinterpreted_batch_ndims` dimensions of a batch taken as one event."""

    def __init__(self, base_distribution, reinterpreted_batch_ndims, validate_args=None):
        shape = base_distribution.batch_shape + base_distribution.event_shape
        batch_dims = len(base_distribution.batch_shape) - reinterpreted_batch_ndims
        if batch_dims < 0:
            raise _core.ValueError(
                f"Independent: {reinterpreted_batch_ndims} dimensions of a batch "
                f"{base_distribution.batch_shape}"
            )
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        super().__init__(shape[:batch_dims], shape[batch_dims:], validate_args)

    @property
    def has_rsample(self):
        return self.base_dist.has_rsample

    @property
    def mean(self):
        return self.base_dist.mean

    @property
    def mode(self):
        return self.base_dist.mode

    @property
    def variance(self):
        return self.base_dist.variance

    def sample(self, sample_shape=()):
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape=()):
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value):
        return sum_last(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self):
        return sum_last(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def expand(self, batch_shape):
        inner = self.base_dist.batch_shape
        kept = inner[len(inner) - self.reinterpreted_batch_ndims :]
        base = self.base_dist.expand(shape_of(batch_shape) + kept)
        return Independent(base, self.reinterpreted_batch_ndims, self._validate_args)

    def __repr__(self):
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


HALF_LOG_TWO_PI = math.log(2 * math.pi) / 2
