# SPDX-License-Identifier: Apache-2.0
"""The default generator, as torch.random."""

import contextlib
import secrets

from ._core import get_rng_state, manual_seed, set_rng_state

__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]


def initial_seed() -> int:
    """The seed that the default generator started from."""
    return int(get_rng_state()[0])


def seed() -> int:
    """Starts the default generator from a seed of the operating system, and returns it."""
    value = secrets.randbits(63)
    manual_seed(value)
    return value


@contextlib.contextmanager
def fork_rng(devices=None, enabled: bool = True):
    """Puts the state of the default generator back at the end. devices is ignored."""
    state = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(state)
