"""The images of files and folders that a command or a batch is given, and which share of them one machine processes."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import SettingsError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif")
"""The files of a folder that are taken for pictures; a file named by itself is judged by its content alone."""
OWN = ".enhance-"
"""How the names begin of what the program lays beside its results for as long as it works."""


@dataclass(frozen=True)
class Found:
    """A file or a folder, and its place below the folder that was named (its name, if it was named by itself)."""

    path: Path
    place: Path


@dataclass
class Listing:
    """What was found: the pictures, the folders that cannot be read, and how much was passed over.

    `hidden` counts the files and folders whose name begins with a dot, `others` what is no picture by its name.
    """

    pictures: list[Found] = field(default_factory=list)
    closed: list[Found] = field(default_factory=list)
    hidden: int = 0
    others: int = 0


@dataclass(frozen=True)
class Shard:
    """One of the `count` parts of a list that as many machines do together: every `count`th, from the `number`th on."""

    number: int = 1
    count: int = 1

    @classmethod
    def called(cls, text: str) -> Shard:
        """The part that is called 2/5. Raises SettingsError."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        number, count = (int(one) for one in found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise SettingsError("shard_wrong", value=text)
        return cls(number, count)

    def of(self, files: Sequence[Found]) -> Sequence[Found]:
        return files[self.number - 1 :: self.count]


def list_pictures(inputs: Iterable[Path], is_result: Callable[[Path], bool]) -> Listing:
    """The files named, and the pictures of the folders named and of those below; results in folders are left out.

    Each file is there once, and a folder's files are in the same order on every machine. Links to folders are not
    followed, so that there is no circle.
    """
    listing, known = Listing(), set()
    for path in inputs:
        inside = Listing([Found(path, Path(path.name))])
        if path.is_dir():
            inside = _list_folder(path, is_result)
        for one in inside.pictures:
            real = one.path.resolve()
            if real not in known:
                known.add(real)
                listing.pictures.append(one)
        listing.closed += inside.closed
        listing.hidden, listing.others = listing.hidden + inside.hidden, listing.others + inside.others
    return listing


def _list_folder(folder: Path, is_result: Callable[[Path], bool]) -> Listing:
    listing, waiting = Listing(), [folder]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as found:
                entries = list(found)
        except OSError:
            listing.closed.append(Found(directory, directory.relative_to(folder.parent)))
            continue
        for entry in entries:
            path = directory / entry.name
            if entry.name.startswith("."):
                listing.hidden += not entry.name.startswith(OWN)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif path.suffix.lower() not in SUFFIXES or not (entry.is_file() or _leads_nowhere(path)):
                listing.others += 1
            elif not is_result(path):
                listing.pictures.append(Found(path, path.relative_to(folder)))
    for one in (listing.pictures, listing.closed):
        one.sort(key=lambda found: _order(found.place.as_posix()))
    return listing


def _leads_nowhere(path: Path) -> bool:
    """Whether it is a link to a file that is gone: a picture that fails by its name."""
    return path.is_symlink() and not path.exists()


def _order(place: str) -> tuple[bytes, bytes]:
    """By the bytes of the composed path in UTF-8: one and the same, whatever the language and the disk of a machine."""
    return unicodedata.normalize("NFC", place).encode("utf-8", "surrogateescape"), os.fsencode(place)
