"""What a preset adds to the network, and writing a finished result to a PNG."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy import ndarray

from ..analysis.haze import Haze
from ..engine.raw_store import ShareDone
from ..errors import check_stop
from ..formats.png import PngHeader, create_png
from ..formats.thumbnails import Thumbnail
from ..images import NO_DEGRADATION, Box, Degradation, SourceImage, spans
from ..images.worker import allocate_pixels
from ..metadata.gain_map import MAX_MAP_PIXELS, encode_map
from ..metadata.provenance import Origin
from ..metadata.source_type import label_of, read_source_type, with_source_type
from ..settings import Settings
from ..size import Size
from .deblocking import deblocked_rows, has_blocks
from .dehaze import remove_haze
from .faces import FacePatch
from .fidelity import FidelityMeter, Photo, fidelity_grade
from .resample import Rows, enlarge_to
from .tuning import ResultRows

_STRIP = 64


@dataclass(frozen=True, eq=False)
class Scene:
    """What a preset adds to the network: haze removed before it, faces restored after it."""

    haze: Haze | None = None
    patches: Sequence[FacePatch] = ()

    def photo(
        self,
        image: SourceImage,
        settings: Settings,
        degradation: Degradation = NO_DEGRADATION,
        box: Box | None = None,
    ) -> Photo:
        """Return the network's input; `box` is the region of the image that `image` is, if it is a
        part."""
        box = box or Box(0, 0, *image.size)
        rows = self._without_haze(lambda first, last: image.rgb[first:last], settings.strength, box)
        deblocked = None
        if has_blocks(image):
            deblocked = self._without_haze(deblocked_rows(image), settings.strength, box)
        return Photo(
            rows,
            image.size,
            image.levels,
            degradation,
            deblocked,
            image.first_block,
        )

    def _without_haze(self, rows: Rows, strength: float, box: Box) -> Rows:
        haze = self.haze
        if haze is None:
            return rows

        def clear_rows(first: int, last: int) -> ndarray:
            top = box.top + first
            return remove_haze(rows(first, last), haze, strength, top=top, left=box.left)

        return clear_rows

    def network_pixels(
        self,
        image: SourceImage,
        settings: Settings,
        box: Box | None = None,
        folder: Path | None = None,
    ) -> ndarray:
        """Return the network's input as one array; a large one is an unnamed file in `folder`.

        Raises StorageError.
        """
        if self.haze is None:
            return image.rgb
        photo = self.photo(image, settings, box=box)
        return collect(photo.rows, image.size, image.rgb.dtype.name, folder)


def collect(rows: Rows, size: Size, dtype: str, folder: Path | None) -> ndarray:
    """Return the colour of an image as one array; a large one is an unnamed file in `folder`.

    Raises StorageError.
    """
    pixels = allocate_pixels((*size.shape, 3), dtype, folder)
    for first, last in spans(size.height, _STRIP):
        pixels[first:last] = rows(first, last)[..., :3]
    return pixels


def encode_gain_map(image: SourceImage, size: Size) -> bytes | None:
    """Return the gain map of an image as a JPEG for a result of `size`.

    The map is enlarged like the image, up to MAX_MAP_PIXELS. The result is None if the image has
    none.
    """
    if image.gain_map is None:
        return None
    plane = image.gain_map.pixels
    height, width = plane.shape[:2]
    rows = height * size.height / image.height
    columns = width * size.width / image.width
    share = min(1.0, math.sqrt(MAX_MAP_PIXELS / (rows * columns)))
    new_size = Size(max(1, round(columns * share)), max(1, round(rows * share)))
    strips = [enlarge_to(plane, new_size, *span) for span in spans(new_size.height, _STRIP)]
    return encode_map(np.concatenate(strips), image.gain_map.header)


def write_png(
    result: ResultRows,
    path: Path,
    *,
    signature: str,
    meter: FidelityMeter | None = None,
    thumbnail: Thumbnail | None = None,
    stop: threading.Event | None = None,
    progress: ShareDone = lambda share: None,
) -> dict[str, float]:
    """Write the result to `path` atomically.

    Returns the seconds of `tuning` and of `encode`. `meter` and `thumbnail` receive the same rows.
    The file states its origin: `signature`, the input's checksum and the measured fidelity. Its XMP
    labels the result of a network as machine-enhanced: as a composite with generated content if
    faces were restored or the fidelity is low. Raises StorageError, and Cancelled if `stop` is set.
    """
    image = result.image
    dpi = result.settings.dpi
    metadata = image.metadata.with_size(result.size)
    if dpi is not None:
        metadata = metadata.with_resolution(dpi)
    xmp = metadata.xmp
    is_labelled = bool(result.settings.model)
    if is_labelled:  # A result without a network contains no generated detail.
        has_faces = bool(result.patches)
        metadata = replace(metadata, xmp=_labelled(xmp, generated=has_faces))
    gain_map = encode_gain_map(image, result.size)
    header = PngHeader(result.size, result.channels, image.bits, image.icc, metadata, gain_map)
    seconds = {"tuning": 0.0, "encode": 0.0}
    with create_png(path, header) as png:
        for first, last in spans(result.size.height, _STRIP):
            check_stop(stop)
            started = time.perf_counter()
            rows = result.rows(first, last)  # [n, W, C]
            if meter:
                meter.add(rows)
            if thumbnail:
                thumbnail.add(rows)
            tuned = time.perf_counter()
            png.write(rows)
            seconds["tuning"] += tuned - started
            seconds["encode"] += time.perf_counter() - tuned
            progress(last / result.size.height)
        facts = {}
        if dpi is not None:
            facts["dpi"] = str(dpi)
        if is_labelled:
            facts["source_type"] = read_source_type(xmp) or "none"
        if meter:
            measured = meter.fidelity()
            facts["fidelity_db"] = f"{measured.average_db:g}"
            facts["fidelity_worst_db"] = f"{measured.worst_db:g}"
            # The label is at the start of the file, but depends on the fidelity. The new label has
            # the same length.
            if is_labelled and fidelity_grade(measured.worst_db) == "free":
                metadata = replace(metadata, xmp=_labelled(xmp, generated=True))
                png.header = replace(header, metadata=metadata)
        png.mark = Origin(signature, image.sha256, **facts).mark()
    return seconds


def _labelled(xmp: bytes | None, *, generated: bool) -> bytes | None:
    return with_source_type(xmp, label_of(xmp, generated=generated))
