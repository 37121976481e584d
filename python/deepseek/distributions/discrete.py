# SPDX-License-Identifier: Apache-2.0
"""Distributions of classes and of yes and no."""

import math

from .. import _core
from .._info import finfo
from .._modes import no_grad
from ..nn import functional
from .distribution import Distribution, shape_of, tensors


def _one_of(name: str, probs, logits):
    if (probs is None) == (logits is None):
        raise _core.ValueError(f"{name}: give probs or logits, not both")


class Bernoulli(Distribution):
    """1 with a probability, else 0."""

    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        _one_of("Bernoulli", probs, logits)
        self._from_probs = probs is not None
        (given,) = tensors(probs if self._from_probs else logits)
        eps = finfo(given.dtype).eps
        clamped = given.clamp(eps, 1 - eps) if self._from_probs else given
        self.probs = given if self._from_probs else given.sigmoid()
        self.logits = clamped.log() - (-clamped).log1p() if self._from_probs else given
        super().__init__(given.shape, (), validate_args)
        self._require(
            lambda: (self.probs >= 0) & (self.probs <= 1), "probs must be between 0 and 1"
        )

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        half = _core.full_like(self.probs, math.nan)
        return _core.where(self.probs == 0.5, half, (self.probs > 0.5).to(self.probs.dtype))

    @property
    def variance(self):
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        with no_grad():
            return self.probs.expand(self._extended_shape(sample_shape)).bernoulli()

    def log_prob(self, value):
        logits, value = _core.broadcast_tensors(self.logits, value)
        return -functional.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self):
        return functional.binary_cross_entropy_with_logits(
            self.logits, self.probs, reduction="none"
        )

    def enumerate_support(self, expand=True):
        values = _core.arange(2, dtype=self.probs.dtype).reshape(-1, *[1] * len(self.batch_shape))
        return values.expand(-1, *self.batch_shape) if expand else values

    def expand(self, batch_shape):
        name = "probs" if self._from_probs else "logits"
        value = getattr(self, name).expand(*shape_of(batch_shape))
        return type(self)(**{name: value}, validate_args=self._validate_args)

    def __repr__(self):
        name = "probs" if self._from_probs else "logits"
        return f"{type(self).__name__}({name}: {tuple(getattr(self, name).shape)})"


class Categorical(Distribution):
    """Class numbers 0, 1, ... by probabilities or logits along the last dimension, which need not
    be normalised."""

    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        _one_of(type(self).__name__, probs, logits)
        self._from_probs = probs is not None
        given = probs if self._from_probs else logits
        if given.dim() < 1:
            raise _core.ValueError(
                f"{type(self).__name__}: probs or logits must have at least one dimension"
            )
        if self._from_probs:
            self.probs = given / given.sum(-1, keepdim=True)
            eps = finfo(given.dtype).eps
            self.logits = self.probs.clamp(eps, 1 - eps).log()
        else:
            self.logits = given - given.logsumexp(-1, keepdim=True)
            self.probs = self.logits.softmax(-1)
        self._num_events = given.shape[-1]
        self._set_shapes(tuple(given.shape), validate_args)
        self._require(lambda: self.probs >= 0, "probs must not be negative or NaN")

    def _set_shapes(self, shape, validate_args):
        Distribution.__init__(self, shape[:-1], (), validate_args)

    @property
    def param_shape(self):
        return tuple(self.probs.shape)

    @property
    def mean(self):
        return _core.full(self.batch_shape, math.nan, dtype=self.probs.dtype)

    @property
    def mode(self):
        return self.probs.argmax(-1)

    @property
    def variance(self):
        return self.mean

    def _draw(self, sample_shape):
        """Class numbers [*sample_shape, *batch_shape]."""
        sample_shape = shape_of(sample_shape)
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            drawn = rows.multinomial(math.prod(sample_shape), True).t()
            return drawn.reshape(*sample_shape, *self.batch_shape)

    def sample(self, sample_shape=()):
        return self._draw(sample_shape)

    def log_prob(self, value):
        value = value.to(_core.int64).unsqueeze(-1)
        shape = tuple(_core.broadcast_tensors(value, self.logits[..., :1])[0].shape)[:-1]
        logits = self.logits.expand(*shape, self._num_events)
        return logits.gather(-1, value.expand(*shape, 1)).squeeze(-1)

    def entropy(self):
        least = finfo(self.logits.dtype).min
        return -(self.logits.clamp(min=least) * self.probs).sum(-1)

    def enumerate_support(self, expand=True):
        values = _core.arange(self._num_events).reshape(-1, *[1] * len(self.batch_shape))
        return values.expand(-1, *self.batch_shape) if expand else values

    def expand(self, batch_shape):
        name = "probs" if self._from_probs else "logits"
        value = getattr(self, name).expand(*shape_of(batch_shape), self._num_events)
        return type(self)(**{name: value}, validate_args=self._validate_args)

    __repr__ = Bernoulli.__repr__


class OneHotCategorical(Categorical):
    """Categorical whose draws are vectors with one 1."""

    def _set_shapes(self, shape, validate_args):
        Distribution.__init__(self, shape[:-1], shape[-1:], validate_args)

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        return functional.one_hot(self.probs.argmax(-1), self._num_events).to(self.probs.dtype)

    @property
    def variance(self):
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        drawn = self._draw(sample_shape)
        return functional.one_hot(drawn, self._num_events).to(self.probs.dtype)

    def log_prob(self, value):
        return super().log_prob(value.argmax(-1))

    def enumerate_support(self, expand=True):
        values = _core.eye(self._num_events, dtype=self.probs.dtype)
        values = values.reshape(-1, *[1] * len(self.batch_shape), self._num_events)
        return values.expand(-1, *self.batch_shape, -1) if expand else values
