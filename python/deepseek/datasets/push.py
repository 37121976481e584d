# SPDX-License-Identifier: Apache-2.0
"""Data sets to a hub, as Parquet files that load_dataset() and the package `datasets` read."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .. import _core
from .writers import SHARD, write_parquet


def push(splits: Mapping, repo_id: str, *, max_shard_size, data_dir, private, token, **commit):
    """One commit with data/SPLIT-NUMBER-of-COUNT.parquet for every part of every split."""
    from .. import hub
    from ..models._files import byte_count

    size = SHARD if max_shard_size is None else byte_count(max_shard_size, "push_to_hub")
    for split in splits:
        if not re.fullmatch(r"\w+(\.\w+)*", split):
            raise _core.ValueError(f"push_to_hub: {split!r} is no name of a split")
    repo = hub.create_repo(
        repo_id, private=private, exist_ok=True, token=token, repo_type="dataset"
    )
    with tempfile.TemporaryDirectory() as folder:
        for split, rows in splits.items():
            count = max(1, -(-rows.data.nbytes // size))
            for i in range(count):
                name = f"{split}-{i:05d}-of-{count:05d}.parquet"
                write_parquet(rows.shard(count, i), Path(folder) / data_dir / name)
        return hub.upload_folder(repo, folder, token=token, repo_type="dataset", **commit)
