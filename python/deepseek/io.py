# SPDX-License-Identifier: Apache-2.0
"""Readers and writers of single formats; load() and save() of the package choose by themselves."""

from ._core._io import (
    load_cifar,
    load_csv,
    load_idx,
    load_npy,
    load_npz,
    load_safetensors,
    load_torch,
    read_image,
    save_npy,
    save_safetensors,
    write_png,
)

__all__ = [
    "load_cifar",
    "load_csv",
    "load_idx",
    "load_npy",
    "load_npz",
    "load_safetensors",
    "load_torch",
    "read_image",
    "save_npy",
    "save_safetensors",
    "write_png",
]
