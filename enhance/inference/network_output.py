"""The network's output, kept while it is tuned and written, and afterwards so that it can be tuned again.

Strips arrive along the longer side, rows are read from top to bottom: for a landscape picture the two cross. Every
strip is stored as one block, so that reading rows takes one contiguous piece of each block. A kept file is the blocks
one after another, a JSON line that says where they start, and the length of that line.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import StorageError
from ..files import check_room, explained, part_of

_IN_MEMORY = 256 << 20
_LENGTH = struct.Struct("<Q")


def streams_columns(height: int, width: int) -> bool:
    """Whether a picture of this size is streamed from left to right: along its longer side, which needs less memory."""
    return width > height


class Canvas:
    """A picture [height, width, 3] of uint8 or uint16 that grows by strips. Use it as a context manager.

    With `columns` the strips are [height, n, 3] from left to right, otherwise [n, width, 3] from top to bottom. With
    `path` it is a file that gets this name by `keep()`. Without, it is in memory when small, else in a file in `folder`
    that has no name and vanishes with the canvas, also when the process is killed.
    """

    def __init__(
        self,
        height: int,
        width: int,
        dtype: np.dtype | type,
        *,
        columns: bool,
        path: Path | None = None,
        folder: Path | None = None,
    ):
        self.height, self.width, self.dtype, self.columns = height, width, np.dtype(dtype), columns
        self.filled = 0
        self._path = path or (folder or Path(tempfile.gettempdir())) / "temporary"
        self._part = part_of(path) if path else None
        self._blocks: list[np.ndarray] = []
        self._starts: list[int] = []
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        if path or self.bytes > _IN_MEMORY:
            self._file = self._create()

    @classmethod
    def open(cls, path: Path) -> Canvas:
        """A kept canvas, for reading. Raises StorageError when it is gone or damaged."""
        try:
            file = path.open("rb")
            file.seek(-_LENGTH.size, os.SEEK_END)
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            end = file.seek(-_LENGTH.size - length, os.SEEK_END)
            index = json.loads(file.read(length))
            canvas = cls(index["height"], index["width"], np.dtype(index["dtype"]), columns=index["columns"])
        except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
            raise StorageError("The network's output of that task is no longer kept; run the picture again.") from error
        canvas._starts, canvas.filled = index["starts"], canvas.width if canvas.columns else canvas.height
        if canvas._file is not None:
            canvas._file.close()
        canvas._file = file
        if end != canvas.bytes:
            file.close()
            raise StorageError("The kept output of that task is damaged; run the picture again.")
        return canvas

    @property
    def bytes(self) -> int:
        """The size of all pixels."""
        return self.height * self.width * 3 * self.dtype.itemsize

    def __enter__(self) -> Canvas:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the pixels; a file that was not kept is removed."""
        self._blocks.clear()
        if self._file is not None:
            self._file.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)
            self._part = None

    def keep(self) -> None:
        """Give the finished file its name, so that it outlives the canvas. Raises StorageError."""
        if self._file is None or self._part is None:
            raise ValueError("a canvas without a path cannot be kept")
        index = {
            "height": self.height,
            "width": self.width,
            "dtype": self.dtype.name,
            "columns": self.columns,
            "starts": self._starts,
        }
        text = json.dumps(index).encode()
        try:
            self._file.seek(0, os.SEEK_END)
            self._file.write(text + _LENGTH.pack(len(text)))
            self._file.flush()
            self._part.replace(self._path)
        except OSError as error:
            raise explained(self._path, error) from error
        self._part = None

    def add(self, strip: np.ndarray) -> None:
        """Append the next strip. Raises StorageError when the disk is full."""
        self._starts.append(self.filled)
        self.filled += strip.shape[1 if self.columns else 0]
        if self._file is None:
            self._blocks.append(strip)
            return
        try:
            self._file.seek(0, os.SEEK_END)
            self._file.write(np.ascontiguousarray(strip).tobytes())
        except OSError as error:
            raise explained(self._path, error) from error

    def rows(self, first: int, last: int) -> np.ndarray:
        """The rows [first, last) [n, width, 3]; all of them must have arrived."""
        if not self.columns:
            return self._across(first, last)
        taken = np.empty((last - first, self.width, 3), self.dtype)
        for index, start in enumerate(self._starts):
            end = self._end(index)
            taken[:, start:end] = self._read(index, (self.height, end - start), first, last)
        return taken

    def _across(self, first: int, last: int) -> np.ndarray:
        parts = []
        for index, start in enumerate(self._starts):
            low, high = max(first, start), min(last, self._end(index))
            if low < high:
                parts.append(self._read(index, (self._end(index) - start, self.width), low - start, high - start))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _end(self, index: int) -> int:
        return self._starts[index + 1] if index + 1 < len(self._starts) else self.filled

    def _read(self, index: int, shape: tuple[int, int], first: int, last: int) -> np.ndarray:
        """The rows [first, last) of one block of `shape`."""
        if self._file is None:
            return self._blocks[index][first:last]
        pixel = 3 * self.dtype.itemsize
        line = shape[1] * pixel
        across = self.height if self.columns else self.width
        with self._lock:
            self._file.seek(self._starts[index] * across * pixel + first * line)
            data = self._file.read((last - first) * line)
        return np.frombuffer(data, self.dtype).reshape(last - first, shape[1], 3)

    def _create(self) -> BinaryIO:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            check_room(self._path.parent, self.bytes)
            if self._part is not None:
                return self._part.open("x+b")
            return tempfile.TemporaryFile(dir=self._path.parent)
        except OSError as error:
            raise explained(self._path, error) from error
