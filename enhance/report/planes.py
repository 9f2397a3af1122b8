"""uint8 pixels [h, w, C], RGB or RGBA, taken apart: brightness, opacity, and masks of what can be seen."""

from __future__ import annotations

import cv2
import numpy as np

from ..output.rendition import to_screen
from ..picture import Picture


def whole_of(picture: Picture) -> np.ndarray:
    """The decoded input as uint8 RGB, or RGBA where it has alpha."""
    return to_screen(picture.rgb if picture.alpha is None else np.dstack([picture.rgb, picture.alpha]))


def grey_of(pixels: np.ndarray) -> np.ndarray:
    """Brightness [h, w] (ITU-R BT.601, as OpenCV weighs it)."""
    return cv2.cvtColor(pixels, cv2.COLOR_RGBA2GRAY if pixels.shape[2] == 4 else cv2.COLOR_RGB2GRAY)


def alpha_of(pixels: np.ndarray) -> np.ndarray | None:
    """Opacity [h, w]; None where all is opaque."""
    return np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None


def seen_of(pixels: np.ndarray) -> np.ndarray | None:
    """A mask [h, w] of what is at least half opaque; None where all is."""
    return cv2.inRange(pixels[..., 3], 128, 255) if pixels.shape[2] == 4 else None  # type: ignore[arg-type]
