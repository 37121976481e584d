# SPDX-License-Identifier: Apache-2.0
"""Files of model repositories on a hub, in the cache that the ecosystem shares.

    models--owner--name/refs/REVISION          the commit a branch or tag stood at
    models--owner--name/snapshots/COMMIT/FILE  a link to
    models--owner--name/blobs/ETAG             the contents

and datasets--owner--name for data sets. Uploads are in _upload.py.

Environment: HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, HF_HUB_OFFLINE, HF_TOKEN."""

import fcntl
import hashlib
import http.client
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from . import _core
from ._download import show_progress

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TIMEOUT = 30.0


class EntryNotFoundError(_core.IOError):
    """The repository has no such file."""


class RepositoryNotFoundError(_core.IOError):
    """The hub has no such repository or revision, or it is not shown without a token."""


class NotCachedError(_core.IOError):
    """The cache lacks the file, and downloads are switched off."""


class _Metadata(NamedTuple):
    commit: str
    etag: str
    size: int | None
    url: str


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """A token goes to the hub, never to the host it sends us on to."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if (
            new
            and urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc
        ):
            new.remove_header("Authorization")
        return new


class _OwnRedirects(_SafeRedirects):
    """Follows a renamed repository on the same host, but stops at the storage behind: the headers
    of the hub's own answer name the commit."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        same = urllib.parse.urlsplit(newurl).netloc == urllib.parse.urlsplit(req.full_url).netloc
        if not same or headers.get("X-Linked-Etag"):
            return None
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new:
            new.method = "HEAD"
        return new


def _flag(name: str) -> bool:
    return os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")


def _home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HF_HOME") or Path(cache) / "huggingface").expanduser()


def cache_folder() -> Path:
    """HF_HUB_CACHE, else hub in HF_HOME, else in the user's cache folder."""
    return Path(os.environ.get("HF_HUB_CACHE") or _home() / "hub").expanduser()


def _token(given: str | bool | None) -> str | None:
    if given is False:
        return None
    if isinstance(given, str):
        return given
    if os.environ.get("HF_TOKEN"):
        return os.environ["HF_TOKEN"].strip()
    path = Path(os.environ.get("HF_TOKEN_PATH") or _home() / "token")
    return path.read_text().strip() or None if path.is_file() else None


def _open(request: urllib.request.Request, redirects, token: str | None):
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    request.add_header("User-Agent", f"deepseek/{_core.__version__}")
    request.add_header("Accept-Encoding", "identity")  # the length is that of the file
    return urllib.request.build_opener(redirects).open(request, timeout=_TIMEOUT)


def _refused(error: urllib.error.HTTPError, repo: str, file: str, revision: str) -> Exception:
    """The error of this library for an answer of the hub."""
    kind = error.headers.get("X-Error-Code", "")
    if kind == "EntryNotFound" or (error.code == 404 and not kind):
        return EntryNotFoundError(f"hub: {repo} has no file {file} at revision {revision}")
    if kind == "RevisionNotFound":
        return RepositoryNotFoundError(f"hub: {repo} has no revision {revision}")
    if kind == "GatedRepo" or error.code == 403:
        return RepositoryNotFoundError(
            f"hub: {repo} asks for consent to its terms; give it on its page, then set HF_TOKEN to "
            "a token of that account"
        )
    if error.code in (401, 404):
        return RepositoryNotFoundError(
            f"hub: there is no repository {repo}, or it is private; check the name, or set "
            "HF_TOKEN to a token that may read it"
        )
    return _core.IOError(f"hub: {repo}/{file}: the server answers {error.code} {error.reason}")


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _metadata(
    repo: str, file: str, revision: str, token: str | None, kind: str = "model"
) -> _Metadata:
    """What the hub says of a file, without fetching it."""
    url = (
        f"{_endpoint()}/{'' if kind == 'model' else 'datasets/'}{repo}/resolve/"
        f"{urllib.parse.quote(revision, safe='')}/{urllib.parse.quote(file)}"
    )
    request = urllib.request.Request(url, method="HEAD")
    try:
        with _open(request, _OwnRedirects, token) as response:
            headers = response.headers
    except urllib.error.HTTPError as error:
        if not 300 <= error.code < 400:
            raise _refused(error, repo, file, revision) from error
        headers = error.headers  # the storage behind is asked by the download
    commit = headers.get("X-Repo-Commit", "")
    etag = (headers.get("X-Linked-Etag") or headers.get("ETag") or "").removeprefix("W/").strip('"')
    if (
        not _COMMIT.fullmatch(commit)
        or not re.fullmatch(r"[0-9A-Za-z_.-]+", etag)
        or etag.startswith(".")
    ):
        raise _core.IOError(
            f"hub: {url}: the answer names no commit and ETag, so no hub sent it; check "
            "HF_ENDPOINT"
        )
    size = headers.get("X-Linked-Size") or headers.get("Content-Length")
    return _Metadata(commit, etag, int(size) if size and size.isdigit() else None, url)


def _matches(path: Path, etag: str) -> bool:
    """ETags of the hub are checksums: SHA-256 of large files, git's SHA-1 of small ones."""
    if len(etag) == 64:
        digest = hashlib.sha256()
    elif len(etag) == 40:
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    else:
        return True
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == etag


def _continue(url: str, partial: Path, size: int | None, token: str | None, name: str) -> None:
    """Fetches what the partial file lacks, where the server allows it, else all of it."""
    have = partial.stat().st_size if partial.exists() else 0
    if size is not None and have > size:
        partial.unlink()
        have = 0
    if size is not None and have == size:
        partial.touch()
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with _open(request, _SafeRedirects, token) as response:
        resumed = response.status == 206
        done = have if resumed else 0
        with partial.open("ab" if resumed else "wb") as file:
            while block := response.read(1 << 18):
                file.write(block)
                done += len(block)
                show_progress(done, size or 0, name)
    if size is not None and done != size:
        raise ConnectionError(f"the connection ended after {done} of {size} bytes")


def _fetch_blob(
    meta: _Metadata, blob: Path, repo: str, file: str, token: str | None, attempts: int = 3
) -> None:
    partial = Path(f"{blob}.incomplete")
    for attempt in range(attempts):
        try:
            _continue(meta.url, partial, meta.size, token, file)
        except urllib.error.HTTPError as error:
            if error.code == 416 and partial.exists():
                partial.unlink()  # longer than what the server holds now
                continue
            if error.code < 500 or attempt + 1 == attempts:
                raise _refused(error, repo, file, meta.commit) from error
            continue
        except (OSError, http.client.HTTPException) as error:
            full = getattr(error, "filename", None) or getattr(error, "errno", None) == 28
            if attempt + 1 < attempts and not full:
                continue
            reason = getattr(error, "reason", error)
            raise _core.IOError(
                f"hub: {repo}/{file}: {reason}; try again, what has come is kept " "and continued"
            ) from error
        if _matches(partial, meta.etag):
            partial.replace(blob)
            return
        partial.unlink()  # may be made of two versions: start again
    raise _core.FileFormatError(
        f"hub: {repo}/{file} does not have the checksum {meta.etag} that the hub names; nothing "
        "was kept"
    )


@contextmanager
def _locked(path: Path):
    """One process downloads a file, the others wait for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _checked(repo: str, file: str, revision: str) -> None:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repo) or ".." in repo:
        raise _core.ValueError(f"hub: '{repo}' is no repository; write owner/name")
    parts = PurePosixPath(file).parts
    if not file or file.startswith("/") or ".." in parts or "\\" in file:
        raise _core.ValueError(f"hub: '{file}' is no file inside a repository")
    if not revision or ".." in PurePosixPath(revision).parts or revision.startswith("/"):
        raise _core.ValueError(f"hub: '{revision}' is no revision")


def _cached(folder: Path, file: str, revision: str) -> tuple[Path | None, bool]:
    """(the file in the cache, whether the cache knows that there is none)."""
    commit = revision
    if not _COMMIT.fullmatch(revision):
        ref = folder / "refs" / revision
        if not ref.is_file():
            return None, False
        commit = ref.read_text().strip()
    path = folder / "snapshots" / commit / file
    return (path if path.exists() else None), (folder / ".no_exist" / commit / file).exists()


def _link(blob: Path, pointer: Path) -> None:
    pointer.parent.mkdir(parents=True, exist_ok=True)
    temporary = pointer.with_name(f".{pointer.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(blob, pointer.parent))
    temporary.replace(pointer)


def _store(
    folder: Path, meta: _Metadata, repo: str, file: str, revision: str, token: str | None
) -> Path:
    """The file of a known commit, downloaded unless its contents are there."""
    pointer = folder / "snapshots" / meta.commit / file
    blob = folder / "blobs" / meta.etag
    try:
        blob.parent.mkdir(parents=True, exist_ok=True)
        if revision != meta.commit:
            ref = folder / "refs" / revision
            ref.parent.mkdir(parents=True, exist_ok=True)
            if not ref.is_file() or ref.read_text() != meta.commit:
                ref.write_text(meta.commit)
        with _locked(folder.parent / ".locks" / folder.name / f"{meta.etag}.lock"):
            if not blob.exists():
                _fetch_blob(meta, blob, repo, file, token)
            if not pointer.exists():
                _link(blob, pointer)
    except OSError as error:
        if isinstance(error, _core.Error):
            raise
        raise _core.IOError(f"hub: cannot write to {folder}: {error.strerror or error}") from error
    return pointer


def _folder(repo: str, repo_type: str, cache_dir) -> Path:
    """The repository's folder in the cache."""
    if repo_type not in ("model", "dataset"):
        raise _core.ValueError(f"hub: repo_type '{repo_type}' is unknown; use model or dataset")
    return Path(cache_dir or cache_folder()) / f"{repo_type}s--{repo.replace('/', '--')}"


def hub_download(
    repo: str,
    file: str,
    revision: str = "main",
    *,
    cache_dir: str | os.PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    repo_type: str = "model",
) -> Path:
    """The path of a repository's file in the cache, downloaded when it is not there or the
    revision moved on. Without a network, or with local_files_only or HF_HUB_OFFLINE=1, the cached
    file is taken as it is. repo_type: "model" or "dataset".

    EntryNotFoundError when the repository has no such file, RepositoryNotFoundError when there is
    no such repository or revision, IOError when neither network nor cache has it (NotCachedError
    when the network was not asked), FileFormatError when the contents do not have their checksum.
    """
    _checked(repo, file, revision)
    folder = _folder(repo, repo_type, cache_dir)
    cached, known_absent = _cached(folder, file, revision)
    if cached and _COMMIT.fullmatch(revision):
        return cached
    absent = EntryNotFoundError(f"hub: {repo} has no file {file} at revision {revision}")
    if local_files_only or _flag("HF_HUB_OFFLINE"):
        if cached:
            return cached
        if known_absent:
            raise absent
        raise NotCachedError(
            f"hub: {repo}/{file} at revision {revision} is not in the cache "
            f"{folder.parent}, and downloads are switched off"
        )
    secret = _token(token)
    try:
        meta = _metadata(repo, file, revision, secret, repo_type)
    except EntryNotFoundError as error:
        commit = getattr(error.__cause__, "headers", {}).get("X-Repo-Commit", "")
        if _COMMIT.fullmatch(commit):
            marker = folder / ".no_exist" / commit / file
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
        raise
    except RepositoryNotFoundError:
        raise
    except (OSError, http.client.HTTPException) as error:
        if cached:
            return cached
        if known_absent:
            raise absent from error
        reason = getattr(error, "reason", error)
        raise _core.IOError(
            f"hub: {repo}/{file} is not in the cache and the hub can not be asked: {reason}"
        ) from error
    return _store(folder, meta, repo, file, revision, secret)


def hub_downloads(repo: str, files: list[str], revision: str = "main", **arguments) -> list[Path]:
    """Several files of a repository, at most four at a time."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda file: hub_download(repo, file, revision, **arguments), files))


def hub_files(
    repo: str,
    revision: str = "main",
    *,
    cache_dir: str | os.PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    repo_type: str = "model",
) -> tuple[str, list[str]]:
    """(the commit of a revision, the names of its files). Without a network, or with
    local_files_only or HF_HUB_OFFLINE=1, those that the cache holds; errors as hub_download()."""
    _checked(repo, "list", revision)
    folder = _folder(repo, repo_type, cache_dir)
    if local_files_only or _flag("HF_HUB_OFFLINE"):
        found = _cached_files(folder, revision)
        if found is None:
            raise NotCachedError(
                f"hub: {repo} at revision {revision} is not in the cache {folder.parent}, and "
                "downloads are switched off"
            )
        return found
    url = f"{_endpoint()}/api/{repo_type}s/{repo}/revision/{urllib.parse.quote(revision, safe='')}"
    try:
        with _open(urllib.request.Request(url), _SafeRedirects, _token(token)) as response:
            answer = json.loads(response.read())
        commit, names = answer["sha"], [row["rfilename"] for row in answer["siblings"]]
        if not _COMMIT.fullmatch(commit):
            raise KeyError("sha")
        for name in names:
            _checked(repo, name, revision)
    except urllib.error.HTTPError as error:
        if error.code == 404 and not error.headers.get("X-Error-Code"):
            raise RepositoryNotFoundError(f"hub: there is no repository {repo}") from error
        raise _refused(error, repo, "", revision) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _core.IOError(
            f"hub: {url}: the answer lists no files, so no hub sent it; check HF_ENDPOINT"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        found = _cached_files(folder, revision)
        if found is not None:
            return found
        reason = getattr(error, "reason", error)
        raise _core.IOError(
            f"hub: {repo} is not in the cache and the hub can not be asked: {reason}"
        ) from error
    if revision != commit:
        ref = folder / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit)
    return commit, names


def _cached_files(folder: Path, revision: str) -> tuple[str, list[str]] | None:
    ref = folder / "refs" / revision
    commit = ref.read_text().strip() if ref.is_file() else revision
    snapshot = folder / "snapshots" / commit
    if not snapshot.is_dir():
        return None
    names = sorted(p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if p.is_file())
    return commit, names


from ._upload import (  # noqa: E402, F401
    CommitInfo,
    PushToHubMixin,
    WriteRefusedError,
    create_repo,
    upload_folder,
)
