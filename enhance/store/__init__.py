"""The data folder of a server, its database, and the names of downloads."""

from __future__ import annotations

from pathlib import Path

from ..i18n import strip_direction_marks
from ..info import Info, settings_in
from ..output.names import MAX_NAME_BYTES, shorten
from ..settings import Settings, network_scale
from .entries import Entry
from .tasks import Reservation, TaskStore

__all__ = ["Entry", "Reservation", "TaskStore", "download_name", "report_name"]


def download_name(name: str, settings: Settings, ending: str = ".png") -> str:
    """Return the file name of a download: photo-4x.png, photo-3000px.png, photo-12mp.png or
    photo-30x20cm.png."""
    size = f"{settings.scale or network_scale(settings):.3g}x"
    if settings.long_side is not None:
        size = f"{settings.long_side}px"
    elif settings.megapixels is not None:
        size = f"{settings.megapixels:g}mp"
    elif settings.is_print:
        size = "x".join(f"{side:g}" for side in (settings.print_width, settings.print_height) if side) + "cm"
    tail = f"-{size}{ending}"
    stem = strip_direction_marks(Path(name).stem) or "image"
    return shorten(stem, MAX_NAME_BYTES - len(tail)) + tail


def report_name(info: Info) -> str:
    """Return the file name of a report: photo-4x-report.pdf for photo.jpg."""
    return download_name(info["input"]["name"], settings_in(info), "-report.pdf")
