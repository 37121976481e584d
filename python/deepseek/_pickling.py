# SPDX-License-Identifier: Apache-2.0
"""Functions that pickles name: a pickle finds them by their import path."""

from . import _core


def rebuild_tensor(array, dtype, requires_grad, is_parameter):
    return _core._rebuild_tensor(array, dtype, requires_grad, is_parameter)


def set_module_state(module, state):
    _core.nn._set_module_state(module, state)


def rebuild_config(kind, values):
    config = kind()
    for name, value in values.items():
        setattr(config, name, value)
    return config
