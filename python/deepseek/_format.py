# SPDX-License-Identifier: Apache-2.0
"""Numbers for people."""


def format_bytes(count: int) -> str:
    """1536 as "1.5 KiB"."""
    if count < 1024:
        return f"{count} B"
    size, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.1f} {unit}"
