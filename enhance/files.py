"""Files: atomic writes, removal of the program's own files only, and names for processes.

A file is written under a temporary name in its folder and renamed when complete.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import psutil

from .errors import StorageError

MARKER = ".enhance-folder"
"""Name of the file that marks a data folder of the program."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""`errno` values for a full disk."""

_PROCESS = re.compile(r"(\w+)-([0-9]{1,9})-([0-9]{1,15})")
_PART = re.compile(rf"\.enhance-{_PROCESS.pattern}-[0-9a-f]{{12}}\.part")
_FOREIGN_LEFTOVER_SECONDS = 24 * 3600


@dataclass(frozen=True)
class OwnFolders:
    """The folders below `root` that hold files of the program, possibly next to files of others.

    `names` has a pattern for the names that the program uses in each folder. Other files are never removed. The marker
    file in `root` lists files that already had such a name before the program used the folder; they are not removed
    either, and nothing is removed without the marker.
    """

    root: Path
    names: Mapping[str, re.Pattern[str]]

    def prepare(self) -> None:
        """Create missing folders and the marker file. Raises StorageError."""
        marker = self.root / MARKER
        known = self._foreign()
        with writing(marker):
            for name in self.names:
                (self.root / name).mkdir(parents=True, exist_ok=True)
            found = {name: sorted(one.name for one in self._named(name)) for name in self.names.keys() - known.keys()}
        if found:
            text = json.dumps({"kept by": "enhance", "not its own": found | known})
            write_atomically(marker, lambda temporary: temporary.write_text(text, "utf-8"))

    def entries(self, name: str) -> list[Path]:
        """Return the files of the program in one of the folders."""
        foreign = self._foreign().get(name)
        if foreign is None:
            return []
        with suppress(OSError):
            return [one for one in self._named(name) if one.name not in foreign and not one.is_symlink()]
        return []

    def _named(self, name: str) -> Iterator[Path]:
        yield from (one for one in (self.root / name).iterdir() if self.names[name].fullmatch(one.name))

    def _foreign(self) -> dict[str, list[str]]:
        try:
            foreign = json.loads((self.root / MARKER).read_text("utf-8"))["not its own"]
            return {name: list(names) for name, names in foreign.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


Inode = tuple[int, int]


@dataclass(frozen=True)
class StoredItem:
    """A file or a folder that is removed as a whole.

    `used` is the time of the last use. `sizes` maps device and inode to bytes, so that hard links count once.
    """

    path: Path
    used: float
    sizes: Mapping[Inode, int]
    removable: bool = True


def sizes_of(*files: Path) -> dict[Inode, int]:
    """Return the bytes of files by device and inode. A file that is gone has none."""
    sizes = {}
    for file in files:
        with suppress(OSError):
            found = file.stat(follow_symlinks=False)
            sizes[found.st_dev, found.st_ino] = found.st_size
    return sizes


def trim(items: Collection[StoredItem], most: int, coming: int, remove: Callable[[StoredItem], object]) -> bool:
    """Remove the items that were used longest ago until their files and `coming` more bytes take at most `most` bytes.

    A file counts once, and as freed when its last link is removed. Return whether the bytes fit. If they cannot, the
    items are only trimmed to `most` bytes.
    """
    sizes = {inode: size for item in items for inode, size in item.sizes.items()}
    links = Counter(inode for item in items for inode in item.sizes)
    kept = {inode for item in items if not item.removable for inode in item.sizes}
    used: dict[Inode, float] = {}
    for item in items:
        for inode in item.sizes:
            used[inode] = max(item.used, used.get(inode, 0.0))
    fits = sum(sizes[inode] for inode in kept) + coming <= most
    left = sum(sizes.values()) + (coming if fits else 0)
    removable = [item for item in items if item.sizes and kept.isdisjoint(item.sizes)]
    for item in sorted(removable, key=lambda item: max(used[inode] for inode in item.sizes)):
        if left <= most:
            break
        remove(item)
        if item.path.exists():
            continue
        for inode in item.sizes:
            links[inode] -= 1
            left -= 0 if links[inode] else sizes[inode]
    return fits and left <= most


def part_of(path: Path) -> Path:
    """Return a new temporary path in the folder of `path` that contains the name of this process."""
    return path.with_name(f".enhance-{this_process()}-{secrets.token_hex(6)}.part")


class AtomicFile:
    """Context manager for atomic writes: a temporary file that is renamed to `path` when complete.

    Without `keep`, the temporary file is removed and an earlier file at `path` stays. Raises StorageError.
    """

    def __init__(self, path: Path):
        self.path, self.part = path, part_of(path)

    def __enter__(self) -> AtomicFile:
        return self.prepare()

    def prepare(self) -> AtomicFile:
        """Create the folder. Raises StorageError if `path` is a folder."""
        with self.explained():
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
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
        with self.explained():
            return cast(BinaryIO, self.part.open(mode))

    def keep(self, *, durable: bool = False) -> None:
        """Rename the closed file to `path`.

        With `durable`, all bytes are synced before the file is renamed. After a power failure, `path` is then either
        the complete file or what it was before.
        """
        with self.explained():
            if durable:
                with self.part.open("rb+") as file:
                    os.fsync(file.fileno())
            self.part.replace(self.path)
        if durable:
            _sync_folder(self.path.parent)

    def explained(self) -> AbstractContextManager[None]:
        """Convert an OSError of the block to a StorageError about this file."""
        return writing(self.path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert an OSError of the block to a StorageError about `path`."""
    try:
        yield
    except OSError as error:
        raise explained(path, error) from error


def _sync_folder(folder: Path) -> None:
    """Sync the entries of a folder, if the system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def write_atomically(path: Path, write: Callable[[Path], object], *, durable: bool = False) -> None:
    """Write a file with `write(temporary_path)` and rename it when complete; `durable` as in `AtomicFile.keep`.

    Raises StorageError and leaves no partial file.
    """
    with AtomicFile(path) as file:
        with file.explained():
            write(file.part)
        file.keep(durable=durable)


def try_place(path: Path, source: Path | None = None) -> None:
    """Raise StorageError if a file cannot be written at `path`, or if `path` is the file `source`. Changes nothing."""
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise StorageError("own_input", output=path)
    with AtomicFile(path) as file:
        file.open().close()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def link_or_copy(source: Path, place: Path) -> None:
    """Create `place` as a hard link to `source`, or as a copy if links are not supported. Raises OSError."""
    try:
        os.link(source, place)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, place)


def check_room(folder: Path, needed: int) -> None:
    """Raise StorageError if fewer than `needed` bytes are free on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError("disk_short", folder=folder, free=_size(free), needed=_size(needed))


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def sweep(folder: Path) -> int:
    """Remove the temporary files of ended processes in `folder` and return their number."""
    swept = 0
    for leftover in folder.glob(".enhance-*.part"):
        if _is_abandoned(leftover):
            with suppress(OSError):  # a file that is open elsewhere is removed the next time
                leftover.unlink()
                swept += 1
    return swept


def explained(path: Path, error: OSError) -> StorageError:
    """Return the StorageError for a file that could not be written."""
    if error.errno in FULL:
        return StorageError("disk_full", name=path.name)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError("not_permitted", name=path.name, folder=path.parent)
    return StorageError("not_written", name=path.name, folder=path.parent, reason=error.strerror or str(error))


@functools.cache
def this_process() -> str:
    """Return a name for this process that is unique across machines and restarts: host-pid-start."""
    host = "".join(letter for letter in socket.gethostname() if letter.isalnum()) or "host"
    return f"{host}-{os.getpid()}-{_start_of(os.getpid())}"


def _start_of(pid: int) -> int:
    """A number for the start of a process. It stays the same when the system clock is set.

    On Linux, psutil computes the start time from the system clock, so the number comes from the boot and the ticks
    since then. Other systems store the start time. Raises psutil.Error.
    """
    process = psutil.Process(pid)
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
        ticks = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]
    except FileNotFoundError:
        return int(process.create_time())
    return int.from_bytes(hashlib.sha256(boot + ticks).digest()[:6], "big")


def _is_abandoned(leftover: Path) -> bool:
    """Return whether this is a temporary file of a process that has ended."""
    found = _PART.fullmatch(leftover.name)
    if found is None or leftover.is_symlink() or not leftover.is_file():
        return False
    host, pid, started = found.groups()
    try:
        if host != this_process().split("-")[0]:
            return time.time() - leftover.stat().st_mtime > _FOREIGN_LEFTOVER_SECONDS
        return not _is_alive(int(pid), int(started))
    except FileNotFoundError:
        return True


def runs_here(process: str) -> bool:
    """Return whether `process` is the name of a process of this machine."""
    found = _PROCESS.fullmatch(process)
    return found is not None and found[1] == this_process().split("-")[0]


def is_process_alive(process: str) -> bool:
    """Return whether a process of this machine with this name is alive."""
    return runs_here(process) and _is_alive(*(int(part) for part in process.split("-")[1:]))


def _is_alive(pid: int, started: int) -> bool:
    try:
        return _start_of(pid) == started
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):  # a process of another user that cannot be read
        return True


class UsedFiles:
    """The files below `root` that are in use, by this process or by others with the same data folder.

    The folder `marks` has a file for each use with the name of the process, which is swept like temporary files.
    Cleaning up requires the `lock`, so that no file comes into use at the same time.
    """

    def __init__(self, root: Path):
        self.marks, self.lock = root / ".enhance-in-use", threading.Lock()
        self._root = root
        self._counts: Counter[Path] = Counter()

    @contextmanager
    def using(self, *paths: Path) -> Iterator[None]:
        """Mark these files as in use inside the block."""
        with self.lock:
            for path in paths:
                self._counts[path] += 1
                with suppress(OSError):
                    self.marks.mkdir(parents=True, exist_ok=True)
                    self._mark(path, this_process()).touch()
        try:
            yield
        finally:
            with self.lock:
                for path in paths:
                    self._counts[path] -= 1
                    if not self._counts[path]:
                        del self._counts[path]
                        with suppress(OSError):
                            self._mark(path, this_process()).unlink(missing_ok=True)

    def holds(self, path: Path) -> bool:
        """Return whether the file is in use."""
        return path in self._counts or any(self.marks.glob(self._mark(path, "*").name))

    def among(self, paths: Collection[Path]) -> set[Path]:
        """Return the paths that are in use."""
        marked = {mark.stem.rpartition("-")[2] for mark in self.marks.glob("*.part")}
        return {path for path in paths if path in self._counts or self._digest(path) in marked}

    def _mark(self, path: Path, process: str) -> Path:
        return self.marks / f".enhance-{process}-{self._digest(path)}.part"

    def _digest(self, path: Path) -> str:
        return hashlib.sha256(os.fsencode(path.relative_to(self._root))).hexdigest()[:12]
