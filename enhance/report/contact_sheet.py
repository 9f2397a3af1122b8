"""The contact sheet of a comparison: images in a grid with captions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..formats.thumbnails import resize_to_fit, srgb_image
from ..i18n import wrap

_FONT = Path(__file__).parents[1] / "report" / "fonts" / "NotoSansSC-Regular.woff"
_MIN_WIDTH = 260
_MAX_SIDE = 2048
_GAP = 24
_INK = (28, 30, 34)
_GREY = (98, 102, 110)
_PAPER = (255, 255, 255)
_EMPTY = (236, 237, 240)

SheetCell = tuple[str, str, np.ndarray | None]
"""The name and the description of an image, and its pixels, uint8 or uint16 [h, w, C]; None if
there are none."""


def draw_sheet(cells: Sequence[SheetCell], icc: bytes | None) -> np.ndarray:
    """Draw the images 1:1 in a grid on white, with their captions below: uint8 [H, W, 3] in sRGB.

    `icc` is the profile of all images. Images of more than 2,048 px per side are reduced to that. A
    missing image is a grey area.
    """
    images = [_reduced(pixels) for *_, pixels in cells]
    sizes = [image.shape[:2] for image in images if image is not None]
    image_height = max(height for height, _ in sizes)
    image_width = max(_MIN_WIDTH, *(width for _, width in sizes))
    name_font = _font(image_width // 16)
    text_font = _font(image_width // 22)
    name_height = 1.7 * name_font.size
    line_height = 1.4 * text_font.size
    texts = [wrap(description, text_font.getlength, image_width) for _, description, _ in cells]
    caption_height = round(name_height + line_height * max(map(len, texts)))
    columns = math.ceil(math.sqrt(len(cells)))
    rows = math.ceil(len(cells) / columns)
    across = image_width + _GAP
    down = image_height + caption_height + _GAP
    sheet = Image.new("RGB", (columns * across + _GAP, rows * down + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    empty = Image.new("RGB", sizes[0][::-1], _EMPTY)
    for number, ((name, *_), image, lines) in enumerate(zip(cells, images, texts, strict=True)):
        row, column = divmod(number, columns)
        left = _GAP + column * across
        top = _GAP + row * down
        caption = top + image_height
        sheet.paste(empty if image is None else srgb_image(image, icc), (left, top))
        draw.text((left, caption + 0.2 * name_font.size), name, _INK, name_font)
        for line, words in enumerate(lines):
            draw.text((left, caption + name_height + line_height * line), words, _GREY, text_font)
    return np.asarray(sheet)


def _reduced(pixels: np.ndarray | None) -> np.ndarray | None:
    if pixels is None:
        return None
    return resize_to_fit(pixels, _MAX_SIDE)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONT), max(14, size))
