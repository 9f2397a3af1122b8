"""Photos of every format with all metadata: maker notes, a location, texts, copyright, resolution
and a thumbnail.

The files are in the folder `files`; `exiftool FILE` shows their metadata. The HEIC has 160 x 80 px
and a gain map as an auxiliary image, as an iPhone writes it. The others have 12 x 16 px.
"""

from __future__ import annotations

import atexit
import json
import shutil
import struct
import subprocess
from functools import cache
from typing import Any

import pytest

from tests.unit.image_files import FILES

WIDTH, HEIGHT, DPI = 12, 16, 240
NOTES = b"LANTERN\0II*\0" + bytes(range(40))
"""Maker notes."""
THUMBNAIL = b"\xff\xd8 a small image \xff\xd9"
PLACE = "Hinterbruehl"
COORDINATES = struct.pack("<6I", 48, 1, 12, 1, 30, 1)
XMP, IPTC = ((FILES / name).read_bytes() for name in ("photo.xmp", "photo.iptc"))


def exif():
    """Return an EXIF block in the byte order of an iPhone. The photos have the other one."""
    return (FILES / "big.exif").read_bytes()


def photo_with_metadata(kind):
    """Return a photo of this format with all metadata that the format can hold."""
    return (FILES / f"photo.{kind.lower()}").read_bytes()


def read_by_exiftool(path, *options):
    """Return the tags that exiftool reads, by group and name, with unformatted numbers."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    reader: Any = _exiftool()
    print("-j", "-G1", "-n", *options, path, "-execute", sep="\n", file=reader.stdin, flush=True)
    (found,) = json.loads("".join(iter(reader.stdout.readline, "{ready}\n")))
    return found


@cache
def _exiftool():
    """Return the exiftool process for all files, because starting it takes longer than reading
    them."""
    reader = subprocess.Popen(
        ["exiftool", "-stay_open", "True", "-@", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    atexit.register(reader.kill)
    return reader
