# SPDX-License-Identifier: Apache-2.0
"""JAX as a peer: one jitted function holds the whole training step, as our plan does."""

import os

from cases import Case, batch
from engines import Absent


def _update(case: Case, jnp):
    """The optimizer as PyTorch defines it: (value, gradient, state, step) -> (value, state)."""

    def sgd(value, gradient, state, _):
        momentum = 0.9 * state[0] + gradient
        return value - 0.01 * momentum, (momentum, state[1])

    def adamw(value, gradient, state, step):
        first = 0.9 * state[0] + 0.1 * gradient
        second = 0.999 * state[1] + 0.001 * jnp.square(gradient)
        root = jnp.sqrt(second / (1 - 0.999**step)) + 1e-8
        return value * (1 - 1e-4 * 0.01) - 1e-4 * first / (1 - 0.9**step) / root, (first, second)

    return sgd if case.optimizer == "sgd" else adamw


class Jax:
    def __init__(self, case: Case, options: list[str], threads: int):
        if case.mode != "train" or case.precision != "f32":
            raise Absent("it is here for FP32 training")
        if threads != len(os.sched_getaffinity(0)):
            raise Absent("its thread count cannot be set; let it have all cores")
        try:
            import jax
            import jax_lib
        except ImportError as error:
            raise Absent(f"not installed ({error})") from None
        self.jax, self.lib = jax, jax_lib
        self.model = case.network.build(jax_lib)
        self.parameters = dict(self.model.named())
        self.x, self.y = (jax.numpy.asarray(a) for a in batch(case))
        self.key = jax.random.key(0)
        update = _update(case, jax.numpy)
        gradients = jax.value_and_grad(self.loss, has_aux=True)

        def step(values, states, count, key):
            (loss, _), found = gradients(values, key)
            moved = {k: update(values[k], found[k], states[k], count) for k in values}
            values = {name: value for name, (value, _) in moved.items()}
            return values, {name: state for name, (_, state) in moved.items()}, loss

        self.step = jax.jit(step, donate_argnums=(0, 1))
        self.gradients = jax.jit(gradients)

    def loss(self, values, key):
        for name, parameter in self.parameters.items():
            parameter.value = values[name]
        self.lib.Dropout.key = key
        output = self.model(self.lib.Tensor(self.x))
        rows = output.reshape(-1, output.shape[-1])
        loss = self.lib.functional.cross_entropy(rows, self.lib.Tensor(self.y).reshape(-1))
        return loss.value, output.value

    def load(self, state):
        jnp = self.jax.numpy
        self.values = {name: jnp.array(state[name]) for name in self.parameters}
        self.states = {k: (jnp.zeros_like(v), jnp.zeros_like(v)) for k, v in self.values.items()}
        self.count = 0

    def check(self):
        self.model.train(False)  # only dropout looks at it
        (loss, output), found = self.gradients(self.values, self.key)
        self.model.train(True)
        return {
            "output": output,
            "loss": loss,
            **{"gradient of " + name: g for name, g in found.items()},
        }

    def release(self):
        """XLA frees what it does not use."""

    def run(self, count: int):
        for _ in range(count):
            self.count += 1
            self.key, key = self.jax.random.split(self.key)
            self.values, self.states, loss = self.step(
                self.values, self.states, float(self.count), key
            )
        loss.block_until_ready()
        self.jax.block_until_ready(self.values)

    def details(self):
        return {"version": self.jax.__version__}
