#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when a file of ds/ includes a room that its own room may not see.

A room sees itself and the layers below it, never a room beside or above it. What differs from that
rule is in the tables here, each row with its reason.
"""

import re
import sys
from pathlib import Path

LAYERS = [
    ["base"],
    ["ir"],
    ["grad", "passes", "runtime"],
    ["engine", "backends"],
    ["tensor"],
    ["nn", "optim", "data", "io", "text", "dist"],
    ["train", "quant", "onnx", "hub", "automl", "serve", "edge"],
]

# A backend is built apart and found through runtime's registry, so it sees little and is seen by
# nobody.
SEES_ONLY = {"backends": {"base", "ir", "runtime"}}
SEEN_BY_NOBODY = {"backends"}

# (room, room it may include although it is not below it): why.
EXCEPTIONS = {
    ("data", "io"): "data sets read images, npy and IDX through the readers of io",
    ("text", "io"): "tokenizers read their files through those of io",
}

# Headers of other projects, and the rooms that may include them.
THIRD_PARTY = [
    (re.compile(r"(oneapi/)?dnnl"), {"backends/cpu"}),
    (re.compile(r"(hwy|xbyak)/"), {"backends/cpu"}),
    (re.compile(r"Eigen/"), {"backends/cpu", "backends/ref"}),
    (re.compile(r"(jpeglib|png|zlib)\.h"), {"io", "data"}),
    (re.compile(r"unicode/"), {"text"}),
    (re.compile(r"(nanobind/|Python\.h)"), set()),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


def room_of(path: str) -> str:
    """The room of "ds/room/...", "" for a file in ds/ itself, which is the door to everything."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else ""


def backend_of(path: str) -> str:
    parts = path.split("/")
    return "/".join(parts[1:3]) if parts[1] == "backends" else parts[1]


def fault(path: str, target: str) -> str | None:
    """Why the file at path may not include target, or None."""
    room = room_of(path)
    if not target.startswith("ds/"):
        for pattern, rooms in THIRD_PARTY:
            if pattern.match(target) and backend_of(path) not in rooms:
                return f"only {', '.join(sorted(rooms)) or 'python/src'} may include it"
        return None
    other = room_of(target)
    if not room:
        return None
    if room not in LEVEL:
        return f"room {room} is in no layer; add it to tools/check_layers.py"
    if not other:
        return "a room does not include the umbrella header"
    if other not in LEVEL:
        return f"room {other} is in no layer; add it to tools/check_layers.py"
    if room == other:
        if backend_of(path) != backend_of(target):
            return "one backend does not see another"
        return None
    if (room, other) in EXCEPTIONS:
        return None
    if other in SEEN_BY_NOBODY:
        return f"{other} is reached through the registry, not included"
    if room in SEES_ONLY and other not in SEES_ONLY[room]:
        return f"{room} sees only {', '.join(sorted(SEES_ONLY[room]))}"
    if LEVEL[other] == LEVEL[room]:
        return f"{other} is beside {room} (both layer {LEVEL[room]})"
    if LEVEL[other] > LEVEL[room]:
        return f"{other} (layer {LEVEL[other]}) is above {room} (layer {LEVEL[room]})"
    return None


def main() -> int:
    root = Path(__file__).parent.parent
    files = sorted(p for p in (root / "ds").rglob("*") if p.suffix in {".h", ".cpp", ".def"})
    faults = 0
    for file in files:
        path = file.relative_to(root).as_posix()
        text = file.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            why = fault(path, match[1])
            if why:
                line = text.count("\n", 0, match.start(1)) + 1
                print(f"{path}:{line}: includes {match[1]}: {why}")
                faults += 1
    print(f"check_layers: {len(files)} files, {faults} faults")
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main())
