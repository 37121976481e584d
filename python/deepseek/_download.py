# SPDX-License-Identifier: Apache-2.0
"""Downloads that resume, are checked, and leave either the whole right file or none."""

import fcntl
import hashlib
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from . import _core


def cache_folder() -> Path:
    """DS_CACHE, else deepseek in the user's cache folder."""
    if "DS_CACHE" in os.environ:
        return Path(os.environ["DS_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepseek"


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def show_progress(done: int, total: int, name: str) -> None:
    """A line on a terminal."""
    if sys.stderr.isatty():
        share = f"{100 * done / total:3.0f} %" if total else f"{done >> 20} MiB"
        print(f"\r{name}: {share}", end="", file=sys.stderr, flush=True)


def _fetch(url: str, partial: Path, timeout: float) -> None:
    """Continues the partial file where the server allows it, else starts again."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # the file is complete, or another one
            return
        raise
    with response:
        resumed = response.status == 206
        size = response.headers.get("Content-Length")
        total = int(size) + (have if resumed else 0) if size else 0
        done = have if resumed else 0
        with partial.open("ab" if resumed else "wb") as file:
            while block := response.read(1 << 16):
                file.write(block)
                done += len(block)
                show_progress(done, total, partial.name.removesuffix(".part"))
        if total and done != total:
            raise ConnectionError(f"the connection ended after {done} of {total} bytes")


def download(
    url: str,
    path: str | os.PathLike,
    sha256: str | None = None,
    attempts: int = 3,
    timeout: float = 30,
) -> Path:
    """The file at url as path; nothing is fetched when it is there with the right checksum.

    IOError when the server cannot be reached or has no such file, FileFormatError when what came
    does not have the checksum. A broken download is resumed by the next call."""
    path = Path(path)
    if path.exists() and (sha256 is None or _hash(path) == sha256):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(f"{path}.lock", "w")
    except OSError as error:
        raise _core.IOError(f"download: cannot write to {path.parent}: {error.strerror}") from error
    partial = Path(f"{path}.part")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process downloads, the others wait for it
        if path.exists() and (sha256 is None or _hash(path) == sha256):
            return path
        for attempt in range(attempts):
            try:
                _fetch(url, partial, timeout)
            except urllib.error.HTTPError as error:
                raise _core.IOError(
                    f"download: {url}: the server answers {error.code} {error.reason}"
                ) from error
            except (OSError, ConnectionError) as error:
                if attempt + 1 < attempts:
                    continue
                reason = getattr(error, "reason", error)
                raise _core.IOError(
                    f"download: {url}: {reason}; try again, what has come is kept, or put the file "
                    f"at {path}"
                ) from error
            found = _hash(partial) if sha256 else None
            if found == sha256:
                partial.rename(path)
                return path
            partial.unlink()  # a resumed file may be made of two versions: start again once
        raise _core.FileFormatError(
            f"download: {url} has SHA-256 {found}, expected {sha256}; nothing was kept"
        )
