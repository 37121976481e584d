# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/torch-api.md: which of PyTorch's names are here.

    python tools/api_table.py          # writes the page
    python tools/api_table.py --check  # fails when the page is not what it would write
"""

import inspect
import sys
from pathlib import Path

import torch

import deepseek as ds

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "torch-api.md"
ROOMS = [
    ("torch", torch, ds),
    ("torch.Tensor", torch.Tensor, ds.Tensor),
    ("torch.nn", torch.nn, ds.nn),
    ("torch.nn.functional", torch.nn.functional, ds.nn.functional),
    ("torch.nn.init", torch.nn.init, ds.nn.init),
    ("torch.linalg", torch.linalg, ds.linalg),
    ("torch.autograd", torch.autograd, ds.autograd),
    ("torch.optim", torch.optim, ds.optim),
    ("torch.optim.lr_scheduler", torch.optim.lr_scheduler, ds.optim.lr_scheduler),
    ("torch.utils.data", torch.utils.data, ds.data),
]


def public(place) -> set[str]:
    """Callables of a module or class that are meant to be used."""
    names = set()
    for name in dir(place):
        value = getattr(place, name, None)
        if name.startswith("_") or not callable(value) or inspect.ismodule(value):
            continue
        names.add(name)
    return names


def page() -> str:
    lines = [
        "# PyTorch's names",
        "",
        "Made by `python tools/api_table.py`. A name that is here takes PyTorch's arguments and is "
        "compared with PyTorch 2.13 in `python/tests`; what differs is listed in "
        "`python/tests/test_op_parity.py`.",
        "",
    ]
    for title, theirs, ours in ROOMS:
        here = sorted(public(theirs) & public(ours))
        lines += [f"## {title}: {len(here)} names", "", ", ".join(f"`{n}`" for n in here), ""]
    return "\n".join(lines)


def main() -> int:
    text = page()
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text() != text:
            print(f"{PAGE} is out of date; run python tools/api_table.py", file=sys.stderr)
            return 1
        return 0
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
