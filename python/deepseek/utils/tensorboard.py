# SPDX-License-Identifier: Apache-2.0
"""Event files for TensorBoard, as torch.utils.tensorboard."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

from .. import _core


class SummaryWriter:
    """Writes curves, text and distributions to a new event file in log_dir."""

    def __init__(self, log_dir=None, comment: str = "", filename_suffix: str = ""):
        if log_dir is None:
            log_dir = f"runs/{datetime.now():%b%d_%H-%M-%S}{comment}"
        self.log_dir = str(log_dir)
        self._writer = _core.train.EventWriter(self.log_dir, filename_suffix)

    def get_logdir(self) -> str:
        return self.log_dir

    def add_scalar(self, tag: str, scalar_value, global_step: int = 0, walltime=None):
        """One number of a curve."""
        self._writer.add_scalars([(tag, float(scalar_value))], global_step, _time(walltime))

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: Mapping, global_step: int = 0, walltime=None
    ):
        """Several curves, "main_tag/name" each."""
        values = [(f"{main_tag}/{name}", float(v)) for name, v in tag_scalar_dict.items()]
        self._writer.add_scalars(values, global_step, _time(walltime))

    def add_text(self, tag: str, text_string: str, global_step: int = 0, walltime=None):
        """A paragraph in Markdown."""
        self._writer.add_text(tag, text_string, global_step, _time(walltime))

    def add_histogram(self, tag: str, values, global_step: int = 0, walltime=None):
        """The distribution of a tensor's or a sequence's values."""
        if hasattr(values, "detach"):
            values = values.detach()
        flat = values.reshape(-1).tolist() if hasattr(values, "reshape") else list(values)
        self._writer.add_histogram(tag, [float(v) for v in flat], global_step, _time(walltime))

    def flush(self):
        self._writer.flush()

    def close(self):
        self._writer.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()


def _time(walltime) -> float:
    return time.time() if walltime is None else float(walltime)
