"""The directories of a TIFF or BigTIFF: the tags of its first page, and the number of its pages
(TIFF 6.0, section 2)."""

from __future__ import annotations

from contextlib import suppress
from typing import BinaryIO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_SUBFILE_TYPE = 254
_NO_PAGE = 1 | 4
"""The bits of a thumbnail and of a mask."""
_MAX_PAGES = 10_000


def load_directory(file: BinaryIO, position: int | None = None) -> ImageFileDirectory_v2:
    """Return the tags of the directory at a position, by default of the first one.

    Of a damaged directory, these are the tags before the first damaged one. Raises any error of
    Pillow for other and for damaged files.
    """
    file.seek(0)
    head = file.read(8)
    if b"+" in head[2:4]:  # BigTIFF
        head += file.read(8)
    directory = ImageFileDirectory_v2(head)
    file.seek(position or directory.next)
    del directory.next  # Pillow sets it after the last tag.
    directory.load(file)
    return directory


def is_whole(directory: ImageFileDirectory_v2) -> bool:
    """Return whether all tags of a directory are loaded."""
    return hasattr(directory, "next")


def count_pages(file: BinaryIO) -> int:
    """Return the number of pages of a TIFF, without its thumbnails and masks.

    The count ends at the first directory that is damaged.
    """
    count = 0
    with suppress(Exception):  # Pillow raises many types.
        position = None
        for _ in range(_MAX_PAGES):
            directory = load_directory(file, position)
            if not directory.get(_SUBFILE_TYPE, 0) & _NO_PAGE:
                count += 1
            position = directory.next
            if not position:
                break
    return max(1, count)
