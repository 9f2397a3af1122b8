"""A picture file becomes pixels, and everything about it that the enlarged picture needs.

`list_pictures` finds the files of a folder, `inspect` tells what a header says, `read_picture` decodes, both in a
process of their own. `Picture` is what the rest of the program works with.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .picture import Box, Facts, Picture
from .worker import inspect, read_picture, warm_up

__all__ = ["Box", "Facts", "Listing", "Picture", "inspect", "list_pictures", "read_picture", "warm_up"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif")
"""The files of a folder that are taken for pictures; a file named by itself is judged by its content alone."""
OWN = ".enhance-"
"""How the names begin of what the program lays beside its results for as long as it works."""


@dataclass(frozen=True)
class Listing:
    """What a folder holds: its pictures, the sub-folders that cannot be read, and how much was passed over.

    `hidden` counts the files and folders whose name begins with a dot, `others` what is no picture by its name.
    """

    pictures: tuple[Path, ...]
    closed: tuple[Path, ...]
    hidden: int = 0
    others: int = 0


def list_pictures(folder: Path, is_result: Callable[[Path], bool]) -> Listing:
    """The pictures of a folder and of those below it, in the same order on every machine; results are left out.

    Links to folders are not followed, so that no circle and no picture is taken twice.
    """
    pictures, closed, hidden, others, waiting = [], [], 0, 0, [folder]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as found:
                entries = list(found)
        except OSError:
            closed.append(directory)
            continue
        for entry in entries:
            path = directory / entry.name
            if entry.name.startswith("."):
                hidden += not entry.name.startswith(OWN)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif path.suffix.lower() not in SUFFIXES or not (entry.is_file() or _leads_nowhere(path)):
                others += 1
            elif not is_result(path):
                pictures.append(path)

    def in_order(paths: list[Path]) -> tuple[Path, ...]:
        return tuple(sorted(paths, key=lambda path: _order(path.relative_to(folder).as_posix())))

    return Listing(in_order(pictures), in_order(closed), hidden, others)


def _leads_nowhere(path: Path) -> bool:
    """Whether it is a link to a file that is gone: a picture that fails by its name."""
    return path.is_symlink() and not path.exists()


def _order(place: str) -> tuple[bytes, bytes]:
    """By the bytes of the composed path in UTF-8: one and the same, whatever the language and the disk of a machine."""
    return unicodedata.normalize("NFC", place).encode("utf-8", "surrogateescape"), os.fsencode(place)
