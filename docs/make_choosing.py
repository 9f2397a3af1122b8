"""Make the images of docs/choosing.md: `python docs/make_choosing.py`.

Photos of skimage.data, which are free to use (see NOTICE), are downscaled by 4, so that the original is known. One of
them is then degraded like a small JPEG of a phone. Each image shows an area with several presets or settings.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

sys.path.insert(0, str(Path(__file__).parents[1]))

from enhance import Enhancer, Settings

HERE = Path(__file__).parent
FONT = HERE.parent / "enhance" / "report" / "fonts" / "NotoSansSC-Regular.woff"
SIDE, SCALE, BORDER, LABEL = 60, 4, 4, 26
Cells = dict[str, Settings]

PRESETS: Cells = {name: Settings.from_preset(name) for name in ("original", "gentle", "precise")}
SLIDERS: Cells = {
    "strength 1, fidelity 0": Settings.from_preset("original"),
    "strength 1, fidelity 1": Settings.from_preset("original", fidelity=1),
    "gentle: 0.6 and 1": Settings.from_preset("gentle"),
}


def downscale(photo: np.ndarray) -> np.ndarray:
    """Return the photo downscaled by 4, cropped to whole blocks of 4 x 4 px."""
    height, width = (side - side % SCALE for side in photo.shape[:2])
    return cv2.resize(photo[:height, :width], (width // SCALE, height // SCALE), interpolation=cv2.INTER_AREA)


def degrade(image: np.ndarray) -> np.ndarray:
    """Return the image with a noise of 6 levels, after JPEG compression at quality 75."""
    noise = np.random.default_rng(5).normal(0, 6, image.shape)
    noisy = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
    _, coded = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def original_area(photo: np.ndarray, x: int, y: int) -> np.ndarray:
    """Return the area of the original around x, y, in pixels of the downscaled photo."""
    left, top = SCALE * (x - SIDE // 2), SCALE * (y - SIDE // 2)
    return photo[top : top + SCALE * SIDE, left : left + SCALE * SIDE]


def sheet(cells: dict[str, np.ndarray]) -> Image.Image:
    """Return the areas side by side on white, each with its name above."""
    side = SCALE * SIDE
    image = Image.new("RGB", (len(cells) * (side + BORDER) - BORDER, side + LABEL), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(str(FONT), 16)
    for place, (name, pixels) in enumerate(cells.items()):
        left = place * (side + BORDER)
        draw.text((left + 2, 2), name, fill="black", font=font)
        image.paste(Image.fromarray(pixels), (left, LABEL))
    return image


def make(enhancer: Enhancer, name: str, photo: np.ndarray, given: np.ndarray, x: int, y: int, wanted: Cells) -> None:
    """Write docs/choosing-NAME.jpg: the area with bicubic upscaling, with each of `wanted`, and in the original."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photo.png"
        Image.fromarray(given).save(source)
        made = enhancer.compare(source, x=x, y=y, size=SIDE, settings=list(wanted.values()))
    cells = {"bicubic": made.first.before}
    for label, cell in zip(wanted, made.cells, strict=True):
        if cell.preview is None:
            raise SystemExit(f"{label}: {cell.error}")
        cells[label] = cell.preview.after
    sheet(cells | {"original photo": original_area(photo, x, y)}).save(
        HERE / f"choosing-{name}.jpg", quality=88, optimize=True
    )


def main() -> None:
    astronaut, cat = data.astronaut(), data.chelsea()
    with tempfile.TemporaryDirectory() as folder:
        enhancer = Enhancer(data=folder)
        make(enhancer, "clean", cat, downscale(cat), 48, 32, PRESETS)
        make(enhancer, "noisy", cat, degrade(downscale(cat)), 48, 32, PRESETS)
        make(enhancer, "sliders", astronaut, downscale(astronaut), 55, 32, SLIDERS)


if __name__ == "__main__":
    main()
