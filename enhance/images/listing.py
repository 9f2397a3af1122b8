"""Image files in folders for a command or a batch, and the part of them that one machine processes."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ..errors import SettingsError
from . import raw

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif", ".jxl")
SUFFIXES += raw.SUFFIXES if raw.is_available() else ()
"""The extensions of images in a folder. A file that is named as an input is recognised by its content only."""
T = TypeVar("T")
OWN_PREFIX = ".enhance-"
"""The first characters of the names of the program's own files next to its results."""

_ARRAYS = (
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", ("SLURM_ARRAY_TASK_COUNT",)),
    ("JOB_COMPLETION_INDEX", None, ("ENHANCE_SHARDS", "JOB_COMPLETIONS")),
    ("AWS_BATCH_JOB_ARRAY_INDEX", None, ("AWS_BATCH_JOB_ARRAY_SIZE",)),
)
"""The environment variables of job arrays: index, smallest index (0 if None), and number of jobs.

Kubernetes does not set the number of jobs, so the user sets one of two variables.
"""


@dataclass(frozen=True)
class ListedPath:
    """A file or folder, and its path relative to the input folder. For an input itself, this is its name."""

    path: Path
    relative_path: Path


@dataclass
class Listing:
    """Images, unreadable folders, and the numbers of skipped files.

    `hidden` counts files and folders with a leading dot, `others` files without the extension of an image.
    """

    images: list[ListedPath] = field(default_factory=list)
    unreadable: list[ListedPath] = field(default_factory=list)
    hidden: int = 0
    others: int = 0


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a list: every `count`th file, starting with the `number`th."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse a shard such as 2/5, or auto for that of the job array that runs this process. Raises SettingsError."""
        text = _shard_of_job() if text == "auto" else text
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        number, count = (int(one) for one in found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise SettingsError("shard_wrong", value=text)
        return cls(number, count)

    def select(self, files: Sequence[T]) -> Sequence[T]:
        return files[self.number - 1 :: self.count]


def _shard_of_job() -> str:
    for index, first, counts in _ARRAYS:
        count = next((os.environ[name] for name in counts if name in os.environ), None)
        if index in os.environ and count:
            try:
                return f"{int(os.environ[index]) - int(os.environ.get(first or '', '0')) + 1}/{count}"
            except ValueError:
                break
    raise SettingsError("shard_no_array")


def list_images(inputs: Iterable[Path], is_result: Callable[[Path], bool]) -> Listing:
    """Return the input files, and the images in the input folders and below, except results in folders.

    Each file occurs once, and the order of a folder's files is the same on every machine. Links to folders are not
    followed, to avoid cycles.
    """
    listing, known = Listing(), set()
    for path in inputs:
        images = [ListedPath(path, Path(path.name))]
        if path.is_dir():
            images = _list_folder(path, is_result, listing)
        for one in images:
            real = one.path.resolve()
            if real not in known:
                known.add(real)
                listing.images.append(one)
    return listing


def _list_folder(folder: Path, is_result: Callable[[Path], bool], listing: Listing) -> list[ListedPath]:
    """Return the images in a folder, and add everything else to the listing."""
    images: list[ListedPath] = []
    unreadable: list[ListedPath] = []
    waiting = [folder]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as found:
                entries = list(found)
        except OSError:
            unreadable.append(ListedPath(directory, directory.relative_to(folder.parent)))
            continue
        for entry in entries:
            path = directory / entry.name
            if entry.name.startswith("."):
                listing.hidden += not entry.name.startswith(OWN_PREFIX)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif path.suffix.lower() not in SUFFIXES or (path.exists() and not entry.is_file()):
                listing.others += 1  # A broken link to an image is listed instead, and fails.
            elif not is_result(path):
                images.append(ListedPath(path, path.relative_to(folder)))
    listing.unreadable += sorted(unreadable, key=_sort_key)
    return sorted(images, key=_sort_key)


def _sort_key(found: ListedPath) -> tuple[bytes, bytes]:
    """Return a sort key that language and file system do not change: the composed path in UTF-8, and the path."""
    place = found.relative_path.as_posix()
    return unicodedata.normalize("NFC", place).encode("utf-8", "surrogateescape"), os.fsencode(place)
