"""Files on their way to a caller, in the one folder that Gradio serves without copying them first."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from pathlib import Path

_SWEEP_SECONDS = 600


class Outbox:
    """Gives every file a folder of its own with a name that nobody can guess, and removes it after some hours."""

    def __init__(self, folder: Path, hours: float):
        self._folder, self._seconds = folder, hours * 3600
        self._lock = threading.Lock()
        self._swept = 0.0

    def place(self, name: str) -> Path:
        """A path for a new file called `name`."""
        self._sweep()
        folder = self._folder / secrets.token_hex(16)
        folder.mkdir(parents=True)
        return folder / name

    def link(self, source: Path, name: str) -> Path:
        """The file `source` once more, called `name`."""
        path = self.place(name)
        link_or_copy(source, path)
        return path

    def _sweep(self) -> None:
        now = time.time()
        with self._lock:
            if now - self._swept < _SWEEP_SECONDS:
                return
            self._swept = now
        for folder in self._folder.glob("*"):
            if folder.stat().st_mtime < now - self._seconds:
                shutil.rmtree(folder, ignore_errors=True)


def download_name(name: str, scale: float) -> str:
    """The name of the result of a picture file: photo-4x.png of photo.jpg."""
    return f"{Path(name).stem or 'picture'}-{scale:g}x.png"


def link_or_copy(source: Path, place: Path) -> None:
    """The same file at another place, without a second copy on the disk where that works."""
    try:
        os.link(source, place)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, place)
