# SPDX-License-Identifier: Apache-2.0
"""LiteRT (TensorFlow Lite) as a peer: the network converted from PyTorch, run by XNNPACK."""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from cases import Case
from engines import Absent, Inference


class LiteRt(Inference):
    def __init__(self, case: Case, options: list[str], threads: int):
        super().__init__(case)
        for name in ("ai_edge_litert", "litert_torch"):
            if not importlib.util.find_spec(name):
                raise Absent(f"not installed (no module {name} in {sys.executable})")
        self.case, self.threads = case, threads

    def open(self, path: str):
        """path: the weights as .npz."""
        from ai_edge_litert.interpreter import Interpreter

        file = str(Path(path).with_name("model.tflite"))
        fields = json.dumps(dataclasses.asdict(self.case))
        convert = subprocess.run(
            [sys.executable, Path(__file__).with_name("litert_convert.py"), fields, path, file],
            capture_output=True,
            text=True,
        )
        if convert.returncode:
            *_, reason = convert.stderr.strip().splitlines() or [f"status {convert.returncode}"]
            raise RuntimeError(f"the network cannot be converted: {reason}")
        self.interpreter = Interpreter(model_path=file, num_threads=self.threads)
        self.interpreter.allocate_tensors()
        (given,) = self.interpreter.get_input_details()
        self.input = given["index"]
        self.x = self.x.astype(given["dtype"])  # tokens become i32
        (self.output,) = (d["index"] for d in self.interpreter.get_output_details())

    def infer(self):
        self.interpreter.set_tensor(self.input, self.x)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)

    def details(self):
        from importlib.metadata import version

        return {"version": version("ai-edge-litert")}
