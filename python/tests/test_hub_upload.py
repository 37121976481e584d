# SPDX-License-Identifier: Apache-2.0
"""Uploads to a hub on the loopback address that misbehaves. That it speaks the protocol of the
ecosystem is shown by the package huggingface_hub, which talks to it too."""

import base64
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import urllib.parse

import deepseek as ds
import pytest
from deepseek import datasets, hub, models
from deepseek.peft import LoraConfig, PeftModel, get_peft_model
from test_hub import serving

COMMIT = re.compile(r"[0-9a-f]{40}")
PART = 1000  # bytes of a part of files above four parts


def git_hash(data):
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, code, value=b"", **headers):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(code)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def fault(self, *places):
        """The next planned misbehaviour of one of these places."""
        for place in places:
            if self.server.faults and self.server.faults[0][0] == place:
                return self.server.faults.pop(0)[1]
        return None


class Storage(Answering):
    """Where large files go: another host, which is told no token."""

    def do_PUT(self):
        assert "Authorization" not in self.headers
        data, hub_ = self.body(), self.server.hub
        if len(data) < int(self.headers["Content-Length"]):
            self.close_connection = True  # who sent it gave up: no place for the next fault
            return None
        fault = self.fault("put")
        if isinstance(fault, int):
            return self.reply(fault)
        if fault == "close":
            self.close_connection = True
            self.connection.shutdown(2)
            return None
        if callable(fault):
            fault()
        hub_.puts.append(self.path)
        _, kind, oid, number = [*self.path.split("/"), ""][:4]
        if kind == "part":
            hub_.parts.setdefault(oid, {})[int(number)] = data
        elif hashlib.sha256(data).hexdigest() == oid:
            hub_.blobs[oid] = data
        else:
            return self.reply(400)
        return self.reply(200, ETag=f'"{hashlib.md5(data).hexdigest()}"')

    def do_GET(self):
        self.reply(200, self.server.hub.blobs[self.path.split("/")[-1]])

    do_HEAD = do_GET


class Hub(Answering):
    def state(self):
        return self.server.hub

    def repo(self, name):
        return self.state().repos.get(name)

    def allowed(self, repo=""):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in ("writer", "reader"):
            self.reply(401, {"error": "Invalid username or password."})
        elif self.command == "POST" and (token == "reader" or repo.startswith("others/")):
            self.reply(403, {"error": "You have no rights for this."})
        else:
            return True
        return False

    def do_POST(self):
        data = self.body()
        path = urllib.parse.urlsplit(self.path)
        parts, query = path.path.strip("/").split("/"), urllib.parse.parse_qs(path.query)
        self.state().seen.append(path.path)
        if path.path == "/api/repos/create":
            return self.create(json.loads(data))
        if parts[0] == "complete":
            return self.complete(parts[1], json.loads(data))
        if parts[0] == "verify":
            found = json.loads(data)
            known = self.state().blobs.get(found["oid"], b"")
            return self.reply(200 if len(known) == found["size"] and self.allowed() else 400)
        git = parts[1:] if parts[0] == "datasets" else parts
        name = "/".join(parts[2:4]) if parts[0] == "api" else "/".join(git[:2]).removesuffix(".git")
        if not self.allowed(name):
            return None
        if self.repo(name) is None:
            return self.reply(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        fault = self.fault(parts[4] if parts[0] == "api" else "batch")
        if isinstance(fault, int):
            return self.reply(fault, {"error": "a planned fault"}, Retry_After="0")
        if fault == "no json":
            return self.reply(200, b"<html>")
        if isinstance(fault, dict | list):
            return self.reply(200, fault)
        if parts[-1] == "batch":
            return self.batch(json.loads(data), fault)
        if urllib.parse.unquote(parts[5]) not in ("main", "a/branch"):
            return self.reply(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
        if parts[4] == "preupload":
            return self.preupload(self.repo(name), json.loads(data))
        return self.commit(name, data, "create_pr" in query)

    def create(self, wanted):
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        if not self.allowed(name):
            return None
        if self.repo(name) is not None:
            answer = {"error": "You already created this model repo"}
            return self.reply(409, {**answer, "url": f"{self.state().url}/{name}"})
        self.state().repos[name] = {}
        self.state().visibility[name] = wanted.get("visibility")
        self.state().types[name] = wanted.get("type", "model")
        return self.reply(200, {"url": f"{self.state().url}/{name}", "name": name})

    def preupload(self, files, wanted):
        found = []
        for file in wanted["files"]:
            sample = base64.b64decode(file["sample"])
            assert len(sample) == min(512, file["size"])
            large = file["path"].endswith(".safetensors") or file["size"] > 10**6
            known = files.get(file["path"])
            oid = None
            if known is not None:
                oid = hashlib.sha256(known).hexdigest() if large else git_hash(known)
            found.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": file["path"] == "ignored.txt",
                    "oid": oid,
                }
            )
        self.reply(200, {"files": found})

    def batch(self, wanted, fault):
        assert self.headers["Accept"] == "application/vnd.git-lfs+json"
        assert wanted["operation"] == "upload" and "basic" in wanted["transfers"]
        storage, objects = self.state().storage, []
        for entry in wanted["objects"]:
            oid, size = entry["oid"], entry["size"]
            if fault == "refuse":
                objects.append({**entry, "error": {"code": 422, "message": "too strange"}})
                continue
            if oid in self.state().blobs:
                objects.append(entry)
                continue
            upload = {"href": f"{storage}/whole/{oid}"}
            if size > 4 * PART:
                count = 3 if fault == "few parts" else -(-size // PART)
                header = {f"{i + 1:05d}": f"{storage}/part/{oid}/{i}" for i in range(count)}
                header["chunk_size"] = str(PART)
                upload = {"href": f"{self.state().url}/complete/{oid}", "header": header}
            if fault == "file url":
                upload = {"href": "file:///etc/passwd"}
            actions = {"upload": upload, "verify": {"href": f"{self.state().url}/verify"}}
            objects.append({**entry, "actions": actions})
        self.reply(200, {"transfer": "basic", "objects": objects})

    def complete(self, oid, wanted):
        parts = self.state().parts[oid]
        for part in wanted["parts"]:
            data = parts[part["partNumber"] - 1]
            assert part["etag"].strip('"') == hashlib.md5(data).hexdigest()
        data = b"".join(parts[i] for i in range(len(wanted["parts"])))
        if hashlib.sha256(data).hexdigest() != oid:
            return self.reply(400, {"error": "Invalid content"})
        self.state().blobs[oid] = data
        return self.reply(200, {})

    def commit(self, name, data, request):
        assert self.headers["Content-Type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in data.splitlines()]
        assert lines[0]["key"] == "header" and lines[0]["value"]["summary"]
        files = dict(self.repo(name))
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                if value["oid"] not in self.state().blobs:
                    return self.reply(400, {"error": "The LFS object is missing"})
                files[value["path"]] = self.state().blobs[value["oid"]]
        commit = hashlib.sha1(data).hexdigest()
        answer = {"success": True, "commitOid": commit, "commitUrl": f"{name}/commit/{commit}"}
        if request:
            answer["pullRequestUrl"] = f"{self.state().url}/{name}/discussions/1"
        else:
            self.state().repos[name] = files
            self.state().commits.append((name, commit, lines[0]["value"]["summary"]))
        return self.reply(200, answer)

    def do_GET(self):
        parts = self.path.strip("/").split("/")
        if parts[:2] == ["api", "whoami-v2"]:
            return self.allowed() and self.reply(200, {"name": "me", "type": "user"})
        if parts[0] == "datasets":
            parts = parts[1:]
        if parts[:2] in (["api", "models"], ["api", "datasets"]):
            name = "/".join(parts[2:4])
            if self.repo(name) is None:
                return self.reply(404, {"error": "Repository not found"})
            commit = self.state().commits[-1][1] if self.state().commits else "b" * 40
            files = [{"rfilename": file} for file in self.repo(name)]
            return self.reply(200, {"id": name, "sha": commit, "siblings": files})
        return self.resolve("/".join(parts[:2]), urllib.parse.unquote("/".join(parts[4:])))

    do_HEAD = do_GET

    def resolve(self, name, file):
        files, headers = self.repo(name), {"X_Repo_Commit": self.state().commits[-1][1]}
        if file not in files:
            return self.reply(404, X_Error_Code="EntryNotFound", **headers)
        data = files[file]
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self.state().blobs:
            return self.reply(200, data, ETag=f'"{git_hash(data)}"', **headers)
        return self.reply(
            302,
            Location=f"{self.state().storage}/get/{digest}",
            X_Linked_Etag=f'"{digest}"',
            X_Linked_Size=str(len(data)),
            **headers,
        )


class State:
    def __init__(self):
        self.repos, self.blobs, self.parts, self.visibility = {}, {}, {}, {}
        self.puts, self.seen, self.commits, self.types = [], [], [], {}
        self.url = self.storage = ""


@pytest.fixture
def world(tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "writer")
    monkeypatch.setattr("deepseek._upload._PAUSE", 0.01)
    state = State()
    with serving(Storage) as storage, serving(Hub) as server:
        storage.hub = server.hub = state
        state.faults = server.faults = storage.faults
        # Another name for the loopback address, so another host.
        state.storage = f"http://localhost:{storage.server_port}"
        state.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        yield state


FILES = {
    "config.json": b'{"a": 1}',
    "sub/notes.txt": "naïve".encode(),
    "empty.txt": b"",
    "small.safetensors": bytes(range(200)),
    "large.safetensors": bytes(range(256)) * 20,
}


@pytest.fixture
def folder(tmp_path):
    for name, data in FILES.items():
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "files" / "broken.part").write_bytes(b"x")
    (tmp_path / "files" / "ignored.txt").write_bytes(b"x")
    return tmp_path / "files"


def test_a_folder_becomes_one_commit(world, folder):
    assert hub.create_repo("me/model", private=True) == "me/model"
    assert world.visibility == {"me/model": "private"}
    info = hub.upload_folder("me/model", folder, commit_message="First")
    assert world.repos["me/model"] == FILES
    assert COMMIT.fullmatch(info.commit) and info.pr_url is None
    assert world.commits == [("me/model", info.commit, "First")]
    assert len(world.puts) == 1 + 6  # one whole file and one in parts
    for name, data in FILES.items():
        assert hub.hub_download("me/model", name).read_bytes() == data


def test_what_is_there_is_not_sent_again(world, folder):
    hub.create_repo("me/model")
    first = hub.upload_folder("me/model", folder)
    sent = len(world.puts)
    assert hub.upload_folder("me/model", folder).commit == first.commit
    (folder / "config.json").write_bytes(b'{"a": 2}')
    second = hub.upload_folder("me/model", folder)
    assert second.commit != first.commit and len(world.commits) == 2
    assert world.repos["me/model"]["config.json"] == b'{"a": 2}'
    assert len(world.puts) == sent
    # The storage has the contents although this repository lacks them.
    hub.create_repo("me/copy")
    hub.upload_folder("me/copy", folder)
    assert len(world.puts) == sent and len(world.repos["me/copy"]) == len(FILES)


def test_pull_requests_and_branches(world, folder):
    hub.create_repo("me/model")
    info = hub.upload_folder("me/model", folder, create_pr=True)
    assert info.pr_url.endswith("/discussions/1") and world.repos["me/model"] == {}
    hub.upload_folder("me/model", folder, revision="a/branch", ignore_patterns=["*.safetensors"])
    assert set(world.repos["me/model"]) == {"config.json", "sub/notes.txt", "empty.txt"}


def test_an_owner_is_found_by_the_token(world):
    assert hub.create_repo("model") == "me/model"
    assert hub.create_repo("model", exist_ok=True) == "me/model"
    with pytest.raises(ds.ValueError, match="there is a repository model already"):
        hub.create_repo("model")


@pytest.mark.parametrize(
    "faults",
    [
        [("preupload", 500), ("batch", 503), ("put", 500), ("put", "close"), ("commit", 502)],
        [("preupload", 429), ("put", 503), ("put", 503)],
    ],
    ids=str,
)
def test_failures_that_pass(world, folder, faults):
    hub.create_repo("me/model")
    world.faults += faults
    hub.upload_folder("me/model", folder)
    assert world.repos["me/model"] == FILES and not world.faults


@pytest.mark.parametrize(
    ("faults", "error", "text"),
    [
        ([("preupload", 500)] * 3, ds.IOError, "answers 500"),
        ([("preupload", "no json")], ds.IOError, "no JSON object"),
        ([("batch", "refuse")], ds.IOError, "too strange"),
        ([("batch", "few parts")], ds.IOError, "asks for 3 parts"),
        ([("batch", "file url")], ds.IOError, "no safe address"),
        ([("put", 403)], hub.WriteRefusedError, "may not do that"),
        ([("put", "close")] * 3, ds.IOError, "push again"),
        ([("commit", 403)], hub.WriteRefusedError, "a planned fault"),
        ([("commit", 409)], ds.IOError, "somebody else changed me/model"),
        ([("commit", 412)], ds.IOError, "push again"),
        ([("commit", 413)], ds.IOError, "no room"),
        ([("commit", 507)], ds.IOError, "no room"),
    ],
    ids=str,
)
def test_failures_that_stay_leave_the_repository_as_it_was(world, folder, faults, error, text):
    hub.create_repo("me/model")
    world.repos["me/model"] = {"old.txt": b"old"}
    world.faults += faults
    with pytest.raises(error, match=text):
        hub.upload_folder("me/model", folder)
    assert world.repos["me/model"] == {"old.txt": b"old"} and not world.commits
    world.faults.clear()
    sent = len(world.puts)
    hub.upload_folder("me/model", folder)
    assert world.repos["me/model"] == {"old.txt": b"old", **FILES}
    if faults[0][0] == "commit":
        assert len(world.puts) == sent  # goes on with what was lacking


LARGE = hashlib.sha256(FILES["large.safetensors"]).hexdigest()


@pytest.mark.parametrize(
    "fault",
    [
        ("preupload", []),
        ("preupload", {}),
        ("preupload", {"files": {}}),
        ("preupload", {"files": [1]}),
        ("preupload", {"files": [{"path": "config.json"}]}),
        ("preupload", {"files": [{"path": n, "uploadMode": "pigeon"} for n in FILES]}),
        ("batch", {"objects": 3}),
        ("batch", {"objects": [3]}),
        ("batch", {"objects": [{"oid": LARGE, "actions": []}]}),
        ("batch", {"objects": [{"oid": LARGE, "actions": {"upload": {"href": 3}}}]}),
        (
            "batch",
            {"objects": [{"oid": LARGE, "actions": {"upload": {"href": "x", "header": []}}}]},
        ),
        ("batch", {"objects": [{"oid": LARGE, "actions": {"upload": {"href": "ftp://a/b"}}}]}),
        (
            "batch",
            {
                "objects": [
                    {
                        "oid": LARGE,
                        "actions": {"upload": {"href": "http://a", "header": {"chunk_size": "x"}}},
                    }
                ]
            },
        ),
        ("commit", {"commitOid": 3}),
    ],
    ids=str,
)
def test_answers_that_make_no_sense(world, folder, fault):
    hub.create_repo("me/model")
    world.faults.append(fault)
    with pytest.raises(ds.IOError, match="no hub sent it|hub: sending|to send 'pigeon'"):
        hub.upload_folder("me/model", folder)
    assert world.repos["me/model"] == {}


def test_tokens(world, folder, monkeypatch, tmp_path):
    hub.create_repo("me/model")
    with pytest.raises(hub.WriteRefusedError, match="You have no rights"):
        hub.upload_folder("me/model", folder, token="reader")
    with pytest.raises(hub.WriteRefusedError, match="does not know the token"):
        hub.create_repo("me/other", token="wrong")
    world.repos["others/model"] = {}
    with pytest.raises(hub.WriteRefusedError, match="may not do that"):
        hub.create_repo("others/new", exist_ok=True)
    assert hub.create_repo("others/model", exist_ok=True) == "others/model"
    with pytest.raises(hub.RepositoryNotFoundError, match="no repository me/absent"):
        hub.upload_folder("me/absent", folder)
    with pytest.raises(hub.RepositoryNotFoundError, match="no such revision"):
        hub.upload_folder("me/model", folder, revision="v9")
    with pytest.raises(ds.ValueError, match="owner/name"):
        hub.create_repo("a/b/c")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(hub.WriteRefusedError, match="needs a token"):
        hub.upload_folder("me/model", folder)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text("writer\n")
    hub.upload_folder("me/model", folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ds.IOError, match="HF_HUB_OFFLINE"):
        hub.upload_folder("me/model", folder)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ds.IOError, match="refused.*push again"):
        hub.upload_folder("me/model", folder)


def test_files_that_fail(world, folder, tmp_path):
    hub.create_repo("me/model")
    with pytest.raises(ds.IOError, match="is no folder"):
        hub.upload_folder("me/model", tmp_path / "absent")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ds.ValueError, match="no files"):
        hub.upload_folder("me/model", tmp_path / "nothing")
    large = folder / "large.safetensors"
    world.faults += [("put", lambda: large.write_bytes(b"another file"))]
    with pytest.raises(ds.IOError, match="changed while it was sent"):
        hub.upload_folder("me/model", folder)
    large.unlink()
    small = folder / "small.safetensors"
    small.write_bytes(bytes(300))
    world.faults += [("put", small.unlink)]
    with pytest.raises(ds.IOError, match="cannot read.*small.safetensors"):
        hub.upload_folder("me/model", folder)
    assert world.repos["me/model"] == {}


def small_model():
    config = models.GPT2Config(vocab_size=40, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    return models.GPT2LMHeadModel(config).eval()


def test_models_and_adapters_are_pushed_and_read_back(world, tmp_path):
    ids, model = ds.tensor([[3, 4, 5]]), small_model()
    info = model.push_to_hub("gpt", private=False, max_shard_size=2000)
    assert world.commits == [("me/gpt", info.commit, "Upload GPT2LMHeadModel")]
    again = models.AutoModelForCausalLM.from_pretrained("me/gpt")
    expected = model(ids).logits.detach().numpy()
    assert (again(ids).logits.detach().numpy() == expected).all()
    adapted = get_peft_model(again, LoraConfig(init_lora_weights=False)).eval()
    adapted.push_to_hub("me/adapter", commit_message="An adapter")
    assert world.commits[-1][2] == "An adapter"
    read = PeftModel.from_pretrained(small_model_of(model), "me/adapter")
    found = read(ids).logits.detach().numpy()
    assert abs(found - adapted(ids).logits.detach().numpy()).max() < 1e-6
    assert json.loads(world.repos["me/adapter"]["adapter_config.json"])["r"] == 8


def test_a_trainer_pushes_while_it_trains(world, tmp_path):
    rows = [{"input_ids": [3, 4, 5, 3], "labels": [3, 4, 5, 3]}] * 8
    for strategy, messages in (
        ("end", ["End of training"]),
        # Nothing is new at the end.
        ("every_save", [f"Training in progress, step {step}" for step in (1, 2)]),
    ):
        args = ds.TrainingArguments(
            tmp_path / strategy,
            num_train_epochs=2,
            push_to_hub=True,
            hub_strategy=strategy,
            hub_private_repo=True,
            learning_rate=1e-2,
            report_to="tensorboard",
            disable_tqdm=True,
        )
        before = len(world.commits)
        trainer = ds.Trainer(small_model(), args, train_dataset=rows)
        trainer.train()
        repo, made = f"me/{strategy}", world.commits[before:]
        assert [message for _, _, message in made] == messages
        assert world.visibility[repo] == "private"
        assert "model.safetensors" in world.repos[repo]
        assert not any("checkpoint" in n or "train" in n or "runs" in n for n in world.repos[repo])
    again = models.AutoModelForCausalLM.from_pretrained("me/every_save")
    ids = ds.tensor([[3, 4, 5]])
    assert (again(ids).logits == trainer.model.eval()(ids).logits).all()


def small_model_of(model):
    made = small_model()
    made.load_state_dict(model.state_dict())
    return made


def test_tokenizers_are_pushed_and_read_back(world, tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nfilm\n")
    tokenizer = models.AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.push_to_hub("words")
    again = models.AutoTokenizer.from_pretrained("me/words")
    assert again("the film").input_ids == tokenizer("the film").input_ids
    assert again.chat_template == tokenizer.chat_template


def test_the_ecosystems_client_speaks_with_this_server(world, folder, tmp_path):
    pytest.importorskip("huggingface_hub")
    program = """
import sys
from huggingface_hub import HfApi, hf_hub_download
api = HfApi()
assert api.create_repo("me/theirs").repo_id == "me/theirs"
api.create_repo("me/theirs", exist_ok=True)
given = dict(repo_id="me/theirs", folder_path=sys.argv[1], ignore_patterns=["*.part", "ignored*"])
info = api.upload_folder(**given)
again = api.upload_folder(**given)
assert info.oid == again.oid
for name in ("config.json", "large.safetensors", "small.safetensors"):
    path = hf_hub_download("me/ours", name)
    assert open(path, "rb").read() == open(f"{sys.argv[1]}/{name}", "rb").read(), name
"""
    hub.create_repo("me/ours")
    hub.upload_folder("me/ours", folder)
    world.blobs.clear()
    ours = world.repos["me/ours"]
    for name in ("large.safetensors", "small.safetensors"):
        world.blobs[hashlib.sha256(ours[name]).hexdigest()] = ours[name]
    world.puts.clear()
    world.blobs.pop(hashlib.sha256(ours["small.safetensors"]).hexdigest())
    run = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
    )
    assert run.returncode == 0, run.stderr
    assert world.repos["me/theirs"] == FILES
    assert len(world.puts) == 1
    for name, data in FILES.items():
        assert hub.hub_download("me/theirs", name).read_bytes() == data


def test_data_sets_are_pushed_and_read_back(world, tmp_path):
    kinds = {"text": datasets.Value("string"), "label": datasets.ClassLabel(["no", "yes"])}
    rows = datasets.Dataset.from_dict(
        {"text": [f"row {i}" for i in range(40)], "label": [i % 2 for i in range(40)]},
        datasets.Features(kinds),
    )
    info = rows.push_to_hub("me/rows", private=True, max_shard_size=400)
    assert world.types == {"me/rows": "dataset"} and world.visibility == {"me/rows": "private"}
    assert COMMIT.fullmatch(info.commit) and len(world.commits) == 1
    files = sorted(world.repos["me/rows"])
    assert len(files) > 1 and files[0] == f"data/train-00000-of-{len(files):05d}.parquet"
    again = datasets.load_dataset("me/rows", split="train")
    assert again.to_list() == rows.to_list() and again.features == rows.features
    rows.push_to_hub("me/rows", max_shard_size=400)
    assert len(world.commits) == 1  # nothing is new
    splits = datasets.DatasetDict(train=rows.take(3), test=rows.skip(3))
    splits.push_to_hub("me/splits", commit_message="Both")
    assert world.commits[-1][2] == "Both"
    again = datasets.load_dataset("me/splits")
    assert again.num_rows == {"train": 3, "test": 37}
    assert again["test"].to_list() == splits["test"].to_list()
    assert all("/api/models/" not in path for path in world.seen)
    for wrong, text in (
        (lambda: rows.push_to_hub("me/rows", split="no split"), "'no split' is no name"),
        (lambda: datasets.DatasetDict().push_to_hub("me/rows"), "there are no splits"),
        (lambda: datasets.IterableDatasetDict().push_to_hub("me/rows"), "streams are not sent"),
        (lambda: hub.create_repo("me/rows", repo_type="space"), "repo_type 'space' is unknown"),
    ):
        with pytest.raises(ds.ValueError, match=text):
            wrong()
