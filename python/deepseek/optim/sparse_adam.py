# SPDX-License-Identifier: Apache-2.0
"""Adam for tables of which a step reads a few rows, as torch.optim.SparseAdam."""

from __future__ import annotations

import math

from .. import _core
from .._modes import enable_grad, no_grad
from .optimizer import Optimizer


class SparseAdam(Optimizer):
    """Adam that leaves rows without gradient, and their moments, as they are: rows of an embedding
    that a batch does not name. Gradients are dense here; a row whose gradient is all zeros counts
    as one without."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        if not (lr > 0 and eps > 0 and all(0 <= beta < 1 for beta in betas)):
            raise _core.ValueError(
                f"SparseAdam: lr {lr} and eps {eps} must be positive, "
                f"betas {tuple(betas)} in [0, 1)"
            )
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "maximize": maximize}
        super().__init__(params, defaults)

    def step(self, closure=None):
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        changed = []
        with no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is not None:
                        changed += self._update(param, group)
        _core.evaluate(changed)
        return loss

    def _update(self, param, group) -> list:
        state = self.state[param]
        if not state:
            state.update(step=0, exp_avg=_core.zeros_like(param))
            state["exp_avg_sq"] = _core.zeros_like(param)
        state["step"] += 1
        (beta1, beta2), step = group["betas"], state["step"]
        grad = -param.grad if group["maximize"] else param.grad
        rows = grad.reshape(grad.shape[0], -1).ne(0).any(1)
        rows = rows.reshape(-1, *[1] * (grad.dim() - 1))
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.copy_(_core.where(rows, mean + (grad - mean) * (1 - beta1), mean))
        square.copy_(_core.where(rows, square + (grad * grad - square) * (1 - beta2), square))
        size = group["lr"] * math.sqrt(1 - beta2**step) / (1 - beta1**step)
        param.copy_(_core.where(rows, param - size * mean / (square.sqrt() + group["eps"]), param))
        return [param, mean, square]
