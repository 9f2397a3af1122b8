"""What the page takes, from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..errors import SettingsError


@dataclass(frozen=True)
class Limits:
    """The largest picture in input pixels and in bytes, how many may wait, and for how many hours files are kept."""

    pixels: int = 100_000_000
    bytes: int = 200_000_000
    waiting: int = 20
    hours: float = 24.0


def limits_from_environment() -> Limits:
    """ENHANCE_MAX_PIXELS, ENHANCE_MAX_BYTES, ENHANCE_QUEUE and ENHANCE_RETENTION_HOURS, else what is usual."""
    usual = Limits()
    return Limits(
        pixels=int(_number("ENHANCE_MAX_PIXELS", usual.pixels)),
        bytes=int(_number("ENHANCE_MAX_BYTES", usual.bytes)),
        waiting=int(_number("ENHANCE_QUEUE", usual.waiting)),
        hours=_number("ENHANCE_RETENTION_HOURS", usual.hours),
    )


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable, "").replace("_", "").strip()
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise SettingsError(f"{variable} is “{text}”: set it to a number above 0.")
    return number
