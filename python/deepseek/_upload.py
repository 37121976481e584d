# SPDX-License-Identifier: Apache-2.0
"""Files to a hub: large ones go to its storage first, then one commit makes all of them visible, so
a broken upload leaves the repository as it was and the next one sends only what is lacking."""

import base64
import hashlib
import http.client
import io
import json
import os
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from . import _core, hub
from ._download import show_progress

_ATTEMPTS = 3
_PAUSE = 0.5  # seconds before the second attempt, twice as long before each further one
_BATCH = 100  # files of one question to the hub
_LEFT_OUT = (".git/*", "*.part", "*.incomplete", ".cache/*", "*/.git/*")
_SAMPLE = 512


class WriteRefusedError(_core.IOError):
    """The hub does not let this token write there."""


class CommitInfo(NamedTuple):
    """Where the files are now."""

    commit: str
    url: str
    pr_url: str | None = None


@dataclass
class _File:
    """A file to send. What stands in it is read twice, so a change in between is noticed."""

    path: Path
    name: str  # in the repository
    size: int
    changed: int
    sha256: str = ""
    large: bool = False

    @classmethod
    def of(cls, path: Path, name: str) -> "_File":
        found = path.stat()
        return cls(path, name, found.st_size, found.st_mtime_ns)

    def check(self) -> None:
        now = self.path.stat()
        if (now.st_size, now.st_mtime_ns) != (self.size, self.changed):
            raise _core.IOError(
                f"hub: {self.path} changed while it was sent; nothing was committed, push again"
            )

    def hash(self) -> None:
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        self.sha256 = digest.hexdigest()

    def git_hash(self) -> str:
        return hashlib.sha1(f"blob {self.size}\0".encode() + self.path.read_bytes()).hexdigest()


class _Part(io.RawIOBase):
    """A part of a file as the body of a request."""

    def __init__(self, file: _File, start: int, size: int):
        self._source, self._left = file.path.open("rb"), size
        self._source.seek(start)
        self._file, self._done = file, start

    def read(self, count=-1) -> bytes:
        count = self._left if count is None or count < 0 else min(count, self._left)
        block = self._source.read(count)
        if count and not block:
            self._file.check()
        self._left -= len(block)
        self._done += len(block)
        show_progress(self._done, self._file.size, self._file.name)
        return block

    def close(self):
        self._source.close()
        super().close()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What is sent goes where the hub said, and nowhere else."""

    def redirect_request(self, *_):
        return None


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _host(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _said(error: urllib.error.HTTPError) -> str:
    """What the hub says about an error."""
    text = error.headers.get("X-Error-Message", "")
    try:
        text = text or str(json.loads(error.read(1 << 16)).get("error", ""))
    except (ValueError, AttributeError, OSError):
        pass
    return f": {' '.join(text.split())[:300]}" if text else ""


def _pause(attempt: int, error) -> None:
    wait = getattr(error, "headers", None) and error.headers.get("Retry-After")
    time.sleep(min(60.0, float(wait)) if wait and wait.isdigit() else _PAUSE * 2**attempt)


def _refused(error: urllib.error.HTTPError, repo: str, doing: str) -> Exception:
    said = _said(error)
    if error.code == 401:
        return WriteRefusedError(
            f"hub: {doing}: the hub does not know the token{said}; set HF_TOKEN to one that may "
            f"write to {repo}"
        )
    if error.code in (402, 403):
        return WriteRefusedError(
            f"hub: {doing}: the token may not do that{said}; set HF_TOKEN to one that may write to "
            f"{repo}"
        )
    if error.code == 404:
        return hub.RepositoryNotFoundError(
            f"hub: {doing}: there is no repository {repo} or no such revision, or the token may "
            f"not see it{said}"
        )
    if error.code in (409, 412):
        return _core.IOError(
            f"hub: {doing}: somebody else changed {repo} at the same time{said}; nothing was "
            "committed, push again"
        )
    if error.code in (413, 507):
        return _core.IOError(f"hub: {doing}: the hub has no room for this{said}")
    return _core.IOError(f"hub: {doing}: the server answers {error.code} {error.reason}{said}")


class _Client:
    """Asks one hub about one repository."""

    def __init__(self, repo: str, token: str | bool | None, repo_type: str = "model"):
        if repo_type not in ("model", "dataset"):
            raise _core.ValueError(
                f"hub: repo_type {repo_type!r} is unknown; use 'model' or 'dataset'"
            )
        if hub._flag("HF_HUB_OFFLINE"):
            raise _core.IOError("hub: nothing can be pushed, HF_HUB_OFFLINE is set")
        self.repo, self.endpoint, self.token = repo, _endpoint(), hub._token(token)
        #: Where the repository is for programs, and where for git and readers.
        self.api = f"api/{repo_type}s/{repo}"
        self.place = repo if repo_type == "model" else f"datasets/{repo}"
        if self.token is None:
            raise WriteRefusedError(
                f"hub: a push to {repo} needs a token; set HF_TOKEN or pass token="
            )

    def ask(self, method: str, url: str, doing: str, *, json_body=None, part=None, headers=None):
        """(answer, headers) of a request that is repeated when the server or the way there fails.
        part: what makes the body anew for each attempt, and its size."""
        own = _host(url) == _host(self.endpoint)
        if _host(url)[0] not in ("http", "https") or (
            _host(self.endpoint)[0] == "https" and _host(url)[0] != "https"
        ):
            raise _core.IOError(f"hub: {doing}: the hub names {url[:80]}, which is no safe address")
        for attempt in range(_ATTEMPTS):
            request = urllib.request.Request(url, method=method, headers=dict(headers or {}))
            request.add_header("User-Agent", f"deepseek/{_core.__version__}")
            if own:  # a token goes to the hub, never to its storage
                request.add_header("Authorization", f"Bearer {self.token}")
            body = None
            if part is not None:
                make, size = part
                body = request.data = make()
                request.add_header("Content-Length", str(size))
                if not request.has_header("Content-type"):
                    request.add_header("Content-Type", "application/octet-stream")
            elif json_body is not None:
                request.data = json.dumps(json_body).encode()
                if not request.has_header("Content-type"):
                    request.add_header("Content-Type", "application/json")
            try:
                opener = urllib.request.build_opener(_NoRedirects)
                with opener.open(request, timeout=hub._TIMEOUT) as response:
                    return response.read(), response.headers
            except urllib.error.HTTPError as error:
                if (error.code >= 500 and error.code != 507) or error.code == 429:
                    if attempt + 1 < _ATTEMPTS:
                        _pause(attempt, error)
                        continue
                raise _refused(error, self.repo, doing) from error
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                if isinstance(reason, _core.Error) or getattr(reason, "filename", None):
                    raise reason from None  # of the file that is sent
                if attempt + 1 < _ATTEMPTS:
                    _pause(attempt, error)
                    continue
                raise _core.IOError(
                    f"hub: {doing}: {reason}; nothing was committed, push again and what has "
                    "arrived is not sent again"
                ) from error
            finally:
                if body is not None:
                    body.close()
        raise AssertionError("unreachable")

    def json(self, method: str, path: str, doing: str, **arguments) -> dict:
        """The answer as an object."""
        text, _ = self.ask(method, f"{self.endpoint}/{path}", doing, **arguments)
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise _core.IOError(
                f"hub: {doing}: the answer is no JSON object, so no hub sent it; check HF_ENDPOINT"
            )
        return found


def _need(answer, key: str, kind: type, doing: str):
    """answer[key], which must be of this kind."""
    if not isinstance(answer, dict) or not isinstance(answer.get(key), kind):
        raise _core.IOError(
            f"hub: {doing}: the answer has no '{key}', so no hub sent it; check HF_ENDPOINT"
        )
    return answer[key]


def create_repo(
    repo: str,
    *,
    private: bool | None = None,
    exist_ok: bool = False,
    token: str | bool | None = None,
    repo_type: str = "model",
) -> str:
    """Makes a repository for a model, or with repo_type "dataset" for a data set, and returns its
    whole name, owner/name; without an owner it is the token's. ValueError when there is one, unless
    exist_ok. WriteRefusedError when the token may not do that."""
    hub._checked(repo, "config.json", "main")
    client, doing = _Client(repo, token, repo_type), f"creating {repo}"
    owner, _, name = repo.rpartition("/")
    values = {"name": name, "organization": owner or None, "type": repo_type}
    if private is not None:
        values["visibility"] = "private" if private else "public"
    try:
        made = client.json("POST", "api/repos/create", doing, json_body=values)
    except (_core.IOError, WriteRefusedError) as error:
        code = getattr(error.__cause__, "code", None)
        if code == 409:
            if not exist_ok:
                raise _core.ValueError(f"hub: there is a repository {repo} already") from error
            return repo if owner else f"{_user(client)}/{name}"
        if code == 403 and exist_ok and owner and _exists(client):
            return repo  # who may not make repositories may still write to this one
        raise
    parts = urllib.parse.urlsplit(_need(made, "url", str, doing)).path.strip("/").split("/")
    return "/".join(parts[-2:])


def _user(client: _Client) -> str:
    doing = "asking for the token's owner"
    return _need(client.json("GET", "api/whoami-v2", doing), "name", str, doing)


def _exists(client: _Client) -> bool:
    try:
        client.json("GET", client.api, "looking for the repository")
    except _core.IOError:
        return False
    return True


def _ask_modes(client: _Client, files: list[_File], revision: str, query: str) -> list[_File]:
    """Which files are large, by the hub; those it has already, or ignores, are left out."""
    doing, left = f"asking how {client.repo} stores files", []
    for start in range(0, len(files), _BATCH):
        part = {file.name: file for file in files[start : start + _BATCH]}
        described = []
        for file in part.values():
            with file.path.open("rb") as source:
                sample = base64.b64encode(source.read(_SAMPLE)).decode()
            described.append({"path": file.name, "sample": sample, "size": file.size})
        answer = client.json(
            "POST",
            f"{client.api}/preupload/{revision}{query}",
            doing,
            json_body={"files": described},
        )
        found = {_need(f, "path", str, doing): f for f in _need(answer, "files", list, doing)}
        for file in part.values():
            said = found.get(file.name, {})
            mode = _need(said, "uploadMode", str, doing)
            if mode not in ("lfs", "regular"):
                raise _core.IOError(f"hub: {doing}: the way to send '{mode}' is unknown")
            file.large = mode == "lfs" and file.size > 0
            if file.large:
                file.hash()
            same = said.get("oid") == (file.sha256 if file.large else file.git_hash())
            if not same and not said.get("shouldIgnore"):
                left.append(file)
    return left


def _send_large(client: _Client, files: list[_File], revision: str) -> None:
    """Large files to the hub's storage; it asks for none that it has."""
    doing = f"sending large files to {client.repo}"
    kind = "application/vnd.git-lfs+json"
    for start in range(0, len(files), _BATCH):
        part = {file.sha256: file for file in files[start : start + _BATCH]}
        answer = client.json(
            "POST",
            f"{client.place}.git/info/lfs/objects/batch",
            doing,
            headers={"Accept": kind, "Content-Type": kind},
            json_body={
                "operation": "upload",
                "transfers": ["basic", "multipart"],
                "objects": [{"oid": f.sha256, "size": f.size} for f in part.values()],
                "hash_algo": "sha256",
                "ref": {"name": urllib.parse.unquote(revision)},
            },
        )
        for entry in _need(answer, "objects", list, doing):
            file = part.get(_need(entry, "oid", str, doing))
            if file is None:
                continue
            if "error" in entry:
                text = entry["error"].get("message") if isinstance(entry["error"], dict) else ""
                raise _core.IOError(f"hub: {file.name}: the hub refuses the file: {text}")
            actions = entry.get("actions")
            if actions is not None:
                _send_one(client, file, actions)


def _send_one(client: _Client, file: _File, actions: dict) -> None:
    doing = f"sending {file.name}"
    upload = _need(actions, "upload", dict, doing)
    url, header = _need(upload, "href", str, doing), upload.get("header") or {}
    if not isinstance(header, dict) or not all(isinstance(v, str) for v in header.values()):
        raise _core.IOError(f"hub: {doing}: the hub's 'header' is no object of text")
    if "chunk_size" in header:
        _send_parts(client, file, url, header)
    else:
        whole = (lambda: _Part(file, 0, file.size), file.size)
        client.ask("PUT", url, doing, part=whole, headers=header)
    file.check()
    verify = actions.get("verify")
    if isinstance(verify, dict):
        client.ask(
            "POST",
            _need(verify, "href", str, doing),
            f"checking {file.name}",
            json_body={"oid": file.sha256, "size": file.size},
        )


def _send_parts(client: _Client, file: _File, url: str, header: dict) -> None:
    doing = f"sending {file.name}"
    size = int(header["chunk_size"]) if header["chunk_size"].isdecimal() else 0
    urls = [part for _, part in sorted((int(k), v) for k, v in header.items() if k.isdecimal())]
    if size <= 0 or len(urls) != -(-file.size // size):
        raise _core.IOError(
            f"hub: {doing}: the hub asks for {len(urls)} parts of {size} bytes of a file of "
            f"{file.size}"
        )
    parts = []
    for number, part_url in enumerate(urls):
        start = number * size
        count = min(size, file.size - start)
        body = (lambda start=start, count=count: _Part(file, start, count), count)
        _, headers = client.ask("PUT", part_url, doing, part=body)
        etag = _need({"ETag": headers.get("ETag")}, "ETag", str, doing)
        parts.append({"partNumber": number + 1, "etag": etag})
    client.ask("POST", url, doing, json_body={"oid": file.sha256, "parts": parts})


def _commit(
    client: _Client, files: list[_File], revision: str, query: str, message: str, description: str
) -> CommitInfo:
    doing = f"committing to {client.repo}"
    lines: list[dict] = [
        {"key": "header", "value": {"summary": message, "description": description}}
    ]
    for file in files:
        if file.large:
            value = {"path": file.name, "algo": "sha256", "oid": file.sha256, "size": file.size}
            lines.append({"key": "lfsFile", "value": value})
        else:
            text = base64.b64encode(file.path.read_bytes()).decode()
            value = {"path": file.name, "content": text, "encoding": "base64"}
            lines.append({"key": "file", "value": value})
        file.check()
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    made = client.json(
        "POST",
        f"{client.api}/commit/{revision}{query}",
        doing,
        part=(lambda: io.BytesIO(data), len(data)),
        headers={"Content-Type": "application/x-ndjson"},
    )
    request = made.get("pullRequestUrl")
    return CommitInfo(
        _need(made, "commitOid", str, doing),
        _need(made, "commitUrl", str, doing),
        request if isinstance(request, str) else None,
    )


def _files_of(folder: Path, left_out: Sequence[str]) -> list[_File]:
    if not folder.is_dir():
        raise _core.IOError(f"hub: {folder} is no folder")
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(fnmatch(name, pattern) for pattern in left_out):
            found.append(_File.of(path, name))
    if not found:
        raise _core.ValueError(f"hub: {folder} has no files to send")
    return found


def upload_folder(
    repo: str,
    folder: str | os.PathLike,
    *,
    commit_message: str = "Upload folder",
    commit_description: str = "",
    revision: str = "main",
    create_pr: bool = False,
    ignore_patterns: Sequence[str] = (),
    token: str | bool | None = None,
    repo_type: str = "model",
) -> CommitInfo:
    """Sends the files of a folder to a repository in one commit; those that are there already are
    not sent again, and when none is new there is no commit. With create_pr the commit is a pull
    request.

    RepositoryNotFoundError when there is no such repository or revision, WriteRefusedError when the
    token may not write to it, IOError when the network or a file fails; nothing is visible in the
    repository then, and the next call goes on with what is lacking."""
    hub._checked(repo, "config.json", revision)
    client, files = _Client(repo, token, repo_type), []
    revision, query = urllib.parse.quote(revision, safe=""), "?create_pr=1" if create_pr else ""
    try:
        files = _files_of(Path(folder), (*_LEFT_OUT, *ignore_patterns))
        left = _ask_modes(client, files, revision, query)
        if not left:
            doing = f"asking for the last commit of {repo}"
            info = client.json("GET", f"{client.api}/revision/{revision}", doing)
            commit = _need(info, "sha", str, doing)
            return CommitInfo(commit, f"{client.endpoint}/{client.place}/commit/{commit}")
        _send_large(client, [file for file in left if file.large], revision)
        return _commit(client, left, revision, query, commit_message, commit_description)
    except OSError as error:
        if isinstance(error, _core.Error):
            raise
        raise _core.IOError(
            f"hub: cannot read {error.filename}: {error.strerror}; nothing was committed"
        ) from error


class PushToHubMixin:
    """push_to_hub() of what has save_pretrained()."""

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        commit_description: str = "",
        private: bool | None = None,
        revision: str = "main",
        create_pr: bool = False,
        token: str | bool | None = None,
        **save_arguments,
    ) -> CommitInfo:
        """Sends what save_pretrained() writes to a repository of a hub, which is made when it is
        not there. Other arguments are those of save_pretrained()."""
        repo = create_repo(repo_id, private=private, exist_ok=True, token=token)
        message = commit_message or f"Upload {type(self).__name__}"
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, **save_arguments)
            return upload_folder(
                repo,
                folder,
                commit_message=message,
                commit_description=commit_description,
                revision=revision,
                create_pr=create_pr,
                token=token,
            )
