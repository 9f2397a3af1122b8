"""The PDF report of one result: a page with photo, result and settings, and a page with all
facts."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

import numpy as np
from PIL import Image

from ..formats.encoding import FORMATS
from ..formats.png_reader import PngReader
from ..formats.thumbnails import Thumbnail, icc_for_screen, srgb_image, to_screen, whole_image
from ..i18n import (
    DEFAULT_LANGUAGE,
    PixelCount,
    describe_preset,
    format_print_size,
    translate_source,
)
from ..images import SourceImage, widen
from ..info import Info, grade_in, settings_in
from ..metadata.profiles import profile_name
from ..presets import licence_text
from ..store import result_name
from .document import GAP, GREY, LEAD, MARGIN, NOTE, ReportDocument

_WHOLE_HEIGHT = 78.0
_DETAIL_HEIGHT = 52.0
_DETAIL_PIXELS = (480, 298)  # width and height
_PANORAMA = 2.6
_DOTS_PER_MM = 300 / 25.4
_COLOURS = {
    **dict.fromkeys(("1", "L", "I", "F"), "report_grey"),
    "LA": "report_grey_alpha",
    "RGBA": "report_rgb_alpha",
    "P": "report_palette",
}
_STORED_NAME = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}-[a-z0-9-]+")
"""The names of results in the store, without their extensions."""

Region = tuple[slice, slice]
"""Rows and columns of a result."""


def make_report(
    info: Info,
    result: PngReader,
    image: SourceImage,
    focus: tuple[float, float],
    *,
    language: str = DEFAULT_LANGUAGE,
) -> bytes:
    """Return the report as PDF.

    `info` belongs to a run, `result` the finished rows, `image` the decoded input. The detail is at
    `focus`, in shares of width and height. `language` is one of
    `enhance.i18n.LANGUAGES`; any other is treated as English. Raises PictureError if the result
    cannot be read.
    """
    name = info["input"]["name"]
    document = ReportDocument(language, "report", name, keywords=image.sha256)
    document.start(datetime.fromisoformat(info["finished"]).astimezone())
    if len(name) > 160:
        name = f"{name[:100]}…{name[-50:]}"
    document.paragraph(name, LEAD)
    document.ln(2)
    _draw_images(document, image, result, focus)
    document.ln(2)
    _write_facts(document, _summary(document, info, result.size), (30, 144))
    document.add_page()
    document.heading(document.translate("report_files"))
    headings = "", document.translate("before"), document.translate("after")
    rows = _file_rows(document, info, image, result.size)
    document.rows([headings, *rows], (42, 66, 66))
    document.heading(document.translate("report_made"))
    _write_facts(document, _run_facts(document, info), (42, 132))
    return bytes(document.output())


def _draw_images(
    document: ReportDocument, image: SourceImage, result: PngReader, focus: tuple[float, float]
) -> None:
    """Draw the whole photo and its detail at `focus`, each before and after."""
    height, width = result.size
    icc = icc_for_screen(image)
    half = (document.epw - GAP) / 2
    stacked = width / height > _PANORAMA
    room = half
    if stacked:
        room = document.epw
    shown = min(room, _WHOLE_HEIGHT * width / height)
    longer = max(shown, shown * height / width)
    thumbnail = Thumbnail(height, width, round(longer * _DOTS_PER_MM), result.channels)
    thumbnail.add_all(result)
    photo = srgb_image(whole_image(image, thumbnail.size), icc)
    before = Figure(photo, _pixels(document, image.width, image.height))
    after = Figure(srgb_image(thumbnail.pixels, icc), _pixels(document, width, height))
    _draw_pair(document, before, after, shown, stacked=stacked)
    document.ln(2)
    # As the page shows it, pixel for pixel.
    wide = min(width, _DETAIL_PIXELS[0])
    tall = min(height, _DETAIL_PIXELS[1])
    columns = _part(width, wide, focus[0])
    rows = _part(height, tall, focus[1])
    crop = to_screen(result.rows(rows.start, rows.stop)[:, columns])
    size = f"{wide} × {tall}"
    upscaled = _upscale(image, result.size, (rows, columns))
    caption = document.translate("report_detail_after", size=size)
    before = Figure(srgb_image(upscaled, icc), document.translate("report_detail_before"))
    after = Figure(srgb_image(crop, icc), caption)
    _draw_pair(document, before, after, min(half, _DETAIL_HEIGHT * wide / tall))


def _part(length: int, part: int, share: float) -> slice:
    """Return a part of a side around the point at `share` of it, as far as possible."""
    start = round(share * length - part / 2)
    start = min(max(start, 0), length - part)
    return slice(start, start + part)


def _upscale(image: SourceImage, size: tuple[int, int], region: Region) -> np.ndarray:
    """Return a region of the photo at the `size` (height, width) of its result, uint8 RGB or RGBA
    [h, w, C]."""
    height, width = size
    rows, columns = region
    down = image.height / height
    across = image.width / width
    top = rows.start * down
    left = columns.start * across
    bottom = min(rows.stop * down, image.height)
    right = min(columns.stop * across, image.width)
    halo = math.ceil(2 * max(down, across, 1)) + 1  # The bicubic filter reads these pixels.
    first_row, last_row = widen(math.floor(top), math.ceil(bottom), halo, image.height)
    first_column, last_column = widen(math.floor(left), math.ceil(right), halo, image.width)
    pixels = to_screen(image.rows(first_row, last_row, slice(first_column, last_column)))
    box = (left - first_column, top - first_row, right - first_column, bottom - first_row)
    new_size = (columns.stop - columns.start, rows.stop - rows.start)
    return np.asarray(Image.fromarray(pixels).resize(new_size, Image.Resampling.BICUBIC, box))


@dataclass(frozen=True)
class Figure:
    """An image in sRGB and its caption."""

    image: Image.Image
    caption: str


def _draw_pair(
    document: ReportDocument, before: Figure, after: Figure, width: float, *, stacked: bool = False
) -> None:
    """Draw before and after side by side, or one above the other, each with its caption below."""
    top = document.y
    bottom = top
    x = MARGIN
    for key, figure in (("before", before), ("after", after)):
        label = document.translate(key)
        alt_text = f"{label}: {figure.caption}"
        y = document.framed_image(figure.image, x, top, width, alt_text)
        document.set_xy(x, y + 1)
        caption = f"{label} · {figure.caption}"
        document.paragraph(caption, NOTE, colour=GREY, width=(document.epw - GAP) / 2)
        bottom = max(bottom, document.y)
        if stacked:
            bottom += 2
            top = bottom
        else:
            x += (document.epw + GAP) / 2
    document.set_xy(MARGIN, bottom)


def _write_facts(
    document: ReportDocument, facts: dict[str, str], widths: tuple[float, float]
) -> None:
    rows = [(document.translate(key), value or "–") for key, value in facts.items()]
    document.rows(rows, widths)


def _summary(document: ReportDocument, info: Info, size: tuple[int, int]) -> dict[str, str]:
    """Return the request and its outcome, by the keys of their labels."""
    height, width = size
    adjustments = settings_in(info).describe_adjustments(document.language)
    facts = {
        "preset": describe_preset(document.language, info["preset"], info.get("auto")),
        "settings": " · ".join(adjustments),
        "size": _pixels(document, width, height),
    }
    if "faces" in info:
        facts["report_faces"] = str(info["faces"]["found"])
    facts["fidelity"] = ""
    grade = grade_in(info)
    if grade:
        word = document.translate(f"fidelity_{grade}")
        explanation = document.translate(f"fidelity_about_{grade}")
        facts["fidelity"] = f"{word} · {explanation}"
    facts["row_time"] = document.translate("seconds", n=f"{info['seconds']['total']:,.1f}")
    if info["cached"]:
        facts["row_time"] += f" · {document.translate('report_cached')}"
    return facts


def _file_rows(
    document: ReportDocument, info: Info, image: SourceImage, size: tuple[int, int]
) -> list[tuple[str, ...]]:
    """Return the facts of the input and of the output file: label, before, after.

    `size` is height and width.
    """
    height, width = size
    output = info["output"]
    dpi = settings_in(info).resolution(min(image.metadata.dpi or [0]))
    form = FORMATS[output.get("format", "png")].name
    kind = form
    quality = output.get("quality")
    if quality:
        kind = document.translate("report_quality", format=form, quality=quality)
    return [
        (document.translate("report_name"), info["input"]["name"], _result_name(info)),
        (
            document.translate("report_size"),
            _pixels(document, image.width, image.height),
            _pixels(document, width, height),
        ),
        (
            document.translate("fact_print", dpi=dpi),
            format_print_size(document.language, image.width, image.height, dpi=dpi),
            format_print_size(document.language, width, height, dpi=dpi),
        ),
        (
            document.translate("fact_disk"),
            _bytes(document, image.bytes, image.format.upper()),
            _bytes(document, output["bytes"], kind),
        ),
        (
            document.translate("report_colour"),
            _colours(document, image.mode, image.bits, profile_name(image.icc)),
            _output_colours(document, image, output.get("notes", ()), form),
        ),
        ("SHA-256", _two_lines(image.sha256), _two_lines(output["sha256"])),
    ]


def _output_colours(
    document: ReportDocument, image: SourceImage, notes: Collection[str], form: str
) -> str:
    """Return the colours of an output file of the format `form`, which lost what `notes` state."""
    mode = "RGB"
    if image.grey:
        mode = "L"
    backgrounds = {"on_white", "on_black"}.intersection(notes)
    if image.alpha is not None and not backgrounds:
        mode += "A"
    bits = image.bits
    if "eight_bits" in notes or "in_srgb" in notes:
        bits = 8
    profile = profile_name(image.icc)
    if "in_srgb" in notes:
        profile = "sRGB"
    parts = [_colours(document, mode, bits, profile)]
    parts += [document.translate(f"batch_{background}", format=form) for background in backgrounds]
    return " · ".join(parts)


def _two_lines(sha256: str) -> str:
    return f"{sha256[:32]}\n{sha256[32:]}".strip()


def _run_facts(document: ReportDocument, info: Info) -> dict[str, str]:
    """Return the facts of the run by the keys of their labels.

    The fidelity, which the first page has in words, is a number here.
    """
    model = info["model"]
    facts = {
        "row_model": model["name"],
        "row_source": translate_source(document.language, model["source"]),
        "report_licence": licence_text(document.language, model.get("licence", "")),
        "report_checksum": model["sha256"],
        "report_device": f"{info['device']} · {info['precision']}",
        "tile": document.translate("report_tile", pixels=info["tile"]),
        "row_task": info["task_id"],
        "row_signature": info["signature"],
    }
    grade = grade_in(info)
    if grade:
        word = document.translate(f"fidelity_{grade}")
        worst = f"{info['fidelity_worst_db']:.1f}"
        facts["fidelity"] = document.translate("fidelity_of", word=word, db=worst)
    return facts


def _result_name(info: Info) -> str:
    """Return the file name of the result, or of the download if the file is in the store."""
    path = PurePath(info["output"]["path"])
    if _STORED_NAME.fullmatch(path.stem):
        return result_name(info, path.suffix)
    return path.name


def _pixels(document: ReportDocument, width: int, height: int) -> str:
    size = document.translate("size_in_pixels", width=f"{width:,}", height=f"{height:,}")
    megapixels = PixelCount(width * height).message(document.language)
    return f"{size} · {megapixels}"


def _bytes(document: ReportDocument, count: int, kind: str) -> str:
    return f"{document.translate('report_bytes', number=f'{count:,}')} · {kind}"


def _colours(document: ReportDocument, mode: str, bits: int, profile: str | None) -> str:
    colour, _, _ = mode.partition(";")
    if colour in _COLOURS:
        colour = document.translate(_COLOURS[colour])
    text = document.translate("report_bits", colour=colour, bits=bits)
    if profile == "unnamed":
        profile = document.translate("report_profile_unnamed")
    if profile:
        text += f" · {profile}"
    return text
