# SPDX-License-Identifier: Apache-2.0
"""Further verbs of tables against the package `datasets`, and the progress they show."""

import io
import sys

import deepseek as ds
import pytest
from deepseek import datasets
from deepseek.datasets import progress

theirs = pytest.importorskip("datasets")
ROWS = {
    "n": [1, 2, 3, 4, 5],
    "answers": [{"text": [t], "at": {"start": i}} for i, t in enumerate("abcde")],
    "label": [0, 1, 1, 0, 1],
}
NAMES = ["no", "yes"]


@pytest.fixture()
def both():
    """The same rows, ours and theirs."""
    made = [kind.Dataset.from_dict(ROWS) for kind in (datasets, theirs)]
    return [
        made[0].cast_column("label", datasets.ClassLabel(NAMES)),
        made[1].cast_column("label", theirs.ClassLabel(names=NAMES)),
    ]


VERBS = {
    "flatten": lambda rows: rows.flatten(),
    "flatten what was chosen": lambda rows: rows.select([3, 1]).flatten(),
    "repeat": lambda rows: rows.repeat(2),
    "repeat what was chosen": lambda rows: rows.select([3, 1]).repeat(3),
    "add_item": lambda rows: rows.add_item(
        {"n": 6, "answers": {"text": [], "at": {"start": 9}}, "label": 1}
    ),
    "batch": lambda rows: rows.batch(2),
    "whole batches": lambda rows: rows.select_columns(["n"]).batch(2, drop_last_batch=True),
    "align": lambda rows: rows.align_labels_with_mapping({"YES": 0, "No": 1}, "label"),
}


@pytest.mark.parametrize("name", list(VERBS))
def test_verbs_equal_those_of_datasets(both, name):
    mine, other = (VERBS[name](rows) for rows in both)
    assert mine.to_dict() == other.to_dict()
    assert mine.column_names == other.column_names
    if name == "align":
        assert [n.lower() for n in mine.features["label"].names] == [
            n.lower() for n in other.features["label"].names
        ]


def test_verbs_of_several_splits(both):
    mine = datasets.DatasetDict(train=both[0], test=both[0].take(2))
    flat = mine.flatten().repeat(2)
    assert flat["test"]["answers.at.start"] == [0, 1, 0, 1] and flat.num_rows["train"] == 10


def test_a_format_for_a_while(both):
    for rows in both:
        with rows.formatted_as("numpy", columns=["n"]):
            assert rows[0].keys() == {"n"} and rows["n"][:].dtype.kind == "i"
        assert rows[0]["answers"]["text"] == ["a"]


def test_rows_of_files(both, tmp_path):
    rows = both[0].select_columns(["n"])
    rows.to_csv(tmp_path / "a.csv")
    rows.to_json(tmp_path / "a.jsonl")
    rows.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    for kind in ("csv", "json", "parquet"):
        path = str(tmp_path / ("a.jsonl" if kind == "json" else f"a.{kind}"))
        made, other = (getattr(d, f"from_{kind}")(path) for d in (datasets.Dataset, theirs.Dataset))
        assert made.to_dict() == other.to_dict() == {"n": ROWS["n"]}
    assert datasets.Dataset.from_text(str(tmp_path / "a.txt"))["text"] == ["one", "two"]
    features = datasets.Features({"n": datasets.Value("float32")})
    made = datasets.Dataset.from_csv(str(tmp_path / "a.csv"), features=features)
    assert made.features["n"].dtype == "float32"
    rows.save_to_disk(tmp_path / "saved")
    assert datasets.Dataset.load_from_disk(tmp_path / "saved").to_dict() == rows.to_dict()
    datasets.DatasetDict(train=rows).save_to_disk(tmp_path / "several")
    with pytest.raises(ds.ValueError, match="holds several splits; use load_from_disk"):
        datasets.Dataset.load_from_disk(tmp_path / "several")


def test_features_of_lists_and_classes():
    answers = datasets.Sequence({"text": datasets.Value("string")})
    assert answers == {"text": datasets.List(datasets.Value("string"))}
    tags = datasets.Sequence(datasets.ClassLabel(NAMES), length=2)
    made = datasets.Dataset.from_dict({"tags": [[0, 1]]}, datasets.Features({"tags": tags}))
    classes = made.features["tags"].feature
    assert classes.int2str(made[0]["tags"]) == NAMES and classes.str2int(["yes", "no"]) == [1, 0]


@pytest.mark.parametrize(
    ("verb", "error"),
    [
        (lambda rows: rows.add_item({"n": 1}), "the row has n; the columns are n, answers, label"),
        (lambda rows: rows.batch(0), "batch_size 0"),
        (lambda rows: rows.align_labels_with_mapping({"a": 0}, "n"), "not ClassLabel; call class_"),
        (
            lambda rows: rows.align_labels_with_mapping({"no": 0}, "label"),
            "has no 'yes'",
        ),
        (lambda rows: rows.flatten()["answers"], "no column 'answers'; there are n, answers.text"),
    ],
)
def test_what_does_not_fit_is_told(both, verb, error):
    with pytest.raises((ds.ValueError, ds.KeyError), match=error):
        verb(both[0])


def test_unlabelled_rows_have_no_class_to_align():
    features = datasets.Features({"label": datasets.ClassLabel(["neg", "pos"])})
    rows = datasets.Dataset.from_dict({"label": [0, -1]}, features=features)
    with pytest.raises(ds.IndexError, match="class -1 of 2"):
        rows.align_labels_with_mapping({"neg": 1, "pos": 0}, "label")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("num_proc", [1, 2])
def test_map_shows_its_progress_on_a_terminal(both, monkeypatch, num_proc):
    monkeypatch.setattr(progress.Progress, "SECONDS", 0.0)
    shown = {}
    for how in ("terminal", "disabled", "file"):
        stream = io.StringIO() if how == "file" else Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        if how == "disabled":
            datasets.disable_progress_bars()
        assert datasets.are_progress_bars_disabled() == (how == "disabled")
        both[0].map(lambda row: {}, batched=True, batch_size=1, num_proc=num_proc, desc="Encode")
        both[0].filter(lambda row: row["n"] > 2)
        datasets.enable_progress_bars()
        shown[how] = stream.getvalue()
    assert "Encode:  20 % of 5 rows" in shown["terminal"] and "Encode: 100 %" in shown["terminal"]
    assert "filter: 100 % of 5 rows" in shown["terminal"]
    assert shown["disabled"] == shown["file"] == ""
