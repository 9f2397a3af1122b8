"""The SQLite database of a data folder: its tables, its transactions, and its replacement when it
is damaged."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakSet

from ..errors import StorageError
from ..files import MARKER, storage_error, storage_errors, write_atomically

log = logging.getLogger(__name__)

_MIGRATIONS = (
    """
    -- `source` is the checksum or the task that a file was made from, and empty for files that
    -- `_found_files` yields.
    -- Links to one file have the same `inode`. A file with `used` in the future is in use.
    CREATE TABLE files (
        path TEXT PRIMARY KEY, source TEXT NOT NULL, inode TEXT NOT NULL, bytes INTEGER NOT NULL,
        used REAL NOT NULL
    );
    CREATE INDEX files_by_source ON files (source);
    CREATE INDEX files_by_inode ON files (inode);

    -- A lease is one use of several files by a process.
    CREATE TABLE leases (
        lease TEXT NOT NULL, path TEXT NOT NULL, process TEXT NOT NULL, began REAL NOT NULL
    );
    CREATE INDEX leases_by_path ON leases (path);

    -- `input` and `output` are checksums, `path` and `network` are files.
    CREATE TABLE results (
        task_id TEXT PRIMARY KEY, path TEXT NOT NULL, signature TEXT NOT NULL, dpi INTEGER,
        finished TEXT NOT NULL, input TEXT NOT NULL, output TEXT, network TEXT NOT NULL
    );
    CREATE INDEX results_by_path ON results (path);
    CREATE INDEX results_by_signature ON results (signature);
    CREATE INDEX results_by_input ON results (input);
    CREATE INDEX results_by_output ON results (output);
    CREATE INDEX results_by_network ON results (network);
    CREATE TRIGGER delete_result AFTER DELETE ON files BEGIN
        DELETE FROM results WHERE path = OLD.path;
    END;

    -- `facts` is the entry as JSON.
    CREATE TABLE entries (
        whose TEXT NOT NULL, id TEXT NOT NULL, sha256 TEXT NOT NULL, task_id TEXT,
        used REAL NOT NULL, facts TEXT NOT NULL, PRIMARY KEY (whose, id)
    );
    CREATE INDEX entries_by_id ON entries (id);
    CREATE INDEX entries_by_sha256 ON entries (sha256);
    CREATE INDEX entries_by_task ON entries (task_id);

    -- Files that no entry, no result and no process needs. They are deleted with the entries
    -- that they were made for.
    CREATE VIEW unneeded AS SELECT path, source, inode FROM files
        WHERE path NOT IN (SELECT path FROM leases) AND CASE substr(path, 1, instr(path, '/') - 1)
            WHEN 'processed' THEN NOT EXISTS (SELECT 1 FROM entries WHERE task_id = source)
            WHEN 'network' THEN NOT EXISTS (SELECT 1 FROM results WHERE network = files.path)
            WHEN 'reports' THEN NOT EXISTS (SELECT 1 FROM results WHERE task_id = source)
            WHEN 'encoded' THEN NOT EXISTS (SELECT 1 FROM results WHERE output = source)
            WHEN 'uploads' THEN NOT EXISTS (SELECT 1 FROM results WHERE input = source)
                AND NOT EXISTS (SELECT 1 FROM entries WHERE sha256 = source)
            WHEN 'lists' THEN NOT EXISTS (SELECT 1 FROM entries WHERE id = source)
        END;
    """,
    """
    -- `request` is a checksum, `process` runs the job, and `progress` is JSON.
    CREATE TABLE jobs (
        whose TEXT NOT NULL, name TEXT NOT NULL, request TEXT NOT NULL, state TEXT NOT NULL,
        process TEXT NOT NULL, seen REAL NOT NULL, read REAL NOT NULL, progress TEXT NOT NULL,
        PRIMARY KEY (whose, name)
    );
    """,
    """
    -- `error` is the error of a failed job as JSON.
    ALTER TABLE jobs RENAME TO earlier_jobs;
    CREATE TABLE jobs (
        whose TEXT NOT NULL, name TEXT NOT NULL, request TEXT NOT NULL, state TEXT NOT NULL,
        process TEXT NOT NULL, seen REAL NOT NULL, error TEXT NOT NULL, PRIMARY KEY (whose, name)
    );
    INSERT INTO jobs SELECT whose, name, request, state, process, seen,
        coalesce(json_extract(progress, '$.error'), 'null') FROM earlier_jobs;
    DROP TABLE earlier_jobs;
    """,
)
"""The scripts that update a database from each version to the next one."""
_NAME = "enhance-{:019d}.sqlite"
_PATTERN = f"enhance-{'[0-9]' * 19}.sqlite"
_BUSY_SECONDS = 60
_files = WeakSet["Database"]()
"""The databases that are files, of the process, because a fork affects all of them."""


class Database:
    """The database in a folder. With `in_memory`, there is no file.

    `fill` adds the known files to a new database.

    The database is checked when it is opened. If it is damaged, it stays in the folder and a newer
    one is used. The names contain the time because SQLite deletes the log of a database by its
    name, so a name must not be used again while a process has that database open.
    """

    def __init__(
        self, folder: Path, fill: Callable[[sqlite3.Connection], object], *, in_memory: bool
    ):
        self._folder = folder
        self._fill = fill
        self._in_memory = in_memory
        self._lock = threading.RLock()
        self._path = folder
        self._connection: sqlite3.Connection | None = None
        if not in_memory:
            _files.add(self)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for a transaction that no other thread or process interrupts.

        Raises StorageError.
        """
        try:
            with self._lock:
                # Python can close an abandoned generator, which ends its leases, during a
                # transaction.
                if self._connection is not None and self._connection.in_transaction:
                    yield self._connection
                    return
                connection = self._current()
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    yield connection
        except sqlite3.DatabaseError as error:
            self.close()  # The next transaction checks it.
            code = errno.EIO
            if "full" in str(error):
                code = errno.ENOSPC
            raise storage_error(self._path, OSError(code, str(error))) from error

    def _current(self) -> sqlite3.Connection:
        """Return the connection to the newest database, which is created if there is none."""
        if self._in_memory:
            self._connection = self._connection or _create(":memory:")
        elif self._connection is None or self._path != self._newest():
            self.close()
            with _creation_lock(self._folder):
                self._path = self._newest() or self._create()
                try:
                    self._connection = _open(self._path)
                except sqlite3.DatabaseError as error:
                    if type(error) is not sqlite3.DatabaseError:
                        raise  # Only the base class means damage.
                    text = "The database %s is damaged (%s). It is created again from the results"
                    log.warning(text, self._path.name, error)
                    self._path = self._create()
                    self._connection = _open(self._path)
        assert self._connection is not None
        return self._connection

    def _create(self) -> Path:
        """Create a database with all known files, atomically."""
        newest = self._newest()
        number = time.time_ns()
        if newest is not None:  # The clock can have been set back.
            number = max(number, int(newest.stem.rpartition("-")[2]) + 1)
        path = self._folder / _NAME.format(number)
        write_atomically(path, self._write_new, durable=True)
        return path

    def _write_new(self, path: Path) -> None:
        connection = _create(str(path))
        with connection:
            connection.execute("BEGIN")
            self._fill(connection)
        connection.close()

    def _newest(self) -> Path | None:
        """Return the newest database of the folder. All earlier ones are damaged."""
        return max(self._folder.glob(_PATTERN), default=None)

    def replaced_files(self) -> list[Path]:
        """Return the files of damaged databases."""
        newest = self._newest()
        files = self._folder.glob(f"{_PATTERN}*")
        return [path for path in files if newest and path.name < newest.name]

    def close(self) -> None:
        """Close the database. The next transaction opens it again, but one in memory is lost."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None


def _close_files() -> None:
    """Close all databases before a fork, because a forked process can neither use nor close a
    connection."""
    for database in list(_files):
        database.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_files)


@contextmanager
def _creation_lock(folder: Path) -> Iterator[None]:
    """Hold the lock under which a process creates or opens a database. Raises StorageError."""
    from filelock import FileLock

    lock = FileLock(folder / MARKER, timeout=_BUSY_SECONDS)
    try:
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            held = lock.acquire()
    except NotImplementedError as error:
        raise StorageError("no_file_locks", folder=folder) from error
    with held:
        yield


def _open(path: Path) -> sqlite3.Connection:
    """Return a connection to an intact database, updated to this version.

    Raises StorageError and sqlite3.Error.
    """
    connection = _connect(str(path))
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise StorageError("newer_data", folder=path.parent)
        (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        # Checked first, because the next statement waits for a lock if the file is empty.
        if not version:
            raise sqlite3.DatabaseError("the file is empty")
        if state != "ok":
            raise sqlite3.DatabaseError(state)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StorageError("no_file_locks", folder=path.parent)
        # secure_delete overwrites the names and thumbnails that a user removes.
        connection.executescript("PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;")
        _migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(name: str) -> sqlite3.Connection:
    connection = _connect(name)
    # In memory, so that a killed process leaves no journal next to its unfinished database.
    connection.execute("PRAGMA journal_mode = MEMORY")
    _migrate(connection, 0)
    return connection


def _connect(name: str) -> sqlite3.Connection:
    # Each transaction holds the lock of its Database, so any thread can use the connection.
    return sqlite3.connect(
        name, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Update a database from this version."""
    for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
