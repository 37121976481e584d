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


#: Calls with the names that arguments have in the package, which both must answer alike.
NAMED = {
    "select": lambda rows, _: rows.select(indices=[2, 0]),
    "select_columns": lambda rows, _: rows.select_columns(column_names=["n"]),
    "remove_columns": lambda rows, _: rows.remove_columns(column_names=["answers"]),
    "rename_column": lambda rows, _: rows.rename_column(
        original_column_name="n", new_column_name="m"
    ),
    "rename_columns": lambda rows, _: rows.rename_columns(column_mapping={"n": "m"}),
    "cast_column": lambda rows, of: rows.cast_column(column="n", feature=of.Value("float32")),
    "add_column": lambda rows, _: rows.add_column(name="m", column=[9, 8, 7, 6, 5]),
    "add_column of a feature": lambda rows, of: rows.add_column(
        "m", [9, 8, 7, 6, 5], feature=of.Value("int8")
    ),
    "class_encode_column": lambda rows, _: rows.class_encode_column(column="n"),
    "from_dict": lambda _, of: of.Dataset.from_dict(mapping={"a": [1, 2]}),
    "from_list": lambda _, of: of.Dataset.from_list(mapping=[{"a": 1}, {"a": 2}]),
    "classes of rows without": lambda _, of: of.Dataset.from_dict(
        {"a": ["x", None, "b"]}
    ).class_encode_column("a"),
    "classes of rows without, included": lambda _, of: of.Dataset.from_dict(
        {"a": ["x", None, "b"]}
    ).class_encode_column("a", include_nulls=True),
}


def described(rows) -> list:
    """The features as both print them into files."""
    kinds = {
        name: (type(f).__name__, getattr(f, "names", None)) for name, f in rows.features.items()
    }
    return [
        (name, kind, None if names is None else list(names))
        for name, (kind, names) in kinds.items()
    ]


@pytest.mark.parametrize("name", NAMED)
def test_arguments_have_the_names_of_datasets(both, name):
    mine, other = (NAMED[name](rows, of) for rows, of in zip(both, (datasets, theirs), strict=True))
    assert mine.to_list() == other.to_list()
    assert described(mine) == described(other)


def test_unique_values_and_frames_with_an_index(both, tmp_path):
    assert both[0].unique(column="label") == both[1].unique(column="label")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2, 3]}, index=[7, 8, 9])
    for kept in (False, True):
        mine, other = (
            kind.Dataset.from_pandas(df=frame, preserve_index=kept) for kind in (datasets, theirs)
        )
        assert mine.to_list() == other.to_list()
    rows = both[0].remove_columns("answers")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    with pytest.raises(ds.ValueError, match="rows have no index"):
        rows.to_csv(tmp_path / "rows.csv", index=True)
    with pytest.raises(ds.ValueError, match="orient='records' and lines=True"):
        rows.to_json(tmp_path / "rows.jsonl", orient="columns")
    rows.save_to_disk(tmp_path / "kept", max_shard_size=20)
    assert len(list((tmp_path / "kept").glob("*.arrow"))) > 1
    assert theirs.load_from_disk(str(tmp_path / "kept")).to_list() == rows.to_list()
    with pytest.raises(ds.ValueError, match="save_to_disk: max_shard_size 'much'"):
        rows.save_to_disk(tmp_path / "kept", max_shard_size="much")
    splits = datasets.DatasetDict(train=rows)
    splits.save_to_disk(tmp_path / "splits")
    again = datasets.DatasetDict.load_from_disk(tmp_path / "splits")
    assert again["train"].to_list() == rows.to_list()
    with pytest.raises(ds.ValueError, match="holds one data set"):
        datasets.DatasetDict.load_from_disk(tmp_path / "kept")


def test_features_are_written_as_dicts(both):
    features = both[0].features
    assert datasets.Features.from_dict(features.to_dict()) == features
    assert theirs.Features.from_dict(features.to_dict()) == both[1].features
    assert type(features.copy()) is datasets.Features and features.copy() is not features
    info = both[0].info
    assert info.features == features and info.dataset_size > 0 and both[0].split is None


#: Verbs of streams, ours and theirs.
STREAMED = {
    "filter in batches": lambda rows, _: rows.filter(
        lambda b: [n % 2 == 1 for n in b["n"]], batched=True, batch_size=2
    ),
    "filter in batches with places": lambda rows, _: rows.filter(
        lambda b, at: [i > 1 for i in at], batched=True, batch_size=2, with_indices=True
    ),
    "repeat": lambda rows, _: rows.repeat(2),
    "repeat what is left": lambda rows, _: rows.skip(3).repeat(2).take(3),
    "cast_column": lambda rows, of: rows.cast_column("n", of.Value("float32")),
    "cast": lambda rows, of: rows.select_columns(column_names=["n"]).cast(
        of.Features({"n": of.Value("string")})
    ),
    "add_column": lambda rows, _: rows.add_column("m", [5, 4, 3, 2, 1]),
    "rename_column": lambda rows, _: rows.rename_column(
        original_column_name="n", new_column_name="m"
    ),
    "rename_columns": lambda rows, _: rows.rename_columns(column_mapping={"n": "m"}),
    "remove_columns": lambda rows, _: rows.remove_columns(column_names=["n", "answers"]),
}


@pytest.mark.parametrize("name", STREAMED)
def test_streams_equal_those_of_datasets(both, name):
    mine, other = (
        STREAMED[name](rows.to_iterable_dataset(), of)
        for rows, of in zip(both, (datasets, theirs), strict=True)
    )
    expected = list(other)
    assert list(mine) == expected and list(mine) == expected  # each pass begins anew


def test_streams_of_generators_know_their_features():
    features = datasets.Features({"x": datasets.Value("int64")})
    rows = datasets.IterableDataset.from_generator(
        lambda count: ({"x": i} for i in range(count)), features, gen_kwargs={"count": 3}
    )
    assert rows.features == features and [row["x"] for row in rows] == [0, 1, 2]
    assert [row["x"] for row in rows.repeat(None).take(7)] == [0, 1, 2, 0, 1, 2, 0]
    with pytest.raises(ds.ValueError, match="2 values, and more rows"):
        list(rows.add_column("y", [1, 2]))
    with pytest.raises(ds.ValueError, match="there is a column 'x' already"):
        rows.add_column("x", [1, 2, 3])
    with pytest.raises(ds.ValueError, match="filter: 1 truths for 3 rows"):
        list(rows.filter(lambda b: [True], batched=True))
