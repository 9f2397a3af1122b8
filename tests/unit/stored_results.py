"""Small results in a store, without a network."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from typing import Any

from enhance import Settings
from enhance.processes import this_process
from enhance.store import RecentRun

ENDED = f"{this_process().split('-')[0]}-999999999-1"
"""The name of a process of this computer that has ended."""


def add_result(store, signature="a" * 64, content=b"image", input="c" * 64):
    """Store a result of the input with this checksum and return its task id."""
    task_id = store.new_id()
    settings = Settings("anime-fast")
    png = store.result_path(task_id)
    sha256 = hashlib.sha256(content).hexdigest()
    info: Any = {
        "status": "done",
        "signature": signature,
        "task_id": task_id,
        "input": {"sha256": input, "width": 1},
        "output": {"bytes": len(content), "sha256": sha256, "width": 4},
        "preset": settings.preset,
        "settings": settings.as_dict(),
        "tile": settings.tile,
        "model": {"sha256": "d" * 64},
        "precision": "fp32",
    }
    store.prepare()
    with store.using(png):
        png.write_bytes(content)
        store.finish(task_id, info)
    return task_id


def add_entry(store, **facts):
    """Add a run to a list of recent results, with a result by default."""
    entry = RecentRun(
        **{
            "whose": "a" * 64,
            "id": secrets.token_hex(16),
            "state": "done",
            "began": "2026",
            "name": "photo.png",
            "sha256": "c" * 64,
            "width": 8,
            "height": 8,
            "settings": {},
            "thumbnail": "",
            "process": "",
            **facts,
        }
    )
    store.save_entry(entry)
    return entry


def files_of(folder):
    """Return the files in a folder of the program, without its marker and its database."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith((".enhance-folder", "enhance-"))
    }


def set_last_use(store, hours, *paths):
    """Set the last use of stored files, or of all files and entries, to so long ago."""
    used = time.time() - hours * 3600
    with store.database.transaction() as db:
        if not paths:
            db.execute("UPDATE entries SET used = ?", (used,))
            db.execute("UPDATE files SET used = ?", (used,))
        for path in paths:
            key = path.relative_to(store.folder).as_posix()
            db.execute("UPDATE files SET used = ? WHERE path = ?", (used, key))


def set_age(seconds, *paths):
    """Set the time of files to so long ago."""
    changed = time.time() - seconds
    for path in paths:
        os.utime(path, (changed, changed))
