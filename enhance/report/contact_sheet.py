"""The contact sheet of a comparison: images in a grid with captions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from ..formats.thumbnails import resize_to_fit, srgb_image

_FONT = Path(__file__).parents[1] / "report" / "fonts" / "NotoSansSC-Regular.woff"
_MIN_WIDTH = 260
_MAX_SIDE = 2048
_GAP = 24
_INK = (28, 30, 34)
_PAPER = (255, 255, 255)
_WORDS = re.compile(r"[^\s\u2e80-\uffef]+\s*|.")
"""The parts between which a line can be broken: words, and Chinese characters."""

SheetCell = tuple[str, str, ndarray | None]
"""The name and the description of an image, and its pixels, uint8 or uint16 [h, w, C]; None if
there are none."""


def draw_sheet(cells: Sequence[SheetCell], icc: bytes | None) -> ndarray:
    """Draw the images 1:1 in a grid on white, with their captions below: uint8 [H, W, 3] in sRGB.

    `icc` is the profile of all images. Images of more than 2,048 px per side are reduced to that.
    The place of a missing image is empty.
    """
    images = [_image_of(pixels, icc) for *_, pixels in cells]
    image_width = max(_MIN_WIDTH, *(image.width for image in images))
    image_height = max(image.height for image in images)
    font = ImageFont.truetype(str(_FONT), max(14, image_width // 20))
    captions = [[name, *_wrap(text, font, image_width)] for name, text, _ in cells]
    line_height = round(1.4 * font.size)
    columns = math.ceil(math.sqrt(len(cells)))
    rows = math.ceil(len(cells) / columns)
    across = image_width + _GAP
    down = image_height + line_height * max(map(len, captions)) + _GAP
    sheet = Image.new("RGB", (columns * across + _GAP, rows * down + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(number, columns)
        left = _GAP + column * across
        top = _GAP + row * down
        sheet.paste(image, (left, top))
        for line, text in enumerate(caption):
            draw.text((left, top + image_height + line_height * line), text, _INK, font)
    return np.asarray(sheet)


def _wrap(text: str, font: ImageFont.FreeTypeFont, max_width: int) -> list[str]:
    """Return the lines of a text. A longer word stays in one line."""
    lines = [""]
    for word in _WORDS.findall(text):
        if lines[-1] and font.getlength(lines[-1] + word.rstrip()) > max_width:
            lines.append("")
        lines[-1] += word
    return lines


def _image_of(pixels: ndarray | None, icc: bytes | None) -> Image.Image:
    if pixels is None:
        return Image.new("RGB", (1, 1), _PAPER)
    return srgb_image(resize_to_fit(pixels, _MAX_SIDE), icc)
