# SPDX-License-Identifier: Apache-2.0
"""Mixed precision: autocast and GradScaler, as torch.amp."""

import functools

from . import _core
from ._modes import autocast


class GradScaler:
    """Scales a loss so that 16-bit gradients do not vanish; skips steps that overflow.

    Whether a step is skipped and how the scale moves are part of the step's plan, so a loop never
    waits for a value. get_scale() computes."""

    def __init__(
        self,
        device="cpu",
        init_scale=65536.0,
        growth_factor=2.0,
        backoff_factor=0.5,
        growth_interval=2000,
        enabled=True,
    ):
        self._impl = _core.optim.GradScaler(
            init_scale, growth_factor, backoff_factor, growth_interval, enabled
        )

    def scale(self, outputs):
        """The loss (or each of several) times the scale."""
        if isinstance(outputs, _core.Tensor):
            return self._impl.scale(outputs)
        return type(outputs)(self.scale(output) for output in outputs)

    def unscale_(self, optimizer):
        """Divides the gradients by the scale now, for clipping before step()."""
        self._impl.unscale_(optimizer._impl)

    def step(self, optimizer, *args, **kwargs):
        """optimizer.step() on unscaled gradients, without effect where one is not finite."""
        if optimizer._impl is not None:
            return self._impl.step(optimizer._impl)
        raise _core.NotImplementedError(
            "GradScaler.step: the optimizer's step is written in Python; call unscale_() on the "
            "gradients yourself"
        )

    def update(self, new_scale=None):
        """Moves the scale after a step."""
        self._impl.update()

    def get_scale(self) -> float:
        return self._impl.get_scale()

    def skipped_steps(self) -> int:
        """Steps without effect so far; computes."""
        return self._impl.skipped_steps()

    def is_enabled(self) -> bool:
        return self._impl.is_enabled()

    def state_dict(self) -> dict:
        return self._impl.state_dict()

    def load_state_dict(self, state_dict):
        self._impl.load_state_dict(state_dict)


def is_autocast_available(device_type: str) -> bool:
    """True for "cpu", where autocast runs."""
    return device_type == "cpu"


def custom_fwd(fwd=None, *, device_type: str = "cpu", cast_inputs=None):
    """Decorates forward of an autograd.Function: with cast_inputs, floating inputs are converted to
    that dtype and autocast is off inside."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    def converted(value):
        if isinstance(value, _core.Tensor) and value.is_floating_point():
            return value.to(cast_inputs)
        return value

    @functools.wraps(fwd)
    def run(ctx, *args, **kwargs):
        ctx._autocast = _core._autocast()
        if cast_inputs is None or ctx._autocast is None:
            return fwd(ctx, *args, **kwargs)
        ctx._autocast = None
        with autocast(device_type, enabled=False):
            return fwd(
                ctx,
                *map(converted, args),
                **{name: converted(value) for name, value in kwargs.items()},
            )

    return run


def custom_bwd(bwd=None, *, device_type: str = "cpu"):
    """Decorates backward of an autograd.Function: runs under the autocast of its forward."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def run(ctx, *args, **kwargs):
        before, inside = _core._autocast(), ctx._autocast
        _core._set_autocast(*(inside or (None,)))
        try:
            return bwd(ctx, *args, **kwargs)
        finally:
            _core._set_autocast(*(before or (None,)))

    return run


__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
