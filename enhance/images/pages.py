"""Pages of a TIFF: their directories, and a copy of the file that starts with another page (TIFF 6.0, section 2)."""

from __future__ import annotations

import shutil
import struct
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_SUBFILE_TYPE, _REDUCED, _MASK = 254, 1, 4
_MAX_PAGES = 10_000


def tiff_directories(file: BinaryIO) -> Iterator[tuple[int, int, ImageFileDirectory_v2]]:
    """Yield the position of each directory of a TIFF or BigTIFF, where that of the next one is stored, and its tags.

    A directory is valid only until the next one is read. Raises any error of Pillow for other and for damaged files.
    """
    file.seek(0)
    head = file.read(16)
    _, size = _offset_layout(head)
    directory, known = ImageFileDirectory_v2(head[: 2 * size]), set[int]()
    while (position := directory.next) and position not in known and len(known) < _MAX_PAGES:
        known.add(position)
        file.seek(position)
        directory.load(file)
        yield position, file.tell() - size, directory


def tiff_tags(file: BinaryIO) -> dict[str, Any]:
    """Return the first directory of a TIFF: the value of each tag by its name in Pillow, or a tuple of values."""
    _, _, directory = next(tiff_directories(file))
    return directory.named()


def _pages(file: BinaryIO) -> list[tuple[int, int]]:
    """Return the positions of the directories of a TIFF's pages, without those of thumbnails and masks.

    The list ends at the first directory that is damaged, and is empty for other files.
    """
    pages = []
    with warnings.catch_warnings(), suppress(Exception):  # Pillow raises many types.
        warnings.simplefilter("ignore")
        for position, following, directory in tiff_directories(file):
            if not directory.get(_SUBFILE_TYPE, 0) & (_REDUCED | _MASK):
                pages.append((position, following))
    return pages


def count_pages(file: BinaryIO) -> int:
    """Return the number of pages of a TIFF, 1 for other files."""
    return max(1, len(_pages(file)))


def write_page(source: Path, number: int, target: Path) -> None:
    """Copy a TIFF to `target` with page `number`, from 1 on, as its only page. Raises OSError."""
    shutil.copyfile(source, target)
    with target.open("rb+") as file:
        position, following = _pages(file)[number - 1]
        file.seek(0)
        layout, size = _offset_layout(file.read(4))
        # The first directory becomes that of the page, and no other directory follows it.
        for place, value in ((size, position), (following, 0)):
            file.seek(place)
            file.write(struct.pack(layout, value))


def _offset_layout(start: bytes) -> tuple[str, int]:
    """Return the layout of an offset in a file that starts with these bytes, and its size, 8 in a BigTIFF."""
    order, is_big = ">" if start.startswith(b"MM") else "<", b"+" in start[2:4]
    return (order + "Q", 8) if is_big else (order + "I", 4)
