# SPDX-License-Identifier: Apache-2.0
"""PyTorch's places for data loading and TensorBoard."""

from . import data, tensorboard

__all__ = ["data", "tensorboard"]
