# SPDX-License-Identifier: Apache-2.0
"""The package imports, its errors are Python's too, its command answers."""

import subprocess
import sys

import deepseek as ds
import pytest


def test_errors_are_python_errors():
    assert issubclass(ds.ShapeError, ValueError) and issubclass(ds.ShapeError, ds.Error)
    assert issubclass(ds.DTypeError, TypeError)
    assert issubclass(ds.OutOfMemoryError, MemoryError)
    with pytest.raises(ds.ValueError, match="count is 0"):
        ds.set_num_threads(0)


def test_info_command():
    result = subprocess.run(
        [sys.executable, "-m", "deepseek.cli", "info"], capture_output=True, text=True, check=True
    )
    assert f"deepseek {ds.__version__}" in result.stdout
    assert "devices:" in result.stdout
