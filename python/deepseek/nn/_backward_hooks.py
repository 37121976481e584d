# SPDX-License-Identifier: Apache-2.0
"""register_full_backward_hook: hook(module, grad_input, grad_output) once the gradients of a
module's inputs are known, by identities around forward() whose gradient is the hook."""

from .. import _core

Tensor = _core.Tensor


class _Watch:
    """The gradients of one call of a module."""

    def __init__(self, module, hooks):
        self.module, self.hooks = module, hooks
        self.grad_input: list = []
        self.grad_output: list = []
        self.watched: list[int] = []
        self.arrived = 0

    def wrap_inputs(self, args: tuple) -> tuple:
        self.grad_input = [None] * len(args)
        if _core.is_grad_enabled():
            self.watched = [
                i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad
            ]
        args = list(args)
        for i in self.watched:
            args[i] = _core._custom_gradient(args[i].detach(), [args[i]], self._input(i))
        return tuple(args)

    def wrap_output(self, output):
        many = isinstance(output, tuple | list)
        outputs = list(output) if many else [output]
        self.grad_output = [None] * len(outputs)
        for i, value in enumerate(outputs):
            if isinstance(value, Tensor) and value.requires_grad:
                outputs[i] = _core._custom_gradient(value.detach(), [value], self._output(i))
        return type(output)(outputs) if many else outputs[0]

    def _output(self, i):
        def run(grad):
            self.grad_output[i] = grad
            if not self.watched:  # no input has a gradient to wait for
                self._call()
            return [grad]

        return run

    def _input(self, i):
        def run(grad):
            self.grad_input[i] = grad
            self.arrived += 1
            if self.arrived < len(self.watched):
                return [grad]
            changed = self._call()
            if changed is not None and len(self.watched) > 1:
                raise _core.NotImplementedError(
                    "register_full_backward_hook: a hook can change the gradient of a module of "
                    "one input only"
                )
            return [grad if changed is None else changed[i]]

        return run

    def _call(self):
        changed = None
        for hook, _, _ in list(self.hooks.values()):
            result = hook(self.module, tuple(changed or self.grad_input), tuple(self.grad_output))
            if result is not None:
                changed = result if isinstance(result, tuple) else (result,)
        self.arrived = 0
        return changed


def watch(module, hooks):
    return _Watch(module, hooks)
