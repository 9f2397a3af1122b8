"""A file appears whole or not at all: it is written under a temporary name beside its own and renamed at the end."""

from __future__ import annotations

import errno
import functools
import secrets
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from .errors import StorageError

_FOREIGN_LEFTOVER_SECONDS = 24 * 3600


def part_of(path: Path) -> Path:
    """A fresh temporary name beside `path` that says which process it belongs to."""
    return path.with_name(f".{_owner()}-{secrets.token_hex(6)}.part")


def place_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write(temporary)` make a file and give it its name when it is whole. Raises StorageError; leaves no rest."""
    temporary = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise explained(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def try_place(path: Path) -> None:
    """Find out now whether a file can be written at `path`; what is there stays. Raises StorageError."""
    temporary = part_of(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise explained(path, error) from error


def check_room(folder: Path, needed: int) -> None:
    """Raise StorageError when fewer than `needed` bytes are free where `folder` lies."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(
            f"The disk of {folder} has {free / 1e9:.1f} GB free, and this picture needs {needed / 1e9:.1f} GB there: "
            "free some space or choose another folder."
        )


def sweep(folder: Path) -> int:
    """Remove the temporary files in `folder` whose process is gone; gives their number."""
    swept = 0
    for leftover in folder.glob(".*.part"):
        if _is_abandoned(leftover):
            leftover.unlink(missing_ok=True)
            swept += 1
    return swept


def explained(path: Path, error: OSError) -> StorageError:
    """The sentence for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"{path.name} cannot be written because the disk is full: free some space and try again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(f"{path.name} cannot be written to {path.parent}, no permission: choose another folder.")
    reason = error.strerror or str(error)
    return StorageError(f"{path.name} cannot be written to {path.parent} ({reason}): choose another place.")


@functools.cache
def _owner() -> str:
    process = psutil.Process()
    host = "".join(letter for letter in socket.gethostname() if letter.isalnum()) or "host"
    return f"{host}-{process.pid}-{int(process.create_time())}"


def _is_abandoned(leftover: Path) -> bool:
    parts = leftover.name.strip(".").split("-")
    if len(parts) != 4 or not (parts[1] + parts[2]).isdigit():
        return False
    host, pid, started, _ = parts
    try:
        if host != _owner().split("-")[0]:
            return time.time() - leftover.stat().st_mtime > _FOREIGN_LEFTOVER_SECONDS
        return abs(psutil.Process(int(pid)).create_time() - int(started)) > 2
    except (psutil.Error, FileNotFoundError):
        return True
