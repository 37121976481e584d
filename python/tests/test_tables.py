# SPDX-License-Identifier: Apache-2.0
"""Rows of text, numbers and images: files, splits, verbs; where it is installed, against the
package `datasets`."""

import gzip
import hashlib
import http.server
import json
import subprocess
import sys
import threading

import deepseek as ds
import numpy as np
import pytest
from deepseek import data, datasets
from deepseek.datasets import (
    ClassLabel,
    Dataset,
    DatasetDict,
    Features,
    Image,
    List,
    Value,
    concatenate_datasets,
    interleave_datasets,
    load_dataset,
    load_from_disk,
)

pa = pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


@pytest.fixture
def on_disk(monkeypatch):
    """Tables of every size go to files."""
    monkeypatch.setattr(datasets.arrow, "IN_MEMORY", 0)


ROWS = {
    "text": ["b", "a", "d", "c", "b", "", "é", "z"] * 5,
    "label": [0, 1, 0, 1, 0, 0, 1, 0] * 5,
    "score": [0.5, None, 2.0, -1.0, 3.5, 0.0, 1.0, 9.0] * 5,
    "ids": [[1, 2], [3], [], [4, 5, 6], [7], [8], [9], [10]] * 5,
}


@pytest.fixture
def rows():
    return Dataset.from_dict(ROWS)


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
    with pytest.raises(ds.KeyError, match="no split 'test'; there are train, validation"):
        load_dataset(tmp_path, split="test")
    (tmp_path / "empty.csv").write_text("a,b\n")
    empty = load_dataset(tmp_path / "empty.csv", split="train")
    assert empty.column_names == ["a", "b"] and len(empty) == 0 and list(empty) == []


def test_types_of_csv_columns_come_from_the_whole_file(tmp_path):
    lines = [f"{i},{i},true,{i},007,," for i in range(50_000)]
    lines[-1] = "1,x,False,0.5,-3,2020-01-01,"
    (tmp_path / "t.csv").write_text("i,s,b,f,n,d,e\n" + "\n".join(lines) + "\n")
    found = load_dataset(str(tmp_path / "t.csv"), split="train")
    kinds = {name: feature.dtype for name, feature in found.features.items()}
    assert kinds == {"i": "int64", "s": "string", "b": "bool", "f": "float64", "n": "int64",
                     "d": "string", "e": "float64"}  # fmt: skip
    assert found[0]["s"] == "0" and found[-1]["d"] == "2020-01-01" and found[-1]["f"] == 0.5


def test_every_kind_of_file_holds_the_same(tmp_path, rows, on_disk):
    import pyarrow.feather

    flat = rows.remove_columns("ids")
    flat.to_csv(tmp_path / "a.csv")
    rows.to_json(tmp_path / "a.jsonl")
    rows.to_parquet(tmp_path / "a.parquet")
    table = rows.table_of(slice(None))
    pyarrow.feather.write_feather(table, str(tmp_path / "a.feather"), compression="lz4")
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as file:
        file.write_table(table)
    with gzip.open(tmp_path / "a.json.gz", "wt") as file:
        file.write((tmp_path / "a.jsonl").read_text())
    for name in ("a.jsonl", "a.parquet", "a.feather", "a.arrow", "a.json.gz"):
        found = load_dataset(str(tmp_path / name), split="train")
        assert found.to_dict() == ROWS and found.features == rows.features, name
        streamed = load_dataset(str(tmp_path / name), split="train", streaming=True)
        assert list(streamed) == rows.to_list(), name
    assert load_dataset(str(tmp_path / "a.csv"), split="train").to_dict() == flat.to_dict()
    pandas = pytest.importorskip("pandas")
    assert pandas.read_parquet(tmp_path / "a.parquet")["text"].tolist() == ROWS["text"]
    assert Dataset.from_pandas(flat.to_pandas()).to_dict() == flat.to_dict()


def test_files_go_to_splits_by_their_names(tmp_path):
    def make(*names):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"name\n{name}\n")
        return folder

    def splits(folder, **more):
        return {k: rows["name"] for k, rows in load_dataset(folder, **more).items()}

    assert splits(make("my-train-1.csv", "my-train-2.csv", "eval.csv", "notes.csv")) == {
        "train": ["my-train-1.csv", "my-train-2.csv"],
        "test": ["eval.csv"],
    }
    assert splits(make("training/a.csv", "val/b.csv")) == {
        "train": ["training/a.csv"],
        "validation": ["val/b.csv"],
    }
    assert splits(make("data/odd-00000-of-00001.csv")) == {"odd": ["data/odd-00000-of-00001.csv"]}
    folder = make("x/a.csv", "x/y/b.csv", "c.csv")
    assert splits(folder) == {"train": ["c.csv", "x/a.csv", "x/y/b.csv"]}
    assert splits(folder, data_dir="x") == {"train": ["x/a.csv", "x/y/b.csv"]}
    assert splits(folder, data_files={"test": "**/*.csv", "train": ["c.csv"]}) == {
        "test": ["c.csv", "x/a.csv", "x/y/b.csv"],
        "train": ["c.csv"],
    }
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: one\n  data_files: c.csv\n- config_name: two\n"
        "  data_files:\n  - split: test\n    path: x/*.csv\n---\ntext\n"
    )
    assert splits(folder, name="two") == {"test": ["x/a.csv"]}
    with pytest.raises(ds.ValueError, match="name one of the configurations one, two"):
        load_dataset(folder)
    with pytest.raises(ds.ValueError, match="no configuration 'three'"):
        load_dataset(folder, name="three")
    with pytest.raises(ds.IOError, match="matches no file"):
        load_dataset(folder, data_files="z*.csv")


def test_parts_of_splits(tmp_path):
    (tmp_path / "train.csv").write_text("n\n" + "\n".join(map(str, range(15))))
    (tmp_path / "test.csv").write_text("n\n100\n")
    for split, expected in (
        ("train[:10%]", [0, 1]),
        ("train[50%:]", list(range(8, 15))),
        ("train[-2:]+test", [13, 14, 100]),
        ("train[2:4]", [2, 3]),
    ):
        assert load_dataset(tmp_path, split=split)["n"] == expected, split
    one, two = load_dataset(tmp_path, split=["train[:1]", "test"])
    assert one["n"] + two["n"] == [0, 100]
    with pytest.raises(ds.ValueError, match="not understood"):
        load_dataset(tmp_path, split="train[1]")


def test_options_of_files(tmp_path):
    (tmp_path / "a.txt").write_text("1;x\n2;y\n")
    found = load_dataset(
        "csv", data_files=str(tmp_path / "a.txt"), delimiter=";", column_names=["n", "t"]
    )["train"]
    assert found.to_dict() == {"n": [1, 2], "t": ["x", "y"]}
    (tmp_path / "b.json").write_text('{"v": 1, "rows": [{"a": 1}, {"a": 2.5}]}')
    found = load_dataset("json", data_files=str(tmp_path / "b.json"), field="rows", split="train")
    assert found["a"] == [1.0, 2.5]
    (tmp_path / "c.txt").write_text("one\ntwo\n\nthree\n")
    found = load_dataset(tmp_path / "c.txt", sample_by="paragraph", split="train")
    assert found["text"] == ["one\ntwo", "three"]
    with pytest.raises(ds.ValueError, match="'delimiter' is no option of text"):
        load_dataset(tmp_path / "c.txt", delimiter=";")
    (tmp_path / "d.csv").write_text("t,y\nx,no\ny,yes\n")
    features = Features(t=Value("string"), y=Value("string"))
    found = load_dataset(tmp_path / "d.csv", features=features, split="train")
    assert found.class_encode_column("y").features["y"] == ClassLabel(["no", "yes"])


def test_large_tables_are_converted_once_and_mapped(tmp_path, cache, on_disk):
    path = tmp_path / "train.csv"
    path.write_text("n\n1\n2\n")
    assert load_dataset(tmp_path)["train"]["n"] == [1, 2]
    (kept,) = cache.iterdir()
    first = kept.stat().st_mtime_ns
    assert load_dataset(tmp_path)["train"]["n"] == [1, 2] and kept.stat().st_mtime_ns == first
    path.write_text("n\n1\n2\n3\n")
    assert load_dataset(tmp_path)["train"]["n"] == [1, 2, 3]
    rows = load_dataset(tmp_path)["train"]
    doubled = rows.map(lambda row: {"m": 2 * row["n"]}, keep_in_memory=True)
    assert doubled["m"] == [2, 4, 6]
    assert len(list(cache.iterdir())) == 2  # what map() made goes with its rows


LIMITED = """
import resource, sys
import deepseek as ds
from deepseek.datasets import load_dataset
limit = 1 << 27
import pyarrow.csv
def heap():
    status = open("/proc/self/status").read()
    return int(status.split("RssAnon:")[1].split()[0]) << 10
before = heap()
rows = load_dataset(sys.argv[1], split="train")
assert len(rows) == 1_000_000
assert rows.shuffle(seed=1)[5]["n"] < 1_000_000
kept = rows.map(lambda r: {"m": [n + 1 for n in r["n"]]}, batched=True).filter(
    lambda n: [x % 100_000 == 0 for x in n], input_columns="m", batched=True)
assert [row["m"] for row in kept] == [100_000 * (i + 1) for i in range(10)]
assert heap() - before < limit, (heap() - before) >> 20
"""


def test_more_rows_than_memory_holds(tmp_path):
    """400 MB in an anonymous memory of 128 MB: the rest is mapped."""
    with (tmp_path / "train.csv").open("w") as file:
        file.write("n,text\n")
        for start in range(0, 1_000_000, 10_000):
            file.writelines(f"{n},{'x' * 390}\n" for n in range(start, start + 10_000))
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=500
    )
    assert run.returncode == 0, run.stderr[-2000:]


def test_map_and_filter(rows, on_disk):
    made = rows.map(
        lambda row, i, by: {"at": i, "twice": row["label"] * by},
        with_indices=True,
        fn_kwargs={"by": 2},
        remove_columns=["score"],
    )
    assert made.column_names == ["text", "label", "ids", "at", "twice"]
    assert made["at"] == list(range(40)) and made["twice"] == [2 * n for n in ROWS["label"]]
    batched = rows.map(
        lambda ids: {"n": [n for part in ids for n in part]},
        batched=True,
        batch_size=7,
        input_columns="ids",
        remove_columns=rows.column_names,
    )
    assert batched["n"] == [n for part in ROWS["ids"] for n in part]
    with pytest.raises(ds.ValueError, match="returned 1 rows for 40; remove the columns"):
        rows.map(lambda _: {"n": [1]}, batched=True)
    assert rows.map(lambda row: None).to_dict() == ROWS
    kept = rows.filter(lambda row: row["label"] == 1)
    assert kept["text"] == [t for t, y in zip(ROWS["text"], ROWS["label"], strict=True) if y]
    widened = rows.map(lambda row, i: {"x": None if i < 3 else i / 2 if i > 30 else i}, True)
    assert widened["x"][:5] == [None, None, None, 3.0, 4.0]
    with pytest.raises(ds.DTypeError, match="column 'x'"):
        rows.map(lambda row, i: {"x": i if i % 2 else "text"}, with_indices=True)


def test_map_in_processes(rows):
    one = rows.map(lambda row, i: {"at": i * 10}, with_indices=True)
    two = rows.map(lambda row, i: {"at": i * 10}, with_indices=True, num_proc=3)
    assert one.to_dict() == two.to_dict()
    assert rows.filter(lambda r: r["label"], num_proc=2).to_dict() == (
        rows.filter(lambda r: r["label"]).to_dict()
    )

    def fail(row):
        raise RuntimeError("here it went wrong")

    with pytest.raises(RuntimeError, match="here it went wrong"):
        rows.map(fail, num_proc=2)
    import os

    with pytest.raises(data.WorkerError, match="ended with exit status 3"):
        rows.map(lambda row: os._exit(3), num_proc=2)


def test_choosing_rows(rows):
    mixed = rows.shuffle(seed=3)
    order = np.random.default_rng(3).permutation(40)
    assert mixed["text"] == [ROWS["text"][i] for i in order]
    assert mixed.select([3, -1])["ids"] == [ROWS["ids"][order[3]], ROWS["ids"][order[39]]]
    assert mixed.flatten_indices().to_dict() == mixed.to_dict()
    assert [row["text"] for row in mixed] == mixed["text"]
    assert rows.select(range(2, 5)).data.num_rows == 3 and rows[2:5]["label"] == [0, 1, 0]
    assert rows.sort(["label", "text"], reverse=[True, False])["text"][:3] == ["a"] * 3
    assert sum(len(rows.shard(3, i)) for i in range(3)) == 40
    assert rows.skip(38)["text"] == ["é", "z"] and rows.take(2)["text"] == ["b", "a"]
    for bad in (lambda: rows[40], lambda: rows.select([40]), lambda: rows[[1, 99]]):
        with pytest.raises(ds.IndexError, match="of 40"):
            bad()
    with pytest.raises(ds.KeyError, match="no column 'n'; there are text"):
        rows.remove_columns("n")


def test_train_test_split(rows):
    parts = rows.train_test_split(test_size=0.25, seed=1)
    both = parts["train"]["text"] + parts["test"]["text"]
    assert len(parts["train"]) == 30 and sorted(both) == sorted(ROWS["text"])
    parts = rows.train_test_split(test_size=8, stratify_by_column="label", seed=2)
    assert sum(parts["test"]["label"]) == 3 and sum(parts["train"]["label"]) == 12
    ordered = rows.train_test_split(test_size=2, shuffle=False)
    assert ordered["test"]["text"] == ["é", "z"]
    with pytest.raises(ds.ValueError, match="one part empty"):
        rows.train_test_split(test_size=40)
    with pytest.raises(ds.ValueError, match="each of 7 classes"):
        rows.train_test_split(test_size=4, stratify_by_column="text")


def test_columns(rows):
    named = rows.rename_columns({"label": "y", "text": "x"}).select_columns(["y", "x"])
    assert named[0] == {"y": 0, "x": "b"}
    cast = named.cast({"y": Value("float32"), "x": Value("string")})
    assert cast[1]["y"] == 1.0 and cast.features["y"] == Value("float32")
    classes = rows.class_encode_column("text")
    feature = classes.features["text"]
    assert feature.names == tuple(sorted(set(ROWS["text"])))
    assert [feature.int2str(i) for i in classes["text"]] == ROWS["text"]
    assert (
        classes.cast_column("label", ClassLabel(["no", "yes"])).features["label"].num_classes == 2
    )
    assert rows.add_column("n", range(40)).shuffle(seed=0)[7]["n"] < 40
    with pytest.raises(ds.ValueError, match="two columns have the same name"):
        rows.rename_column("text", "label")
    with pytest.raises(ds.ValueError, match="no class 'z'"):
        rows.select_columns("text").cast({"text": ClassLabel(["a", "b", "c", "d", "", "é"])})
    split = DatasetDict(a=rows, b=rows).rename_column("text", "t")
    assert split["b"].column_names[0] == "t" and split.num_rows == {"a": 40, "b": 40}


def test_formats(rows):
    square = Dataset.from_dict({"x": [[1, 2], [3, 4]], "y": [1.5, 2.5], "t": ["a", "b"]})
    batch = square.with_format("torch")[:]
    assert batch["x"].shape == (2, 2) and batch["x"].dtype == ds.int64
    assert batch["y"].dtype == ds.float32 and batch["t"] == ["a", "b"]
    assert square.with_format("torch", columns=["y"])[1]["y"].item() == 2.5
    array = square.with_format("numpy")[:]
    assert array["x"].tolist() == [[1, 2], [3, 4]] and array["y"].dtype == np.float64
    ragged = rows.with_format("torch")[:2]["ids"]
    assert [list(part.shape) for part in ragged] == [[2], [1]]
    rows.set_format("numpy", columns="label")
    assert rows[0] == {"label": 0} and rows.format["columns"] == ["label"]
    rows.reset_format()
    assert rows[0]["ids"] == [1, 2]
    with pytest.raises(ds.ValueError, match="'jax' is unknown"):
        rows.with_format("jax")


def test_loader_takes_rows_and_streams(rows):
    square = rows.map(lambda row: {"ids": [len(row["ids"])] * 3}).remove_columns("score")
    for workers in (0, 2):
        batches = list(data.DataLoader(square, batch_size=16, num_workers=workers))
        assert [part.shape for part in batches[0]["ids"]] == [(16,)] * 3
        assert [int(n) for b in batches for n in b["label"]] == ROWS["label"]
        stream = square.to_iterable_dataset().shuffle(seed=1, buffer_size=8)
        got = [t for b in data.DataLoader(stream, batch_size=8, num_workers=workers)
               for t in b["text"]]  # fmt: skip
        assert sorted(got) == sorted(ROWS["text"]), workers
        first = data.DataLoader(stream.take(10), batch_size=4, num_workers=workers)
        assert sum(len(b["text"]) for b in first) == 10
    tensors = data.DataLoader(square.with_format("torch"), batch_size=4)
    assert next(iter(tensors))["ids"].shape == (4, 3)


def test_streams(rows, tmp_path):
    rows.to_json(tmp_path / "train.jsonl")
    stream = load_dataset(tmp_path, split="train", streaming=True)
    assert stream.column_names == list(ROWS) and list(stream) == rows.to_list()
    made = (
        stream.map(lambda b: {"n": [len(t) for t in b["ids"]]}, batched=True, batch_size=7)
        .filter(lambda row: row["n"] > 1)
        .rename_column("text", "t")
        .remove_columns(["ids", "score"])
        .skip(1)
        .take(3)
    )
    assert list(made) == [{"t": t, "label": y, "n": n} for t, y, n in
                          (("c", 1, 3), ("b", 0, 2), ("c", 1, 3))]  # fmt: skip
    mixed = stream.shuffle(seed=1, buffer_size=10)
    first, again = list(mixed), list(mixed)
    assert first == again != rows.to_list()
    assert sorted(map(str, first)) == sorted(map(str, rows.to_list()))
    mixed.set_epoch(1)
    assert list(mixed) != first
    assert [b["label"] for b in stream.batch(30)] == [ROWS["label"][:30], ROWS["label"][30:]]
    assert next(iter(stream.with_format("torch")))["ids"].tolist() == [1, 2]
    forever = datasets.IterableDataset.from_generator(lambda: ({"n": n} for n in iter(int, 1)))
    assert list(forever.take(2)) == [{"n": 0}] * 2
    with pytest.raises(ds.ValueError, match="use take"):
        load_dataset(tmp_path, split="train[:5]", streaming=True)


def test_mixing(rows):
    a, b = Dataset.from_dict({"n": [0, 1, 2]}), Dataset.from_dict({"n": [10, 11, 12, 13, 14]})
    assert concatenate_datasets([a.shuffle(seed=0), b])["n"][3:] == [10, 11, 12, 13, 14]
    assert concatenate_datasets([a, a.rename_column("n", "m")], axis=1)[2] == {"n": 2, "m": 2}
    for made in (
        interleave_datasets([a, b])["n"],
        [r["n"] for r in interleave_datasets([a.to_iterable_dataset(), b.to_iterable_dataset()])],
    ):
        assert made == [0, 10, 1, 11, 2, 12]
    every = interleave_datasets([a, b], stopping_strategy="all_exhausted")
    assert every["n"] == [0, 10, 1, 11, 2, 12, 0, 13, 1, 14]
    with pytest.raises(ds.DTypeError, match="type"):
        concatenate_datasets([a, Dataset.from_dict({"n": ["x"]})])
    with pytest.raises(ds.ValueError, match="1 together"):
        interleave_datasets([a, b], probabilities=[0.5, 0.6])


@pytest.mark.parametrize("shards", [1, 3])
def test_saved_folders(rows, tmp_path, shards):
    known = rows.cast_column("label", ClassLabel(["no", "yes"])).shuffle(seed=1)
    known.save_to_disk(tmp_path / "one", num_shards=shards)
    found = load_from_disk(tmp_path / "one")
    assert found.to_dict() == known.to_dict() and found.features == known.features
    found.select(range(3)).save_to_disk(tmp_path / "one")  # over the files it is mapped from
    assert load_from_disk(tmp_path / "one").to_dict() == found.select(range(3)).to_dict()
    DatasetDict(train=rows, test=rows.take(2)).save_to_disk(tmp_path / "both")
    assert len(load_from_disk(tmp_path / "both")["test"]) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ds.ValueError, match="other files"):
        rows.save_to_disk(tmp_path / "mine")
    (tmp_path / "one" / "state.json").write_text("{}")
    with pytest.raises(ds.FileFormatError, match="damaged"):
        load_from_disk(tmp_path / "one")


def image_folder(root, described=False):
    for split in ("train", "test"):
        for i, name in enumerate(("cat", "dog")):
            path = root / split / ("" if described else name) / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            ds.io.write_png(ds.full((3, 4, 5), 10 * i, dtype=ds.uint8), str(path))
        if described:
            text = "file_name,caption\ncat.png,a cat\ndog.png,a dog\n"
            (root / split / "metadata.csv").write_text(text)
    return root


def test_folders_of_images(tmp_path):
    found = load_dataset(image_folder(tmp_path / "a"))
    assert found["train"].features == Features(image=Image(), label=ClassLabel(["cat", "dog"]))
    assert found["test"][1]["label"] == 1 and found["test"][1]["image"].shape == (3, 4, 5)
    assert found["train"].map(lambda row: {"n": 1})[1]["image"].max().item() == 10
    assert next(iter(data.DataLoader(found["train"], batch_size=2)))["image"].shape == (2, 3, 4, 5)
    described = load_dataset("imagefolder", data_dir=image_folder(tmp_path / "b", True))
    assert described["train"][0]["caption"] == "a cat"
    content = (tmp_path / "a" / "train" / "dog" / "dog.png").read_bytes()
    stored = Dataset.from_dict(
        {"image": [{"bytes": content, "path": None}]}, Features(image=Image())
    )
    assert stored[0]["image"].max().item() == 10
    for rows in (stored, found["train"].select([1])):
        picture = rows.cast_column("image", Image(mode="pil"))[0]["image"].convert("RGB")
        assert np.asarray(picture).transpose(2, 0, 1).tolist() == rows[0]["image"].tolist()
    (tmp_path / "b" / "test" / "metadata.csv").write_text("file_name,caption\ncat.png,x\n")
    with pytest.raises(ds.ValueError, match="dog.png has no row in metadata.csv"):
        load_dataset(tmp_path / "b")


@pytest.mark.parametrize(
    "name, text, error, message",
    [
        ("train.csv", "", ds.FileFormatError, "empty"),
        ("train.csv", "a,b\n1\n", ds.FileFormatError, "row 2 has 1 fields"),
        ("train.csv", "a,a\n1,2\n", ds.FileFormatError, "same name"),
        ("train.csv", b"a\n\xff\n", ds.FileFormatError, "train.csv"),
        ("train.json", "{", ds.FileFormatError, "train.json"),
        ("train.json", "[1, 2]", ds.FileFormatError, "JSON object"),
        ("train.jsonl", '{"a": 1}\n{"a": "x"}\n', ds.DTypeError, "train.jsonl.*'a'"),
        ("train.parquet", "PAR1", ds.FileFormatError, "train.parquet"),
        ("train.arrow", "ARROW1", ds.FileFormatError, "train.arrow"),
        ("train.txt", b"\xff\xfe", ds.FileFormatError, "train.txt"),
        ("other.csv", None, ds.IOError, "no train or test file"),
    ],
)
def test_damaged_files(tmp_path, name, text, error, message):
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(error, match=message):
        load_dataset(tmp_path)


class TestAgainstThePackage:
    """The package `datasets` reads what we write and gives the same rows, and the reverse."""

    @pytest.fixture
    def theirs(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
        package = pytest.importorskip("datasets")
        monkeypatch.setattr(package.config, "HF_DATASETS_CACHE", tmp_path / "hf")
        return package

    def test_folders(self, theirs, rows, tmp_path):
        known = rows.cast_column("label", ClassLabel(["no", "yes"]))
        DatasetDict(train=known).save_to_disk(tmp_path / "mine")
        found = theirs.load_from_disk(str(tmp_path / "mine"))["train"]
        assert found.to_dict() == known.to_dict()
        assert found.features["label"].names == ["no", "yes"]
        found.shuffle(seed=5).save_to_disk(str(tmp_path / "theirs"))
        back = load_from_disk(tmp_path / "theirs")
        assert back.to_dict() == known.shuffle(seed=5).to_dict()
        assert back.features == known.features
        known.to_parquet(tmp_path / "rows.parquet")
        read = theirs.Dataset.from_parquet(str(tmp_path / "rows.parquet"))
        assert read.features == found.features
        read.to_parquet(str(tmp_path / "train.parquet"))
        mine = load_dataset(tmp_path / "train.parquet", split="train")
        assert mine.features == known.features and mine.to_dict() == known.to_dict()

    def test_verbs(self, theirs, rows):
        other = theirs.Dataset.from_dict(ROWS)
        chain = (
            lambda d: d.shuffle(seed=4),
            lambda d: d.train_test_split(test_size=0.3, seed=9)["train"],
            lambda d: d.train_test_split(test_size=7, train_size=11, seed=9)["test"],
            lambda d: d.sort("score", reverse=True),
            lambda d: d.shard(3, 1),
            lambda d: d.class_encode_column("text"),
            lambda d: d.with_format("numpy"),
        )
        for i, verb in enumerate(chain):
            assert verb(rows).to_dict() == verb(other).to_dict(), i
        parts = [theirs.Dataset.from_dict({"n": list(range(k))}) for k in (3, 7)]
        mine = [Dataset.from_dict({"n": list(range(k))}) for k in (3, 7)]
        for strategy in ("first_exhausted", "all_exhausted"):
            for p in (None, [0.3, 0.7]):
                a = interleave_datasets(mine, p, 3, strategy)["n"]
                b = theirs.interleave_datasets(parts, p, 3, stopping_strategy=strategy)["n"]
                assert a == list(b), (strategy, p)

    def test_transforms(self, theirs, rows):
        def change(batch):
            return {
                "twice": [2 * n for n in batch["label"]],
                "columns": [len(batch)] * len(batch["label"]),
            }

        for columns in (None, ["label", "text"]):
            mine = rows.shuffle(seed=1).with_transform(change, columns)
            other = theirs.Dataset.from_dict(ROWS).shuffle(seed=1).with_transform(change, columns)
            assert mine[3] == other[3] and mine[-1] == other[-1]
            assert mine[2:7] == other[2:7] and list(mine) == list(other)
            assert mine.map(lambda row: {"z": row["twice"]})["z"] == list(
                other.map(lambda row: {"z": row["twice"]}).with_format(None)["z"]
            )
        with pytest.raises(ds.IndexError, match="row 40 of 40"):
            mine[40]
        with pytest.raises(ds.DTypeError, match="must return a dict of columns, not list"):
            rows.with_transform(lambda batch: [1])[0]
        assert mine.with_format(None)[0].keys() == rows[0].keys()

    def test_splits_of_folders(self, theirs, tmp_path):
        for number, names in enumerate(
            (
                ["train.csv", "test.csv"],
                ["my_train_1.csv", "my_train_2.csv", "x-dev.csv"],
                ["training/a.csv", "eval/b.csv"],
                ["data/odd-00000-of-00002.csv", "data/odd-00001-of-00002.csv"],
                ["a.csv", "b.csv"],
                ["latest.csv", "contest.csv"],
            )
        ):
            folder = tmp_path / str(number)
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(f"name\n{name}\n")
            expected = theirs.load_dataset(str(folder))
            found = load_dataset(folder)
            assert {k: r["name"] for k, r in found.items()} == {
                k: list(r["name"]) for k, r in expected.items()
            }


@pytest.fixture
def a_hub(tmp_path, monkeypatch):
    """A hub of one data set whose README names its files."""
    commit = "b" * 40
    files = {
        "README.md": b"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n"
        b"    path: parts/*.csv\n  - split: test\n    path: held/out.jsonl\n---\n",
        "parts/1.csv": b"n\n1\n",
        "parts/2.csv": b"n\n2\n",
        "held/out.jsonl": b'{"n": 3}\n',
        "script.py": b"raise SystemExit",
    }

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            self.server.seen.append((self.command, self.path))
            if self.path == "/api/datasets/some/rows/revision/main":
                rows = [{"rfilename": name} for name in files]
                body = json.dumps({"sha": commit, "siblings": rows}).encode()
            else:
                body = files.get(self.path.removeprefix(f"/datasets/some/rows/resolve/{commit}/"))
            self.send_response(200 if body is not None else 404)
            body = body or b""
            self.send_header("X-Repo-Commit", commit)
            digest = hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()
            self.send_header("ETag", f'"{digest}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command == "GET" else b"")

        def log_message(self, *_):
            pass

    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.seen = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


def test_data_sets_of_a_hub(a_hub, tmp_path, monkeypatch):
    def read(**more):
        return {k: rows["n"] for k, rows in load_dataset("some/rows", **more).items()}

    stream = load_dataset("some/rows", split="test", streaming=True)
    assert not any("parts" in path for _, path in a_hub.seen)
    assert list(stream) == [{"n": 3}]
    assert read() == {"train": [1, 2], "test": [3]}
    assert read(data_files={"train": "**/*.jsonl"}) == {"train": [3]}
    assert (tmp_path / "hub" / "datasets--some--rows" / "refs" / "main").read_text() == "b" * 40
    assert not any("script.py" in path for _, path in a_hub.seen)
    fetched = len(a_hub.seen)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert read() == {"train": [1, 2], "test": [3]} and len(a_hub.seen) == fetched
    with pytest.raises(ds.hub.NotCachedError, match="downloads are switched off"):
        load_dataset("some/others")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(ds.hub.RepositoryNotFoundError, match="no repository some/others"):
        load_dataset("some/others")


def test_features_are_checked():
    with pytest.raises(ds.DTypeError, match="'x' is str"):
        Features(x="string")
    with pytest.raises(ds.ValueError, match="'strin' is no type"):
        Dataset.from_dict({"x": ["a"]}, Features(x=Value("strin")))
    with pytest.raises(ds.DTypeError, match="of the type int64"):
        Dataset.from_dict({"x": ["a"]}, Features(x=Value("int64")))
    with pytest.raises(ds.ValueError, match="different lengths"):
        Dataset.from_dict({"x": [1], "y": [1, 2]})
    assert List(Value("int64")) == Dataset.from_dict({"x": [[1]]}).features["x"]
