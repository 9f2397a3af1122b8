"""Files on their way to a caller, in the one folder that Gradio serves without copying them first."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..files import OwnFolders, explained

_SWEEP_SECONDS = 600
_RANDOM = re.compile(r"[0-9a-f]{32}")
_GRADIO = re.compile(r"[0-9a-f]{64}")


class PageFolder:
    """Where the page keeps what browsers send and get; what is older than `hours` goes, if the program made it.

    `shared`: the folder is one that the person named, so only what lies in the program's own folders in it counts.
    """

    def __init__(self, root: Path, hours: float, *, shared: bool):
        self.root, self._seconds = root, hours * 3600
        self._names = {"visitors": _RANDOM, "results": _RANDOM} | ({} if shared else {".": _GRADIO})
        self._own = OwnFolders(root, self._names)
        self._lock = threading.Lock()
        self._swept = 0.0

    def path(self, name: str) -> Path:
        """The folder `name`, one of visitors and results. Raises StorageError."""
        self._own.prepare()
        return self.root / name

    def sweep(self) -> None:
        """Remove what is too old; at most every ten minutes."""
        now = time.time()
        with self._lock:
            if now - self._swept < _SWEEP_SECONDS:
                return
            self._swept = now
        for left in self._old(now - self._seconds):
            shutil.rmtree(left, ignore_errors=True)

    def _old(self, oldest: float) -> Iterator[Path]:
        for name in self._names:
            for entry in self._own.entries(name):
                with suppress(OSError):
                    if entry.is_dir() and entry.stat().st_mtime < oldest:
                        yield entry


class Outbox:
    """Gives every file a folder of its own with a name that nobody can guess."""

    def __init__(self, folder: PageFolder):
        self._folder = folder

    def place(self, name: str) -> Path:
        """A path for a new file called `name`. Raises StorageError."""
        self._folder.sweep()
        folder = self._folder.path("results") / secrets.token_hex(16)
        try:
            folder.mkdir()
        except OSError as error:
            raise explained(folder, error) from error
        return folder / name

    def link(self, source: Path, name: str) -> Path:
        """The file `source` once more, called `name`. Raises StorageError."""
        path = self.place(name)
        try:
            link_or_copy(source, path)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise explained(path, error) from error
        return path


def download_name(name: str, scale: float) -> str:
    """The name of the result of a picture file: photo-4x.png of photo.jpg."""
    return f"{Path(name).stem or 'picture'}-{scale:g}x.png"


def link_or_copy(source: Path, place: Path) -> None:
    """The same file at another place, without a second copy on the disk where that works."""
    try:
        os.link(source, place)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, place)
