# SPDX-License-Identifier: Apache-2.0
"""What map() and filter() keep between runs, and what makes them compute anew."""

import functools
import os
import subprocess
import sys

import deepseek as ds
import numpy as np
import pytest
from deepseek import datasets
from deepseek.datasets import Dataset, concatenate_datasets, load_dataset, load_from_disk
from deepseek.datasets.fingerprint import Unknown, fingerprint

pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("n,text\n" + "1,a\n2,b\n3,c\n4,d\n" * 5)
    return tmp_path / "data"


def rows_of(folder):
    return load_dataset(folder, split="train")


#: Looked up in a way that makes it no part of the function.
CALLS = []
FACTOR = 2


def doubled(row):
    return {"m": FACTOR * row["n"]}


def calls_of(verb):
    """How often the function ran, and what came of it."""
    before = len(CALLS)
    made = verb()
    return len(CALLS) - before, made


def test_a_result_is_found_again(folder, cache):
    count, first = calls_of(lambda: rows_of(folder).map(counted(2)))
    assert count == 20 and first["m"][:4] == [2, 4, 6, 8]
    count, second = calls_of(lambda: rows_of(folder).map(counted(2)))
    assert count == 0 and second.to_dict() == first.to_dict()
    assert second.features == first.features
    kept = list(cache.glob("map-*.arrow"))
    assert len(kept) == 1
    # Each of these is something else.
    for verb in (
        lambda: rows_of(folder).map(counted(3)),
        lambda: rows_of(folder).map(counted(2), remove_columns="text"),
        lambda: rows_of(folder).select(range(9)).map(counted(2)),
        lambda: rows_of(folder).shuffle(seed=1).map(counted(2)),
        lambda: rows_of(folder).shuffle(seed=2).map(counted(2)),
        lambda: rows_of(folder).rename_column("text", "words").map(counted(2)),
        lambda: rows_of(folder).with_format("numpy").map(counted(2)),
        lambda: rows_of(folder).map(counted(2)).map(counted(2)),
        lambda: concatenate_datasets([rows_of(folder)] * 2).map(counted(2)),
    ):
        count, made = calls_of(verb)
        assert count > 0
        count, again = calls_of(verb)
        assert count == 0 and again.to_dict() == made.to_dict()
    (folder / "train.csv").write_text("n,text\n5,e\n")
    count, third = calls_of(lambda: rows_of(folder).map(counted(2)))
    assert count == 1 and third["m"] == [10]


def counted(by):
    def function(row):
        sys.modules[__name__].CALLS.append(row)
        return {"m": by * row["n"]}

    return function


def test_what_asks_for_a_new_result(folder, cache):
    rows = rows_of(folder)
    function = counted(2)
    assert calls_of(lambda: rows.map(function))[0] == 20
    assert calls_of(lambda: rows.map(function, load_from_cache_file=False))[0] == 20
    assert calls_of(lambda: rows.map(function, keep_in_memory=True))[0] == 20
    datasets.disable_caching()
    try:
        assert not datasets.is_caching_enabled()
        assert calls_of(lambda: rows.map(function))[0] == 20
    finally:
        datasets.enable_caching()
    assert calls_of(lambda: rows.map(function))[0] == 0
    assert len(list(cache.glob("map-*.arrow"))) == 1
    kept = rows.map(function)
    assert rows.cleanup_cache_files() == 1 and kept["m"][:2] == [2, 4]
    assert calls_of(lambda: rows.map(function))[0] == 20
    # Rows that are in memory only keep nothing, unless a file is named.
    small = Dataset.from_dict({"n": [1, 2]})
    for _ in range(2):
        assert calls_of(lambda: small.map(function))[0] == 2
    path = folder / "made.arrow"
    assert calls_of(lambda: small.map(function, cache_file_name=path))[0] == 2
    assert calls_of(lambda: small.map(function, cache_file_name=path))[0] == 0
    assert small.map(counted(3), cache_file_name=path, load_from_cache_file=False)["m"] == [3, 6]
    assert load_dataset(path, split="train")["m"] == [3, 6]


def test_a_damaged_result_is_made_again(folder, cache):
    function = counted(2)
    for damage in (
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-8],  # every batch that is left is whole
        lambda content: bytes(len(content)),
    ):
        rows_of(folder).map(function)
        files = list(cache.glob("*.arrow"))
        assert len(files) >= 1
        for file in files:
            file.write_bytes(damage(file.read_bytes()))
        count, made = calls_of(lambda: rows_of(folder).map(function))
        assert count == 20 and made["m"][:4] == [2, 4, 6, 8]
        assert calls_of(lambda: rows_of(folder).map(function))[0] == 0
    # A file that the user named may be another's.
    path = folder / "notes.txt"
    path.write_text("mine")
    with pytest.raises(ds.FileFormatError, match="no Arrow file"):
        rows_of(folder).map(function, cache_file_name=path)
    assert path.read_text() == "mine"


def test_filter_processes_and_saved_folders(folder, tmp_path):
    rows = rows_of(folder)

    def odd(row):
        sys.modules[__name__].CALLS.append(row)
        return row["n"] % 2

    count, kept = calls_of(lambda: rows.filter(odd))
    assert count == 20 and kept["n"] == [1, 3] * 5
    count, again = calls_of(lambda: rows.filter(odd))
    assert count == 0 and again["n"] == kept["n"]
    function = counted(7)
    many = rows.map(function, num_proc=3)
    count, one = calls_of(lambda: rows.map(function))
    assert count == 0 and one.to_dict() == many.to_dict()
    rows.save_to_disk(tmp_path / "saved")
    assert calls_of(lambda: load_from_disk(tmp_path / "saved").map(function))[0] == 20
    assert calls_of(lambda: load_from_disk(tmp_path / "saved").map(function))[0] == 0


PROGRAM = """
import sys
from deepseek.datasets import load_dataset
from helper import scaled
OFFSET = {offset}
def function(batch):
    print("computed")
    return {{"m": [scaled(n) + OFFSET for n in batch["n"]]}}
print(load_dataset(sys.argv[1], split="train").map(function, batched=True)["m"][:3])
"""


def test_runs_of_a_program(folder, tmp_path):
    """The program, the values and the functions it uses count, also those of its other files."""

    def run(offset, factor):
        (tmp_path / "program.py").write_text(PROGRAM.format(offset=offset))
        (tmp_path / "helper.py").write_text(f"def scaled(n):\n    return {factor} * n\n")
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        found = subprocess.run(
            [sys.executable, tmp_path / "program.py", folder],
            capture_output=True,
            text=True,
            env=environment,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout.split("\n")

    assert run(1, 2) == ["computed", "[3, 5, 7]", ""]
    assert run(1, 2) == ["[3, 5, 7]", ""]
    assert run(0, 2) == ["computed", "[2, 4, 6]", ""]
    assert run(0, 3) == ["computed", "[3, 6, 9]", ""]
    assert run(1, 2) == ["[3, 5, 7]", ""]


class Adder:
    def __init__(self, by):
        self.by = by

    def __call__(self, row):
        return {"m": row["n"] + self.by}


def test_fingerprints():
    def make(value):
        return lambda row: {"x": [value, row]}

    same = (
        (make(1), make(1)),
        (Adder(2), Adder(2)),
        (functools.partial(doubled, by=1), functools.partial(doubled, by=1)),
        ({1, 2, "a"}, {"a", 2, 1}),
        (np.arange(3), np.arange(3)),
        (np.mean, np.mean),
        (ds.tensor([1, 2]), ds.tensor([1, 2])),
    )
    for a, b in same:
        assert fingerprint(a) == fingerprint(b)
    values = [
        *(value for value, _ in same),
        make(2),
        make(1.0),
        make("1"),
        make(None),
        make([1]),
        make((1,)),
        Adder(3),
        functools.partial(doubled, by=2),
        np.arange(4),
        np.arange(3.0),
        np.median,
        ds.tensor([1, 3]),
        lambda row: {"x": 1},
        lambda row: {"y": 1},
        lambda row, n=3: {"x": 1},
        lambda row, n=4: {"x": 1},
        Adder,
    ]
    assert len({fingerprint(value) for value in values}) == len(values)
    loop = []
    loop.append(loop)
    assert fingerprint(loop) == fingerprint(loop)
    with pytest.raises(Unknown, match="generator"):
        fingerprint(n for n in range(3))


def test_a_global_that_changes(folder, monkeypatch):
    rows = rows_of(folder)
    assert rows.map(doubled, keep_in_memory=True)["m"][0] == 2
    before = fingerprint(doubled.__code__)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 5)
    assert fingerprint(doubled.__code__) == before
    assert rows.map(doubled)["m"][0] == 5


def test_what_cannot_be_told_is_computed(folder):
    rows, source = rows_of(folder), (n for n in range(100))
    with pytest.warns(UserWarning, match="not kept for the next run.*generator"):
        assert rows.map(lambda row: {"m": next(source)})["m"][:2] == [0, 1]
    assert rows.map(lambda row: None).to_dict() == rows.to_dict()


def test_a_tokenizer_counts_without_its_last_call(folder, tmp_path):
    pytest.importorskip("tokenizers")
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d".split()
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = ds.models.AutoTokenizer.from_pretrained(tmp_path)

    def tokenize(row):
        return tokenizer(row["text"], truncation=True, max_length=8)

    before = fingerprint(tokenize)
    made = rows_of(folder).map(tokenize)
    assert made[0]["input_ids"] == [2, 5, 3] and fingerprint(tokenize) == before
    (tmp_path / "vocab.txt").write_text("\n".join([*words, "e"]))
    other = ds.models.AutoTokenizer.from_pretrained(tmp_path)
    tokenizer = other
    assert fingerprint(tokenize) != before
