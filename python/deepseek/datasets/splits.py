# SPDX-License-Identifier: Apache-2.0
"""Data sets by split, with the verbs that act on all of them."""

import json
import os
from pathlib import Path

from .. import _core

_VERBS = {
    "map",
    "filter",
    "shuffle",
    "sort",
    "cast",
    "cast_column",
    "class_encode_column",
    "remove_columns",
    "rename_column",
    "rename_columns",
    "select_columns",
    "with_format",
    "with_transform",
    "set_format",
    "set_transform",
    "reset_format",
    "flatten_indices",
    "take",
    "skip",
    "batch",
    "flatten",
    "repeat",
    "align_labels_with_mapping",
}
_PROPERTIES = {"num_rows", "num_columns", "shape", "column_names", "features"}


class DatasetDict(dict):
    """Dataset by split. map, filter, shuffle, sort, cast and the like act on all of them."""

    def __getattr__(self, name: str):
        if name in _PROPERTIES:
            return {split: getattr(rows, name) for split, rows in self.items()}
        if name not in _VERBS or not all(hasattr(rows, name) for rows in self.values()):
            raise AttributeError(f"{type(self).__name__} has no '{name}'")

        def act(*args, **named):
            made = {split: getattr(rows, name)(*args, **named) for split, rows in self.items()}
            return None if None in made.values() else type(self)(made)

        return act

    def cleanup_cache_files(self) -> dict[str, int]:
        """Removes the results of map() that are kept for these rows; how many, by split."""
        return {split: rows.cleanup_cache_files() for split, rows in self.items()}

    def __missing__(self, split):
        raise _core.KeyError(f"there is no split '{split}'; there are {', '.join(self) or 'none'}")

    def __reduce__(self):
        return type(self), (dict(self),)

    def __repr__(self) -> str:
        inner = ", ".join(f"{split}: {rows!r}" for split, rows in self.items())
        return f"{type(self).__name__}({inner})"

    @staticmethod
    def load_from_disk(dataset_dict_path: str | os.PathLike) -> "DatasetDict":
        """What save_to_disk() wrote."""
        from .loading import load_from_disk

        made = load_from_disk(dataset_dict_path)
        if not isinstance(made, DatasetDict):
            raise _core.ValueError(
                f"DatasetDict: {dataset_dict_path} holds one data set; use load_from_disk()"
            )
        return made

    def save_to_disk(
        self, dataset_dict_path: str | os.PathLike, max_shard_size: int | str | None = None
    ) -> None:
        """A folder that load_from_disk() maps, here and in the package `datasets`."""
        from .writers import replaced

        with replaced(Path(dataset_dict_path)) as folder:
            for split, rows in self.items():
                rows.save_to_disk(folder / split, max_shard_size)
            (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(self)}))

    def push_to_hub(
        self,
        repo_id: str,
        data_dir: str = "data",
        commit_message: str = "Upload dataset",
        commit_description: str = "",
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str = "main",
        create_pr: bool = False,
        max_shard_size: int | str | None = None,
    ):
        """Dataset.push_to_hub() of all splits in one commit."""
        from .push import push

        if not self:
            raise _core.ValueError("push_to_hub: there are no splits to send")
        return push(
            self,
            repo_id,
            data_dir=data_dir,
            max_shard_size=max_shard_size,
            private=private,
            token=token,
            commit_message=commit_message,
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
        )


class IterableDatasetDict(DatasetDict):
    """IterableDataset by split."""

    def push_to_hub(self, repo_id: str, **_):
        """ValueError: streams are not sent."""
        raise _core.ValueError(
            "push_to_hub: streams are not sent; load the data without streaming, or write them "
            "with Dataset.from_generator()"
        )
