"""The PDF report of one result: a page with photo, result and settings, and a page with all
facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePath

import numpy as np
from numpy import ndarray

from ..formats.encoding import FORMATS
from ..formats.format import Format
from ..formats.png_reader import PngReader, read_region
from ..formats.thumbnails import icc_for_screen, overview, srgb_image, whole_image
from ..i18n import (
    DEFAULT_LANGUAGE,
    PixelCount,
    describe_preset,
    format_bytes,
    format_print_size,
    translate_source,
)
from ..images import Box, SourceImage, spans
from ..info import Info, grade_in, settings_in
from ..metadata.profiles import profile_name
from ..presets import licence_text
from ..restore.resample import enlarge_to
from ..size import Size
from ..store import result_name
from .document import GAP, GREY, LEAD, MARGIN, NOTE, ReportDocument

_WHOLE_HEIGHT = 78.0
_WHOLE_PIXELS = 1000
"""The longest side of the whole photo in a half of the page: 300 dpi."""
_PANORAMA = 3.0
"""From this ratio of width to height, before and after are shown one above the other, as wide as
the page."""
_DETAIL_HEIGHT = 52.0
_DETAIL_PIXELS = Size(480, 298)
_STRIP = 16
_COLOURS = {1: "report_grey", 2: "report_grey_alpha", 3: "report_rgb", 4: "report_rgb_alpha"}
"""The key of the colours by the number of channels."""
_STORED_NAME = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}-[a-z0-9-]+")
"""The names of results in the store, without their extensions."""


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
    document.paragraph(name, LEAD)
    document.ln(2)
    _draw_images(document, image, result, focus)
    _write_facts(document, _summary(document, info, result.size), (30, 144))
    document.add_page()
    document.heading("report_files")
    headings = "", document.translate("before"), document.translate("after")
    rows = _file_rows(document, info, image, result)
    document.rows([headings, *rows], (42, 66, 66))
    for note in info["output"].get("notes", ()):
        text = document.translate(f"note_{note}", format=_format(info).name)
        document.paragraph(text, NOTE, colour=GREY)
    document.heading("report_made")
    _write_facts(document, _run_facts(document, info), (42, 132))
    return bytes(document.output())


def _draw_images(
    document: ReportDocument, image: SourceImage, result: PngReader, focus: tuple[float, float]
) -> None:
    """Draw the whole photo and its detail at `focus`, each before and after."""
    width, height = result.size
    icc = icc_for_screen(image)
    is_panorama = width >= _PANORAMA * height
    pixels = _WHOLE_PIXELS
    if is_panorama:
        pixels *= 2
    after = overview(result, pixels)
    before = whole_image(image, Size.of_shape(after.shape))
    whole = {
        "before": (before, _pixels(document, image.size)),
        "after": (after, _pixels(document, result.size)),
    }
    _draw_pair(document, whole, icc, _WHOLE_HEIGHT, stacked=is_panorama)
    # As the page shows it, pixel for pixel.
    wide = min(width, _DETAIL_PIXELS.width)
    tall = min(height, _DETAIL_PIXELS.height)
    left = _start(width, wide, focus[0])
    top = _start(height, tall, focus[1])
    box = Box(left, top, wide, tall)
    before = _upscale(image, result.size, box)
    after = read_region(result.rows, box)
    detail = {
        "before": (before, document.translate("report_detail_before")),
        "after": (after, document.translate("report_detail_after", size=f"{wide} × {tall}")),
    }
    _draw_pair(document, detail, icc, _DETAIL_HEIGHT)


def _start(length: int, part: int, share: float) -> int:
    """Return where a part of a side starts that is around the point at `share` of it, as far as
    possible."""
    start = round(share * length - part / 2)
    return min(max(start, 0), length - part)


def _upscale(image: SourceImage, size: Size, box: Box) -> ndarray:
    """Return a region of the photo at the `size` of its result, RGB or RGBA."""
    columns = slice(box.left, box.right)
    planes = [image.rgb]
    if image.alpha is not None:
        planes.append(image.alpha)
    parts = []
    for plane in planes:
        rows = spans(box.bottom, _STRIP, box.top)
        strips = [enlarge_to(plane, size, *span)[:, columns] for span in rows]
        parts.append(np.concatenate(strips))
    return np.dstack(parts)


def _draw_pair(
    document: ReportDocument,
    images: Mapping[str, tuple[ndarray, str]],
    icc: bytes | None,
    most: float,
    *,
    stacked: bool = False,
) -> None:
    """Draw images of one size and profile, at most `most` high, side by side or one above the
    other, each with its text below."""
    top = document.y
    bottom = top
    x = MARGIN
    room = (document.epw - GAP) / 2
    if stacked:
        room = document.epw
    for key, (pixels, text) in images.items():
        image = srgb_image(pixels, icc)
        caption = f"{document.translate(key)} · {text}"
        width = min(room, most * image.width / image.height)
        y = document.framed_image(image, x, top, width, caption)
        document.set_xy(x, y + 1)
        document.paragraph(caption, NOTE, colour=GREY, width=room)
        bottom = max(bottom, document.y)
        if stacked:
            top = bottom + 2
        else:
            x += room + GAP
    document.set_xy(MARGIN, bottom + 2)


def _write_facts(
    document: ReportDocument, facts: dict[str, str], widths: tuple[float, float]
) -> None:
    rows = [(document.translate(key), value or "–") for key, value in facts.items()]
    document.rows(rows, widths)


def _summary(document: ReportDocument, info: Info, size: Size) -> dict[str, str]:
    """Return the request and its outcome, by the keys of their labels."""
    adjustments = settings_in(info).describe_adjustments(document.language)
    facts = {
        "preset": describe_preset(document.language, info["preset"], info.get("auto")),
        "settings": " · ".join(adjustments),
        "size": _pixels(document, size),
    }
    if "faces" in info:
        facts["report_faces"] = str(info["faces"]["found"])
    facts["fidelity"] = ""
    grade = grade_in(info)
    if grade:
        word = document.translate(f"fidelity_{grade}")
        worst = f"{info['fidelity_worst_db']:.1f}"
        fidelity = document.translate("fidelity_of", word=word, db=worst)
        facts["fidelity"] = f"{fidelity} · {document.translate(f'fidelity_about_{grade}')}"
    facts["row_time"] = document.translate("seconds", n=f"{info['seconds']['total']:,.1f}")
    if info["cached"]:
        facts["row_time"] += f" · {document.translate('report_cached')}"
    return facts


def _file_rows(
    document: ReportDocument, info: Info, image: SourceImage, result: PngReader
) -> list[tuple[str, ...]]:
    """Return the facts of the input and of the output file: label, before and after, or a label
    and the value of one file."""
    output = info["output"]
    dpi = settings_in(info).resolution(min(image.metadata.dpi or [0]))
    form = _format(info)
    colours = _colours(document, result.channels, image.bits)
    before = [format_bytes(image.bytes), image.format.upper(), colours]
    profile = profile_name(image.icc)
    if profile == "unnamed":
        profile = document.translate("report_profile_unnamed")
    if profile:
        before.append(profile)
    kind = form.name
    quality = output.get("quality")
    if quality:
        kind = document.translate("report_quality", format=kind, quality=quality)
    bits = min(result.bits, form.bits)
    if "in_srgb" in output.get("notes", ()):
        bits = 8
    channels = result.channels
    if not form.alpha and channels % 2 == 0:  # The last channel is alpha.
        channels -= 1
    after = [format_bytes(output["bytes"]), kind, _colours(document, channels, bits)]
    return [
        (document.translate("report_name"), info["input"]["name"], _result_name(info)),
        (
            document.translate("report_size"),
            _pixels(document, image.size),
            _pixels(document, result.size),
        ),
        (
            document.translate("fact_print", dpi=dpi),
            format_print_size(document.language, image.size, dpi=dpi),
            format_print_size(document.language, result.size, dpi=dpi),
        ),
        (
            document.translate("fact_disk"),
            " · ".join(before),
            " · ".join(after),
        ),
        # A whole checksum has room for one line only in both columns.
        (f"SHA-256 · {document.translate('before')}", image.sha256),
        (f"SHA-256 · {document.translate('after')}", output["sha256"]),
    ]


def _format(info: Info) -> Format:
    return FORMATS[info["output"].get("format", "png")]


def _run_facts(document: ReportDocument, info: Info) -> dict[str, str]:
    """Return the facts of the run by the keys of their labels."""
    model = info["model"]
    return {
        "row_model": model["name"],
        "row_source": translate_source(document.language, model["source"]),
        "report_licence": licence_text(document.language, model.get("licence", "")),
        "report_checksum": model["sha256"],
        "report_device": f"{info['device']} · {info['precision']}",
        "tile": document.translate("report_tile", pixels=info["tile"]),
        "row_task": info["task_id"],
        "row_signature": info["signature"],
    }


def _result_name(info: Info) -> str:
    """Return the file name of the result, or of the download if the file is in the store."""
    path = PurePath(info["output"]["path"])
    if _STORED_NAME.fullmatch(path.stem):
        return result_name(info, path.suffix)
    return path.name


def _pixels(document: ReportDocument, size: Size) -> str:
    sides = {name: f"{side:,}" for name, side in size._asdict().items()}
    megapixels = PixelCount(size.pixels).message(document.language)
    return f"{document.translate('size_in_pixels', **sides)} · {megapixels}"


def _colours(document: ReportDocument, channels: int, bits: int) -> str:
    colour = document.translate(_COLOURS[channels])
    return document.translate("report_bits", colour=colour, bits=bits)
