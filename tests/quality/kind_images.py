"""Images of a known kind: photos of scikit-image, cut-outs, drawings, pages and a screenshot."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from .degradation import noisy, rounded
from .photos import Pixels

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
DARK: Colour = (25, 25, 30)

PHOTOS = (
    *("astronaut", "camera", "chelsea", "rocket", "motorcycle", "moon", "coffee"),
    *("immunohistochemistry", "brick", "coins", "grass", "gravel", "hubble_deep_field", "cell"),
)


def scene(name: str) -> Pixels:
    """Return a whole photo."""
    pixels = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    return np.asarray(Image.fromarray(pixels).convert("RGB"))


def cut_out(photo: Pixels, ground: int) -> Pixels:
    """Return an oval part of a photo on a grey level."""
    height, width = photo.shape[:2]
    mask = np.zeros((height, width, 1), np.float32)
    centre = (width // 2, height // 2)
    axes = (width // 3, height // 3)
    cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1, cv2.LINE_AA)
    return rounded(mask * photo + (1 - mask) * ground)


def drawing(seed: int, side: int = 400) -> Pixels:
    """Return overlapping ellipses with outlines."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (4 * side, 4 * side), tuple(random.integers(120, 255, 3).tolist()))
    canvas = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = random.integers(0, 4 * side, 2).tolist()
        w, h = random.integers(100, 600, 2).tolist()
        colour = tuple(random.integers(0, 255, 3).tolist())
        canvas.ellipse((x - w, y - h, x + w, y + h), fill=colour, outline=(20, 15, 25), width=12)
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def shaded_drawing(seed: int) -> Pixels:
    """Return a drawing whose areas have gradients."""
    return rounded(drawing(seed) * np.linspace(0.6, 1, 400)[:, None, None])


def page(paper: Colour = WHITE, size: int = 16) -> Pixels:
    """Return a printed page."""
    image = Image.new("RGB", (600, 640), paper)
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    ink = "black" if sum(paper) > 380 else "white"
    for line, top in enumerate(range(30, 600, size * 3 // 2)):
        due = f"{line + 3} items, 129.50 in total, due in 14 days"
        canvas.text((30, top), f"{line}: The invoice of 24 March has {due}", fill=ink, font=font)
    return np.asarray(image)


def screenshot() -> Pixels:
    """Return the window of a program."""
    image = Image.new("RGB", (640, 480), (250, 250, 250))
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(15)
    canvas.rectangle((0, 0, 640, 40), fill=(40, 90, 200))
    canvas.text((12, 10), "File   Edit   View   Settings   Help", fill="white", font=font)
    canvas.rectangle((0, 40, 160, 480), fill=(238, 240, 244))
    for row in range(12):
        top = 50 + 35 * row
        total = f"Row {row}: total {row * 137} of {row * 911} files"
        canvas.rounded_rectangle((8, top, 152, top + 28), 6, outline=(200, 200, 205))
        canvas.text((16, top + 5), f"Menu item {row}", fill=(30, 30, 40), font=font)
        canvas.line((176, top + 30, 624, top + 30), fill=(210, 210, 215))
        canvas.text((180, top + 6), total, fill=(30, 30, 40), font=font)
    return np.asarray(image)


def scan(noise: float) -> Pixels:
    """Return a page that was scanned: soft, unevenly lit and noisy."""
    shading = np.linspace(-14, 10, 600)[None, :, None]
    return noisy(cv2.GaussianBlur(page((212, 208, 200), 18), (0, 0), 0.7) + shading, noise)
