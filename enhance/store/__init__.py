"""The data folder of a server, its database, and the names of downloads."""

from __future__ import annotations

from pathlib import Path

from ..i18n import strip_direction_marks
from ..info import Info, settings_in
from ..settings import Settings
from ..size import Size
from .names import MAX_NAME_BYTES, shorten
from .recent_runs import RecentRun
from .tasks import Reservation, TaskStore

__all__ = ["RecentRun", "Reservation", "TaskStore", "download_name", "report_name", "result_name"]

_CM = 2.54
"""The centimetres of an inch."""


def result_name(info: Info, ending: str, name: str = "") -> str:
    """Return the file name of a download: photo-4x.png, photo-3000px.png, photo-12mp.png or
    photo-30x20cm.png.

    `name` replaces the name of the input in `info`.
    """
    output = info["output"]
    size = Size(output["width"], output["height"])
    return download_name(name or info["input"]["name"], settings_in(info), size, ending)


def download_name(name: str, settings: Settings, pixels: Size, ending: str) -> str:
    """Return the file name of a download of an image of `pixels`.

    A print is named by its size, which can be smaller than the paper.
    """
    size = f"{settings.wanted_scale:.3g}x"
    if settings.long_side is not None:
        size = f"{settings.long_side}px"
    elif settings.megapixels is not None:
        size = f"{settings.megapixels:g}mp"
    elif settings.is_print:
        width, height = (_CM * pixel / settings.resolution() for pixel in pixels)
        size = f"{round(width, 1):g}x{round(height, 1):g}cm"
    tail = f"-{size}{ending}"
    stem = strip_direction_marks(Path(name).stem) or "image"
    return shorten(stem, MAX_NAME_BYTES - len(tail)) + tail


def report_name(info: Info) -> str:
    """Return the file name of a report: photo-4x-report.pdf for photo.jpg."""
    return result_name(info, "-report.pdf")
