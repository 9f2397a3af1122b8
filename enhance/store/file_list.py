"""The list of files in the database."""

from __future__ import annotations

import re
import sqlite3
from contextlib import suppress
from pathlib import Path


def list_file(db: sqlite3.Connection, folder: Path, key: str, source: str, used: float) -> None:
    """Add an existing file with its size to the list, or update it there.

    The size of a result includes its `.json`.
    """
    path = folder / key
    info = path.with_suffix(".json")
    with suppress(OSError):
        stat = path.stat(follow_symlinks=False)
        size = stat.st_size
        if key.startswith("processed/") and info.exists():
            size += info.stat().st_size
        values = (key, source, f"{stat.st_dev}:{stat.st_ino}", size, used)
        db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", values)


def source_of(key: str) -> str:
    """Return the checksum or task from which a file was made: `source` in `folder/source/name`,
    `folder/source-key.raw` or `folder/source.png`."""
    return re.split("[/.-]", key)[1]
