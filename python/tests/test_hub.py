# SPDX-License-Identifier: Apache-2.0
"""The hub client against a server on the loopback address that misbehaves."""

import contextlib
import hashlib
import http.server
import json
import multiprocessing
import os
import threading

import deepseek as ds
import pytest
from deepseek import hub, models

COMMIT = "a" * 40
BIG = bytes(range(256)) * 4000
FILES = {
    "config.json": json.dumps({"model_type": "bert", "hidden_size": 8}).encode(),
    "model.safetensors": BIG,
    "sub/folder.txt": b"nested",
}


def etag_of(name):
    data = FILES[name]
    if data is BIG:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


class Storage(http.server.BaseHTTPRequestHandler):
    """Where the large files are: another host."""

    def do_GET(self):
        self.server.seen.append(dict(self.headers))
        data, fault = BIG, self.server.faults.pop(0) if self.server.faults else None
        start = 0
        span = self.headers.get("Range")
        if fault == "500":
            return self.send_error(500)
        if fault == "other":
            data = bytes(len(BIG))
        if span and fault != "no ranges":
            start = int(span.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        self.wfile.write(body[: len(body) // 2] if fault == "broken" else body)

    def log_message(self, *_):
        pass


class Hub(Storage):
    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        self.server.seen.append({"method": self.command, "path": self.path, **self.headers})
        owner, name, resolve, revision, file = self.path.lstrip("/").split("/", 4)
        if owner == "private" and self.headers.get("Authorization") != "Bearer secret":
            return self.refuse(401, "RepoNotFound")
        if owner == "gated":
            return self.refuse(403, "GatedRepo")
        if owner == "renamed":
            self.send_response(307)
            self.send_header("Location", self.path.replace("renamed", "someone"))
            self.end_headers()
            return None
        if owner == "nobody":
            return self.refuse(404, "RepoNotFound")
        if revision not in ("main", "v1", COMMIT):
            return self.refuse(404, "RevisionNotFound")
        if file not in FILES:
            return self.refuse(404, "EntryNotFound")
        data = FILES[file]
        self.send_response(302 if data is BIG else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        if data is BIG:
            self.send_header("X-Linked-Etag", f'"{etag_of(file)}"')
            self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("Location", self.server.storage)
        self.send_header("ETag", f'W/"{etag_of(file)}"')
        self.send_header("Content-Length", str(0 if data is BIG else len(data)))
        self.end_headers()
        if body and data is not BIG:
            self.wfile.write(data)
        return None

    def refuse(self, code, kind):
        self.send_response(code)
        self.send_header("X-Error-Code", kind)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextlib.contextmanager
def serving(handler):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.seen, server.faults = [], []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.fixture
def world(tmp_path, monkeypatch):
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving(Storage) as storage, serving(Hub) as server:
        # Another name for the loopback address, so another host.
        server.storage = f"http://localhost:{storage.server_port}/blob"
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        server.at = storage
        yield server


def test_files_land_in_the_shared_layout(world, tmp_path):
    path = hub.hub_download("someone/model", "model.safetensors")
    assert path.read_bytes() == BIG
    folder = tmp_path / "cache" / "models--someone--model"
    assert path == folder / "snapshots" / COMMIT / "model.safetensors" and path.is_symlink()
    assert path.resolve() == folder / "blobs" / etag_of("model.safetensors")
    assert (folder / "refs" / "main").read_text() == COMMIT
    assert hub.hub_download("someone/model", "sub/folder.txt", "v1").read_bytes() == b"nested"
    fetched = len(world.at.seen)
    assert hub.hub_download("someone/model", "model.safetensors", COMMIT) == path
    assert hub.hub_download("someone/model", "model.safetensors") == path
    assert len(world.at.seen) == fetched  # nothing is fetched twice
    assert hub.hub_download("renamed/model", "config.json").read_bytes() == FILES["config.json"]


def test_the_ecosystems_client_reads_the_cache_and_the_other_way_round(world, tmp_path):
    client = pytest.importorskip("huggingface_hub")
    path = hub.hub_download("someone/model", "model.safetensors")
    found = client.try_to_load_from_cache(
        "someone/model", "model.safetensors", cache_dir=tmp_path / "cache"
    )
    assert found == str(path)
    other = tmp_path / "other"
    theirs = client.hf_hub_download(
        "someone/model",
        "config.json",
        cache_dir=other,
        endpoint=os.environ["HF_ENDPOINT"],
        token=False,
    )
    mine = hub.hub_download("someone/model", "config.json", cache_dir=other, local_files_only=True)
    assert str(mine) == theirs


def test_a_broken_download_is_continued(world):
    world.at.faults = ["broken", "500"]
    path = hub.hub_download("someone/model", "model.safetensors")
    assert path.read_bytes() == BIG
    assert world.at.seen[2]["Range"] == f"bytes={len(BIG) // 2}-"


def test_a_later_call_continues(world):
    world.at.faults = ["broken", "500", "500"]
    with pytest.raises(ds.IOError, match="500"):
        hub.hub_download("someone/model", "model.safetensors")
    assert hub.hub_download("someone/model", "model.safetensors").read_bytes() == BIG
    assert world.at.seen[-1]["Range"] == f"bytes={len(BIG) // 2}-"


def test_a_server_without_ranges(world):
    world.at.faults = ["broken", "no ranges"]
    assert hub.hub_download("someone/model", "model.safetensors").read_bytes() == BIG


def test_wrong_contents_never_reach_the_cache(world, tmp_path):
    world.at.faults = ["other"] * 3
    with pytest.raises(ds.FileFormatError, match="checksum"):
        hub.hub_download("someone/model", "model.safetensors")
    folder = tmp_path / "cache" / "models--someone--model"
    assert not list((folder / "blobs").iterdir()) and not (folder / "snapshots").exists()
    world.at.faults = ["other"]  # once: a second try gets it right
    assert hub.hub_download("someone/model", "model.safetensors").read_bytes() == BIG


def test_the_token_stays_with_the_hub(world, monkeypatch):
    with pytest.raises(hub.RepositoryNotFoundError, match="HF_TOKEN"):
        hub.hub_download("private/model", "model.safetensors")
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert hub.hub_download("private/model", "model.safetensors").read_bytes() == BIG
    assert world.at.seen and all("Authorization" not in headers for headers in world.at.seen)


@pytest.mark.parametrize(
    "repo, file, revision, error, message",
    [
        ("nobody/model", "config.json", "main", hub.RepositoryNotFoundError, "no repository"),
        ("gated/model", "config.json", "main", hub.RepositoryNotFoundError, "terms"),
        ("someone/model", "nofile", "main", hub.EntryNotFoundError, "no file nofile"),
        ("someone/model", "config.json", "v9", hub.RepositoryNotFoundError, "no revision v9"),
        ("../model", "config.json", "main", ds.ValueError, "owner/name"),
        ("someone/model", "../../config.json", "main", ds.ValueError, "no file inside"),
        ("someone/model", "config.json", "../x", ds.ValueError, "no revision"),
    ],
)
def test_refusals(world, repo, file, revision, error, message):
    with pytest.raises(error, match=message):
        hub.hub_download(repo, file, revision)


def test_without_a_network(world, monkeypatch):
    path = hub.hub_download("someone/model", "config.json")
    with pytest.raises(hub.EntryNotFoundError):
        hub.hub_download("someone/model", "absent.json")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(world.seen)
    assert hub.hub_download("someone/model", "config.json") == path
    with pytest.raises(hub.EntryNotFoundError):  # the cache remembers that there is none
        hub.hub_download("someone/model", "absent.json")
    with pytest.raises(hub.NotCachedError, match="switched off"):
        hub.hub_download("someone/model", "sub/folder.txt")
    assert len(world.seen) == asked
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub.hub_download("someone/model", "config.json") == path
    with pytest.raises(ds.IOError, match="can not be asked"):
        hub.hub_download("someone/model", "sub/folder.txt")


def test_a_cache_that_cannot_be_written(world, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ds.IOError, match="cannot write"):
        hub.hub_download("someone/model", "config.json", cache_dir=tmp_path / "file")


def test_a_server_that_is_no_hub(world, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", world.storage.removesuffix("/blob"))
    with pytest.raises(ds.IOError, match="501|HF_ENDPOINT"):
        hub.hub_download("someone/model", "config.json")


def fetch(cache):
    return hub.hub_download("someone/model", "model.safetensors", cache_dir=cache).read_bytes()


def test_processes_share_one_download(world, tmp_path):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(fetch, [tmp_path / "shared"] * 3) == [BIG] * 3
    assert len(world.at.seen) == 1


def test_tokenizers_come_from_the_hub(world, monkeypatch):
    pytest.importorskip("tokenizers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "one", "two"]
    monkeypatch.setitem(FILES, "vocab.txt", "\n".join(words).encode())
    for name in ("someone/model", "deepseek/bert-base-chinese"):
        assert models.AutoTokenizer.from_pretrained(name)("two one").input_ids == [2, 6, 5, 3]
    assert any("google-bert/bert-base-chinese" in seen["path"] for seen in world.seen)
    asked = len(world.seen)
    again = models.AutoTokenizer.from_pretrained("someone/model", local_files_only=True)
    assert again("two").input_ids == [2, 6, 3] and len(world.seen) == asked
    with pytest.raises(ds.KeyError, match="bert-base-chinese"):
        models.AutoTokenizer.from_pretrained("deepseek/bert-chinese")
    with pytest.raises(ds.IOError, match="no folder"):
        models.AutoTokenizer.from_pretrained("/absent/folder")


def test_models_come_from_the_hub(world, tmp_path, monkeypatch):
    tiny = models.BertModel(
        models.BertConfig(
            vocab_size=9,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            max_position_embeddings=8,
        )
    )
    tiny.save_pretrained(tmp_path / "tiny", max_shard_size="1KB")
    monkeypatch.setattr(
        f"{__name__}.FILES", {p.name: p.read_bytes() for p in (tmp_path / "tiny").iterdir()}
    )
    assert len(FILES) > 3
    for name in ("someone/model", "deepseek/bert-base-chinese"):
        found = models.AutoModel.from_pretrained(name)
        assert found.pooler.dense.weight.tolist() == tiny.pooler.dense.weight.tolist()
    assert any("google-bert/bert-base-chinese" in s["path"] for s in world.seen)
    again = models.AutoModel.from_pretrained("someone/model", local_files_only=True)
    assert again.config == found.config
    with pytest.raises(ds.KeyError, match="bert-base-chinese"):
        models.AutoModel.from_pretrained("deepseek/bert-chinese")
    with pytest.raises(ds.IOError, match="no folder"):
        models.AutoModel.from_pretrained(str(tmp_path / "absent"))


def test_image_models_come_from_the_hub(world, tmp_path, monkeypatch):
    mine = models.mobilenetv3_small_050()
    mine.save_pretrained(tmp_path / "small")
    monkeypatch.setattr(
        f"{__name__}.FILES", {p.name: p.read_bytes() for p in (tmp_path / "small").iterdir()}
    )
    found = models.mobilenetv3_small_050(pretrained=True)
    assert found.conv_stem.weight.tolist() == mine.conv_stem.weight.tolist()
    assert any("timm/mobilenetv3_small_050.lamb_in1k" in s["path"] for s in world.seen)
    with pytest.warns(models.LoadWarning, match="classifier.bias, classifier.weight"):
        other = models.mobilenetv3_small_050(pretrained=True, num_classes=4)
    assert other.conv_head.weight.tolist() == mine.conv_head.weight.tolist()
    assert other.classifier.weight.shape == (4, 1024)
    with pytest.raises(ds.ValueError, match="'mobilenetv3_small_050' is one of EfficientNet"):
        models.resnet18(pretrained=True)
    look = ds.pipeline("image-classification", "someone/model", top_k=1)
    assert look.model.num_classes == 1000


def test_several_files(world):
    names = list(FILES)
    paths = hub.hub_downloads("someone/model", names)
    assert [p.read_bytes() for p in paths] == [FILES[n] for n in names]
