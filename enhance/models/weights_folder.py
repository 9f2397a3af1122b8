"""Files in the weights folder: checksums, renaming of corrupt files, notes, locks and storage
errors."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path

from ..errors import StorageError
from ..files import FULL, file_sha256, write_atomically
from ..processes import remove_leftovers

_log = logging.getLogger(__name__)

_LOCK_SECONDS = 0.5


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits.

    Each process reads an unchanged file once. Raises OSError.
    """
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@cache  # For the process, because the content of a file is the same for all its users.
def _digest(path: Path, size: int, modified: int) -> str:
    return file_sha256(path)


forget_digests = _digest.cache_clear


def rename_corrupt(
    path: Path,
    reason: str = "its checksum is not the model's",
    name: str | None = None,
) -> Path:
    """Rename a corrupt file to NAME.corrupt or NAME.corrupt.1 and so on, log a warning and return
    the new path.

    `name` defaults to that of the file. An earlier corrupt file with the same content is replaced,
    so that a faulty mirror cannot fill the disk.
    """
    name = name or path.name
    target = path.with_name(f"{name}.corrupt")
    with folder_errors(path.parent):
        for number in count(1):
            if not target.exists() or digest(target) == digest(path):
                break
            target = path.with_name(f"{name}.corrupt.{number}")
        path.replace(target)
    _log.warning("%s is corrupt (%s) and was renamed to %s", name, reason, target)
    return target


def read_note(path: Path) -> object:
    """Return the content of a JSON file, or None if it cannot be read."""
    with suppress(OSError, ValueError):
        return json.loads(path.read_bytes())
    return None


def write_note(path: Path, note: object) -> None:
    """Write a JSON file atomically. Raises StorageError."""
    write_file(path, (json.dumps(note, indent=2) + "\n").encode())


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically. Raises StorageError."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


@contextmanager
def folder_errors(folder: Path) -> Iterator[None]:
    """Convert an OSError to a StorageError that describes how to fix the weights folder."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageError("weights_folder_full", folder=folder) from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise StorageError("weights_folder_none", folder=folder) from error
        raise StorageError("weights_folder_unusable", folder=folder, reason=error) from error


def is_writable(folder: Path) -> bool:
    """Return whether files can be written to `folder`, or to its nearest existing parent if it does
    not exist."""
    nearest = next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


@contextmanager
def locked(folder: Path, name: str, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the lock NAME.lock in `folder` against other processes and threads.

    The folder is created if necessary.

    `waiting` is called twice a second until the lock is free. An exception that it raises ends the
    wait.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f"{name}.lock")
    with folder_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for attempt in count():
            with suppress(Timeout):
                lock.acquire(timeout=_LOCK_SECONDS)
                break
            if attempt == 0:
                _log.warning("Another process is downloading %s; waiting for it", name)
            waiting()
    try:
        remove_leftovers(folder)
        yield
    finally:
        lock.release()
