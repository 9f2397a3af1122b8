"""The metadata that survives from each input format to each output format, tag by tag, as exiftool
reads it."""

import re

from PIL import Image

from enhance.formats.encoding import FORMATS
from enhance.images import read_image
from enhance.restore.result import encode_gain_map
from tests.unit.gain_map_files import MAP_XMP, with_gain_map
from tests.unit.image_files import encode, exported, finished_png
from tests.unit.photos_with_metadata import (
    HEIGHT,
    NOTES,
    WIDTH,
    photo_with_metadata,
    read_by_exiftool,
)

INPUTS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "BMP", "GIF")
_TAGS = {
    "EXIF": re.compile(r"(IFD0|ExifIFD|GPS):"),
    "XMP": re.compile("XMP"),
    "IPTC": re.compile("IPTC:"),
    "text": re.compile(r"(PNG|File|GIF):(Comment|Title|Author-de|ExifGPSLatitude)$"),
}
_PIXELS = re.compile(
    r"IFD0:(Image(Width|Height)|Bits|Compression|Photometric|Strip|Samples|Rows|Planar|Sample|Predictor|Orientation"
    r"|[XY]Resolution|ResolutionUnit|YCbCr|ExtraSamples|SubfileType)"
    r"|ExifIFD:ExifImage(Width|Height)|XMP-exif:ExifImage(Width|Height)|XMP-tiff:Orientation|XMP-(HDRGainMap|apdi|hdrgm|GContainer):"
)
"""Tags that state how pixels are stored, sizes and orientation, which differ, the resolution, and
those of a map."""


def tags_of(path):
    """Return the tags of a file by kind: profile and resolution as the program itself reads them,
    because exiftool reads no profile of a JPEG XL, and the others as exiftool reads them."""
    found = read_by_exiftool(path, "-a")
    kinds = {
        kind: {
            name: value
            for name, value in found.items()
            if names.match(name) and not _PIXELS.match(name)
        }
        for kind, names in _TAGS.items()
    }
    if NOTES in path.read_bytes():
        kinds["EXIF"]["maker notes"] = NOTES
    image = read_image(path)
    kinds["ICC"] = {"profile": image.icc} if image.icc else {}
    dpi = image.metadata.dpi
    kinds["resolution"] = {"dpi": round(dpi[0])} if dpi else {}
    has_map = {"MPF0:NumberOfImages", "QuickTime:AuxiliaryImageType"} & found.keys()
    kinds["gain map"] = {"map": True} if has_map else {}
    return kinds


def write_photo(folder, source):
    """Write a photo in the format `source` with all metadata, and with a gain map if the format can
    hold it."""
    path, content = folder / "photo", photo_with_metadata(source)
    if source == "JPEG":
        grey = Image.new("L", (WIDTH // 2, HEIGHT // 2))
        content = with_gain_map(content, encode(grey, "JPEG", xmp=MAP_XMP))
    path.write_bytes(content)
    return path


def write_result(photo):
    """Write the PNG of a result at 4x with the metadata of a photo next to it."""
    image = read_image(photo)
    metadata = image.metadata.with_size(image.size.scale(4))
    gain_map = encode_gain_map(image, image.size)
    return finished_png(
        photo.with_name("result.png"),
        image.rgb.repeat(4, 0).repeat(4, 1),
        image.icc,
        metadata,
        gain_map,
    )


def losses(folder, source):
    """Return the kinds of metadata in a photo of the format `source`, and those that each output
    format loses."""
    photo = write_photo(folder, source)
    before = tags_of(photo)
    result = write_result(photo)
    lost = {}
    for form in FORMATS.values():
        path = exported(result, form.ending[1:])
        after = tags_of(path)
        kinds = {kind for kind in before if before[kind].items() - after[kind].items()}
        # A text can have another name, and exiftool prints only one of several comments.
        content = path.read_bytes()
        if all(text.encode() in content for text in before["text"].values()):
            kinds.discard("text")
        lost[form.name] = kinds
    return {kind for kind, tags in before.items() if tags}, lost
