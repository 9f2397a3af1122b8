"""The directories of a TIFF: the tags of its first page, and the number of its pages (TIFF 6.0,
section 2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_SUBFILE_TYPE = 254
_REDUCED = 1
_MASK = 4
_MAX_PAGES = 10_000


def tiff_tags(file: BinaryIO) -> dict[str, Any]:
    """Return the first directory of a TIFF: the value of each tag by its name in Pillow, or a tuple
    of values."""
    return next(_directories(file)).named()


def count_pages(file: BinaryIO) -> int:
    """Return the number of pages of a TIFF, without its thumbnails and masks; 1 for other files.

    The count ends at the first directory that is damaged.
    """
    count = 0
    with suppress(Exception):  # Pillow raises many types.
        for directory in _directories(file):
            if not directory.get(_SUBFILE_TYPE, 0) & (_REDUCED | _MASK):
                count += 1
    return max(1, count)


def _directories(file: BinaryIO) -> Iterator[ImageFileDirectory_v2]:
    """Yield the tags of each directory of a TIFF or BigTIFF.

    They are valid only until the next ones are read. Raises any error of Pillow for other and for
    damaged files.
    """
    file.seek(0)
    head = file.read(16)
    is_big = b"+" in head[2:4]
    if not is_big:
        head = head[:8]
    directory = ImageFileDirectory_v2(head)
    known = set[int]()
    while (position := directory.next) and position not in known and len(known) < _MAX_PAGES:
        known.add(position)
        file.seek(position)
        directory.load(file)
        yield directory
