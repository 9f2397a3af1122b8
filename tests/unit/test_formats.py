"""Output formats: other programs read the results that are exported from a finished PNG."""

import io
import threading
from functools import partial

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from enhance import Cancelled, Encoding, MemoryShortError, PictureError, Settings, StorageError
from enhance.formats import encoding as formats
from enhance.formats import format as one_format
from enhance.formats import tiff
from enhance.formats.encoding import FORMATS, export, notes_of
from enhance.formats.png import PngHeader, create_png
from enhance.formats.thumbnails import srgb_image
from enhance.images import read_image
from enhance.metadata.provenance import origin_of
from enhance.size import Size

from ..conftest import psnr
from .image_files import ORIGIN, exported, finished_png, grey_profile, wide_profile
from .test_image_memory import peak_of

RAW = Settings.from_preset("anime-fast")
NEEDS_JXL = pytest.mark.skipif(
    not FORMATS["jxl"].is_available(), reason="pyjpegxl is not installed"
)
JXL = pytest.param("jxl", marks=NEEDS_JXL)
LOSSY = ("jpg", "webp", "avif", JXL)
LINEAR_GREY = grey_profile(gamma=1.0)


@pytest.fixture
def finished(tmp_path):
    """A function that writes a finished PNG and returns its path."""
    return partial(finished_png, tmp_path / "finished.png")


def noise(height, width, channels, dtype="uint8"):
    highest = np.iinfo(dtype).max
    return np.random.default_rng(1).integers(1, highest, (height, width, channels), dtype)


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("ending", LOSSY)
def test_higher_quality_is_closer_to_the_png_and_larger(finished, photo, ending):
    png = finished(photo)
    low = read_image(exported(png, ending, 30))
    high = read_image(exported(png, ending, 98))
    assert psnr(high.rgb, photo) > 38 > psnr(low.rgb, photo) + 4
    assert low.bytes < high.bytes


@pytest.mark.parametrize(
    ("quality", "channels", "subsampling"), [(90, 3, "4:4:4"), (89, 3, "4:2:0"), (80, 1, "4:2:0")]
)
def test_a_jpeg_written_in_strips_equals_one_written_at_once(
    finished, monkeypatch, quality, channels, subsampling
):
    """From 90 up, the colour has the resolution of the brightness."""
    values = noise(157, 101, channels).squeeze()
    whole = io.BytesIO()
    Image.fromarray(values).save(whole, "JPEG", quality=quality, subsampling=subsampling)
    monkeypatch.setattr(one_format, "_STRIP_BYTES", 1 << 10)  # Strips of 16 rows.

    result = exported(finished(values), "jpg", quality)

    assert np.array_equal(pixels(result), pixels(whole))


@pytest.mark.parametrize(("background", "clear", "half"), [("white", 255, 127), ("black", 0, 0)])
def test_a_background_replaces_transparency_in_a_jpeg_only(finished, background, clear, half):
    values = np.zeros((16, 48, 4), np.uint8)
    values[:, 16:32, 3] = 128
    values[:, 32:] = 200, 10, 10, 255
    png = finished(values)

    jpeg = pixels(exported(png, "jpg", 100, background=background)).astype(int)
    assert jpeg[8, [4, 24, 40], 0] == pytest.approx([clear, half, 200], abs=2)
    assert notes_of(png, Encoding("jpeg", background=background)) == [f"on_{background}"]
    assert np.array_equal(pixels(exported(png, "webp", 100)), values), "lossless"


@pytest.mark.parametrize("channels", [1, 4])
def test_16_bits_become_10_in_an_avif(finished, channels):
    values = noise(20, 30, channels, "uint16")
    png = finished(values)
    seen = imagecodecs.avif_decode(exported(png, "avif", 100).read_bytes())
    assert np.abs(seen.reshape(values.shape) * (65_535 / 1023) - values).max() <= 33
    assert notes_of(png, Encoding("avif")) == ["ten_bits"]


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_16_bits_are_rounded_to_8(finished, ending):
    png = finished(np.full((16, 16, 3), 50 * 257 - 100, np.uint16))
    path = exported(png, ending, 100)
    assert (pixels(path) == 50).all()
    assert notes_of(png, Encoding.of_file(path)) == ["eight_bits"]


@pytest.mark.parametrize(
    ("ending", "mode", "icc", "level"), [("avif", "L", LINEAR_GREY, 55), ("webp", "RGB", None, 128)]
)
def test_grey_keeps_its_profile_or_becomes_srgb(finished, ending, mode, icc, level):
    png = finished(np.full((16, 16), 55, np.uint8), LINEAR_GREY)
    result = Image.open(exported(png, ending, 100))
    assert (result.mode, result.info.get("icc_profile")) == (mode, icc)
    assert (np.asarray(result) == level).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("ending", ["tif", "big tif", JXL])
def test_programs_read_pixels_and_profile_of_lossless_formats(
    finished, monkeypatch, channels, dtype, ending
):
    values = noise(37, 50, channels, dtype)
    icc = wide_profile() if channels > 2 else LINEAR_GREY
    monkeypatch.setattr(one_format, "_STRIP_BYTES", 2000)  # several strips, the last one shorter
    monkeypatch.setattr(tiff, "_CLASSIC_BYTES", 0 if ending == "big tif" else 1 << 30)

    path = exported(finished(values, icc), ending[-3:], 100)

    read_by_other = imagecodecs.jpegxl_decode if ending == "jxl" else imagecodecs.tiff_decode
    assert np.array_equal(read_by_other(path.read_bytes()).reshape(values.shape), values)
    assert (path.read_bytes()[2] == 43) == (ending == "big tif")
    assert origin_of(path).signature == ORIGIN.signature
    if ending == "jxl" or (channels, dtype) != (2, "uint16"):  # Such a TIFF is not supported.
        image = read_image(path)
        assert np.array_equal(image.rgb[..., 0], values[..., 0])
        assert (image.icc, image.grey) == (icc, channels < 3)


def test_a_large_tiff_is_written_in_little_memory(tmp_path):
    png = tmp_path / "large.png"
    target = tmp_path / "large.tif"
    rows = np.arange(10_000, dtype=np.uint16)[None, :, None].repeat(100, axis=0)
    with create_png(png, PngHeader(Size(10_000, 4_000), 1, 16)) as writer:
        for _ in range(40):
            writer.write(rows)

    assert peak_of(lambda: export(png, target, Encoding("tiff"))) < 25_000_000
    assert np.array_equal(tifffile.imread(target)[-1], rows[0, :, 0])


@NEEDS_JXL
def test_a_lossy_jpeg_xl_is_in_srgb(finished, photo):
    png = finished(photo, wide_profile())

    image = read_image(exported(png, "jxl", 98))

    assert psnr(image.rgb, np.asarray(srgb_image(photo, wide_profile()))) > 38
    assert notes_of(png, Encoding("jxl", 98)) == ["in_srgb"]
    assert notes_of(png, Encoding("jxl", 100)) == []


@pytest.mark.parametrize(
    ("format", "width", "height", "limit"),
    [
        ("webp", 1, 16_384, "16,383 px"),
        ("avif", 20_000, 20_000, "268 MP"),
    ],
)
def test_a_result_too_large_for_a_format_is_rejected(format, width, height, limit):
    with pytest.raises(PictureError, match=f"{width:,} × {height:,} px. The limit is {limit}"):
        Encoding(format).check(Size(width, height))


def test_a_result_too_large_for_its_format_is_rejected_before_the_run(
    enhancer, tmp_path, monkeypatch, fresh_store
):
    monkeypatch.setattr(enhancer.engine, "stream", None)
    for target in ({"output": tmp_path / "x.webp"}, {"encoding": Encoding("webp")}):
        with pytest.raises(PictureError, match="Choose PNG"):
            enhancer.run(Image.new("RGB", (5_000, 1)), RAW, **target)


def test_encoding_in_one_piece_is_rejected_if_memory_is_short(finished, photo, monkeypatch):
    monkeypatch.setattr(formats, "free_system_memory", lambda: 20_000)
    png = finished(photo)
    for ending in ("webp", "avif"):
        with pytest.raises(MemoryShortError, match="Choose PNG"):
            exported(png, ending)
    exported(png, "jpg")


@pytest.mark.parametrize("ending", [*LOSSY, "tif", "png"])
def test_a_full_disk_or_cancelling_leaves_the_old_file(finished, photo, ending, request):
    png = finished(photo)
    place = png.with_name(f"finished-exported.{ending}")
    place.write_bytes(b"earlier")
    stop = threading.Event()
    stop.set()
    if ending != "png":
        with pytest.raises(Cancelled):
            export(png, place, Encoding.of_file(place), stop)

    request.getfixturevalue("full_disk")
    with pytest.raises(StorageError, match="Not enough disk space"):
        exported(png, ending, metadata="none")

    assert place.read_bytes() == b"earlier"
    assert {*png.parent.iterdir()} == {png, place}
