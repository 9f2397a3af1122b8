"""Files in the weights folder: checksums, renaming of corrupt files, locks and storage errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from ..errors import StorageError
from ..files import FULL, file_sha256, write_atomically
from ..processes import remove_leftovers

_log = logging.getLogger(__name__)


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


def is_verified(path: Path, sha256: str) -> bool:
    """Return whether a file exists and has this checksum. Raises StorageError."""
    with folder_errors(path.parent):
        return path.is_file() and digest(path) == sha256


def rename_corrupt(path: Path) -> Path:
    """Rename a corrupt file to NAME.CHECKSUM.corrupt, log a warning and return the new path.

    An earlier corrupt file with the same content is replaced, so that a faulty mirror cannot fill
    the disk.
    """
    with folder_errors(path.parent):
        target = path.with_name(f"{path.name}.{digest(path)[:8]}.corrupt")
        path.replace(target)
    _log.warning("The checksum of %s is not the model's, so it was renamed to %s", path, target)
    return target


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
        raise StorageError("weights_folder_unusable", folder=folder, reason=error) from error


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock NAME.lock in `folder` against other processes and threads.

    The folder is created if necessary.
    """
    from filelock import FileLock

    with folder_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock").acquire()
    with lock:
        remove_leftovers(folder)
        yield
