# SPDX-License-Identifier: Apache-2.0
"""Whether what a framework computed is what the reference computed."""

from pathlib import Path

import numpy as np

# Largest relative error of output, loss and gradients. Behind fifty normalisations FP32 gradients
# are off by 2 % from FP64, in PyTorch as here; BF16 has 8 bits of mantissa.
TOLERANCE = {"f32": (2e-3, 1e-3, 6e-2), "bf16": (6e-2, 2e-2, 0.35)}
# Networks amplify rounding by their depth: beyond the tolerance an error may still be this many
# times that of PyTorch's own run in the same precision.
OF_PEER = 1.5


class Disagreement(Exception):
    """Two frameworks computed different values."""


def errors(found: Path, expected: Path) -> dict[str, float]:
    """The relative error of every value of a file of Worker.check(), by norms."""
    with np.load(found) as ours, np.load(expected) as theirs:
        missing = set(theirs.files) ^ set(ours.files)
        if missing:
            raise Disagreement(f"only one side has {', '.join(sorted(missing)[:3])}")
        norms = {name: float(np.linalg.norm(theirs[name])) for name in theirs.files}
        whole = np.sqrt(sum(n * n for k, n in norms.items() if k.startswith("gradient")))
        result = {}
        for name in theirs.files:
            scale = norms[name] + (0 if name in ("output", "loss") else 1e-3 * whole)
            result[name] = float(np.linalg.norm(ours[name] - theirs[name])) / max(scale, 1e-30)
        return result


def compare(found: Path, expected: Path, precision: str, peer: Path | None = None) -> None:
    """Disagreement when `found` differs from `expected`; `peer` is what PyTorch computes in this
    precision."""
    for_output, for_loss, for_gradients = TOLERANCE[precision]
    allowed = errors(peer, expected) if peer else {}
    for name, error in errors(found, expected).items():
        limit = {"output": for_output, "loss": for_loss}.get(name, for_gradients)
        limit = max(limit, OF_PEER * allowed.get(name, 0))
        if not error <= limit:  # also when it is NaN
            raise Disagreement(
                f"the {name} differs from PyTorch's by {error:.2g} of its size, the limit is "
                f"{limit:.2g}"
            )
