# SPDX-License-Identifier: Apache-2.0
"""Distributions against torch.distributions: densities and gradients at given values, moments,
entropies, divergences; draws by their own moments."""

import deepseek as ds
import numpy as np
import pytest
import torch

RNG = np.random.default_rng(0)
LOC, SCALE = RNG.standard_normal((4, 3)), RNG.random((4, 3)) + 0.3
PROBS, LOGITS = RNG.random((4, 3)) * 0.9 + 0.05, RNG.standard_normal((4, 3))
FACTOR = np.tril(RNG.standard_normal((4, 3, 3))) + 2 * np.eye(3)
COVARIANCE = FACTOR @ FACTOR.swapaxes(1, 2)
CLASSES = RNG.integers(0, 3, 4)

# Class, parameters, a value, further methods of one value.
CASES = {
    "normal": ("Normal", {"loc": LOC, "scale": SCALE}, LOC[::-1], ["cdf"]),
    "log_normal": ("LogNormal", {"loc": LOC, "scale": SCALE}, SCALE[::-1], ["cdf"]),
    "laplace": ("Laplace", {"loc": LOC, "scale": SCALE}, LOC[::-1], ["cdf"]),
    "uniform": ("Uniform", {"low": LOC, "high": LOC + SCALE}, LOC + SCALE / 3, ["cdf"]),
    "exponential": ("Exponential", {"rate": SCALE}, SCALE[::-1], ["cdf"]),
    "bernoulli": ("Bernoulli", {"probs": PROBS}, (PROBS > 0.4) * 1.0, []),
    "bernoulli_logits": ("Bernoulli", {"logits": LOGITS}, (PROBS > 0.4) * 1.0, []),
    "categorical": ("Categorical", {"probs": PROBS}, CLASSES, []),
    "categorical_logits": ("Categorical", {"logits": LOGITS}, CLASSES, []),
    "one_hot": ("OneHotCategorical", {"logits": LOGITS}, np.eye(3)[CLASSES], []),
    "vectors": ("MultivariateNormal", {"loc": LOC, "scale_tril": FACTOR}, LOC[::-1], []),
    "covariance": (
        "MultivariateNormal",
        {"loc": LOC, "covariance_matrix": COVARIANCE},
        LOC[::-1],
        [],
    ),
}
MOMENTS = ("mean", "variance", "stddev", "mode")


def tensors(lib, arrays):
    return {
        name: lib.from_numpy(np.ascontiguousarray(value)).requires_grad_()
        for name, value in arrays.items()
    }


def close(ours, theirs):
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 1e-8, 1e-12)


def evaluate(lib, case):
    name, arrays, value, methods = CASES[case]
    parameters = tensors(lib, arrays)
    made = getattr(lib.distributions, name)(**parameters)
    value = lib.from_numpy(np.ascontiguousarray(value))
    results = {"log_prob": made.log_prob(value), "entropy": made.entropy()}
    results["perplexity"] = made.perplexity()
    results |= {method: getattr(made, method)(value) for method in methods}
    if "cdf" in methods:
        results["icdf"] = made.icdf(lib.from_numpy(np.full((4, 3), 0.3)))
    for moment in MOMENTS:
        if not (name == "Uniform" and moment == "mode"):
            results[moment] = getattr(made, moment)
    wider = made.expand((2, 4, *made.batch_shape[1:]))
    results["wider"] = wider.log_prob(value)
    grads = lib.autograd.grad(
        results["log_prob"].sum() + results["entropy"].sum(), list(parameters.values())
    )
    results |= {f"gradient of {n}": g for n, g in zip(parameters, grads, strict=True)}
    return made, results


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case):
    (ours, mine), (theirs, expected) = evaluate(ds, case), evaluate(torch, case)
    assert ours.batch_shape == tuple(theirs.batch_shape)
    assert ours.event_shape == tuple(theirs.event_shape)
    for name in expected:
        close(mine[name], expected[name])
    if ours.has_enumerate_support:
        close(ours.enumerate_support(), theirs.enumerate_support())
        close(ours.enumerate_support(False), theirs.enumerate_support(False))


@pytest.mark.parametrize("case", CASES)
def test_draws_have_the_moments(case):
    ds.manual_seed(1)
    made, _ = evaluate(ds, case)
    count = 20000
    drawn = made.sample((count,))
    assert tuple(drawn.shape) == (count, *made.batch_shape, *made.event_shape)
    assert not drawn.requires_grad
    if CASES[case][0] == "Categorical":
        drawn = ds.nn.functional.one_hot(drawn, 3).double()
        mean, variance = made.probs, made.probs * (1 - made.probs)
    else:
        mean, variance = made.mean, made.variance
    mean, variance = mean.detach().numpy(), variance.detach().numpy()
    # Five standard errors; those of the variance need the fourth moment, so that is left loose.
    error = np.abs(drawn.numpy().mean(0) - mean)
    assert (error < 5 * np.sqrt(variance / count) + 1e-12).all()
    np.testing.assert_allclose(drawn.numpy().var(0), variance, rtol=0.5)


def test_gradients_flow_through_rsample():
    for name, arrays in (
        ("Normal", {"loc": LOC, "scale": SCALE}),
        ("Uniform", {"low": LOC, "high": LOC + SCALE}),
        ("Exponential", {"rate": SCALE}),
    ):
        parameters = tensors(ds, arrays)
        made = getattr(ds.distributions, name)(**parameters)
        assert made.has_rsample
        made.rsample((5,)).sum().backward()
        assert all(p.grad is not None and bool(p.grad.any()) for p in parameters.values())
    with pytest.raises(NotImplementedError, match="Categorical defines no rsample"):
        ds.distributions.Categorical(ds.ones(3)).rsample()


def test_independent():
    results = []
    for lib in (ds, torch):
        base = lib.distributions.Normal(lib.from_numpy(LOC), lib.from_numpy(SCALE))
        made = lib.distributions.Independent(base, 1)
        other = lib.distributions.Independent(lib.distributions.Normal(base.scale, base.scale), 1)
        divergence = lib.distributions.kl_divergence(made, other)
        results.append([made.log_prob(base.scale), made.entropy(), made.mean, divergence])
        assert tuple(made.batch_shape) == (4,) and tuple(made.event_shape) == (3,)
        assert tuple(made.rsample((2,)).shape) == (2, 4, 3)
        assert tuple(made.expand((5, 4)).batch_shape) == (5, 4)
    for ours, theirs in zip(*results, strict=True):
        close(ours, theirs)


@pytest.mark.parametrize(
    "case", ["normal", "laplace", "exponential", "bernoulli", "categorical", "one_hot", "vectors"]
)
def test_divergences(case):
    results = []
    for lib in (ds, torch):
        name, arrays, *_ = CASES[case]
        kind = getattr(lib.distributions, name)
        p = kind(**{n: lib.from_numpy(a) for n, a in arrays.items()})
        q = kind(**{n: lib.from_numpy(np.ascontiguousarray(a[::-1])) for n, a in arrays.items()})
        results.append(lib.distributions.kl_divergence(p, q))
    close(*results)


def test_divergences_that_are_infinite_or_missing():
    d = ds.distributions
    assert d.kl_divergence(d.Uniform(0.0, 2.0), d.Uniform(0.5, 3.0)).item() == float("inf")
    never = d.Categorical(ds.tensor([1.0, 0.0]))
    assert d.kl_divergence(d.Categorical(ds.ones(2)), never).item() == float("inf")
    with pytest.raises(ds.NotImplementedError, match="Uniform and Normal"):
        d.kl_divergence(d.Uniform(0.0, 1.0), d.Normal(0.0, 1.0))

    class Mine(d.Normal):
        pass

    @d.register_kl(Mine, d.Normal)
    def rule(p, q):
        return 7.0

    assert d.kl_divergence(Mine(0.0, 1.0), d.Normal(0.0, 1.0)) == 7.0
    assert d.kl_divergence(d.Normal(0.0, 1.0), Mine(0.0, 1.0)).item() == 0.0


def test_wrong_arguments():
    d = ds.distributions
    with pytest.raises(ds.ValueError, match="scale must be positive"):
        d.Normal(0.0, -1.0, validate_args=True)
    with pytest.raises(ds.ValueError, match="probs or logits, not both"):
        d.Categorical(ds.ones(2), ds.ones(2))
    with pytest.raises(ds.ValueError, match="at least one dimension"):
        d.Categorical(ds.tensor(1.0))
    with pytest.raises(ds.ValueError, match="one matrix"):
        d.MultivariateNormal(ds.ones(2))
    with pytest.raises(ds.ValueError, match="2 dimensions of a batch"):
        d.Independent(d.Normal(ds.zeros(3), 1.0), 2)


def test_divergences_of_batches_of_the_size_of_an_event():
    tril = [[[1.0, 0], [0, 1]], [[2.0, 0], [0.5, 2]]]
    values = []
    for fw in (torch, ds):
        d = fw.distributions
        p = d.MultivariateNormal(fw.zeros(2), scale_tril=fw.eye(2))
        q = d.MultivariateNormal(fw.zeros(2, 2), scale_tril=fw.tensor(tril))
        values.append([d.kl_divergence(p, q).numpy(), d.kl_divergence(q, p).numpy()])
    np.testing.assert_allclose(values[1], values[0], rtol=1e-5)


def test_divergences_of_a_class_and_one_with_other_draws():
    d = ds.distributions
    one = ds.tensor([0.25, 0.75])
    for p, q in (
        (d.Normal(0.0, 1.0), d.LogNormal(0.0, 1.0)),
        (d.OneHotCategorical(one), d.Categorical(one)),
    ):
        for a, b in ((p, q), (q, p)):
            with pytest.raises(ds.NotImplementedError, match="no rule"):
                d.kl_divergence(a, b)
    assert float(d.kl_divergence(d.LogNormal(0.0, 1.0), d.LogNormal(0.0, 1.0))) == 0
