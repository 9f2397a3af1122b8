"""The contact sheet of a comparison: images in a grid with captions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..i18n import wrap
from .thumbnails import resize_to_fit, srgb_image

_FONT = Path(__file__).parents[1] / "report" / "fonts" / "NotoSansSC-Regular.woff"
_MIN_WIDTH, _MAX_SIDE, _GAP = 260, 2048, 24
_INK, _GREY, _PAPER, _EMPTY = (28, 30, 34), (98, 102, 110), (255, 255, 255), (236, 237, 240)


SheetCell = tuple[str, str, np.ndarray | None]
"""The name and the description of an image, and its pixels, uint8 or uint16 [h, w, C]; None if there are none."""


def draw_sheet(cells: Sequence[SheetCell], icc: bytes | None) -> np.ndarray:
    """Draw the images 1:1 in a grid on white, with their captions below: uint8 [H, W, 3] in sRGB.

    `icc` is the profile of all images. Images of more than 2,048 px per side are reduced to that. A missing image is a
    grey area.
    """
    images = [None if pixels is None else resize_to_fit(pixels, _MAX_SIDE) for *_, pixels in cells]
    sizes = [pixels.shape[:2] for pixels in images if pixels is not None]
    high, wide = max(size[0] for size in sizes), max(_MIN_WIDTH, *(size[1] for size in sizes))
    large, small = _font(wide // 16), _font(wide // 22)
    lines = [wrap(description, small.getlength, wide) for _, description, _ in cells]
    caption_height = round(1.7 * large.size + 1.4 * small.size * max(map(len, lines)))
    columns = math.ceil(math.sqrt(len(cells)))
    across, down = wide + _GAP, high + caption_height + _GAP
    sheet = Image.new("RGB", (columns * across + _GAP, -(-len(cells) // columns) * down + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, ((name, *_), pixels) in enumerate(zip(cells, images, strict=True)):
        left, top = _GAP + number % columns * across, _GAP + number // columns * down
        empty = Image.new("RGB", sizes[0][::-1], _EMPTY)
        sheet.paste(empty if pixels is None else srgb_image(pixels, icc), (left, top))
        draw.text((left, top + high + 0.2 * large.size), name, _INK, large)
        for line, words in enumerate(lines[number]):
            draw.text((left, top + high + 1.7 * large.size + 1.4 * small.size * line), words, _GREY, small)
    return np.asarray(sheet)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONT), max(14, size))
