"""Image files in folders for a command or a batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..files import MARKER, is_folder
from . import raw

SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".tif",
    ".tiff",
    ".bmp",
    ".gif",
    ".heic",
    ".heif",
    ".avif",
    ".jxl",
)
if raw.is_available():
    SUFFIXES += raw.SUFFIXES
"""The extensions of images in a folder. A file that is named as an input is recognised by its
content only."""
OWN_PREFIX = ".enhance-"
"""The first characters of the names of the program's own files next to its results."""


@dataclass(frozen=True)
class ListedPath:
    """A file or folder, and its path relative to the input folder.

    For an input itself, this is its name.
    """

    path: Path
    relative_path: Path


@dataclass
class Listing:
    """Images, unreadable folders, and the numbers of skipped files.

    `hidden` counts files and folders with a leading dot, `others` files without the extension of an
    image.
    """

    images: list[ListedPath] = field(default_factory=list)
    unreadable: list[ListedPath] = field(default_factory=list)
    hidden: int = 0
    others: int = 0


def list_images(inputs: Iterable[Path], is_result: Callable[[Path], bool]) -> Listing:
    """Return the input files, and the images in the input folders and below, except results in
    folders.

    Each file occurs once, and the order of a folder's files is the same on every machine. Links to
    folders are not followed, to avoid cycles.
    """
    listing = Listing()
    found: dict[str, ListedPath] = {}
    for path in inputs:
        images = [ListedPath(path, Path(path.name))]
        if is_folder(path):
            images = _list_folder(path, is_result, listing)
        for one in images:
            found.setdefault(os.path.realpath(one.path), one)
    listing.images += found.values()
    return listing


def _list_folder(
    folder: Path,
    is_result: Callable[[Path], bool],
    listing: Listing,
) -> list[ListedPath]:
    """Return the images in a folder, and add everything else to the listing."""
    images: list[ListedPath] = []
    unreadable: list[ListedPath] = []
    waiting = [folder]
    while waiting:
        directory = waiting.pop()
        try:
            entries = list(os.scandir(directory))
        except OSError:
            unreadable.append(ListedPath(directory, directory.relative_to(folder.parent)))
            continue
        # `Path.exists` would raise an error in a folder whose files cannot be opened.
        if directory != folder and MARKER in [entry.name for entry in entries]:
            continue  # a data folder of this program
        for entry in entries:
            path = directory / entry.name
            if entry.name.startswith(OWN_PREFIX):
                continue
            if entry.name.startswith("."):
                listing.hidden += 1
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif path.suffix.lower() not in SUFFIXES:
                listing.others += 1
            elif not is_result(path):
                images.append(ListedPath(path, path.relative_to(folder)))
    listing.unreadable += sorted(unreadable, key=_sort_key)
    return sorted(images, key=_sort_key)


def _sort_key(found: ListedPath) -> bytes:
    """Return a sort key that the language does not change."""
    return os.fsencode(found.relative_path.as_posix())
