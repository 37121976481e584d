# SPDX-License-Identifier: Apache-2.0
"""Devices that a plan may be for: what their makers state, and what is free on this machine."""

import re
from typing import NamedTuple

from .. import _core, memory


class Device(NamedTuple):
    """Memory in bytes, FLOP/s in FP32 and with 16-bit operands, bytes/s of the memory, of the link
    to the other devices and of the link to the host, one way each. Rates are 0 where nothing is
    known."""

    name: str
    memory: int
    flops32: float = 0.0
    flops16: float = 0.0
    bandwidth: float = 0.0
    link: float = 0.0
    host_link: float = 0.0


_GIB = 1 << 30
#: Peaks of the makers' data sheets, without sparsity; docs/guide/planning.md names them.
DEVICES = {
    d.name.lower(): d
    for d in (
        Device("V100-16GB", 16 * _GIB, 15.7e12, 125e12, 0.9e12, 150e9, 16e9),
        Device("V100-32GB", 32 * _GIB, 15.7e12, 125e12, 0.9e12, 150e9, 16e9),
        Device("T4-16GB", 16 * _GIB, 8.1e12, 65e12, 0.3e12, 16e9, 16e9),
        Device("A100-40GB", 40 * _GIB, 19.5e12, 312e12, 1.555e12, 300e9, 32e9),
        Device("A100-80GB", 80 * _GIB, 19.5e12, 312e12, 2.039e12, 300e9, 32e9),
        Device("L4-24GB", 24 * _GIB, 30.3e12, 121e12, 0.3e12, 32e9, 32e9),
        Device("H100-80GB", 80 * _GIB, 67e12, 989e12, 3.35e12, 450e9, 64e9),
        Device("H200-141GB", 141 * _GIB, 67e12, 989e12, 4.8e12, 450e9, 64e9),
        Device("RTX3090-24GB", 24 * _GIB, 35.6e12, 71e12, 0.936e12, 32e9, 32e9),
        Device("RTX4090-24GB", 24 * _GIB, 82.6e12, 165e12, 1.008e12, 32e9, 32e9),
        Device("MI250X-128GB", 128 * _GIB, 47.9e12, 383e12, 3.277e12, 400e9, 32e9),
        Device("MI300X-192GB", 192 * _GIB, 163.4e12, 1307.4e12, 5.3e12, 448e9, 64e9),
        # Makers state no rate in FP32 and no link to the host.
        Device("TPUv4-32GB", 32 * _GIB, 0.0, 275e12, 1.228e12, 150e9),
        Device("TPUv5e-16GB", 16 * _GIB, 0.0, 197e12, 0.819e12, 100e9),
        Device("TPUv5p-95GB", 95 * _GIB, 0.0, 459e12, 2.765e12, 300e9),
    )
}


def parse_devices(text: str) -> tuple[int, Device]:
    """How many of which: "8xA100-80GB", "4x24GB" (an amount of memory alone, so no times), "cpu"
    (this machine: the memory that is free, measured rates). ValueError lists the names."""
    match = re.fullmatch(r"(?:([1-9]\d{0,6})x)?(.+)", text)
    count, name = (int(match[1] or 1), match[2]) if match else (1, text)
    if name.lower() in DEVICES:
        return count, DEVICES[name.lower()]
    if name == "cpu":
        from .._roofline import measure_peaks

        peaks = measure_peaks()
        return count, Device(
            "cpu", memory.available(), peaks.flops, peaks.flops, peaks.bandwidth, 0, 0
        )
    try:
        return count, Device(name, memory.parse_bytes(name))
    except _core.ValueError:
        known = ", ".join(d.name for d in DEVICES.values())
        raise _core.ValueError(
            f"devices '{text}' are unknown; write a number and one of {known}, cpu or an amount "
            "of memory, such as 8xA100-80GB or 4x24GiB"
        ) from None
