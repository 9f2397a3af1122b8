"""Output formats: other programs read the results that are exported from a finished PNG."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from enhance import Cancelled, Encoding, MemoryShortError, PictureError, Settings, StorageError
from enhance.cli import parse_arguments
from enhance.formats import encoding as formats
from enhance.formats import format as one_format
from enhance.formats import tiff
from enhance.formats.encoding import FORMATS, export, notes_of
from enhance.formats.png import PngHeader, create_png
from enhance.formats.thumbnails import srgb_image
from enhance.images import read_image
from enhance.metadata import Metadata
from enhance.metadata.provenance import origin_of
from enhance.store import RecentRun

from ..conftest import psnr
from . import photos_with_metadata
from .image_files import ORIGIN, exported, finished_png, grey_profile, rgb_profile, wide_profile
from .photos_with_metadata import IPTC
from .test_image_memory import peak_of

RAW = Settings.from_preset("anime-fast")
NEEDS_JXL = pytest.mark.skipif(
    not FORMATS["jxl"].is_available(), reason="pyjpegxl is not installed"
)
JXL = pytest.param("jxl", marks=NEEDS_JXL)
JXL_PROGRAM = pytest.param("djxl", "jxl", marks=NEEDS_JXL)
LOSSY = ("jpg", "webp", "avif", JXL)
SRGB, LINEAR_GREY = rgb_profile(), grey_profile(gamma=1.0)


@pytest.fixture
def finished(tmp_path):
    """A function that writes a finished PNG and returns its path."""

    def write(values: np.ndarray, icc: bytes | None = None, **metadata) -> Path:
        return finished_png(tmp_path / "finished.png", values, icc, Metadata(**metadata))

    return write


def pixels(path: Path, mode: str | None = None) -> np.ndarray:
    image = Image.open(path)
    return np.asarray(image.convert(mode) if mode else image)


def run(program: str, *arguments: str | Path) -> str:
    """Run a program that reads or writes a format, and return its output."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([program, *arguments], check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize("ending", LOSSY)
def test_higher_quality_is_closer_to_the_png_and_larger(finished, photo, ending):
    distances, sizes = [], []
    for quality in (30, 75, 98):
        path = exported(finished(photo), ending, quality)
        distances.append(psnr(read_image(path).rgb, photo))
        sizes.append(path.stat().st_size)
    assert distances[0] < distances[1] - 2 < distances[2] - 4
    assert distances[2] > 38
    assert sizes == sorted(sizes)


def test_a_jpeg_of_noise_is_larger_than_pillows_buffer(finished):
    noise = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    result = exported(finished(noise), "jpg", 100)
    assert result.stat().st_size > 300 * 400
    assert psnr(pixels(result), noise) > 25


@pytest.mark.parametrize(("quality", "channels"), [(90, 3), (89, 3), (80, 1)])
def test_a_jpeg_written_in_strips_equals_one_written_at_once(
    finished, photo, monkeypatch, quality, channels
):
    """From 90 up, the colour has the resolution of the brightness."""
    values = np.tile(photo, (4, 2, 1))[:157, :101, :channels].squeeze()
    whole = io.BytesIO()
    Image.fromarray(values).save(
        whole, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2
    )
    monkeypatch.setattr(one_format, "_STRIP_BYTES", 1 << 10)  # Strips of 16 rows.

    result = exported(finished(values), "jpg", quality)

    assert re.findall(rb"\xff[\xd0-\xd7]", result.read_bytes()) == [
        b"\xff%c" % (0xD0 + n % 8) for n in range(9)
    ]
    assert np.array_equal(pixels(result), np.asarray(Image.open(whole)))


def test_transparency_is_replaced_by_the_background_in_a_jpeg_and_kept_elsewhere(finished):
    values = np.zeros((16, 48, 4), np.uint8)
    values[:, 16:32, 3], values[:, 32:] = 128, (200, 10, 10, 255)
    png = finished(values)

    for background, shown in (("white", (255, 127)), ("black", (0, 0))):
        jpeg = pixels(exported(png, "jpg", 100, background=background)).astype(int)
        for x, expected in ((4, shown[0]), (24, shown[1]), (40, (200, 10, 10))):
            assert np.abs(jpeg[8, x] - expected).max() <= 2
        assert notes_of(png, Encoding("jpeg", background=background)) == [f"on_{background}"]
    assert np.array_equal(pixels(exported(png, "webp", 100)), values), "lossless"
    assert (
        np.abs(
            pixels(exported(png, "avif", 100), "RGBA")[..., 3] - values[..., 3].astype(int)
        ).max()
        <= 2
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_become_10_in_an_avif(finished, channels):
    values = np.random.default_rng(1).integers(0, 65_536, (20, 30, channels), np.uint16)
    png = finished(values)

    seen = cv2.imread(str(exported(png, "avif", 100)), cv2.IMREAD_UNCHANGED)

    assert seen is not None
    if channels > 1:
        seen = seen[..., [2, 1, 0, 3][: seen.shape[2]]]
    expected = values if channels != 2 else values[..., [0, 0, 0, 1]]
    assert np.abs(seen.reshape(expected.shape) * (65_535 / 1023) - expected).max() <= 33
    assert notes_of(png, Encoding("avif")) == ["ten_bits"]


@pytest.mark.parametrize(
    ("program", "ending"), [("avifdec", "avif"), ("tiffinfo", "tif"), JXL_PROGRAM]
)
def test_the_reference_program_of_a_format_reads_a_result_without_a_warning(
    finished, program, ending
):
    values = np.random.default_rng(1).integers(0, 65_535, (20, 30, 4), np.uint16)
    result = exported(finished(values, SRGB, xmp=photos_with_metadata.XMP, dpi=(300, 300)), ending)
    decoded = [] if ending == "tif" else [result.with_suffix(".png")]
    assert "warning" not in run(program, result, *decoded).lower()


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_16_bits_are_rounded_to_8(finished, ending):
    png = finished(np.full((16, 16, 3), 50 * 257 - 100, np.uint16))

    assert np.abs(pixels(exported(png, ending, 100)).astype(int) - 50).max() <= 0
    assert notes_of(png, Encoding.of_file(Path(f"x.{ending}"))) == ["eight_bits"]


def test_grey_keeps_its_profile_or_becomes_srgb(finished):
    png = finished(np.full((16, 16), 55, np.uint8), icc=LINEAR_GREY)
    for ending, mode, icc in (
        ("jpg", "L", LINEAR_GREY),
        ("avif", "L", LINEAR_GREY),
        ("webp", "RGB", None),
    ):
        result = Image.open(exported(png, ending, 100))
        assert (result.mode, result.info.get("icc_profile")) == (mode, icc)
    assert result.getpixel((8, 8)) == (128, 128, 128)  # A linear 55 in sRGB.


def read_by_other(path: Path) -> np.ndarray:
    """Return the pixels of a TIFF or a JPEG XL, [H, W, C], as another program reads them."""
    if path.suffix == ".tif":
        return np.atleast_3d(tifffile.imread(path))
    run("djxl", path, path.with_suffix(".png"))
    return np.atleast_3d(imagecodecs.imread(path.with_suffix(".png")))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("ending", ["tif", "big tif", JXL])
def test_programs_read_pixels_and_profile_of_lossless_formats(
    finished, monkeypatch, channels, dtype, ending
):
    values = np.random.default_rng(3).integers(
        1, np.iinfo(dtype).max, (37, 50, channels), dtype, endpoint=True
    )
    icc = wide_profile() if channels > 2 else LINEAR_GREY
    monkeypatch.setattr(one_format, "_STRIP_BYTES", 2000)  # several strips, the last one shorter
    monkeypatch.setattr(tiff, "_CLASSIC_BYTES", 0 if ending == "big tif" else 1 << 30)

    path = exported(finished(values, icc), ending[-3:], 100)

    assert np.array_equal(read_by_other(path), values)
    assert (path.read_bytes()[2] == 43) == (ending == "big tif")
    assert origin_of(path).signature == ORIGIN.signature
    if ending == "jxl" or (channels, dtype) != (2, np.uint16):  # The program reads no such TIFF.
        image = read_image(path)
        assert np.array_equal(
            image.rgb, np.broadcast_to(values[..., : 3 if channels > 2 else 1], image.rgb.shape)
        )
        assert (image.icc, image.grey) == (icc, channels < 3)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_bigtiff_has_the_same_tags(finished, photo, monkeypatch, order):
    offsets = (
        0x8769,
        0x8825,
        273,
    )  # The tags of the EXIF directory, of the GPS directory and of the strips.
    found = []
    for limit in (1 << 30, 0):
        monkeypatch.setattr(tiff, "_CLASSIC_BYTES", limit)
        path = exported(
            finished(photo, SRGB, exif=photos_with_metadata.exif(order), iptc=IPTC), "tif"
        )
        read = Image.open(
            path
        ).getexif()  # exiftool expects the EXIF directory of a BigTIFF in the classic form.
        found += [
            {tag: value for tag, value in read.items() if tag not in offsets},
            *map(read.get_ifd, offsets[:2]),
        ]
    assert [len(directory) for directory in found] == [18, 5, 5] * 2
    assert found[3:] == found[:3]


def test_a_large_tiff_is_written_in_little_memory(tmp_path):
    row = np.arange(10_000, dtype=np.uint16)[None, :, None] * 6
    with create_png(tmp_path / "large.png", PngHeader(10_000, 4_000, 1, 16)) as writer:
        for _ in range(40):
            writer.write(np.repeat(row, 100, axis=0))

    taken = peak_of(
        lambda: export(tmp_path / "large.png", tmp_path / "large.tif", Encoding("tiff"))
    )

    assert taken < 25_000_000
    assert np.array_equal(tifffile.imread(tmp_path / "large.tif")[-1], row[0, :, 0])


@NEEDS_JXL
@pytest.mark.parametrize(("icc", "notes"), [(None, []), (SRGB, []), (wide_profile(), ["in_srgb"])])
def test_a_lossy_jpeg_xl_is_in_srgb(finished, photo, icc, notes):
    colour = srgb_image(photo, icc)
    png = finished(
        np.dstack([photo.astype(np.uint16) * 257, np.full(photo.shape[:2], 40_000, np.uint16)]), icc
    )

    image = read_image(exported(png, "jxl", 98))

    assert psnr(image.rgb / (image.levels / 255), np.asarray(colour)) > 38
    assert image.alpha is not None
    assert abs(image.alpha.mean() / image.levels - 40_000 / 65_535) < 0.01
    assert image.bits == (8 if notes else 16)
    assert notes_of(png, Encoding("jxl", 98)) == notes
    assert notes_of(png, Encoding("jxl", 100)) == []


@pytest.mark.parametrize(
    ("format", "width", "height", "limit"),
    [
        ("jpeg", 65_501, 1, "65,500 px"),
        ("webp", 1, 16_384, "16,383 px"),
        ("avif", 40_000, 1, "32,768 px"),
        ("avif", 20_000, 20_000, "268 MP"),
    ],
)
def test_a_result_too_large_for_a_format_is_rejected(format, width, height, limit):
    with pytest.raises(PictureError, match=f"{width:,} × {height:,} px. The limit is {limit}"):
        Encoding(format).check(width, height)


def test_the_help_names_each_format_and_those_with_a_quality(capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["run", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    (formats,) = re.findall(r"--format FORMAT (.*?)\(", printed)
    (with_quality,) = re.findall(r"--quality QUALITY (.*?)\(", printed)
    for form in FORMATS.values():
        assert form.key in formats
        assert (form.name in with_quality) == form.takes_quality


@pytest.mark.parametrize(("ending", "width"), [("jpg", 65_500), ("webp", 16_383), ("avif", 32_768)])
def test_the_largest_side_of_a_format_is_written_and_read(finished, ending, width):
    assert pixels(exported(finished(np.full((8, width), 90, np.uint8)), ending)).shape[:2] == (
        8,
        width,
    )


def test_encoding_in_one_piece_is_rejected_if_memory_is_short(finished, photo, monkeypatch):
    monkeypatch.setattr(formats, "free_memory", lambda: 20_000)
    png = finished(photo)

    for ending in ("webp", "avif"):
        with pytest.raises(MemoryShortError, match="Choose PNG"):
            exported(png, ending)
    exported(png, "jpg")


@pytest.mark.parametrize("ending", [*LOSSY, "tif", "png"])
def test_a_full_disk_or_cancelling_leaves_the_old_file(finished, photo, ending, request):
    png, stop = finished(photo), threading.Event()
    place = png.with_name(f"finished-exported.{ending}")
    place.write_bytes(b"earlier")
    stop.set()
    if ending != "png":
        with pytest.raises(Cancelled):
            export(png, place, Encoding.of_file(place), stop)

    request.getfixturevalue("full_disk")
    with pytest.raises(StorageError, match="Not enough disk space"):
        exported(png, ending, metadata="none")

    assert place.read_bytes() == b"earlier"
    assert {*png.parent.iterdir()} == {png, place}


def test_cancelling_works_while_another_image_is_encoded(finished, photo, tmp_path):
    stop, place = threading.Event(), tmp_path / "result.webp"
    with formats._ONE_PIECE, ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(export, finished(photo), place, Encoding("webp"), stop)
        stop.set()
        with pytest.raises(Cancelled):
            waiting.result(timeout=30)
    assert not place.exists()


def test_save_chooses_the_format_by_extension_and_reports_losses(
    enhancer, photo, tmp_path, fresh_store
):
    source = tmp_path / "clear.png"
    Image.fromarray(np.dstack([photo, photo[..., 0]])).save(source)
    result = enhancer.run(source, RAW)

    for name, form, notes in (
        ("a.jpg", "JPEG", ["on_white"]),
        ("a.webp", "WEBP", []),
        ("a.tiff", "TIFF", []),
    ):
        saved = result.save(tmp_path / name, quality=80)
        output = saved.info["output"]
        assert (Image.open(saved.path).format, output["notes"]) == (form, notes)
        assert (output["bytes"], output["width"], output["height"]) == (
            saved.path.stat().st_size,
            224,
            160,
        )
    assert result.save(tmp_path / "a.PNG").path.read_bytes() == result.path.read_bytes()


def entry_of(result) -> RecentRun:
    """Return the entry of a result in the list of recent results."""
    source = result.info["input"]
    about = (
        source["name"],
        source["sha256"],
        source["width"],
        source["height"],
        result.info["settings"],
        "",
        "",
    )
    return RecentRun(
        "0" * 64, result.info["task_id"], "done", "", *about, task_id=result.info["task_id"]
    )


def test_the_same_run_is_encoded_once_and_deleted_with_its_last_task(
    enhancer, photo_file, fresh_store
):
    first, again = (enhancer.run(photo_file, RAW, encoding=Encoding("jpeg", 80)) for _ in range(2))
    assert (first.path, again.info["cached"]) == (again.path, True)
    assert enhancer.tasks.info(first.info["task_id"])["output"]["path"].endswith(".png")
    for result, remains in ((first, True), (again, False)):
        enhancer.tasks.remove([entry_of(result)])
        assert first.path.exists() == remains


def test_a_result_too_large_for_its_format_is_rejected_early(
    enhancer, tmp_path, monkeypatch, fresh_store
):
    source = tmp_path / "strip.png"
    Image.new("RGB", (5_000, 1)).save(source)
    monkeypatch.setattr(enhancer.engine, "stream", None)

    for target in ({"output": tmp_path / "x.webp"}, {"encoding": Encoding("webp")}):
        with pytest.raises(PictureError, match="Choose PNG"):
            enhancer.run(source, RAW, **target)
    assert [path.name for path in tmp_path.glob("*.*")] == ["strip.png"]
