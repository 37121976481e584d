# SPDX-License-Identifier: Apache-2.0
"""What device-agnostic code asks: this build has no CUDA device."""


def is_available() -> bool:
    """False: this build has no CUDA backend."""
    return False


def device_count() -> int:
    """0."""
    return 0
