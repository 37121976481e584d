# SPDX-License-Identifier: Apache-2.0
"""What Dataset turns into: lists, frames, files, folders, repositories of a hub, streams."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from .. import _core


class Leaving:
    """Mixed into Dataset."""

    def to_dict(self) -> dict[str, list]:
        """Lists by column, as stored."""
        return self.table_of(slice(None)).to_pydict()

    def to_list(self) -> list[dict]:
        """Dicts by row, as stored."""
        return self.table_of(slice(None)).to_pylist()

    def to_pandas(self):
        """A data frame; needs pandas."""
        return self.table_of(slice(None)).to_pandas()

    def _parts(self) -> Iterator:
        """The rows as batches, in order."""
        if self._chosen is None:
            yield from self._table.to_batches(max_chunksize=1000)
            return
        for start in range(0, len(self), 1000):
            yield from self.table_of(slice(start, start + 1000)).combine_chunks().to_batches()

    def to_csv(self, path_or_buf: str | os.PathLike, index: bool = False) -> None:
        """A CSV file that load_dataset() and others read; rows have no index."""
        if index:
            raise _core.ValueError("to_csv: rows have no index; add_column() one, or leave it out")
        from .writers import write_csv

        write_csv(self, Path(path_or_buf))

    def to_json(
        self, path_or_buf: str | os.PathLike, orient: str = "records", lines: bool = True
    ) -> None:
        """A JSON object a line."""
        if orient != "records" or not lines:
            raise _core.ValueError(
                "to_json: rows are written as an object a line, orient='records' and lines=True; "
                "use to_pandas().to_json() for other forms"
            )
        from .writers import write_json

        write_json(self, Path(path_or_buf))

    def to_parquet(self, path_or_buf: str | os.PathLike) -> None:
        """A Parquet file that also holds the features."""
        from .writers import write_parquet

        write_parquet(self, Path(path_or_buf))

    def save_to_disk(
        self,
        dataset_path: str | os.PathLike,
        max_shard_size: int | str | None = None,
        num_shards: int | None = None,
    ) -> None:
        """A folder that load_from_disk() maps, here and in the package `datasets`, in files of at
        most max_shard_size ("500MB"), or num_shards of them."""
        from ..models._files import byte_count
        from .writers import save_table

        size = None if max_shard_size is None else byte_count(max_shard_size, "save_to_disk")
        save_table(self, Path(dataset_path), num_shards, size)

    def push_to_hub(
        self,
        repo_id: str,
        split: str = "train",
        data_dir: str = "data",
        commit_message: str = "Upload dataset",
        commit_description: str = "",
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str = "main",
        create_pr: bool = False,
        max_shard_size: int | str | None = None,
    ):
        """Sends the rows as Parquet files to a data set's repository on a hub, which is made when
        it is not there; load_dataset(repo_id) reads them, here and in the package `datasets`."""
        from .push import push

        return push(
            {split: self},
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

    def to_iterable_dataset(self):
        """A stream of the rows."""
        from .stream import IterableDataset

        return IterableDataset(self._parts, self._features)

    def described(self):
        """The schema that holds the features as the package `datasets` reads them."""
        info = json.dumps({"info": {"features": self._features.to_json()}})
        return self._features.schema.with_metadata({"huggingface": info})
