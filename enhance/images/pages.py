"""Pages of a TIFF: their directories, and a copy of the file that starts with another page (TIFF 6.0, section 2)."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import BinaryIO

_SUBFILE_TYPE, _REDUCED, _MASK = 254, 1, 4
_MAX_PAGES = 10_000


def page_directories(file: BinaryIO) -> list[int]:
    """Return the positions of the directories of a TIFF's pages, without those of thumbnails and masks.

    The list ends at the first directory that is damaged, and is empty for other files.
    """
    pages, known = [], set[int]()
    try:
        layout = _Layout(file)
        position = layout.number(layout.first, layout.offset)
        while position and position not in known and len(known) < _MAX_PAGES:
            known.add(position)
            subfile_type, following = layout.directory(position)
            pages += [] if subfile_type & (_REDUCED | _MASK) else [position]
            position = layout.number(following, layout.offset)
    except (ValueError, struct.error):
        pass
    return pages


def count_pages(path: Path) -> int:
    """Return the number of pages of a TIFF, 1 for other and for unreadable files."""
    try:
        with path.open("rb") as file:
            return max(1, len(page_directories(file)))
    except OSError:
        return 1


def write_page(source: Path, number: int, target: Path) -> None:
    """Copy a TIFF to `target` with page `number`, from 1 on, as its only page. Raises OSError."""
    shutil.copyfile(source, target)
    with target.open("rb+") as file:
        position, layout = page_directories(file)[number - 1], _Layout(file)
        _, following = layout.directory(position)
        for place, value in ((layout.first, position), (following, 0)):
            file.seek(place)
            file.write(struct.pack(layout.offset, value))


class _Layout:
    """The sizes of numbers in a TIFF or BigTIFF. Raises ValueError for other files."""

    def __init__(self, file: BinaryIO):
        file.seek(0)
        start = file.read(4)
        order = {b"II": "<", b"MM": ">"}.get(start[:2], "")
        version = struct.unpack(order + "H", start[2:])[0] if order else 0
        if version not in (42, 43):
            raise ValueError("no TIFF")
        self._file, is_big = file, version == 43
        self.first, self.offset, self._count = (
            (8, order + "Q", order + "Q") if is_big else (4, order + "I", order + "H")
        )
        self._entry, self._tag, self._value = (20, order + "H", 12) if is_big else (12, order + "H", 8)

    def number(self, position: int, layout: str) -> int:
        self._file.seek(position)
        return struct.unpack(layout, self._file.read(struct.calcsize(layout)))[0]

    def directory(self, position: int) -> tuple[int, int]:
        """Return the subfile type of a directory (0 by default), and where the position of the next one is."""
        first, subfile_type = position + struct.calcsize(self._count), 0
        count = min(self.number(position, self._count), 1 << 16)
        for entry in range(first, first + self._entry * count, self._entry):
            tag = self.number(entry, self._tag)
            if tag >= _SUBFILE_TYPE:  # Entries are sorted by tag.
                subfile_type = self.number(entry + self._value, self._tag[0] + "I") if tag == _SUBFILE_TYPE else 0
                break
        return subfile_type, first + self._entry * count
