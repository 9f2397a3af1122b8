"""Listing the stored files of a data folder whose database is missing or damaged."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..files import file_sha256
from .file_list import list_file, source_of
from .recent_runs import parse_entry, save_entry
from .results import add_result, read_facts, read_info

_IN_USE_SECONDS = 3600
"""How long the files count as in use, because only the damaged database listed which of them other
processes use."""
_PATTERNS = ("uploads/*/*", "processed/*.png", "network/*.raw", "reports/*.pdf", "encoded/*")


def adopt_files(db: sqlite3.Connection, folder: Path) -> None:
    """List the files that, by their content, this program has written.

    These are results with their `info`, inputs whose folder is named by their checksum, and the
    files made from both. No other file is listed, so none is deleted. Earlier versions stored
    entries as files, which are copied into the database and deleted together with these copies.
    """
    used = time.time() + _IN_USE_SECONDS
    sources = set[str]()
    for png in _files_in(folder, "processed/*.png"):
        sources |= _sources_of(png)
        info = read_info(png)
        if info is not None:
            add_result(db, info)
    for path in _files_in(folder, "lists/*.json"):
        entry = parse_entry(path.read_bytes())
        if entry is not None and path.stem == f"{entry.whose}.{entry.id}":
            sources.add(entry.sha256)
            save_entry(db, entry)
            list_file(db, folder, f"lists/{path.name}", entry.id, used)
    for path in _files_in(folder, "uploads/*/*"):
        checksum = path.parent.name
        if checksum not in sources and file_sha256(path) == checksum:
            sources.add(checksum)
    for pattern in _PATTERNS:
        for path in _files_in(folder, pattern):
            key = path.relative_to(folder).as_posix()
            if source_of(key) in sources:
                list_file(db, folder, key, source_of(key), used)


def _sources_of(png: Path) -> set[str]:
    """Return the task id and the checksums of the input and output of a result, also of one from an
    earlier version."""
    facts: Any = read_facts(png)
    with suppress(KeyError, TypeError):
        return {png.stem, facts["input"]["sha256"], facts["output"]["sha256"]}
    return set()


def _files_in(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the readable files of this pattern that are not behind a symbolic link."""
    for path in folder.glob(pattern):
        is_link = path.is_symlink() or path.parent.is_symlink()
        if path.is_file() and not is_link and os.access(path, os.R_OK):
            yield path
