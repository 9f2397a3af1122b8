"""Weight files on disk: checksums, setting aside, writing whole or not at all, one fetcher at a time."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from ..errors import StorageError

_log = logging.getLogger(__name__)

_BLOCK = 1 << 20
_LOCK_TRY_SECONDS = 0.5

# (path, size, mtime_ns) -> SHA-256: a file that has not changed is read once per process.
_digests: dict[tuple[Path, int, int], str] = {}


def digest(path: Path) -> str:
    """The SHA-256 of a file, 64 hex digits; OSError when it cannot be read."""
    stat = path.stat()
    key = (path, stat.st_size, stat.st_mtime_ns)
    if key not in _digests:
        sha256 = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                sha256.update(block)
        _digests[key] = sha256.hexdigest()
    return _digests[key]


def forget_digests() -> None:
    """Makes the next `digest` of every file read it again, for a check that trusts no time stamp."""
    _digests.clear()


def set_aside(path: Path, name: str, why: str) -> Path:
    """Renames a file that must not be loaded to `name`.corrupt beside it, numbered if taken, and logs a warning.

    A file with the very same content that lies there already is replaced, so that a bad mirror does not fill the disk.
    """
    with storage(path.parent):
        target = _free_name(path, name)
        path.replace(target)
    _log.warning("%s is not used because %s; it was set aside as %s.", name, why, target)
    return target


def _free_name(path: Path, name: str) -> Path:
    for number in count():
        target = path.with_name(f"{name}.corrupt" + (f".{number}" if number else ""))
        if not target.exists() or _same_content(target, path):
            return target
    raise AssertionError("count() does not end")


def _same_content(one: Path, other: Path) -> bool:
    return one.is_file() and one.stat().st_size == other.stat().st_size and digest(one) == digest(other)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name and renames it; on any error nothing is left.

    Raises StorageError when the folder cannot be written.
    """
    temporary = path.with_name(f"{path.name}.part")
    try:
        with storage(path.parent):
            temporary.write_bytes(data)
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def storage(folder: Path) -> Iterator[None]:
    """Turns an OSError from the block into a StorageError that says what to do about `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError("weights_folder_full", folder=folder) from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise StorageError("weights_folder_none", folder=folder) from error
        reason = error.strerror or str(error)
        raise StorageError("weights_folder_unusable", folder=folder, reason=reason) from error


def is_writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, or in the nearest one above it that is there."""
    nearest = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


@contextmanager
def locked(folder: Path, name: str, waiting: Callable[[], object]) -> Iterator[None]:
    """Holds the right to change the files of model `name` in `folder`, against other processes and threads.

    `waiting` is called twice a second while another holds it; what it raises ends the wait.
    """
    from filelock import FileLock, Timeout

    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    told = False
    while True:
        with storage(folder):
            try:
                lock.acquire(timeout=_LOCK_TRY_SECONDS)
            except Timeout:
                pass
            else:
                break
        if not told:
            _log.warning("Another process is fetching %s; waiting for it.", name)
            told = True
        waiting()
    try:
        yield
    finally:
        lock.release()
