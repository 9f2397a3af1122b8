"""The results in the database, and their `info` in files next to them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..info import Info, network_key_of
from ..json_object import JsonObject


def add_result(db: sqlite3.Connection, info: Info) -> None:
    """Add a result to the database, or replace it there."""
    task_id = info["task_id"]
    checksum = info["input"]["sha256"]
    values = (
        task_id,
        f"processed/{task_id}.png",
        info["signature"],
        info["settings"].get("dpi"),
        str(info.get("finished", "")),
        checksum,
        info["output"].get("sha256"),
        f"network/{checksum}-{network_key_of(info)}.raw",
    )
    db.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def read_facts(png: Path) -> JsonObject | None:
    """Return the stored facts of the result at this path; None if they are damaged or written by
    another program."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        facts = json.loads(png.with_suffix(".json").read_text("utf-8"))
        if facts["task_id"] == png.stem:
            return facts
    return None


def read_info(png: Path) -> Info | None:
    """Return the info of a finished task; None if a file is damaged or written by a version with
    other values."""
    facts: Any = read_facts(png)
    if facts is None:
        return None
    with suppress(Exception):  # The facts can have any values.
        print_fit = facts["settings"].pop("print_fit", None)
        is_old_print = print_fit in ("border", "crop")  # of an earlier version
        # Raises an error without the values that a later run or a deletion needs.
        network_key_of(facts)
        is_complete = facts["status"] == "done" and facts["output"]["bytes"] == png.stat().st_size
        if is_complete and facts["signature"] and not is_old_print:
            return facts
    return None
