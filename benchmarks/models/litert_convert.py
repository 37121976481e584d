# SPDX-License-Identifier: Apache-2.0
"""Writes a case's network as a .tflite file; a program of its own, so that the memory of PyTorch
and of the converter is not counted as the engine's.

usage: litert_convert.py CASE STATE FILE    the case as JSON, weights as .npz, what is written"""

import json
import sys

import litert_torch
import numpy as np
import torch
from cases import Case, batch


def main() -> int:
    fields, state, file = sys.argv[1:]
    fields = json.loads(fields)
    case = Case(**{**fields, "batch": tuple(fields["batch"])})
    model = case.network.build(torch).eval()
    with np.load(state) as weights:
        model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    litert_torch.convert(model, (torch.tensor(batch(case)[0]),)).export(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
