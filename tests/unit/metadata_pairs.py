"""The metadata that survives from each input format to each output format, tag by tag, as exiftool reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from enhance.images import read_image
from enhance.output.formats import FORMATS
from enhance.output.result import encode_gain_map
from tests.unit.gain_map_files import APPLE, VALUES, apple_heic, map_packet, packet, with_gain_map
from tests.unit.image_files import encode, exported, finished_png
from tests.unit.photos_with_metadata import DPI, HEIGHT, NOTES, WIDTH, XMP, exif, photo_with_metadata, read_by_exiftool

INPUTS = {name: name for name in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "BMP", "GIF")}
INPUTS |= {"WEBP": "WebP", "HEIF": "HEIC"}
KINDS = ("EXIF", "XMP", "IPTC", "text", "ICC", "resolution", "gain map")
_GROUPS = {"IFD0": "EXIF", "ExifIFD": "EXIF", "GPS": "EXIF", "IPTC": "IPTC"}
_PIXELS = re.compile(
    r"IFD0:(Image(Width|Height)|Bits|Compression|Photometric|Strip|Samples|Rows|Planar|Sample|Predictor|Orientation"
    r"|[XY]Resolution|ResolutionUnit|YCbCr|ExtraSamples|SubfileType)"
    r"|ExifIFD:ExifImage(Width|Height)|XMP-exif:ExifImage(Width|Height)|XMP-tiff:Orientation|XMP-(HDRGainMap|apdi):"
)
"""Tags that state how pixels are stored, sizes and orientation, which differ, the resolution, and those of a map."""
_PER_INCH = {"JFIF:XResolution": 1, "IFD0:XResolution": 1}
_PER_INCH |= {"PNG-pHYs:PixelsPerUnitX": 0.0254, "File:PixelsPerMeterX": 0.0254}


def kind_of(name: str) -> str | None:
    """Return the kind of a tag, named as group:tag; None for a tag that states no metadata of the photo."""
    group, _, tag = name.partition(":")
    if _PIXELS.match(name):
        return None
    if group.startswith("XMP"):
        return "XMP"
    if group in ("PNG", "File", "GIF") and tag in ("Comment", "Title", "Author-de", "ExifGPSLatitude"):
        return "text"
    return _GROUPS.get(group)


def tags_of(path: Path) -> dict[str, dict[str, Any]]:
    """Return the tags of a file by kind. exiftool reads no profile of a JPEG XL, so it is that of the own reader."""
    found, icc = read_by_exiftool(path, "-a"), read_image(path).icc
    kinds: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for name, value in found.items():
        if kind := kind_of(name):
            kinds[kind][name] = value
    dots = [found[name] * factor for name, factor in _PER_INCH.items() if name in found]
    kinds["resolution"] |= {"dpi": DPI} if any(round(one) == DPI for one in dots) else {}
    kinds["EXIF"] |= {"maker notes": NOTES} if NOTES in path.read_bytes() else {}
    kinds["ICC"] |= {"profile": icc} if icc else {}
    kinds["gain map"] |= {"map": True} if {"MPF0:NumberOfImages", "QuickTime:AuxiliaryImageType"} & {*found} else {}
    return kinds


def lost_tags(kind: str, before: Mapping[str, Any], after: Mapping[str, Any], content: bytes) -> list[str]:
    """Return the tags of one kind that a file lacks or has with another value. `content` are its bytes.

    A text can have another name, and exiftool prints only one of several comments.
    """
    if kind == "text":
        return [name for name, value in before.items() if str(value).encode() not in content]
    return [name for name, value in before.items() if after.get(name) != value]


def compare(folder: Path, source: str, output: str) -> dict[str, tuple[int, list[str]]]:
    """Return for each kind the number of tags of a photo in the format `source`, and those that its result lost."""
    photo = folder / "photo"
    content, grey = photo_with_metadata(source), Image.new("L", (WIDTH // 2, HEIGHT // 2))
    if source == "JPEG":
        content = with_gain_map(content, encode(grey, "JPEG", xmp=map_packet(VALUES)))
    elif source == "HEIF":
        plain, headroom = Image.new("RGB", (WIDTH, HEIGHT)), packet(APPLE + b' HDRGainMap:HDRGainMapHeadroom="4"')
        content = apple_heic(np.asarray(plain), np.asarray(grey), exif(), headroom, xmp=XMP)
    photo.write_bytes(content)
    image = read_image(photo)
    gain_map = encode_gain_map(image, (image.height, image.width))
    png = finished_png(folder / "result.png", image.rgb, image.icc, image.metadata, gain_map)
    path = exported(png, FORMATS[output].ending[1:])
    before, after = tags_of(photo), tags_of(path)
    return {kind: (len(before[kind]), lost_tags(kind, before[kind], after[kind], path.read_bytes())) for kind in KINDS}


def table(folder: Path) -> str:
    """Return the table of docs/files.md: what each input contains, and what each output format loses of it."""
    lines = ["| input | metadata | " + " | ".join(FORMATS[one].name for one in FORMATS) + " |"]
    lines.append("| --- | --- |" + " --- |" * len(FORMATS))
    for source, name in INPUTS.items():
        pairs = [compare(folder, source, output) for output in FORMATS]
        kinds = ", ".join(kind for kind, (count, _) in pairs[0].items() if count)
        cells = [", ".join(kind for kind, (_, lost) in pair.items() if lost) for pair in pairs]
        lines.append(f"| {name} | {kinds} | " + " | ".join(f"no {cell}" if cell else "all" for cell in cells) + " |")
    return "\n".join(lines)
