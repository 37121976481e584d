# SPDX-License-Identifier: Apache-2.0
"""The layer checker itself: what it lets through and what it stops."""

import importlib.util
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "check_layers.py"
spec = importlib.util.spec_from_file_location("check_layers", TOOL)
check_layers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_layers)


@pytest.mark.parametrize(
    "path, target",
    [
        ("ds/ir/node.cpp", "ds/base/error.h"),
        ("ds/ir/node.cpp", "ds/ir/node.h"),
        ("ds/ir/node.cpp", "vector"),
        ("ds/data/folder.cpp", "ds/io/image.h"),
        ("ds/backends/cpu/conv.cpp", "oneapi/dnnl/dnnl.hpp"),
        ("ds/backends/cpu/conv.cpp", "ds/runtime/backend.h"),
        ("ds/ds.h", "ds/train/trainer.h"),
    ],
)
def test_downward_includes_pass(path, target):
    assert check_layers.fault(path, target) is None


@pytest.mark.parametrize(
    "path, target, word",
    [
        ("ds/base/error.h", "ds/ir/dtype.h", "above"),
        ("ds/grad/rules.cpp", "ds/passes/fold.h", "beside"),
        ("ds/io/npy.cpp", "ds/data/dataset.h", "beside"),
        ("ds/backends/cpu/conv.cpp", "ds/passes/fuse.h", "sees only"),
        ("ds/backends/cpu/conv.cpp", "ds/backends/ref/conv.h", "another"),
        ("ds/tensor/ops.cpp", "ds/backends/cpu/conv.h", "registry"),
        ("ds/tensor/ops.cpp", "dnnl.hpp", "backends/cpu"),
        ("ds/tensor/ops.h", "ds/ds.h", "umbrella"),
        ("ds/attic/old.h", "ds/base/error.h", "no layer"),
    ],
)
def test_other_includes_are_faults(path, target, word):
    assert word in check_layers.fault(path, target)


def test_the_tree_is_in_order():
    assert check_layers.main() == 0
