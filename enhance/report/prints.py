"""Pixels become pictures to print: sRGB, a checkerboard where they are transparent, and few pixels drawn as squares."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageCms

logger = logging.getLogger(__name__)

_LIGHT, _DARK = 255, 226
_FEWEST = 240  # a side with fewer pixels is enlarged, so that no viewer blurs it


def to_srgb(icc: bytes | None, grey: bool) -> Callable[[np.ndarray], np.ndarray]:
    """What turns uint8 RGB [h, w, 3] in the space of the profile `icc` (a grey one if `grey`) into sRGB."""
    if icc is None:
        return lambda pixels: pixels
    mode = "L" if grey else "RGB"
    try:
        profile, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(profile, target, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        logger.info("the report shows the colours without their profile: %s", error)
        return lambda pixels: pixels

    def convert(pixels: np.ndarray) -> np.ndarray:
        image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
        return np.asarray(ImageCms.applyTransform(image, transform))

    return convert


def printable(pixels: np.ndarray, convert: Callable[[np.ndarray], np.ndarray], square: float) -> Image.Image:
    """uint8 RGB or RGBA [h, w, C] as an RGB picture to print; `square` is a checkerboard's square in pixels."""
    times = -(-_FEWEST // min(pixels.shape[:2]))
    longest = 4 * _FEWEST // max(pixels.shape[:2])
    times = max(1, min(times, longest))
    if times > 1:
        pixels = np.repeat(np.repeat(pixels, times, axis=0), times, axis=1)
    colour = convert(np.ascontiguousarray(pixels[..., :3]))
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        board = _checkerboard(pixels.shape[:2], max(1.0, square * times))[..., None]
        colour = cv2.convertScaleAbs(colour * alpha + board * (1 - alpha))
    return Image.fromarray(colour)


def _checkerboard(size: tuple[int, ...], square: float) -> np.ndarray:
    rows, columns = ((np.arange(side) / square).astype(np.int64) for side in size[:2])
    return np.where((rows[:, None] + columns) % 2, _DARK, _LIGHT).astype(np.float32)
