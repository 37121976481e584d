# SPDX-License-Identifier: Apache-2.0
"""PyTorch's places for checkpoints, data loading and TensorBoard."""

from . import checkpoint, data, tensorboard

__all__ = ["checkpoint", "data", "tensorboard"]
