# SPDX-License-Identifier: Apache-2.0
"""Switches of the current thread: gradients, mixed precision. Each is a context manager and a
decorator, as in PyTorch."""

import functools

from . import _core


class _Mode:
    """A switch that `with` sets and puts back; nests."""

    def __call__(self, function):
        @functools.wraps(function)
        def run(*args, **kwargs):
            with self._again():
                return function(*args, **kwargs)

        return run

    def _again(self):
        return self


class _GradMode(_Mode):
    def __init__(self, on: bool):
        self._on = on
        self._outer = []

    def __enter__(self):
        self._outer.append(_core.is_grad_enabled())
        _core._set_grad_enabled(self._on)
        return self

    def __exit__(self, *_exc):
        _core._set_grad_enabled(self._outer.pop())


class no_grad(_GradMode):
    """Records no gradients inside. `@no_grad` and `@no_grad()` decorate a function."""

    def __new__(cls, function=None):
        mode = super().__new__(cls)
        if function is None:
            return mode
        mode.__init__()
        return mode(function)

    def __init__(self, function=None):
        super().__init__(False)


class enable_grad(_GradMode):
    """Records gradients inside, also within no_grad."""

    def __new__(cls, function=None):
        mode = super().__new__(cls)
        if function is None:
            return mode
        mode.__init__()
        return mode(function)

    def __init__(self, function=None):
        super().__init__(True)


class inference_mode(_GradMode):
    """no_grad under PyTorch's other name; `inference_mode(False)` records gradients."""

    def __init__(self, mode: bool = True):
        super().__init__(not mode)


class set_grad_enabled(_GradMode):
    """Switches gradients now; as a context manager puts the old state back."""

    def __init__(self, mode: bool):
        super().__init__(mode)
        self._before = _core.is_grad_enabled()
        _core._set_grad_enabled(mode)

    def __enter__(self):
        self._outer.append(self._before)
        _core._set_grad_enabled(self._on)
        return self

    def __call__(self, function):
        _core._set_grad_enabled(self._before)
        return super().__call__(function)


class autocast(_Mode):
    """Runs convolutions and matrix products in a 16-bit dtype; sums, norms and losses stay f32.

    device_type: kept for PyTorch's signature. dtype: bfloat16 (default) or float16.
    DTypeError for another dtype."""

    def __init__(
        self,
        device_type: str = "cpu",
        dtype=None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        if not isinstance(device_type, str):
            raise TypeError("autocast: device_type must be a string such as 'cpu'")
        self._dtype = _core.bfloat16 if dtype is None else dtype
        if self._dtype not in (_core.bfloat16, _core.float16):
            raise _core.DTypeError(f"autocast: dtype {self._dtype} must be bfloat16 or float16")
        self._enabled = enabled
        self._outer = []

    def __enter__(self):
        self._outer.append(_core._autocast())
        _core._set_autocast(self._dtype if self._enabled else None)
        return self

    def __exit__(self, *_exc):
        outer = self._outer.pop()
        _core._set_autocast(*(outer or (None,)))
