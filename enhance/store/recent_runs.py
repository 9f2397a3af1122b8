"""The entries of the recent results, one for each image of a run or a batch."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields

from ..errors import EnhanceError
from ..json_object import JsonObject
from ..settings import Settings
from ..size import Size

MAX_RESULTS = 20
MAX_FILES = 400
"""The largest numbers of results and of files in a list, in which a batch counts as one result."""


@dataclass(frozen=True)
class RecentRun:
    """One run in the recent results of a user.

    - `state`: running, done, failed, cancelled, or interrupted if the server ended or the page was
      closed.
    - `process`: the process of the run. A running entry of an ended process counts as interrupted.
    - `thumbnail`: a `data:` URL.
    - `batch`, `number`: the batch of the file and its position there.
    - `error`: why a named job failed, in each language, with the key of the error.
    - `visible`: values of the result's `info` that are different for this user.
    - `encoding`: the output file that the user requested first, as the values of an `Encoding`.
    - `fidelity_worst_db`: the value of the result's `info`, None if it was not measured.
    - `call`: the settings of a whole batch, and whether it uses the `largest` size for small
      photos.
    - `used`: when the stored entry last changed, 0 for an entry that is not read from the database.
    """

    whose: str
    id: str
    state: str
    began: str
    name: str
    sha256: str
    width: int
    height: int
    settings: JsonObject
    thumbnail: str
    process: str
    task_id: str | None = None
    bytes: int = 0
    batch: str = ""
    number: int = 0
    error: dict[str, str] = field(default_factory=dict)
    visible: JsonObject = field(default_factory=dict)
    encoding: JsonObject = field(default_factory=dict)
    fidelity_worst_db: float | None = None
    call: JsonObject = field(default_factory=dict)
    used: float = 0.0

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    @property
    def job(self) -> str:
        """The name of its job, which is its id unless it is a file of a batch."""
        return self.batch or self.id


_FIELDS = {one.name for one in fields(RecentRun)}
"""The fields of an entry. Entries of earlier versions can have other fields."""


def save_entry(db: sqlite3.Connection, entry: RecentRun) -> None:
    """Add an entry to the database, or replace it there."""
    values = asdict(entry)
    values |= {"used": time.time(), "facts": json.dumps(values)}
    query = "INSERT OR REPLACE INTO entries VALUES (:whose, :id, :sha256, :task_id, :used, :facts)"
    db.execute(query, values)


def delete_entry(db: sqlite3.Connection, entry: RecentRun) -> None:
    db.execute("DELETE FROM entries WHERE whose = ? AND id = ?", (entry.whose, entry.id))


def parse_entry(text: str | bytes, used: float = 0.0) -> RecentRun | None:
    """Return the entry of this JSON, which last changed at `used`; None if it is damaged or its
    settings no longer exist."""
    with suppress(ValueError, KeyError, TypeError, AttributeError, EnhanceError):
        values = json.loads(text)
        values["settings"].pop("print_fit", None)
        values["used"] = used
        entry = RecentRun(**{name: value for name, value in values.items() if name in _FIELDS})
        Settings(**entry.settings)
        return entry
    return None
