# SPDX-License-Identifier: Apache-2.0
"""Whether what a framework computed is what the reference computed."""

from pathlib import Path

import numpy as np

# Largest relative error of output, loss and gradients. Behind fifty normalisations FP32 gradients
# are off by 2 % from FP64, in PyTorch as here; BF16 has 8 bits of mantissa.
TOLERANCE = {"f32": (2e-3, 1e-3, 6e-2), "bf16": (6e-2, 2e-2, 0.35)}


class Disagreement(Exception):
    """Two frameworks computed different values."""


def compare(found: Path, expected: Path, precision: str) -> None:
    """Compares two files of Worker.check() by norms; Disagreement names what differs most."""
    for_output, for_loss, for_gradients = TOLERANCE[precision]
    with np.load(found) as ours, np.load(expected) as theirs:
        missing = set(theirs.files) ^ set(ours.files)
        if missing:
            raise Disagreement(f"only one side has {', '.join(sorted(missing)[:3])}")
        norms = {name: float(np.linalg.norm(theirs[name])) for name in theirs.files}
        whole = np.sqrt(sum(n * n for k, n in norms.items() if k.startswith("gradient")))
        for name in theirs.files:
            limit, scale = for_gradients, norms[name] + 1e-3 * whole
            if name in ("output", "loss"):
                limit, scale = (for_output if name == "output" else for_loss), norms[name]
            error = float(np.linalg.norm(ours[name] - theirs[name]))
            if not error <= limit * scale:  # also when it is NaN
                raise Disagreement(
                    f"the {name} differs from PyTorch's by {error / scale:.2g} of "
                    f"its size, the limit is {limit}"
                )
