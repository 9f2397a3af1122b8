"""Image files of kinds that Pillow cannot write, profiles, and finished results."""

import io
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms

from enhance import Encoding
from enhance.formats.encoding import export
from enhance.formats.png import PngHeader, create_png
from enhance.images import SourceImage
from enhance.metadata import Metadata
from enhance.metadata.png_chunks import SIGNATURE
from enhance.metadata.provenance import Origin
from enhance.size import Size

FILES = Path(__file__).with_name("files")
"""Photos, blocks of metadata and a profile that no library in the tests can write."""
ORIGIN = Origin("a" * 64, "b" * 64)
"""The origin that `finished_png` states."""


def png(values, before_pixels=b"", after_pixels=b""):
    """Return a PNG of uint8 or uint16 values, [H, W] or [H, W, 2 to 4], with extra chunks around
    its pixels."""
    plain = bytes(imagecodecs.png_encode(np.ascontiguousarray(values)))
    header, end = len(SIGNATURE) + 25, len(plain) - 12
    return plain[:header] + before_pixels + plain[header:end] + after_pixels + plain[end:]


def tiff(values, photometric=2, *, orientation=1, **options):
    """Return an uncompressed TIFF of any number type, [H, W] or [H, W, C], with options of
    tifffile."""
    sink, turn = io.BytesIO(), (274, "H", 1, orientation, True)
    tifffile.imwrite(
        sink, values, photometric=photometric, metadata=None, extratags=[turn], **options
    )
    return sink.getvalue()


def with_tags(content, tags):
    """Return a TIFF with other numbers in these tags of its first page."""
    file = io.BytesIO(content)
    with tifffile.TiffFile(file) as opened:
        found = opened.pages.first.tags
        for tag, number in tags.items():
            found[tag].overwrite(number)
    return file.getvalue()


def exif_block(orientation):
    """Return a bare EXIF block like that of a camera."""
    block = Image.Exif()
    block[0x010F] = "Lantern"
    block[0x0112] = orientation
    return block.tobytes()[6:]


@cache
def rgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@cache
def wide_profile():
    return imagecodecs.cms_profile("adobergb")


@cache
def grey_profile(gamma=2.2):
    return imagecodecs.cms_profile("gray", gamma=gamma)


@cache
def cmyk_profile():
    """Return a CMYK profile with Lab values for the 16 corners. All inks only darken, even yellow
    is neutral grey."""
    return (FILES / "cmyk.icc").read_bytes()


def source_image(rgb, alpha=None, **fields):
    """Return a decoded image with these pixels."""
    pixels = np.ascontiguousarray(rgb)
    fields.setdefault("variants", Metadata().variants())
    return SourceImage("a.png", "0" * 64, 0, "PNG", "RGB", pixels, alpha, False, None, **fields)


def encode(image, kind, **options):
    """Return the image as a file of this format, written by Pillow."""
    sink = io.BytesIO()
    image.save(sink, kind, **options)  # pyright: ignore[reportArgumentType]
    return sink.getvalue()


def camera_raw(kind="bayer", orientation=1):
    """Return a DNG of 80 x 60 px: a real photo by a camera with half the sensitivity to red.

    `kind` is "bayer", "grey" (a sensor without filters) or "preview". Like the files of most
    cameras, "preview" has a small image first and the Bayer pattern in a subdirectory.
    """
    return with_tags((FILES / f"{kind}.dng").read_bytes(), {274: orientation})


def finished_png(
    path,
    values,
    icc=None,
    metadata=None,
    gain_map=None,
):
    """Write the PNG of a finished run, [H, W] or [H, W, C]."""
    values = np.atleast_3d(values)
    size = Size.of_shape(values.shape)
    bits = values.dtype.itemsize * 8
    form = PngHeader(size, values.shape[2], bits, icc, metadata or Metadata(), gain_map)
    with create_png(path, form) as writer:
        writer.write(values)
        writer.mark = ORIGIN.mark()
    return path


def exported(png, ending, quality=92, **options):
    """Export a finished PNG to another file next to it; `options` are those of Encoding."""
    path = png.with_name(f"{png.stem}-exported.{ending}")
    export(png, path, Encoding.of_file(path, quality=quality, **options))
    return path
