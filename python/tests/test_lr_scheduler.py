# SPDX-License-Identifier: Apache-2.0
"""Schedulers against torch.optim.lr_scheduler, step by step, with two groups."""

import warnings

import deepseek as ds
import pytest
import torch
from deepseek import optim
from deepseek.optim import lr_scheduler as ours
from torch.optim import lr_scheduler as theirs

CASES = {
    "step": lambda s, o: s.StepLR(o, 3, gamma=0.5),
    "multi_step": lambda s, o: s.MultiStepLR(o, milestones=[2, 5, 5, 9], gamma=0.5),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=4),
    "linear": lambda s, o: s.LinearLR(o, 0.1, 0.8, total_iters=6),
    "linear_down": lambda s, o: s.LinearLR(o, 1.0, 0.1, total_iters=6),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "polynomial": lambda s, o: s.PolynomialLR(o, 8, power=2.0),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=5, eta_min=0.01),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2, eta_min=0.01),
    "lambda": lambda s, o: s.LambdaLR(o, [lambda e: 1 / (1 + e), lambda e: 0.5**e]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda e: 1 - 0.05 * e),
    "one_cycle": lambda s, o: s.OneCycleLR(o, 0.8, total_steps=15),
    "one_cycle_three": lambda s, o: s.OneCycleLR(
        o,
        [0.8, 0.2],
        epochs=3,
        steps_per_epoch=5,
        three_phase=True,
        anneal_strategy="linear",
        base_momentum=0.7,
    ),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.1, [0.5, 0.7], step_size_up=3, step_size_down=2),
    "cyclic_2": lambda s, o: s.CyclicLR(o, 0.1, 0.5, step_size_up=2, mode="triangular2"),
    "cyclic_exp": lambda s, o: s.CyclicLR(o, 0.1, 0.5, 2, mode="exp_range", gamma=0.9),
    "cyclic_own": lambda s, o: s.CyclicLR(
        o, 0.1, 0.5, 2, scale_fn=lambda x: 1 / x, scale_mode="cycle", cycle_momentum=False
    ),
    "sequential": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, 1.0, 4), s.ExponentialLR(o, 0.9), s.CosineAnnealingLR(o, 6)], [4, 8]
    ),
    "chained": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9), s.StepLR(o, 5, 0.5)]
    ),
}


def optimizers(kind, **kwargs):
    """The same optimizer of torch and of ours."""
    for module, parameter in ((torch, torch.nn.Parameter), (ds, ds.nn.Parameter)):
        a, b = parameter(module.zeros(1)), parameter(module.zeros(2))
        make = getattr(module.optim, kind)
        yield make([{"params": [a]}, {"params": [b], "lr": 0.04}], lr=0.4, **kwargs)


def numbers(optimizer):
    groups = optimizer.param_groups
    key = "betas" if "betas" in groups[0] else "momentum"
    return [g["lr"] for g in groups] + [g[key] for g in groups]


def flat(values):
    return [x for v in values for x in (v if isinstance(v, tuple) else (v,))]


@pytest.mark.parametrize("kind", ["SGD", "AdamW", "SparseAdam"])  # the last is written in Python
@pytest.mark.parametrize("name", CASES)
def test_rates_equal_torch(name, kind):
    kwargs = {"momentum": 0.9} if kind == "SGD" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = optimizers(kind, **kwargs)
        expected, got = CASES[name](theirs, a), CASES[name](ours, b)
        for _ in range(14):
            assert flat(numbers(b)) == pytest.approx(flat(numbers(a)), rel=1e-12, abs=1e-15)
            assert got.get_last_lr() == pytest.approx(expected.get_last_lr(), rel=1e-12, abs=1e-15)
            expected.step()
            got.step()


@pytest.mark.parametrize("name", [n for n in CASES if n != "lambda"])
def test_torchs_state_continues_here(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = optimizers("SGD", momentum=0.9)
        expected, got = CASES[name](theirs, a), CASES[name](ours, b)
        for _ in range(6):
            expected.step()
        got.load_state_dict(expected.state_dict())
        b.load_state_dict(a.state_dict())
        again = CASES[name](ours, c := next(o for o in [list(optimizers("SGD", momentum=0.9))[1]]))
        again.load_state_dict(got.state_dict())
        c.load_state_dict(b.state_dict())
        for _ in range(6):
            for scheduler in (expected, got, again):
                scheduler.step()
            assert flat(numbers(b)) == pytest.approx(flat(numbers(a)), rel=1e-12, abs=1e-15)
            assert flat(numbers(c)) == flat(numbers(b))


def test_plateau_equals_torch():
    a, b = optimizers("SGD")
    kwargs = {"factor": 0.5, "patience": 1, "cooldown": 1, "min_lr": [0.1, 0.001]}
    expected, got = theirs.ReduceLROnPlateau(a, **kwargs), ours.ReduceLROnPlateau(b, **kwargs)
    for value in [1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.3]:
        expected.step(value)
        got.step(ds.tensor(float(value)))
        assert got.get_last_lr() == pytest.approx(expected.get_last_lr())
        assert got.num_bad_epochs == expected.num_bad_epochs
    got.load_state_dict(expected.state_dict())
    assert got.best == pytest.approx(0.3)


def test_restarts_take_a_point_inside_an_epoch():
    a, b = optimizers("SGD")
    expected = theirs.CosineAnnealingWarmRestarts(a, 4, 2)
    got = ours.CosineAnnealingWarmRestarts(b, 4, 2)
    for i in range(60):
        expected.step(i / 4)
        got.step(i / 4)
        assert got.get_last_lr() == pytest.approx(expected.get_last_lr())


def test_a_scheduler_of_ones_own():
    class Halving(ours.LRScheduler):
        def get_lr(self):
            return [base * 0.5**self.last_epoch for base in self.base_lrs]

    _, optimizer = optimizers("SGD")
    scheduler = Halving(optimizer)
    scheduler.step()
    scheduler.step()
    assert scheduler.last_epoch == 2
    assert numbers(optimizer)[:2] == pytest.approx([0.1, 0.01])
    assert optimizer.param_groups[0]["initial_lr"] == 0.4


def test_warm_up():
    _, optimizer = optimizers("AdamW")
    scheduler = ours.linear_with_warmup(optimizer, 2, 6)
    rates = []
    for _ in range(7):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    assert rates == pytest.approx([0.0, 0.2, 0.4, 0.3, 0.2, 0.1, 0.0])


def test_lbfgs_under_a_schedule_trains_as_in_torch():
    values = []
    for module, schedulers in ((torch, theirs), (ds, ours)):
        x = module.nn.Parameter(module.tensor([1.5, -0.5]))
        optimizer = module.optim.LBFGS([x], lr=0.5, max_iter=2)
        scheduler = schedulers.StepLR(optimizer, 2, gamma=0.5)

        def closure(x=x, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (x**4).sum() + (x * x).sum()
            loss.backward()
            return loss

        rates = []
        for _ in range(5):
            optimizer.step(closure)
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
        assert rates == pytest.approx([0.5, 0.25, 0.25, 0.125, 0.125])
        assert optimizer.param_groups[0]["initial_lr"] == 0.5
        values.append(x.tolist())
    assert values[1] == pytest.approx(values[0], rel=1e-4)


def test_schedules_of_ones_own_over_an_optimizer_in_python():
    class Halving(ours.LRScheduler):
        def get_lr(self):
            return [group["initial_lr"] * 0.5**self.last_epoch for group in self.groups]

        @property
        def groups(self):
            return self.optimizer.param_groups

    _, optimizer = optimizers("SparseAdam")
    scheduler = Halving(optimizer)
    scheduler.step()
    optimizer.param_groups[0]["betas"] = (0.5, 0.6)  # stays as it is
    scheduler.step()
    assert numbers(optimizer) == [0.1, 0.01, (0.5, 0.6), (0.9, 0.999)]
    rates = ours.linear_with_warmup(optimizer, 2, 6)
    rates.step()
    assert numbers(optimizer)[:2] == pytest.approx([0.2, 0.02])


def test_wrong_arguments():
    _, optimizer = optimizers("SGD")
    with pytest.raises(TypeError):
        ours.ExponentialLR("sgd", 0.5)
    with pytest.raises(ds.ValueError):
        ours.OneCycleLR(optimizer, 0.1)
    with pytest.raises(ds.ValueError):
        ours.ReduceLROnPlateau(optimizer, mode="least")
    with pytest.raises(ds.KeyError):
        ours.StepLR(optimizer, 2).load_state_dict({})
    with pytest.raises(ds.ValueError):
        ours.SequentialLR(optimizer, [ours.StepLR(optimizer, 2)], [3])
    assert isinstance(ours.StepLR(optimizer, 2), optim.lr_scheduler.LRScheduler)
