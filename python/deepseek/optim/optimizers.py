# SPDX-License-Identifier: Apache-2.0
"""The optimizers of the C++ library under PyTorch's names. `foreach`, `fused`, `capturable` and
`differentiable` are accepted and change nothing: every step is one fused plan."""

from __future__ import annotations

from .. import _core
from .optimizer import Optimizer

_native = _core.optim


class _Native(Optimizer):
    """An optimizer whose update is the C++ class `_class`."""

    _class: type
    #: Hyperparameters that PyTorch keeps in groups but that choose nothing here.
    _unused = ("foreach", "capturable", "differentiable", "fused")

    def __init__(self, params, defaults: dict, unused: dict):
        unknown = [name for name in unused if name not in self._unused]
        if unknown:
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                f"'{unknown[0]}'"
            )
        defaults["lr"] = float(defaults["lr"])
        super().__init__(params, defaults)

    def _arguments(self) -> list:
        return list(self.defaults.values())

    def _make(self, params):
        flat: list = []
        for value in self._arguments():
            flat.extend(value) if isinstance(value, tuple | list) else flat.append(value)
        return self._class(params, *flat)


class SGD(_Native):
    """Stochastic gradient descent with momentum."""

    _class = _native.SGD

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        *,
        maximize=False,
        **unused,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
            unused,
        )


class Adam(_Native):
    """Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015."""

    _class = _native.Adam

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        *,
        maximize=False,
        decoupled_weight_decay=False,
        **unused,
    ):
        if decoupled_weight_decay:
            self._class = _native.AdamW
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
            unused,
        )


class AdamW(Adam):
    """Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019."""

    _class = _native.AdamW

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=1e-2,
        amsgrad=False,
        *,
        maximize=False,
        **unused,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, **unused)


class RMSprop(_Native):
    """Tieleman and Hinton, lecture 6.5, 2012."""

    _class = _native.RMSprop

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
        *,
        maximize=False,
        **unused,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
            unused,
        )


class Adagrad(_Native):
    """Duchi et al., "Adaptive Subgradient Methods", 2011."""

    _class = _native.Adagrad

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0,
        weight_decay=0,
        initial_accumulator_value=0,
        eps=1e-10,
        *,
        maximize=False,
        **unused,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
            },
            unused,
        )


class Adafactor(_Native):
    """Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018."""

    _class = _native.Adafactor

    def __init__(
        self,
        params,
        lr=1e-2,
        beta2_decay=-0.8,
        eps=(None, 1e-3),
        d=1.0,
        weight_decay=0.0,
        *,
        maximize=False,
        **unused,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": tuple(eps),
                "d": d,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
            unused,
        )

    def _arguments(self):
        eps1, eps2 = self.defaults["eps"]
        return list({**self.defaults, "eps": (-1.0 if eps1 is None else eps1, eps2)}.values())


class Adadelta(_Native):
    """Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012."""

    _class = _native.Adadelta

    def __init__(
        self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, *, maximize=False, **unused
    ):
        super().__init__(
            params,
            {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize},
            unused,
        )


class Adamax(_Native):
    """Adam with the infinity norm."""

    _class = _native.Adamax

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        *,
        maximize=False,
        **unused,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
            unused,
        )


class NAdam(_Native):
    """Dozat, "Incorporating Nesterov Momentum into Adam", 2016."""

    _class = _native.NAdam

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        momentum_decay=4e-3,
        decoupled_weight_decay=False,
        *,
        maximize=False,
        **unused,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
            unused,
        )


class RAdam(_Native):
    """Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020."""

    _class = _native.RAdam

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        decoupled_weight_decay=False,
        *,
        maximize=False,
        **unused,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
            unused,
        )


class Rprop(_Native):
    """Riedmiller and Braun, 1993: steps by the sign of the gradient."""

    _class = _native.Rprop

    def __init__(
        self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *, maximize=False, **unused
    ):
        super().__init__(
            params,
            {"lr": lr, "etas": tuple(etas), "step_sizes": tuple(step_sizes), "maximize": maximize},
            unused,
        )


class ASGD(_Native):
    """Averaged stochastic gradient descent; the average is `state[p]["ax"]`."""

    _class = _native.ASGD

    def __init__(
        self,
        params,
        lr=1e-2,
        lambd=1e-4,
        alpha=0.75,
        t0=1e6,
        weight_decay=0,
        *,
        maximize=False,
        **unused,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
            unused,
        )


class LAMB(_Native):
    """You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes",
    2020."""

    _class = _native.LAMB

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0):
        super().__init__(
            params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}, {}
        )


class Lion(_Native):
    """Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023."""

    _class = _native.Lion

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(
            params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay}, {}
        )
