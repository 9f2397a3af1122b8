"""Analysis of an image: its noise, compression, softness, kind, haze and faces, measured without a
network.

`docs/measure_analysis.py` prints the error of each estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from ..images import SourceImage
from ..images.degradation import BLUR_MARGIN, blur_of, edge_energies
from ..json_object import JsonObject
from ..size import Size
from .coherence import coherence_of
from .face_detection import find_faces
from .file_size import quality_of_size
from .haze import haze_amount
from .jpeg import quality_of_pixels, quality_of_table
from .kind import Kind, kind_of
from .noise import noise_and_grain, smoothness_of
from .samples import SIDES, squares, without_border
from .softness import softness_of

__all__ = ["Analysis", "Kind", "analyse"]

_FEW_EDGES = 250.0
"""The edge energy below which `precise` is the best preset, or within 1 HaarPSI of it, even for a
soft photo."""


@dataclass(frozen=True)
class Analysis:
    """The properties of an image.

    - `noise`: standard deviation of noise or grain, in 8-bit levels.
    - `grain`: correlation length of film grain in px; 0 without grain.
    - `jpeg_quality`: 1 to 100, the lowest at which the image was compressed; None if it was not.
      For a photo in another format with loss, the quality of a JPEG with the same error.
    - `softness`: by how much the image can be downscaled without losing detail, 1 to 4; 1 for text
      and drawings.
    - `blur`: 0 for a photo that is sharp at its size, 1 for one as soft as after a Gaussian blur of
      1 px or more; 0 for a photo without contrast, whose edges are too few to measure it.
    - `coherence`: 0 to 1, how much of a photo consists of lines, such as bricks; 0 for text and
      drawings.
    - `smoothness`: 0 to 1, how much of a photo is smooth apart from its noise; 0 for text and
      drawings.
    - `kind`: text includes screenshots of pages and user interfaces.
    - `haze`: 0 (clear) to 1; only of colour photos.
    - `faces`: their number; None if they were not counted.
    - `face`: the centre of the largest face, as shares of width and height.
    """

    width: int
    height: int
    bits: int = 8
    noise: float = 0.0
    grain: float = 0.0
    jpeg_quality: int | None = None
    softness: int = 1
    blur: float = 0.0
    coherence: float = 0.0
    smoothness: float = 0.0
    kind: Kind = "photo"
    haze: float = 0.0
    faces: int | None = None
    transparency: bool = False
    face: tuple[float, float] | None = None

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)


def analyse(image: SourceImage, detector: Path | None = None) -> Analysis:
    """Measure an image; faces are counted if `detector`, the file of the face detector, is given.

    Takes at most a second, whatever the size. Nothing is downloaded.
    """
    measured: JsonObject = {**image.size._asdict(), "bits": image.bits}
    if image.alpha is not None:
        measured["transparency"] = bool(image.alpha.min() < image.levels)
    qualities: list[int] = []
    if image.jpeg_tables:
        qualities.append(quality_of_table(image.jpeg_tables[0]))
    rgb = without_border(image.rgb)
    samples = squares(rgb)
    if samples is None:
        return Analysis(**measured, jpeg_quality=min(qualities, default=None))
    traces = quality_of_pixels(samples, is_jpeg=bool(qualities))
    if traces is not None:
        qualities.append(traces)
    is_jpeg = bool(qualities)
    kind = kind_of(samples, (squares(rgb, scale) for scale in (2, 4)))
    noise, grain = noise_and_grain(samples, kind == "photo", is_jpeg)
    if kind == "photo":
        quality = quality_of_size(samples, image.format, _bytes_per_pixel(image, rgb))
        if quality is not None:
            qualities.append(quality)
        measured |= {
            "blur": round(_blur(samples), 2),
            "coherence": round(coherence_of(samples), 3),
            "smoothness": round(smoothness_of(samples), 2),
            "haze": round(haze_amount(rgb), 3),
        }
        if min(image.size) >= SIDES[0]:
            measured["softness"] = softness_of(samples)
    if detector:
        faces = find_faces(image.rgb, detector, precise=False)
        measured["faces"] = len(faces)
        if faces:
            place = faces[0].nose / image.size
            measured["face"] = tuple(np.clip(place, 0, 1).tolist())
    return Analysis(
        **measured,
        noise=round(noise, 2),
        grain=grain,
        jpeg_quality=min(qualities, default=None),
        kind=kind,
    )


def _bytes_per_pixel(image: SourceImage, rgb: ndarray) -> float:
    """Return the bytes of the file without its profile and metadata, for each pixel inside the
    border."""
    others = image.icc, image.metadata.exif, image.metadata.xmp
    rest = image.bytes - sum(len(content) for content in others if content)
    return rest / Size.of_shape(rgb.shape).pixels


def _blur(samples: ndarray) -> float:
    """Return the blur of squares, 0 with few edges.

    Unlike that of a whole image, it is measured only where the borders have no influence.
    """
    side = samples.shape[1]
    margin = min(BLUR_MARGIN, side // 4)
    inside = slice(margin, -margin)
    energies = np.stack([edge_energies(square) for square in samples])  # [n, 2, side, side]
    fine, coarse = energies[..., inside, inside].mean((0, 2, 3), dtype=float)
    if coarse < _FEW_EDGES:
        return 0.0
    return blur_of(fine, coarse, pixels=1)
