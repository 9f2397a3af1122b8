"""Where the first page's pictures go: the whole pictures take what their shape needs, the three places the rest."""

from __future__ import annotations

from dataclasses import dataclass

from .findings import Wanted
from .sheet import GUTTER, WIDTH

TOP, BOTTOM = 52.0, 279.0
"""Where the pages' content begins below their head, and where it ends."""

PLACE_PIXELS = 320
_WIDE = 2.6  # wider pictures lie one above the other
_TALLEST = 92.0
_CAPTION, _HEADING, _BETWEEN, _ROW = 5.5, 6.0, 8.0, 5.5
_HALF, _THIRD = (WIDTH - GUTTER) / 2, (WIDTH - 2 * GUTTER) / 3
_LOWEST_PLACE, _HIGHEST_PLACE = 40.0, 62.0
_DOTS = 300 / 25.4


@dataclass(frozen=True)
class Layout:
    """Sizes in mm (width, height) of one whole picture and of one place; `stacked`: after lies below before."""

    whole: tuple[float, float]
    place: tuple[float, float]
    stacked: bool

    @property
    def wanted(self) -> Wanted:
        """The pixels that printing at these sizes needs."""
        wide, tall = (max(1, round(side * _DOTS)) for side in self.whole)
        return Wanted((tall, wide), (round(PLACE_PIXELS * self.place[1] / self.place[0]), PLACE_PIXELS))


def layout_for(width: int, height: int) -> Layout:
    """The layout for a picture of this shape."""
    stacked = width / height > _WIDE
    across = WIDTH if stacked else _HALF
    factor = min(across / width, _TALLEST / height)
    whole = max(1.0, width * factor), max(1.0, height * factor)
    taken = whole[1] + _CAPTION if not stacked else 2 * (whole[1] + _CAPTION)
    rest = BOTTOM - TOP - _HEADING - taken - _BETWEEN - _HEADING - _CAPTION - 2 * _ROW
    place_height = min(max(rest / 2, _LOWEST_PLACE), _HIGHEST_PLACE)
    return Layout(whole, (_THIRD, place_height), stacked)
