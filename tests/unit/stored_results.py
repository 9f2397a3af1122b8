"""Small results in a store, without a network."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Any

from enhance import Settings
from enhance.files import write_atomically
from enhance.store import RecentRun, TaskStore


def add_result(
    store: TaskStore, signature: str = "a" * 64, content: bytes = b"image", input: str = "c" * 64
) -> str:
    """Store a result of the input with this checksum and return its task id."""
    task_id, settings = store.new_id(), Settings("anime-fast")
    png = store.result_path(task_id)
    info: Any = {
        "status": "done",
        "signature": signature,
        "task_id": task_id,
        "input": {"sha256": input, "width": 1},
        "output": {
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "width": 4,
        },
        "preset": settings.preset,
        "settings": settings.as_dict(),
        "tile": settings.tile,
        "model": {"sha256": "d" * 64},
        "precision": "fp32",
    }
    with store.using(png):
        write_atomically(png, lambda temporary: temporary.write_bytes(content))
        store.finish(task_id, info)
    return task_id


def add_entry(store: TaskStore, **facts: Any) -> RecentRun:
    """Add a run to a list of recent results."""
    common = {
        "whose": "a" * 64,
        "id": secrets.token_hex(16),
        "began": "2026",
        "width": 8,
        "height": 8,
        "process": "",
    }
    entry = RecentRun(**{**common, "thumbnail": "", **facts})
    store.save_entry(entry)
    return entry


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder of the program, without its marker and its database."""
    files = (
        path for path in folder.rglob("*") if path.is_file() and not path.match(".enhance-folder")
    )
    files = (path for path in files if not path.match("enhance-*.sqlite*"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def set_last_use(store: TaskStore, hours: float, *paths: Path) -> None:
    """Set the last use of stored files, or of all files and entries, to so long ago."""
    used = time.time() - hours * 3600

    with store.database.transaction() as db:
        if not paths:
            db.execute("UPDATE entries SET used = ?", (used,))
            db.execute("UPDATE files SET used = ?", (used,))
        for path in paths:
            db.execute(
                "UPDATE files SET used = ? WHERE path = ?",
                (used, path.relative_to(store.folder).as_posix()),
            )


def set_age(seconds: float, *paths: Path) -> None:
    """Set the time of files to so long ago."""
    for path in paths:
        os.utime(path, (time.time() - seconds, time.time() - seconds))
