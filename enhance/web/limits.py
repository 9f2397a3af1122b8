"""What the page takes."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Config


@dataclass(frozen=True)
class Limits:
    """The largest picture in input pixels, and the largest file in bytes."""

    pixels: int = 100_000_000
    bytes: int = 200_000_000


def limits_of(config: Config) -> Limits:
    """What the environment says, else what is usual."""
    usual = Limits()
    return Limits(config.max_pixels or usual.pixels, config.max_bytes or usual.bytes)
