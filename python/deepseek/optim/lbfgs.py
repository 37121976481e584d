# SPDX-License-Identifier: Apache-2.0
"""L-BFGS, as torch.optim.LBFGS: Nocedal and Wright, "Numerical Optimization", 2006, algorithms 7.4
and 7.5, with the line search of algorithms 3.5 and 3.6."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from .. import _core
from .._modes import enable_grad, no_grad
from .optimizer import Optimizer


class _Point(NamedTuple):
    """Where a search is: step length, loss, flat gradient and its product with the direction."""

    t: float
    loss: float
    grad: _core.Tensor
    slope: float


def _cubic_minimum(a: _Point, b: _Point, low: float, high: float) -> float:
    """The minimum of the cubic through both points with their slopes, within [low, high]."""
    a, b = (a, b) if a.t <= b.t else (b, a)
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:  # NaN too: a loss that overflowed
        return (low + high) / 2
    d2 = math.sqrt(square)
    above, below = b.slope + d2 - d1, b.slope - a.slope + 2 * d2
    if below == 0:  # a line: it has no minimum between the ends
        return (low + high) / 2 if above == 0 else low if above > 0 else high
    t = b.t - (b.t - a.t) * (above / below)
    return (low + high) / 2 if math.isnan(t) else min(max(t, low), high)


class _StrongWolfe:
    """A step length with a loss that falls enough and a slope that is flat enough."""

    ENOUGH, FLAT, LIMIT = 1e-4, 0.9, 25

    def __init__(self, evaluate: Callable[[float], _Point], start: _Point):
        self._evaluate, self._start = evaluate, start
        self.calls = 0

    def _at(self, t: float) -> _Point:
        self.calls += 1
        return self._evaluate(t)

    def _too_high(self, point: _Point) -> bool:
        return point.loss > self._start.loss + self.ENOUGH * point.t * self._start.slope

    def _is_flat(self, point: _Point) -> bool:
        return abs(point.slope) <= -self.FLAT * self._start.slope

    def run(self, t: float, direction_size: float, tolerance_change: float) -> _Point:
        before, now = self._start, self._at(t)
        for tried in range(self.LIMIT):
            if self._too_high(now) or (tried > 1 and now.loss >= before.loss):
                return self._zoom(before, now, tried, direction_size, tolerance_change)
            if self._is_flat(now):
                return now
            if now.slope >= 0:
                return self._zoom(before, now, tried, direction_size, tolerance_change)
            low, high = now.t + 0.01 * (now.t - before.t), 10 * now.t
            before, now = now, self._at(_cubic_minimum(before, now, low, high))
        return min(self._start, now, key=lambda point: point.loss)

    def _zoom(self, a: _Point, b: _Point, tried: int, size: float, tolerance: float) -> _Point:
        """From two points that enclose a good one; `best` has the lower loss."""
        best, other = (a, b) if a.loss <= b.loss else (b, a)
        near_an_end = False
        while tried < self.LIMIT and abs(best.t - other.t) * size >= tolerance:
            low, high = sorted((best.t, other.t))
            t = _cubic_minimum(best, other, low, high)
            margin = 0.1 * (high - low)
            if min(high - t, t - low) < margin:
                # Twice near an end makes no progress: step inside.
                if near_an_end or t >= high or t <= low:
                    t = high - margin if abs(t - high) < abs(t - low) else low + margin
                    near_an_end = False
                else:
                    near_an_end = True
            else:
                near_an_end = False
            now = self._at(t)
            tried += 1
            if self._too_high(now) or now.loss >= best.loss:
                best, other = (best, now) if best.loss <= now.loss else (now, best)
                continue
            if self._is_flat(now):
                return now
            if now.slope * (other.t - best.t) >= 0:
                other = best
            best = now
        return best


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last `history_size` changes of the gradient; step(closure) calls
    the closure up to max_eval times. line_search_fn: None, a step of lr, or "strong_wolfe"."""

    def __init__(
        self,
        params,
        lr=1,
        max_iter=20,
        max_eval=None,
        tolerance_grad=1e-7,
        tolerance_change=1e-9,
        history_size=100,
        line_search_fn=None,
    ):
        if not lr >= 0:
            raise _core.ValueError(f"LBFGS: lr is {lr}; it must not be negative")
        if line_search_fn not in (None, "strong_wolfe"):
            raise _core.ValueError(
                f"LBFGS: line_search_fn {line_search_fn!r} is unknown; use 'strong_wolfe' or None"
            )
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise _core.ValueError("LBFGS: all parameters must be in one group")

    @property
    def _params(self) -> list:
        return self.param_groups[0]["params"]

    def _flat_grad(self):
        grads = [_core.zeros_like(p) if p.grad is None else p.grad for p in self._params]
        return _core.cat([grad.detach().reshape(-1) for grad in grads])

    def _set(self, start, direction, t: float) -> None:
        """Parameters at t along the direction."""
        at = 0
        with no_grad():
            for param, begin in zip(self._params, start, strict=True):
                part = direction[at : at + param.numel()].reshape(param.shape)
                param.copy_(begin + part * t)
                at += param.numel()

    def _direction(self, state: dict, grad):
        """Minus the approximate inverse Hessian times the gradient, by two loops."""
        changes = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        q, weights = -grad, []
        for y, s, ro in reversed(changes):
            weights.append(s.dot(q) * ro)
            q = q - weights[-1] * y
        d = q * state["H_diag"]
        for (y, s, ro), weight in zip(changes, reversed(weights), strict=True):
            d = d + s * (weight - y.dot(d) * ro)
        return d

    def _remember(self, state: dict, grad, history_size: int) -> None:
        y, s = grad - state["prev_flat_grad"], state["d"] * state["t"]
        ys = y.dot(s)
        if not float(ys) > 1e-10:
            return
        for name, value in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / ys)):
            if len(state[name]) == history_size:
                state[name].pop(0)
            state[name].append(value)
        state["H_diag"] = ys / y.dot(y)

    def step(self, closure):
        """Takes up to max_iter steps; returns the loss before the first. closure: zeroes the
        gradients, computes the loss, calls backward() and returns the loss."""
        group, state = self.param_groups[0], self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        def evaluate():
            state["func_evals"] += 1
            with enable_grad():
                return closure()

        evaluations = state["func_evals"]
        first = evaluate()
        loss, grad = float(first), self._flat_grad()
        if float(grad.abs().max()) <= group["tolerance_grad"]:
            return first
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0, d=-grad)
                state["t"] = min(1.0, 1.0 / float(grad.abs().sum())) * group["lr"]
            else:
                self._remember(state, grad, group["history_size"])
                state["d"] = self._direction(state, grad)
                state["t"] = group["lr"]
            d = state["d"]
            state["prev_flat_grad"], state["prev_loss"] = grad, loss
            slope = float(grad.dot(d))
            if slope > -group["tolerance_change"]:
                break
            start = [param.detach().clone() for param in self._params]
            if group["line_search_fn"] is None:
                self._set(start, d, state["t"])
                if iteration < group["max_iter"]:
                    loss, grad = float(evaluate()), self._flat_grad()
            else:

                def point(t: float, start=start, d=d) -> _Point:
                    self._set(start, d, t)
                    loss, grad = float(evaluate()), self._flat_grad()
                    return _Point(t, loss, grad, float(grad.dot(d)))

                search = _StrongWolfe(point, _Point(0.0, loss, grad, slope))
                size = float(d.abs().max())
                found = search.run(state["t"], size, group["tolerance_change"])
                state["t"], loss, grad = found.t, found.loss, found.grad
                self._set(start, d, found.t)
            if (
                state["func_evals"] - evaluations >= group["max_eval"]
                or float(grad.abs().max()) <= group["tolerance_grad"]
                or float(d.abs().max()) * state["t"] <= group["tolerance_change"]
                or abs(loss - state["prev_loss"]) < group["tolerance_change"]
            ):
                break
        return first
