# SPDX-License-Identifier: Apache-2.0
"""Tables of text and numbers from local files."""

import json

import deepseek as ds
import pytest
from deepseek.datasets import Table, load_dataset


def test_load_dataset_reads_what_people_have(tmp_path):
    (tmp_path / "train.csv").write_text('text,label,score\n"a, ""b""",1,0.5\nc,2,\n', "utf-8")
    (tmp_path / "dev.jsonl").write_text('{"text": "x"}\n{"text": "y", "n": 2}\n')
    tables = load_dataset(tmp_path)
    assert tables["train"][0] == {"text": 'a, "b"', "label": 1, "score": 0.5}
    assert tables["train"]["score"] == [0.5, None]
    assert tables["validation"][:2] == {"text": ["x", "y"], "n": [None, 2]}
    (tmp_path / "rows.json").write_text(json.dumps([{"a": 1}, {"a": 2}]))
    assert load_dataset("json", data_files=str(tmp_path / "rows.json"))["train"]["a"] == [1, 2]
    (tmp_path / "lines.txt").write_text("one\ntwo\n")
    assert load_dataset(tmp_path / "lines.txt", split="train")["text"] == ["one", "two"]
    with pytest.raises(ds.KeyError, match="no split 'test'"):
        tables["test"]


def test_table_verbs():
    table = Table({"text": list("abcdefgh"), "n": list(range(8))})
    doubled = table.map(lambda row: {"m": row["n"] * 2}, remove_columns="n")
    assert doubled.column_names == ["text", "m"] and doubled["m"] == list(range(0, 16, 2))
    batched = table.map(lambda rows: {"m": [n + 1 for n in rows["n"]]}, batched=True, batch_size=3)
    assert batched["m"] == list(range(1, 9))
    assert table.filter(lambda row: row["n"] % 2)["text"] == list("bdfh")
    mixed = table.shuffle(seed=1)
    assert sorted(mixed["n"]) == table["n"] and mixed["n"] != table["n"]
    parts = table.train_test_split(test_size=0.25, seed=1)
    assert (
        len(parts["train"]) == 6 and sorted(parts["train"]["n"] + parts["test"]["n"]) == table["n"]
    )
    assert parts.rename_column("n", "label")["test"].column_names == ["text", "label"]
    with pytest.raises(ds.ValueError, match="one part empty"):
        table.train_test_split(test_size=8)
    with pytest.raises(ds.IndexError):
        table[8]


@pytest.mark.parametrize(
    "name, text, error, message",
    [
        ("train.csv", "", ds.FileFormatError, "empty"),
        ("train.csv", "a,b\n1\n", ds.FileFormatError, "row 2 has 1 fields"),
        ("train.csv", "a,a\n1,2\n", ds.FileFormatError, "same name"),
        ("train.json", "{", ds.FileFormatError, "train.json"),
        ("train.json", "[1, 2]", ds.FileFormatError, "JSON object"),
        ("other.csv", None, ds.IOError, "no train or test file"),
    ],
)
def test_damaged_files(tmp_path, name, text, error, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(error, match=message):
        load_dataset(tmp_path)
