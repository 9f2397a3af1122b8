"""Photos on which values were chosen, and other photos, all from Python packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import gradio
import matplotlib
import numpy as np
from PIL import Image
from skimage import data

Pixels = np.ndarray
"""uint8 [H, W, 3] RGB."""

Source = Callable[[], Pixels]

_GRADIO = Path(gradio.__file__).parent / "media_assets" / "images"
_MATPLOTLIB = Path(matplotlib.__file__).parent / "mpl-data" / "sample_data"


def _of_file(path: Path) -> Pixels:
    """Read a JPEG file, downscaled so that its compression artifacts do not show."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return cv2.resize(pixels, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)


def _grey(pixels: np.ndarray) -> Pixels:
    return np.repeat(pixels[..., None], 3, axis=2)


TUNING: dict[str, Source] = {
    "astronaut": lambda: data.astronaut()[10:298, 100:388],  # a face
    "coffee": lambda: data.coffee()[40:328, 200:488],
    "rocket": lambda: data.rocket()[60:348, 180:468],  # a smooth sky
    "page": lambda: _grey(data.page())[:184, :288],  # print
    "grass": lambda: _grey(data.grass())[100:388, 100:388],
    "lion": lambda: _of_file(_GRADIO / "lion.jpg"),
}
"""Photos on which the values of the presets were chosen."""
REPORTED: dict[str, Source] = {
    "cat": lambda: data.chelsea()[0:288, 80:368],
    "motorcycle": lambda: data.stereo_motorcycle()[0][120:408, 260:548],
    "tower": lambda: _of_file(_GRADIO / "tower.jpg")[100:388, :280],  # a smooth sky, twigs
    "cheetah": lambda: _of_file(_GRADIO / "cheetah.jpg")[:256, 60:348],
    "hopper": lambda: _of_file(_MATPLOTLIB / "grace_hopper.jpg")[0:288, 60:348],  # a face
    "text": lambda: _grey(data.text())[:, 80:368],  # handwriting
    "camera": lambda: _grey(data.camera())[150:438, 60:348],  # a lawn, a sky
}
"""Photos on which no value was chosen."""
GREY = ("page", "grass", "text", "camera")


def reference_of(source: Source) -> Pixels:
    """Return a photo whose width and height are multiples of 4."""
    pixels = source()
    return np.ascontiguousarray(pixels[: pixels.shape[0] // 4 * 4, : pixels.shape[1] // 4 * 4])


def downscaled(reference: Pixels, factor: int = 4) -> Pixels:
    """Return the averages of blocks of `factor` × `factor` pixels."""
    return cv2.resize(reference, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
