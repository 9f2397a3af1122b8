"""The size of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Size:
        """Return the size of an array [H, W] or [H, W, C]."""
        return cls(shape[1], shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of an array of this size, [H, W]."""
        return self.height, self.width

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def megapixels(self) -> float:
        return self.pixels / 1e6

    @property
    def long_side(self) -> int:
        return max(self)

    def transpose(self) -> Size:
        """Return the size with width and height exchanged."""
        return Size(self.height, self.width)

    def scale(self, factor: float) -> Size:
        """Return the rounded size of the scaled image, at least 1 px each."""
        return Size(max(1, round(self.width * factor)), max(1, round(self.height * factor)))

    def downscale(self, factor: int) -> Size:
        """Return the size after downscaling; incomplete blocks at the border count."""
        return Size(-(-self.width // factor), -(-self.height // factor))

    def fits_into(self, other: Size) -> bool:
        """Return whether no side is longer than that of another size."""
        return self.width <= other.width and self.height <= other.height
