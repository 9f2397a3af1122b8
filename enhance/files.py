"""Atomic writes, and the errors of files that cannot be written.

A file is written under a temporary name in its folder and renamed when complete.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from .errors import StorageError
from .i18n import format_bytes
from .processes import temporary_path

MARKER = ".enhance-folder"
"""Name of the file that marks a data folder of the program."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""`errno` values for a full disk."""


class AtomicFile:
    """Context manager for atomic writes: a temporary file that is renamed to `path` when complete.

    Without `keep`, the temporary file is removed and an earlier file at `path` stays. Raises
    StorageError.
    """

    def __init__(self, path: Path):
        self.path = path
        self.part = temporary_path(path)

    def __enter__(self) -> AtomicFile:
        return self.prepare()

    def prepare(self) -> AtomicFile:
        """Create the folder. Raises StorageError if `path` is a folder, a device or a pipe."""
        with self.write_errors():
            if self.path.is_dir():  # The rename would fail too, but only after all the work.
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            # The rename would replace /dev/null by a file.
            if self.path.exists() and not self.path.is_file():
                raise OSError(errno.ENXIO, "it is a device or a pipe")
            self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def discard(self) -> None:
        """Remove the temporary file."""
        with suppress(OSError):
            self.part.unlink(missing_ok=True)

    def open(self, mode: str = "xb") -> BinaryIO:
        """Open the temporary file. The caller closes it before `keep`."""
        with self.write_errors():
            return cast(BinaryIO, self.part.open(mode))

    def keep(self, *, durable: bool = False) -> None:
        """Rename the closed file to `path`.

        With `durable`, all bytes are synced before the file is renamed. After a power failure,
        `path` is then either the complete file or what it was before.
        """
        with self.write_errors():
            if durable:
                with self.part.open("rb+") as file:
                    os.fsync(file.fileno())
            self.part.replace(self.path)
        if durable:
            _sync_folder(self.path.parent)

    def write_errors(self) -> AbstractContextManager[None]:
        """Convert an OSError of the block to a StorageError about this file."""
        return storage_errors(self.path)


def write_atomically(path: Path, write: Callable[[Path], object], *, durable: bool = False) -> None:
    """Write a file with `write(temporary_path)` and rename it when complete; `durable` as in
    `AtomicFile.keep`.

    Raises StorageError and leaves no partial file.
    """
    with AtomicFile(path) as file:
        with file.write_errors():
            write(file.part)
        file.keep(durable=durable)


def put_in_place(file: Path, path: Path, check: Callable[[], object]) -> None:
    """Move a complete file to `path` in the same folder. `check` raises an error if a file there is
    not replaced.

    The file there can be a new one, which appeared while `file` was written. Raises StorageError.
    """
    with storage_errors(path):
        try:
            move_to_new(file, path)
        except FileExistsError:
            check()
            file.replace(path)
    _sync_folder(path.parent)


def move_to_new(file: Path, path: Path) -> None:
    """Move a file to `path`. Raises FileExistsError if a file is there, and OSError."""
    try:
        os.link(file, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        path.open("xb").close()
        file.replace(path)
    else:
        file.unlink()


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder. An unusable path is none, and its error is reported when
    it is opened."""
    try:
        return path.is_dir()
    except OSError:  # The name is too long, for example.
        return False


def check_writable(path: Path, source: Path | None = None) -> None:
    """Raise StorageError if a file cannot be written at `path`, or if `path` is the file `source`.
    Changes nothing."""
    with suppress(OSError):  # A file does not exist, or its error is reported when it is opened.
        if source is not None and path.samefile(source):
            raise StorageError("own_input", output=path)
    with AtomicFile(path) as file:
        file.open().close()


def check_disk_space(folder: Path, needed: int) -> None:
    """Raise StorageError if fewer than `needed` bytes are free on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(
            "disk_short", folder=folder, free=format_bytes(free), needed=format_bytes(needed)
        )


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Convert an OSError of the block to a StorageError about `path`."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """Return the StorageError for a file that could not be written."""
    if error.errno in FULL:
        return StorageError("disk_full", name=path.name)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError("not_permitted", name=path.name, folder=path.parent)
    return StorageError("not_written", name=path.name, folder=path.parent, reason=error)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Create `target` as a hard link to `source`, or as a copy if links are not supported. Raises
    OSError."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
