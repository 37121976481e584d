# SPDX-License-Identifier: Apache-2.0
"""Text files that a reader sees as they were, or whole."""

import os
from pathlib import Path


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes beside the file and renames, so a full disk leaves no half of it."""
    path = Path(path)
    beside = path.with_name(f"{path.name}.part")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
