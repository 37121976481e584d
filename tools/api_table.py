# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/torch-api.md: which of PyTorch's names are here and which are not.

python tools/api_table.py          # writes the page
python tools/api_table.py --check  # fails when the page is not what it would write
"""

import argparse
import importlib
import inspect
import re
import sys
from pathlib import Path

import torch

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "torch-api.md"
ROOMS = [
    "torch",
    "torch.Tensor",
    "torch.nn",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.utils",
    "torch.nn.utils.rnn",
    "torch.nn.utils.parametrize",
    "torch.nn.utils.parametrizations",
    "torch.nn.utils.fusion",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "torch.optim.swa_utils",
    "torch.utils.data",
    "torch.autograd",
    "torch.autograd.functional",
    "torch.amp",
    "torch.linalg",
    "torch.special",
    "torch.random",
    "torch.func",
    "torch.fft",
    "torch.distributions",
]
INTRODUCTION = """\
# PyTorch's names

Made by `python tools/api_table.py` from PyTorch {version}. A name that is here takes PyTorch's
arguments and is compared with PyTorch in `python/tests`; what differs in values or gradients is
listed in `python/tests/test_op_parity.py`.

A name counts when it is in its module's `__all__` (where there is none: when it was defined inside
PyTorch, not imported from elsewhere) and neither a module nor a leading underscore. It counts as
missing only when PyTorch documents it (it has a docstring, or is a dtype) and does not call it
deprecated.

| room | here | not here |
|---|---|---|
"""


def resolve(path: str, package: str):
    """The module or class of a dotted path; None when the package has none."""
    place = importlib.import_module(package)
    for part in path.split(".")[1:]:
        if inspect.ismodule(place) and not hasattr(place, part):
            try:
                importlib.import_module(f"{place.__name__}.{part}")
            except ImportError:
                return None
        place = getattr(place, part, None)
    return place


def is_own(value) -> bool:
    """Defined inside PyTorch; C++ functions may have no module at all."""
    module = getattr(value, "__module__", None) or "torch"
    return module.split(".")[0] == "torch" and module != "torch.overrides"


def names_of(place) -> set[str]:
    """Public names of a module or class."""
    listed = getattr(place, "__all__", None)
    names = set()
    for name in listed or dir(place):
        value = getattr(place, name, None)
        if name.startswith("_") or inspect.ismodule(value):
            continue
        if listed or inspect.isclass(place) or (callable(value) and is_own(value)):
            names.add(name)
    return names


def is_documented(place, name: str) -> bool:
    value = getattr(place, name)
    if isinstance(value, torch.dtype):
        return True
    if not inspect.isclass(place) and not callable(value):
        return False
    text = inspect.getdoc(value) or ""
    end = text[:400].lower()
    return bool(text) and not re.search(r"deprecat|internal use only|not.{0,20} public", end)


def page() -> str:
    rows, sections = [], []
    for room in ROOMS:
        theirs, ours = resolve(room, "torch"), resolve(room, "deepseek")
        names = names_of(theirs)
        here = sorted(n for n in names if hasattr(ours, n))
        missing = sorted(n for n in names if not hasattr(ours, n) and is_documented(theirs, n))
        rows.append(f"| {room} | {len(here)} | {len(missing)} |")
        sections += [f"## {room}", ""]
        for title, listed in [("Here", here), ("Not here", missing)]:
            text = ", ".join(f"`{n}`" for n in listed) or "none"
            sections += [f"{title} ({len(listed)}): {text}", ""]
    version = torch.__version__.split("+")[0]
    return "\n".join([INTRODUCTION.format(version=version) + "\n".join(rows), "", *sections])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the page is current")
    check = parser.parse_args().check
    text = page()
    if check:
        if not PAGE.exists() or PAGE.read_text() != text:
            print(f"{PAGE} is out of date; run python tools/api_table.py", file=sys.stderr)
            return 1
        return 0
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
