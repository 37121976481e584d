# SPDX-License-Identifier: Apache-2.0
"""Which files make which split: of a folder, of a repository on a hub, of patterns."""

import glob
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from .. import _core, hub
from .readers import kind_of

_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARDED = re.compile(r"(?:.*/)?data/([\w.]+)-\d{5}-of-\d{5,}\.[\w.]+")
#: Files that go with data and are none.
_OTHERS = re.compile(
    r"(dataset_infos?|dataset_dict|state|config|package)\.json|(requirements|licen[cs]e|readme)\.txt"
    r"|metadata\.(csv|jsonl|parquet)",
    re.I,
)


class Folder:
    """Files of a local folder."""

    def __init__(self, root: Path):
        self.root = root

    def names(self) -> list[str]:
        """All files, with / between folders."""
        found = []
        for place, folders, files in os.walk(self.root):
            folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
            base = Path(place).relative_to(self.root)
            found += [(base / file).as_posix() for file in files if not file.startswith(".")]
        return sorted(found)

    def matches(self, pattern: str) -> list[str]:
        """The files of a pattern, which may be a path from anywhere."""
        path = self.root / pattern
        if path.is_file():
            return [pattern]
        found = glob.glob(os.fspath(path), recursive=True)
        return sorted(os.path.relpath(f, self.root) for f in found if os.path.isfile(f))

    def path(self, name: str) -> Path:
        """Where a file is."""
        return self.root / name


class Repository:
    """Files of a data set on a hub, fetched when they are needed."""

    def __init__(self, name: str, revision: str, **access):
        self.root = Path()
        self.name = name
        self._access = {**access, "repo_type": "dataset"}
        self.commit, self._names = hub.hub_files(name, revision, **self._access)

    def names(self) -> list[str]:
        """All files."""
        return [n for n in self._names if not any(p.startswith(".") for p in n.split("/"))]

    def matches(self, pattern: str) -> list[str]:
        """The files of a pattern."""
        expression = _expression(pattern)
        return [name for name in self.names() if expression.fullmatch(name)]

    def path(self, name: str) -> Path:
        """The file in the cache."""
        return hub.hub_download(self.name, name, self.commit, **self._access)


def _expression(pattern: str) -> re.Pattern:
    """** stands for folders, * and ? stay within a name."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", pattern.removeprefix("./"))
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    made = (
        known.get(part) or (part.replace("[!", "[^") if part[:1] == "[" else re.escape(part))
        for part in parts
    )
    return re.compile("".join(made))


def _split_of(text: str) -> str | None:
    for split, words in _KEYWORDS.items():
        pattern = rf"(?:^|[-._ 0-9])(?:{'|'.join(words)})(?:$|[-._ 0-9])"
        if re.search(pattern, text, re.I):
            return split
    return None


def by_name(names: Sequence[str]) -> dict[str, list[str]]:
    """Files by split: of data/SPLIT-00000-of-00001.*, of words such as train and test in names, in
    names of folders, else all for training."""
    made: dict[str, list[str]] = {}
    sharded = {name: match[1] for name in names if (match := _SHARDED.fullmatch(name))}
    in_file = {name: _split_of(PurePosixPath(name).name) for name in names}
    in_folder = {
        name: next(filter(None, map(_split_of, PurePosixPath(name).parts[:-1])), None)
        for name in names
    }
    for found in (sharded, in_file, in_folder):
        if any(found.values()):
            for name, split in found.items():
                if split:
                    made.setdefault(split, []).append(name)
            order = [*_KEYWORDS, *made]
            return {split: made[split] for split in dict.fromkeys(order) if split in made}
    return {"train": list(names)} if names else {}


def data_names(source: Folder | Repository, under: str = "", kind: str | None = None) -> list[str]:
    """Files of data in the source, in a folder of it, of one kind. Images come without what
    describes them."""
    base = under.strip("/").removeprefix("./")
    names = [name for name in source.names() if not base or name.startswith(base + "/")]
    names = [n for n in names if kind_of(n) and not _OTHERS.fullmatch(PurePosixPath(n).name)]
    return [n for n in names if kind is None or kind_of(n) == kind]


def of_patterns(source: Folder | Repository, data_files, under: str = "") -> dict[str, list[str]]:
    """Files by split of data_files: a pattern, a list of them, either by split, or rows with
    `split` and `path` as in a README. IOError for a pattern without a file."""
    if isinstance(data_files, str | os.PathLike):
        data_files = [data_files]
    if isinstance(data_files, Sequence) and all(isinstance(r, Mapping) for r in data_files):
        data_files = {row["split"]: row["path"] for row in data_files}
    if not isinstance(data_files, Mapping):
        data_files = {"train": data_files}
    made = {}
    for split, patterns in data_files.items():
        one = isinstance(patterns, str | os.PathLike)
        made[str(split)] = []
        for pattern in [patterns] if one else patterns:
            text = os.path.join(under, os.fspath(pattern))
            found = source.matches(text)
            if not found:
                raise _core.IOError(f"load_dataset: {text} matches no file")
            made[str(split)] += found
    return made


def readme_config(source: Folder | Repository, name: str | None) -> dict:
    """The configuration of a README's header: `data_files`, `data_dir` and the like; {} where it
    names none. ValueError when there are several and none was chosen."""
    if "README.md" not in source.names():
        if name is not None:
            raise _core.ValueError(f"load_dataset: there is no configuration '{name}'")
        return {}
    text = source.path("README.md").read_text("utf-8")
    header = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", text, re.S)
    configs = []
    if header and re.search(r"^configs\s*:", header[1], re.M):
        try:
            import yaml
        except ImportError as error:
            raise _core.NotImplementedError(
                "load_dataset: the README names files in YAML and the package `pyyaml` is not "
                "installed; run pip install pyyaml"
            ) from error
        try:
            configs = yaml.safe_load(header[1])["configs"]
            known = {config["config_name"]: config for config in configs}
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise _core.FileFormatError(f"README.md: its configs are damaged: {error}") from error
    if not configs:
        if name is not None:
            raise _core.ValueError(f"load_dataset: there is no configuration '{name}'")
        return {}
    if name is None:
        chosen = [c for c in configs if c.get("default")] or [known.get("default")]
        chosen = [configs[0]] if len(configs) == 1 else chosen
        if chosen[0] is None:
            raise _core.ValueError(
                f"load_dataset: name one of the configurations {', '.join(known)}"
            )
        return chosen[0]
    if name not in known:
        raise _core.ValueError(
            f"load_dataset: there is no configuration '{name}'; there are {', '.join(known)}"
        )
    return known[name]
