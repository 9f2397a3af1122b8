"""The PDF report of one result: a page with photo, result and settings, and a page with all facts."""

from __future__ import annotations

import itertools
import math
import re
from datetime import datetime
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from ..i18n import (
    DEFAULT_LANGUAGE,
    PixelCount,
    describe_preset,
    format_print_size,
    translate_source,
)
from ..images import SourceImage
from ..images.colour import profile_name
from ..info import Info, grade_in, settings_in
from ..output.formats import FORMATS
from ..output.thumbnails import FinishedRows, Thumbnail, icc_for_screen, small_size, to_screen, whole_image
from ..presets import licence_text
from ..store import download_name
from .document import CREATOR, GAP, GREY, LEAD, MARGIN, NOTE, ReportDocument

_WHOLE_HEIGHT, _DETAIL_HEIGHT = 78.0, 52.0
_DETAIL_PIXELS = 480, 298  # width and height
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

Facts = dict[str, str]
"""Values by the key of their label."""
Region = tuple[slice, slice]
"""Rows and columns of a result."""


def report_path_next_to(result: Path, input_sha256: str) -> Path:
    """Return the path for the report of a result: its name with .pdf, or with -report where another file has that.

    An earlier report of the same input is replaced.
    """
    endings = itertools.chain(["", "-report"], (f"-report-{number}" for number in itertools.count(2)))
    paths = (result.with_name(f"{result.stem}{ending}.pdf") for ending in endings)
    return next(path for path in paths if not path.exists() or _is_report(path, input_sha256))


def _is_report(path: Path, input_sha256: str) -> bool:
    try:
        content = path.read_bytes()  # fpdf2 writes the metadata of a PDF without compression.
    except OSError:
        return False
    return f"/Creator ({CREATOR})".encode() in content and f"/Keywords ({input_sha256})".encode() in content


def make_report(info: Info, result: FinishedRows, image: SourceImage, *, language: str = DEFAULT_LANGUAGE) -> bytes:
    """Return the report as PDF.

    `info` belongs to a run, `result` the finished rows, `image` the decoded input. `language` is "en" or "zh-CN"; any
    other is treated as English. Raises PictureError if the result cannot be read.
    """
    name = info["input"]["name"]
    document = ReportDocument(language, "report", name, keywords=image.sha256)
    document.start(datetime.fromisoformat(info["finished"]).astimezone())
    document.paragraph(name if len(name) <= 160 else f"{name[:100]}…{name[-50:]}", LEAD)
    document.ln(2)
    _draw_images(document, image, result)
    document.ln(2)
    _write_facts(document, _summary(document, info, result.size), (30, 144))
    document.add_page()
    document.heading(document.translate("report_files"))
    before, after = document.translate("before"), document.translate("after")
    document.rows([("", before, after), *_file_rows(document, info, image, result.size)], (42, 66, 66))
    document.heading(document.translate("report_made"))
    _write_facts(document, _run_facts(document, info), (42, 132))
    return bytes(document.output())


def _draw_images(document: ReportDocument, image: SourceImage, result: FinishedRows) -> None:
    """Draw the whole photo and the middle of it, each before and after."""
    height, width = result.size
    stacked = width / height > _PANORAMA
    across = document.epw if stacked else (document.epw - GAP) / 2
    shown = min(across, _WHOLE_HEIGHT * width / height)
    small = small_size(width, height, round(max(shown, shown * height / width) * _DOTS_PER_MM))
    wide, tall = min(width, _DETAIL_PIXELS[0]), min(height, _DETAIL_PIXELS[1])  # As the page shows it, pixel for pixel.
    top, left = (height - tall) // 2, (width - wide) // 2
    region = slice(top, top + tall), slice(left, left + wide)
    after = Thumbnail(height, width, channels=result.channels, size=small)
    after.add_all(result)
    crop = to_screen(result.rows(top, top + tall)[:, region[1]])
    sizes = _pixels(document, image.width, image.height), _pixels(document, width, height)
    _draw_pair(document, (whole_image(image, small), after.pixels), sizes, icc_for_screen(image), shown, stacked)
    document.ln(2)
    size = f"{crop.shape[1]} × {crop.shape[0]}"
    captions = document.translate("report_detail_before"), document.translate("report_detail_after", size=size)
    detail_width = min((document.epw - GAP) / 2, _DETAIL_HEIGHT * crop.shape[1] / crop.shape[0])
    upscaled = _upscale(image, result.size, region)
    _draw_pair(document, (upscaled, crop), captions, icc_for_screen(image), detail_width, False)


def _upscale(image: SourceImage, size: tuple[int, int], region: Region) -> np.ndarray:
    """Return a region of the photo at the `size` (height, width) of its result, uint8 RGB or RGBA [h, w, C]."""
    (top, bottom), rows = _source(region[0], image.height / size[0], image.height)
    (left, right), columns = _source(region[1], image.width / size[1], image.width)
    part = to_screen(image.rows(rows.start, rows.stop, columns))
    shape = region[1].stop - region[1].start, region[0].stop - region[0].start
    return np.asarray(Image.fromarray(part).resize(shape, Image.Resampling.BICUBIC, (left, top, right, bottom)))


def _source(span: slice, ratio: float, length: int) -> tuple[tuple[float, float], slice]:
    """Return the source pixels that a bicubic filter reads for a span, and the position of the span within them."""
    first, last = span.start * ratio, span.stop * ratio
    halo = math.ceil(2 * max(ratio, 1)) + 1
    start, stop = max(0, math.floor(first) - halo), min(length, math.ceil(last) + halo)
    return (first - start, min(last, length) - start), slice(start, stop)


def _draw_pair(
    document: ReportDocument,
    images: tuple[np.ndarray, np.ndarray],
    captions: tuple[str, str],
    icc: bytes | None,
    width: float,
    stacked: bool,
) -> None:
    """Draw before and after side by side, or one above the other, each with its caption below."""
    top, bottom = document.y, document.y
    for number, (pixels, caption) in enumerate(zip(images, captions, strict=True)):
        label = document.translate(("before", "after")[number])
        x = MARGIN if stacked or number == 0 else MARGIN + (document.epw + GAP) / 2
        y = bottom if stacked else top
        document.set_y(document.framed_image(pixels, icc, x, y, width, f"{label}: {caption}") + 1)
        document.set_x(x)
        document.paragraph(f"{label} · {caption}", NOTE, colour=GREY, width=(document.epw - GAP) / 2)
        bottom = max(bottom, document.y) + (2 if stacked else 0)
    document.set_xy(MARGIN, bottom)


def _write_facts(document: ReportDocument, facts: Facts, widths: tuple[float, float]) -> None:
    document.rows([(document.translate(key), value or "–") for key, value in facts.items()], widths)


def _summary(document: ReportDocument, info: Info, size: tuple[int, int]) -> Facts:
    """Return the request and its outcome."""
    agreement, rating = info["agreement_db"], ""
    if grade := grade_in(info):
        word = document.translate(f"fidelity_{grade}")
        rating = document.translate("fidelity_of", word=word, db=f"{info['fidelity_worst_db']:.1f}")
    time = document.translate("seconds", n=f"{info['seconds']['total']:,.1f}")
    if info["cached"]:
        time = f"{time} · {document.translate('report_cached')}"
    _, _, *adjustments = settings_in(info).describe(document.language).split(" · ")  # after preset and size
    return {
        "preset": describe_preset(document.language, info["preset"], info.get("auto")),
        "settings": " · ".join(adjustments),
        "size": _pixels(document, *size[::-1]),
        **({"report_faces": str(info["faces"]["found"])} if "faces" in info else {}),
        "fidelity": rating,
        **({} if agreement is None else {"row_agreement": f"{agreement:.1f} dB"}),
        "row_time": time,
    }


def _file_rows(
    document: ReportDocument, info: Info, image: SourceImage, size: tuple[int, int]
) -> list[tuple[str, ...]]:
    """Return the facts of the input and of the output file: label, before, after. `size` is height and width."""
    input_size, output_size, output = (image.width, image.height), size[::-1], info["output"]
    lost = output.get("notes", ())
    backgrounds = {"on_white", "on_black"} & {*lost}
    mode = ("L" if image.grey else "RGB") + ("" if image.alpha is None or backgrounds else "A")
    sizes = [_pixels(document, *one) for one in (input_size, output_size)]
    dpi = settings_in(info).resolution(min(image.metadata.dpi or [0]))
    prints = [format_print_size(document.language, *one, dpi=dpi) for one in (input_size, output_size)]
    form, quality = FORMATS[output.get("format", "png")].name, output.get("quality")
    kind = document.translate("report_quality", format=form, quality=quality) if quality else form
    file_sizes = [_bytes(document, *one) for one in ((image.bytes, image.format.upper()), (output["bytes"], kind))]
    bits = 8 if {"eight_bits", "in_srgb"} & {*lost} else image.bits
    profile = profile_name(image.icc)
    after = [_colours(document, mode, bits, "sRGB" if "in_srgb" in lost else profile)]
    after += [document.translate(f"batch_{background}", format=form) for background in backgrounds]
    colours = _colours(document, image.mode, image.bits, profile), " · ".join(after)
    return [
        (document.translate("report_name"), info["input"]["name"], _result_name(info)),
        (document.translate("report_size"), *sizes),
        (document.translate("fact_print", dpi=dpi), *prints),
        (document.translate("fact_disk"), *file_sizes),
        (document.translate("report_colour"), *colours),
        ("SHA-256", *(f"{one[:32]}\n{one[32:]}".strip() for one in (image.sha256, output["sha256"]))),
    ]


def _run_facts(document: ReportDocument, info: Info) -> Facts:
    """Return the facts of the run."""
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
        return download_name(info["input"]["name"], settings_in(info), path.suffix)
    return path.name


def _pixels(document: ReportDocument, width: int, height: int) -> str:
    megapixels = PixelCount(width * height).message(document.language)
    return f"{document.translate('size_in_pixels', width=f'{width:,}', height=f'{height:,}')} · {megapixels}"


def _bytes(document: ReportDocument, count: int, kind: str) -> str:
    return f"{document.translate('report_bytes', number=f'{count:,}')} · {kind}"


def _colours(document: ReportDocument, mode: str, bits: int, profile: str | None) -> str:
    kind = mode.partition(";")[0]
    colour = document.translate(_COLOURS[kind]) if kind in _COLOURS else kind
    text = document.translate("report_bits", colour=colour, bits=bits)
    if profile == "unnamed":
        profile = document.translate("report_profile_unnamed")
    return f"{text} · {profile}" if profile else text
