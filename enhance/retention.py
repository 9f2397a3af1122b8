"""Deletion of stored files: which files belong to the program, which are in use, and which are deleted first."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .files import storage_errors, write_atomically
from .processes import this_process

MARKER = ".enhance-folder"
"""Name of the file that marks a data folder of the program."""


@dataclass(frozen=True)
class OwnFolders:
    """The folders below `root` that hold files of the program, possibly next to files of others.

    `names` has a pattern for the names that the program uses in each folder. Other files are never removed. The marker
    file in `root` lists files that already had such a name before the program used the folder. They are not removed
    either, and nothing is removed without the marker.
    """

    root: Path
    names: Mapping[str, re.Pattern[str]]

    def prepare(self) -> None:
        """Create missing folders and the marker file. Raises StorageError."""
        marker = self.root / MARKER
        known = self._foreign()
        with storage_errors(marker):
            for name in self.names:
                (self.root / name).mkdir(parents=True, exist_ok=True)
            new = {name: sorted(path.name for path in self._matches(name)) for name in self.names.keys() - known.keys()}
        if new:
            text = json.dumps({"kept by": "enhance", "not its own": new | known})
            write_atomically(marker, lambda temporary: temporary.write_text(text, "utf-8"))

    def entries(self, name: str) -> list[Path]:
        """Return the files of the program in one of the folders."""
        foreign = self._foreign().get(name)
        if foreign is None:
            return []
        with suppress(OSError):
            return [path for path in self._matches(name) if path.name not in foreign and not path.is_symlink()]
        return []

    def _matches(self, name: str) -> Iterator[Path]:
        yield from (path for path in (self.root / name).iterdir() if self.names[name].fullmatch(path.name))

    def _foreign(self) -> dict[str, list[str]]:
        try:
            foreign = json.loads((self.root / MARKER).read_text("utf-8"))["not its own"]
            return {name: list(names) for name, names in foreign.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


Inode = tuple[int, int]
"""The device and the inode of a file, which identify it and all its hard links."""


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
    """Return the bytes of files by device and inode, without files that do not exist."""
    sizes = {}
    for file in files:
        with suppress(OSError):
            stat = file.stat(follow_symlinks=False)
            sizes[stat.st_dev, stat.st_ino] = stat.st_size
    return sizes


def trim(items: Collection[StoredItem], limit: int, extra: int, remove: Callable[[Path], object]) -> bool:
    """Remove the items that were used longest ago until their files and `extra` more bytes take at most `limit` bytes.

    A file counts once, and as freed when its last link is removed. Return whether the bytes fit. If they cannot, the
    items are only trimmed to `limit` bytes.
    """
    sizes = {inode: size for item in items for inode, size in item.sizes.items()}
    links = Counter(inode for item in items for inode in item.sizes)
    fixed = {inode for item in items if not item.removable for inode in item.sizes}
    used: dict[Inode, float] = {}
    for item in items:
        for inode in item.sizes:
            used[inode] = max(item.used, used.get(inode, 0.0))  # Links are one file: the last use of any counts.
    fits = sum(sizes[inode] for inode in fixed) + extra <= limit
    total = sum(sizes.values()) + (extra if fits else 0)
    removable = [item for item in items if item.sizes and fixed.isdisjoint(item.sizes)]
    for item in sorted(removable, key=lambda item: max(used[inode] for inode in item.sizes)):
        if total <= limit:
            break
        remove(item.path)
        if item.path.exists():  # It could not be removed.
            continue
        for inode in item.sizes:
            links[inode] -= 1
            total -= 0 if links[inode] else sizes[inode]
    return fits and total <= limit


class UsedFiles:
    """The files below `root` that are in use, by this process or by others with the same data folder.

    The folder `marks` has a file for each use with the name of the process, which is removed like a temporary file
    when the process has ended. Deletion requires the `lock`, so that no file comes into use at the same time.
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
                with suppress(OSError):  # On a full disk, the count still protects the file from this process.
                    self.marks.mkdir(parents=True, exist_ok=True)
                    self._mark(path).touch()
        try:
            yield
        finally:
            with self.lock:
                for path in paths:
                    self._counts[path] -= 1
                    if not self._counts[path]:
                        del self._counts[path]
                        with suppress(OSError):
                            self._mark(path).unlink(missing_ok=True)

    def select_used(self, paths: Collection[Path]) -> set[Path]:
        """Return the paths that are in use."""
        marked = {mark.stem.rpartition("-")[2] for mark in self.marks.glob("*.part")}
        return {path for path in paths if path in self._counts or self._digest(path) in marked}

    def _mark(self, path: Path) -> Path:
        return self.marks / f".enhance-{this_process()}-{self._digest(path)}.part"

    def _digest(self, path: Path) -> str:
        return hashlib.sha256(os.fsencode(path.relative_to(self._root))).hexdigest()[:12]
