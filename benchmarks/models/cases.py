# SPDX-License-Identifier: Apache-2.0
"""Cases: the lines of benchmarks/cases/*.txt, and the batches that belong to them."""

import dataclasses
import re
from pathlib import Path

import numpy as np
from networks import NETWORKS

FOLDER = Path(__file__).parents[1] / "cases"
COLUMNS = ("name", "model", "batch", "optimizer", "precision", "mode")
CHOICES = {
    "optimizer": ("none", "sgd", "adamw"),
    "precision": ("f32", "bf16"),
    "mode": ("train", "infer"),
}


class CaseError(Exception):
    """A case file or a choice of cases is wrong."""


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    model: str
    batch: tuple[int, ...]
    optimizer: str
    precision: str
    mode: str
    text: str = ""  # a file whose characters are the tokens

    @property
    def network(self):
        return NETWORKS[self.model]


def parse_line(line: str, place: str) -> Case:
    fields = line.split()
    if len(fields) != len(COLUMNS):
        raise CaseError(
            f"{place}: {len(fields)} columns, there must be {len(COLUMNS)}: " f"{' '.join(COLUMNS)}"
        )
    row = dict(zip(COLUMNS, fields, strict=False))
    if row["model"] not in NETWORKS:
        raise CaseError(f"{place}: model '{row['model']}' is unknown; use {', '.join(NETWORKS)}")
    for column, choices in CHOICES.items():
        if row[column] not in choices:
            raise CaseError(
                f"{place}: {column} '{row[column]}' is unknown; use " f"{', '.join(choices)}"
            )
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)+", row["batch"]):
        raise CaseError(f"{place}: batch '{row['batch']}' is no shape; write for example 8x128")
    if (row["mode"] == "train") != (row["optimizer"] != "none"):
        raise CaseError(f"{place}: a case trains with an optimizer or infers with none")
    return Case(**{**row, "batch": tuple(map(int, row["batch"].split("x")))})


def read_cases(path: Path) -> list[Case]:
    """The cases of a file; '#' begins a comment."""
    cases = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if line:
            cases.append(parse_line(line, f"{path.name}:{number}"))
    return cases


def batch(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets, the same in every process."""
    draw = np.random.default_rng(0)
    network, shape = case.network, case.batch
    if network.kind != "tokens":
        x = draw.standard_normal(shape).astype(np.float32)
        return x, draw.integers(0, network.classes, shape[0])
    rows, length = shape
    if case.text:
        text = np.frombuffer(Path(case.text).read_bytes(), np.uint8).astype(np.int64)
        if len(text) <= length:
            raise CaseError(f"{case.text}: {len(text)} characters are too few for {case.name}")
        starts = draw.integers(0, len(text) - length, rows)
        windows = np.stack([text[s : s + length + 1] for s in starts]) % network.vocabulary
        return windows[:, :-1].copy(), windows[:, 1:].copy()
    x = draw.integers(0, network.vocabulary, shape)
    return x, draw.integers(0, network.classes, shape if network.targets == "token" else rows)
