"""The raw output of a network, stored for tuning and encoding, also in later runs.

Strips arrive along the longer side, but rows are read from top to bottom. Every strip is stored as
one block, so that reading rows reads one contiguous piece of each block. A stored file consists of
the blocks, a JSON line with their starts, and the length of that line.

An image that is too large for memory is cut across its longer side. Each part is processed with as
many extra rows as the network's receptive field needs, so the parts join without a seam.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy import ndarray

from enhance.models.memory import ImagePart

from ..errors import StorageError
from ..files import AtomicFile, check_disk_space, storage_errors
from ..images import spans
from ..size import Size

Strips = Generator[ndarray, None, None]
ShareDone = Callable[[float], object]
"""Called with the share that is done, 0..1."""

OUTPUT_IN_MEMORY = 256 << 20
"""The largest output in bytes that is stored in memory, not on disk."""
_BLOCK_BYTES = 16 << 20
"""How many bytes are copied at once."""
_LENGTH_BYTES = 8


def streams_columns(size: Size) -> bool:
    """Return whether an image of this size is streamed from left to right, because that needs less
    memory."""
    return size.width > size.height


@dataclass(frozen=True)
class OutputShape:
    """The size of an output in pixels, its NumPy type, and whether its strips arrive from left to
    right."""

    height: int
    width: int
    dtype: str
    columns: bool

    @property
    def bytes(self) -> int:
        return self.height * self.width * self.pixel_bytes

    @property
    def pixel_bytes(self) -> int:
        return 3 * np.dtype(self.dtype).itemsize


class NetworkOutput:
    """An image [height, width, 3] of uint8 or uint16 that grows by strips; a context manager.

    Strips are [height, n, 3] from left to right if the shape has `columns`, else [n, width, 3] from
    top to bottom.
    """

    def __init__(
        self,
        shape: OutputShape,
        file: BinaryIO,
        path: Path = Path("temporary"),
        part: AtomicFile | None = None,
    ):
        self.shape = shape
        self._path = path  # in error messages
        self._filled = 0
        self._file = file
        self._part = part
        self._starts: list[int] = []  # of the blocks, along the strips
        self._lock = threading.Lock()

    @classmethod
    def create(
        cls,
        shape: OutputShape,
        *,
        path: Path | None = None,
        folder: Path | None = None,
    ) -> NetworkOutput:
        """Create an empty output. With `path`, it is a temporary file that `keep` renames to it.

        Otherwise it is in memory if small, else in an unnamed file in `folder`, which the system
        deletes even if the process is killed. Raises StorageError.
        """
        if path is not None:
            part = AtomicFile(path).prepare()
            check_disk_space(path.parent, shape.bytes)
            return cls(shape, part.open("x+b"), path, part)
        if shape.bytes <= OUTPUT_IN_MEMORY:
            return cls(shape, BytesIO())
        folder = folder or Path(tempfile.gettempdir())
        with storage_errors(folder / "temporary"):
            folder.mkdir(parents=True, exist_ok=True)
            check_disk_space(folder, shape.bytes)
            return cls(shape, tempfile.TemporaryFile(dir=folder))  # type: ignore[arg-type]

    @classmethod
    def open(cls, path: Path) -> NetworkOutput:
        """Open a stored output for reading. Raises StorageError if it is missing or damaged."""
        try:
            file = path.open("rb")
        except OSError as error:
            raise StorageError("output_gone") from error
        try:
            file.seek(-_LENGTH_BYTES, os.SEEK_END)
            length = int.from_bytes(file.read(), "little")
            end = file.seek(-_LENGTH_BYTES - length, os.SEEK_END)
            index = json.loads(file.read(length))
            output = cls(OutputShape(**index["shape"]), file, path)
            output._starts = index["starts"]
            if end != output.shape.bytes:
                raise ValueError("the pixels have another size")
        except (OSError, ValueError, KeyError, TypeError) as error:
            file.close()
            raise StorageError("output_damaged") from error
        return output

    def __enter__(self) -> NetworkOutput:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the pixels, and delete a file without a name."""
        with suppress(OSError):  # a failed write was reported already
            self._file.close()
        if self._part is not None:
            self._part.discard()
            self._part = None

    def keep(self) -> None:
        """Give the complete file its final name. It can still be read. Raises StorageError."""
        assert self._part, "an output without a path cannot be kept"
        text = json.dumps({"shape": asdict(self.shape), "starts": self._starts}).encode()
        with self._part.write_errors():
            self._file.seek(0, os.SEEK_END)
            self._file.write(text + len(text).to_bytes(_LENGTH_BYTES, "little"))
            self._file.close()  # some systems cannot rename an open file
            self._part.keep()
            self._file = self._path.open("rb")
        self._part = None

    def add(self, strip: ndarray) -> None:
        """Append the next strip. Raises StorageError if the disk is full."""
        self._starts.append(self._filled)
        self._filled += len(swap_axes(strip, self.shape.columns))
        with storage_errors(self._path):
            self._file.seek(0, os.SEEK_END)
            self._file.write(np.ascontiguousarray(strip).data)

    def rows(self, first: int, last: int) -> ndarray:
        """Return the rows [first, last), [n, width, 3], which must have arrived, and
        with `columns` all others too."""
        starts = [0]  # All blocks of whole rows are one.
        if self.shape.columns:
            starts = self._starts
        rows = np.empty((last - first, self.shape.width, 3), self.shape.dtype)
        for start, end in pairwise([*starts, self.shape.width]):
            rows[:, start:end] = self._read(start, end - start, first, last)
        return rows

    def _read(self, start: int, width: int, first: int, last: int) -> ndarray:
        """Return the rows [first, last) of the block at `start`, which is `width` pixels wide."""
        pixel = self.shape.pixel_bytes
        with storage_errors(self._path), self._lock:
            # Writes buffered rows first.
            self._file.seek((start * self.shape.height + first * width) * pixel)
            data = self._file.read((last - first) * width * pixel)
        return np.frombuffer(data, self.shape.dtype).reshape(last - first, width, 3)


def strips_of_parts(
    rgb: ndarray,
    parts: Sequence[ImagePart],
    scale: int,
    run: Callable[[ndarray, bool, ShareDone], Strips],
    report: ShareDone,
    folder: Path | None,
) -> Strips:
    """Yield the strips of an image [H, W, 3] that is processed in parts.

    The strips of the image arrive along its longer side, which the parts divide. The strips of a
    part arrive along the shorter side, so its output is stored in `folder` and read again in the
    order of the image. `run(part, columns, report)` yields the strips of a part. Raises
    StorageError if there is not enough disk space.
    """
    columns = streams_columns(Size.of_shape(rgb.shape))
    image = swap_axes(rgb, columns)  # Its rows are divided.
    width = scale * image.shape[1]
    total = sum(part.height for part in parts)
    before = 0  # rows of earlier parts

    def report_part(done: float) -> None:
        report((before + done * part.height) / total)

    for part in parts:
        height = scale * (part.last - part.first)
        shape = OutputShape(height, width, rgb.dtype.name, columns=True)
        own_rows = slice(scale * (part.first - part.top), scale * (part.last - part.top))
        with NetworkOutput.create(shape, folder=folder) as output:
            remaining = scale * (len(image) - part.first) * width * shape.pixel_bytes
            if folder is not None and remaining > OUTPUT_IN_MEMORY:
                check_disk_space(folder, remaining + shape.bytes)
            rgb_part = swap_axes(image[part.top : part.bottom], columns)
            with closing(run(rgb_part, not columns, report_part)) as strips:
                for strip in strips:
                    output.add(swap_axes(strip, columns)[own_rows])
            before += part.height
            block = max(1, _BLOCK_BYTES // (width * shape.pixel_bytes))
            for low, high in spans(height, block):
                yield swap_axes(output.rows(low, high), columns)


def swap_axes(rows: ndarray, columns: bool) -> ndarray:
    """Return rows [n, W, 3] as [W, n, 3], or the reverse, if the strips of their image are
    `columns`."""
    if columns:
        return rows.swapaxes(0, 1)
    return rows
