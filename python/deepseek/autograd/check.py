# SPDX-License-Identifier: Apache-2.0
"""gradcheck: gradients against differences of values, for operations of one's own."""

import numpy as np

from .. import _core
from .._core import Tensor
from .._modes import no_grad
from .functional import jacobian


def _numerical(func, inputs: list, index: int, eps: float) -> list:
    """d(outputs)/d(inputs[index]) by central differences, one array an output."""
    x = inputs[index]
    start = x.detach().numpy().copy()
    columns = []
    for place in range(start.size):
        ends = []
        for step in (eps, -eps):
            moved = start.copy().reshape(-1)
            moved[place] += step
            with no_grad():
                out = func(
                    *inputs[:index], _core.tensor(moved.reshape(start.shape)), *inputs[index + 1 :]
                )
            outs = [out] if isinstance(out, Tensor) else list(out)
            ends.append([o.detach().numpy().copy() for o in outs])
        columns.append([(high - low) / (2 * eps) for high, low in zip(*ends, strict=False)])
    outputs = range(len(columns[0])) if columns else ()
    return [
        np.stack([c[o] for c in columns], -1).reshape(columns[0][o].shape + start.shape)
        for o in outputs
    ]


def gradcheck(
    func,
    inputs,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    **_ignored,
) -> bool:
    """True when the gradients of func for every float64 input that requires them agree with
    differences of its values. Otherwise StateError, or False without raise_exception."""
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    wanted = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        raise _core.ValueError("gradcheck: no input requires a gradient")

    def of_wanted(*values):
        full = list(inputs)
        for i, value in zip(wanted, values, strict=False):
            full[i] = value
        return func(*full)

    analytic = jacobian(of_wanted, tuple(inputs[i] for i in wanted))
    rows = [analytic] if isinstance(analytic[0], Tensor) else list(analytic)
    for place, i in enumerate(wanted):
        for o, numeric in enumerate(_numerical(func, inputs, i, eps)):
            found = rows[o][place].numpy()
            if not np.allclose(found, numeric, rtol, atol):
                if not raise_exception:
                    return False
                worst = float(np.abs(found - numeric).max())
                raise _core.StateError(
                    f"gradcheck: the gradient of output {o} for input {i} differs from the "
                    f"differences of values by up to {worst:g}"
                )
    return True


__all__ = ["gradcheck"]
