"""Photos from Python packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import gradio
import matplotlib as mpl
import numpy as np
from PIL import Image
from skimage import data

Pixels = np.ndarray
"""uint8 [H, W, 3] RGB."""

_GRADIO = Path(gradio.__file__).parent / "media_assets" / "images"
_MATPLOTLIB = Path(mpl.get_data_path()) / "sample_data"


def _of_file(path: Path) -> Pixels:
    """Read a JPEG file, downscaled so that its compression artifacts do not show."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return cv2.resize(pixels, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)


PHOTOS: dict[str, Callable[[], Pixels]] = {
    # The values of the presets were chosen on these photos,
    "astronaut": lambda: data.astronaut()[10:298, 100:388],  # a face
    "coffee": lambda: data.coffee()[40:328, 200:488],
    "rocket": lambda: data.rocket()[60:348, 180:468],  # a smooth sky
    "lion": lambda: _of_file(_GRADIO / "lion.jpg"),
    # and not on these.
    "cat": lambda: data.chelsea()[0:288, 80:368],
    "motorcycle": lambda: data.stereo_motorcycle()[0][120:408, 260:548],
    "tower": lambda: _of_file(_GRADIO / "tower.jpg")[100:388, :280],  # a smooth sky, twigs
    "cheetah": lambda: _of_file(_GRADIO / "cheetah.jpg")[:256, 60:348],
    "hopper": lambda: _of_file(_MATPLOTLIB / "grace_hopper.jpg")[0:288, 60:348],  # a face
}


def reference_of(name: str) -> Pixels:
    """Return a photo whose width and height are multiples of 4."""
    pixels = PHOTOS[name]()
    return np.ascontiguousarray(pixels[: pixels.shape[0] // 4 * 4, : pixels.shape[1] // 4 * 4])
