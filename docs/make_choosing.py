"""Makes the pictures of docs/choosing.md: `python docs/make_choosing.py`.

Photos of skimage.data, whose licences let anyone use them (see NOTICE), are made four times smaller by the mean
of areas, so that the truth is known, and one of them is spoilt as a phone's small JPEG is. A square of each is shown by
several presets, or by one with other sliders.
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
SIDE, TIMES, BORDER, LABEL = 60, 4, 4, 26
Cells = dict[str, Settings]

PRESETS: Cells = {name: Settings.from_preset(name) for name in ("original", "gentle", "precise")}
SLIDERS: Cells = {
    "strength 1, fidelity 0": Settings.from_preset("original"),
    "strength 1, fidelity 1": Settings.from_preset("original", fidelity=1),
    "gentle: 0.65 and 1": Settings.from_preset("gentle"),
}


def small(photo: np.ndarray) -> np.ndarray:
    """The photo made four times smaller, cut to whole areas."""
    height, width = (side - side % TIMES for side in photo.shape[:2])
    return cv2.resize(photo[:height, :width], (width // TIMES, height // TIMES), interpolation=cv2.INTER_AREA)


def spoilt(picture: np.ndarray) -> np.ndarray:
    """The same with noise of 6 levels, as a JPEG of quality 75."""
    noise = np.random.default_rng(5).normal(0, 6, picture.shape)
    noisy = np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    _, coded = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def square(photo: np.ndarray, x: int, y: int) -> np.ndarray:
    """The true pixels of the square around x, y of the small photo."""
    left, top = TIMES * (x - SIDE // 2), TIMES * (y - SIDE // 2)
    return photo[top : top + TIMES * SIDE, left : left + TIMES * SIDE]


def sheet(cells: dict[str, np.ndarray]) -> Image.Image:
    """The squares side by side on white, each under its name."""
    side = TIMES * SIDE
    image = Image.new("RGB", (len(cells) * (side + BORDER) - BORDER, side + LABEL), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(str(FONT), 16)
    for place, (name, pixels) in enumerate(cells.items()):
        left = place * (side + BORDER)
        draw.text((left + 2, 2), name, fill="black", font=font)
        image.paste(Image.fromarray(pixels), (left, LABEL))
    return image


def make(enhancer: Enhancer, name: str, photo: np.ndarray, given: np.ndarray, x: int, y: int, wanted: Cells) -> None:
    """Write docs/choosing-NAME.jpg: the square as it is enlarged, by each of `wanted`, and as it was."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photo.png"
        Image.fromarray(given).save(source)
        made = enhancer.compare(source, x=x, y=y, size=SIDE, wanted=list(wanted.values()))
    cells = {"bicubic": made.first.before}
    for label, cell in zip(wanted, made.cells, strict=True):
        if cell.preview is None:
            raise SystemExit(f"{label}: {cell.error}")
        cells[label] = cell.preview.after
    sheet(cells | {"the truth": square(photo, x, y)}).save(HERE / f"choosing-{name}.jpg", quality=88, optimize=True)


def main() -> None:
    astronaut, cat = data.astronaut(), data.chelsea()
    with tempfile.TemporaryDirectory() as folder:
        enhancer = Enhancer(data=folder)
        make(enhancer, "clean", cat, small(cat), 48, 32, PRESETS)
        make(enhancer, "spoilt", cat, spoilt(small(cat)), 48, 32, PRESETS)
        make(enhancer, "sliders", astronaut, small(astronaut), 55, 32, SLIDERS)


if __name__ == "__main__":
    main()
