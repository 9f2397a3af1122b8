"""Print the error of each estimate of `enhance.analysis` as Markdown: `python
docs/measure_analysis.py`.

The images are photos of scikit-image, downscaled by 2 if not stated otherwise, and drawings and
pages that the tests create.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from enhance.analysis import Analysis, analyse
from enhance.analysis.auto import choose
from enhance.images import SourceImage
from tests.conftest import psnr
from tests.quality.degradation import rounded
from tests.quality.kind_images import (
    DARK,
    cut_out,
    drawing,
    page,
    screenshot,
    shaded_drawing,
)
from tests.quality.kind_images import PHOTOS as NAMES
from tests.unit.test_analysis import (
    ALL_PRESETS,
    add_grain,
    add_noise,
    add_shot_noise,
    as_jpeg,
    measure,
    photo,
    soften_with_grain,
)
from tests.unit.test_haze import add_haze

GRAPHICS = (
    [drawing(seed) for seed in range(4)],
    [page(), page(DARK), page(size=30), screenshot()],
)
PHOTOS = [photo(name) for name in NAMES]


def add_equal_shot_noise(rgb: np.ndarray, sigma: float) -> np.ndarray:
    """Add noise that is equal in all channels and whose variance is proportional to the
    brightness."""
    light = cv2.GaussianBlur(rgb, (0, 0), 0.5).astype(np.float32).mean(2, keepdims=True) + 1
    noise = np.random.default_rng(6).normal(0, 1, light.shape) * np.sqrt(light / light.mean())
    return rounded(rgb + sigma * noise)


def row(
    title: str,
    images: Iterable[np.ndarray | SourceImage],
    value: Callable[[Analysis], float | None],
    right: float | Sequence[float],
) -> str:
    found = [
        analyse(image) if isinstance(image, SourceImage) else measure(image) for image in images
    ]
    values = [value(one) for one in found]
    expected = np.broadcast_to(right, len(values))
    numbers = [
        abs(one - other) for one, other in zip(values, expected, strict=True) if one is not None
    ]
    error = f"{np.mean(numbers):.2f}" if numbers else "-"
    if len(numbers) < len(found):
        error += f" ({len(numbers)} images)"
    presets = [choose(one, {*ALL_PRESETS, "balanced"}).preset for one in found]
    chosen = ", ".join(f"{presets.count(name)} {name}" for name in sorted(set(presets)))
    kinds = [one.kind for one in found]
    named = ", ".join(f"{kinds.count(name)} {name}" for name in sorted(set(kinds)))
    return f"| {title} | {len(found)} | {error} | {named} | {chosen} |"


def row_of_format(file_format: str, quality: int) -> str:
    """Return the row of a format; the right quality is that of the JPEG with the same PSNR."""
    coded = [encode(one, file_format, quality) for one in PHOTOS]
    errors = [psnr(decode(code), one) for code, one in zip(coded, PHOTOS, strict=True)]
    qualities = range(20, 97, 4)
    right = [
        np.interp(
            error, [psnr(decode(encode(one, "JPEG", other)), one) for other in qualities], qualities
        )
        for error, one in zip(errors, PHOTOS, strict=True)
    ]
    images = [
        SourceImage("a", "", len(code), file_format, "RGB", decode(code), None, False, None)
        for code in coded
    ]
    return row(f"{file_format} {quality}", images, lambda one: one.jpeg_quality, right)


def encode(rgb: np.ndarray, file_format: str, quality: int) -> bytes:
    code = io.BytesIO()
    Image.fromarray(rgb).save(code, file_format, quality=quality)
    return code.getvalue()


def decode(code: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(code)).convert("RGB"))


def main() -> None:
    pillow_heif.register_heif_opener()
    rows = [
        "| images | number | mean error | recognised as | Auto selects |",
        "| --- | ---: | ---: | --- | --- |",
        row("clean", PHOTOS, lambda one: one.noise, 0),
    ]
    for factor in (3, 4):
        smaller = [photo(name, factor) for name in NAMES]
        rows.append(row(f"clean, downscaled by {factor}", smaller, lambda one: one.noise, 0))
        noisy = [add_noise(one, 3) for one in smaller]
        rows.append(row(f"noise 3, downscaled by {factor}", noisy, lambda one: one.noise, 3))
    for sigma in (1.5, 2, 3, 6):
        rows.append(
            row(
                f"noise {sigma}",
                [add_noise(one, sigma) for one in PHOTOS],
                lambda one: one.noise,
                sigma,
            )
        )
    other_noise = {
        "shot noise 3": lambda rgb: add_shot_noise(rgb, 3),
        "noise 3, correlated over 1 px": lambda rgb: add_grain(rgb, 3, 0.5, is_grey=False),
        "noise 3, correlated over 2 px": lambda rgb: add_grain(rgb, 3, 1, is_grey=False),
        "noise 3, equal in all channels": lambda rgb: add_grain(rgb, 3, 0),
        "shot noise 3, equal in all channels": lambda rgb: add_equal_shot_noise(rgb, 3),
        "noise 3, equal in all channels and correlated over 1 px": lambda rgb: add_grain(
            rgb, 3, 0.5
        ),
        "noise 3, equal in all channels and correlated over 2 px": lambda rgb: add_grain(rgb, 3, 1),
    }
    for name, degrade in other_noise.items():
        rows.append(row(name, [degrade(one) for one in PHOTOS], lambda one: one.noise, 3))
    rows.append(
        row(
            "blur and grain 5", [soften_with_grain(one) for one in PHOTOS], lambda one: one.noise, 5
        )
    )
    rows.append(
        row(
            "grain 5, correlated over 2 px",
            [add_grain(one, 5, 1) for one in PHOTOS],
            lambda one: one.noise,
            5,
        )
    )
    for quality in (95, 87, 75, 50, 25):
        images = [as_jpeg(one, quality) for one in PHOTOS]
        rows.append(row(f"JPEG {quality}", images, lambda one: one.jpeg_quality, quality))
    for file_format, qualities in (
        ("WEBP", (90, 75, 50)),
        ("AVIF", (80, 65, 50)),
        ("HEIF", (65, 50, 35)),
    ):
        for quality in qualities:
            rows.append(row_of_format(file_format, quality))
    rows.append(
        row("haze 0.4", [add_haze(one, 0.3, 0.5) for one in PHOTOS], lambda one: one.haze, 0.4)
    )
    cut_outs = [cut_out(one, ground) for one in PHOTOS for ground in (255, 236, 0)]
    shaded = [shaded_drawing(seed) for seed in range(8)]
    for name, images in (("photo cut out on one colour", cut_outs), ("shaded drawing", shaded)):
        rows.append(row(name, images, lambda one: one.noise, 0))
        coded = [as_jpeg(one, 60) for one in images]
        rows.append(row(f"{name}, JPEG 60", coded, lambda one: one.jpeg_quality, 60))
    for name, images in zip(("drawing", "text"), GRAPHICS, strict=True):
        rows.append(row(name, images, lambda one: one.noise, 0))
        rows.append(
            row(
                f"{name}, JPEG 60",
                [as_jpeg(one, 60) for one in images],
                lambda one: one.jpeg_quality,
                60,
            )
        )
        small = [
            np.ascontiguousarray(one[top : top + 72, 160:232])
            for one in images
            for top in (90, 200, 310)
        ]
        rows.append(row(f"{name}, 72 px", small, lambda one: one.noise, 0))
        rows.append(
            row(
                f"{name}, 72 px, noise 4",
                [add_noise(one, 4) for one in small],
                lambda one: one.noise,
                4,
            )
        )
        rows.append(
            row(
                f"{name}, 72 px, JPEG 60",
                [as_jpeg(one, 60) for one in small],
                lambda one: one.jpeg_quality,
                60,
            )
        )
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
