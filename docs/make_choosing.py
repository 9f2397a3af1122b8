"""Make the images of docs/choosing.md and docs/library.md: `python docs/make_choosing.py`.

Photos of skimage.data, which are free to use (see NOTICE), are downscaled by 4, so that the
original is known. One of them is then degraded like a small JPEG of a phone. Each image shows an
area with several presets or settings. Two images show an example of each rule of Auto. Their
drawings and pages are those of the tests. The image of docs/library.md shows a whole photo.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

sys.path.insert(0, str(Path(__file__).parents[1]))

from enhance import Enhancer, Settings, enhance
from enhance.comparison import Comparison
from tests.quality.kind_images import drawing, page
from tests.unit.test_analysis import add_noise, soften_with_grain

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


@dataclass(frozen=True)
class Example:
    """An image to which a rule of Auto applies, the centre of the area shown, and a preset to
    compare with Auto."""

    reason: str
    label: str
    image: np.ndarray
    centre: tuple[int, int]
    other: str
    quality: int | None = None
    """Of the JPEG file; None for a PNG file."""


def examples() -> tuple[list[Example], list[Example]]:
    """Return the examples of the rules for photos, and for drawings and text."""
    cat, face, drawn, print_ = (
        downscale(data.chelsea()),
        downscale(data.astronaut()),
        drawing(2, 200),
        page(size=20),
    )
    eye, eyes, shape, words = (48, 32), (55, 32), (112, 110), (70, 60)
    small = cv2.resize(print_, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    faint = 255 - (255 - small) // 2
    soft = cv2.GaussianBlur(face, (0, 0), 0.8)
    photos = [
        Example("clean_photo", "clean photo", cat, eye, "gentle"),
        Example("compressed_photo", "JPEG 50", face, eyes, "precise", quality=50),
        Example("slightly_noisy_photo", "noise 3", add_noise(cat, 3), eye, "precise"),
        Example("noisy_photo", "noise 12", add_noise(face, 12), eyes, "precise"),
        Example("soft_photo", "blur 0.8", soft, eyes, "precise"),
        Example("grainy_photo", "blur 1.1, grain 5", soften_with_grain(cat), eye, "fast"),
    ]
    others = [
        Example("clean_drawing", "clean drawing", drawn, shape, "gentle"),
        Example("compressed_drawing", "JPEG 40", drawn, shape, "precise", quality=40),
        Example("slightly_noisy_photo", "noise 6", add_noise(drawn, 6), shape, "precise"),
        Example("clean_text", "clean text", faint, words, "gentle"),
        Example("compressed_text", "JPEG 75", faint, words, "gentle", quality=75),
        Example("noisy_text", "noise 8", add_noise(faint, 8), words, "gentle"),
    ]
    return photos, others


def downscale(photo: np.ndarray) -> np.ndarray:
    """Return the photo downscaled by 4, cropped to whole blocks of 4 x 4 px."""
    height, width = (side - side % SCALE for side in photo.shape[:2])
    return cv2.resize(
        photo[:height, :width], (width // SCALE, height // SCALE), interpolation=cv2.INTER_AREA
    )


def degrade(image: np.ndarray) -> np.ndarray:
    """Return the image with a noise of 6 levels, after JPEG compression at quality 75."""
    noise = np.random.default_rng(5).normal(0, 6, image.shape)
    noisy = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
    _, coded = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1])


def original_area(photo: np.ndarray, x: int, y: int) -> np.ndarray:
    """Return the area of the original around x, y, in pixels of the downscaled photo."""
    left, top = SCALE * (x - SIDE // 2), SCALE * (y - SIDE // 2)
    return photo[top : top + SCALE * SIDE, left : left + SCALE * SIDE]


def make_rules(enhancer: Enhancer, name: str, wanted: list[Example]) -> None:
    """Write docs/choosing-NAME.jpg: each example with bicubic upscaling, with Auto and with another
    preset."""
    rows = []
    for one in wanted:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / ("image.jpg" if one.quality else "image.png")
            Image.fromarray(one.image).save(source, quality=one.quality or 100)
            plan = enhancer.plan(enhancer.read(source), Settings("auto"))
            if plan.auto is None or plan.auto["reason"] != one.reason:
                raise SystemExit(f"{one.label}: the rule is {plan.auto}, not {one.reason}")
            (x, y), settings = one.centre, [plan.settings, Settings.from_preset(one.other)]
            made = enhancer.compare(source, x=x, y=y, size=SIDE, settings=settings)
        names = f"Auto: {plan.settings.preset}", one.other
        rows.append(sheet(cells_of(made, one.label, names)))
    width, height = rows[0].size
    whole = Image.new("RGB", (width, height * len(rows)))
    for place, row in enumerate(rows):
        whole.paste(row, (0, place * height))
    whole.save(HERE / f"choosing-{name}.jpg", quality=80, optimize=True)


def cells_of(made: Comparison, before: str, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the area with bicubic upscaling as `before`, and the cells of a comparison by name."""
    previews = {}
    for name, cell in zip(names, made.cells, strict=True):
        if cell.preview is None:
            raise SystemExit(f"{name}: {cell.error}")
        previews[name] = cell.preview
    first = next(iter(previews.values()))
    return {before: first.before} | {name: one.after for name, one in previews.items()}


def sheet(cells: dict[str, np.ndarray]) -> Image.Image:
    """Return the areas, which have one size, side by side on white, each with its name above."""
    height, width = next(iter(cells.values())).shape[:2]
    image = Image.new("RGB", (len(cells) * (width + BORDER) - BORDER, height + LABEL), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(str(FONT), 16)
    for place, (name, pixels) in enumerate(cells.items()):
        left = place * (width + BORDER)
        draw.text((left + 2, 2), name, fill="black", font=font)
        image.paste(Image.fromarray(pixels), (left, LABEL))
    return image


def make(
    enhancer: Enhancer,
    name: str,
    photo: np.ndarray,
    given: np.ndarray,
    x: int,
    y: int,
    wanted: Cells,
) -> None:
    """Write docs/choosing-NAME.jpg: the area with bicubic upscaling, with each of `wanted`, and in
    the original."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photo.png"
        Image.fromarray(given).save(source)
        made = enhancer.compare(source, x=x, y=y, size=SIDE, settings=list(wanted.values()))
    cells = cells_of(made, "bicubic", wanted)
    sheet(cells | {"original photo": original_area(photo, x, y)}).save(
        HERE / f"choosing-{name}.jpg", quality=88, optimize=True
    )


def make_first_example(photo: np.ndarray) -> None:
    """Write docs/library.jpg: what the first example of docs/library.md makes of the photo, next to
    bicubic upscaling."""
    small = Image.fromarray(photo)
    large = enhance(small)
    bicubic = small.resize(large.size, Image.Resampling.BICUBIC)
    cells = {"bicubic upscaling": np.asarray(bicubic), "enhance(photo)": np.asarray(large)}
    sheet(cells).save(HERE / "library.jpg", quality=85, optimize=True)


def main() -> None:
    astronaut, cat = data.astronaut(), data.chelsea()
    make_first_example(downscale(astronaut))
    with tempfile.TemporaryDirectory() as folder:
        enhancer = Enhancer(data=folder)
        for name, wanted in zip(("photos", "graphics"), examples(), strict=True):
            make_rules(enhancer, name, wanted)
        make(enhancer, "clean", cat, downscale(cat), 48, 32, PRESETS)
        make(enhancer, "noisy", cat, degrade(downscale(cat)), 48, 32, PRESETS)
        make(enhancer, "sliders", astronaut, downscale(astronaut), 55, 32, SLIDERS)


if __name__ == "__main__":
    main()
