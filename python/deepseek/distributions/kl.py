# SPDX-License-Identifier: Apache-2.0
"""Kullback-Leibler divergences, in nats."""

import math

from .. import _core
from ..linalg import solve_triangular
from ..nn import functional
from .continuous import Exponential, Laplace, LogNormal, MultivariateNormal, Normal, Uniform
from .discrete import Bernoulli, Categorical, OneHotCategorical
from .distribution import Distribution, Independent, sum_last

_RULES: dict = {}


def register_kl(p: type, q: type):
    """Decorator: the function computes kl_divergence of these two classes and their subclasses."""
    for kind in (p, q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"register_kl: {kind!r} is no class of distributions")

    def register(rule):
        _RULES[p, q] = rule
        return rule

    return register


def kl_divergence(p: Distribution, q: Distribution):
    """KL(p || q), [*batch_shape]."""
    # Nearest classes first.
    for a in type(p).__mro__:
        for b in type(q).__mro__:
            if (a, b) in _RULES:
                return _RULES[a, b](p, q)
    return _refuse(p, q)


def _refuse(p, q):
    raise _core.NotImplementedError(
        f"kl_divergence: no rule for {type(p).__name__} and {type(q).__name__}; add one with "
        "register_kl"
    )


@register_kl(Normal, Normal)
def _(p, q):
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


@register_kl(Bernoulli, Bernoulli)
def _(p, q):
    return (
        p.probs * (p.logits - q.logits)
        + functional.softplus(q.logits)
        - functional.softplus(p.logits)
    )


@register_kl(Categorical, Categorical)
def _(p, q):
    terms = p.probs * (p.logits - q.logits)
    terms = _core.where(q.probs == 0, _core.full_like(terms, math.inf), terms)
    return _core.where(p.probs == 0, _core.zeros_like(terms), terms).sum(-1)


@register_kl(Uniform, Uniform)
def _(p, q):
    inside = (q.low <= p.low) & (p.high <= q.high)
    value = ((q.high - q.low) / (p.high - p.low)).log()
    return _core.where(inside, value, _core.full_like(value, math.inf))


@register_kl(Exponential, Exponential)
def _(p, q):
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Laplace, Laplace)
def _(p, q):
    distance, ratio = (p.loc - q.loc).abs(), p.scale / q.scale
    return distance / q.scale + ratio * (-distance / p.scale).exp() - 1 - ratio.log()


@register_kl(MultivariateNormal, MultivariateNormal)
def _(p, q):
    difference = solve_triangular(q.scale_tril, (q.loc - p.loc).unsqueeze(-1), upper=False)
    # As many matrices as there are differences: fewer would be taken for vectors.
    square = (*difference.shape[:-1], p.event_shape[0])
    factor = solve_triangular(q.scale_tril, p.scale_tril.expand(square), upper=False)
    squares = sum_last(factor**2, 2) + sum_last(difference**2, 2)
    return q._half_log_det() - p._half_log_det() + 0.5 * (squares - p.event_shape[0])


@register_kl(Independent, Independent)
def _(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise _core.NotImplementedError(
            "kl_divergence: the distributions take different numbers of dimensions as one event"
        )
    return sum_last(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


# Subclasses whose draws are others than those of their base: the rule holds among them only.
for _base, _kind in ((Normal, LogNormal), (Categorical, OneHotCategorical)):
    register_kl(_kind, _kind)(_RULES[_base, _base])
    register_kl(_base, _kind)(_refuse)
    register_kl(_kind, _base)(_refuse)
