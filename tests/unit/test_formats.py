"""Output formats: what other programs read in a JPEG, WebP or AVIF result from a finished PNG."""

from __future__ import annotations

import errno
import io
import itertools
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from enhance import Cancelled, Encoding, MemoryShortError, PictureError, Settings, SettingsError, StorageError
from enhance.images import Metadata
from enhance.output import formats
from enhance.output.formats import export
from enhance.output.png import PngFormat, create_png
from enhance.output.provenance import Origin, origin_of
from enhance.store import Entry

from ..conftest import psnr
from .image_files import grey_profile, rgb_profile

RAW = Settings.from_preset("anime-fast")
LOSSY = ("jpg", "webp", "avif")
SRGB, LINEAR_GREY = rgb_profile(), grey_profile(gamma=1.0)
ORIGIN = Origin("a" * 64, "b" * 64)


@pytest.fixture
def finished(tmp_path):
    """A function that writes a finished PNG of the given pixels and returns its path."""
    numbers = itertools.count()

    def write(values: np.ndarray, icc: bytes | None = None, **metadata) -> Path:
        path = tmp_path / f"finished-{next(numbers)}.png"
        height, width = values.shape[:2]
        channels = 1 if values.ndim == 2 else values.shape[2]
        form = PngFormat(width, height, channels, values.dtype.itemsize * 8, icc, Metadata(**metadata))
        with create_png(path, form) as writer:
            writer.write(values)
            writer.mark = ORIGIN.mark()
        return path

    return write


def export_png(png: Path, ending: str, quality: int = 92, metadata: str = "keep") -> Path:
    """Export the PNG to another format next to it."""
    place = png.with_name(f"{png.stem}-exported.{ending}")
    export(png, place, Encoding.of_file(place, quality=quality, metadata=metadata))
    return place


def pixels(path: Path, mode: str | None = None) -> np.ndarray:
    image = Image.open(path)
    return np.asarray(image.convert(mode) if mode else image)


def sampling(path: Path) -> set[int]:
    """Return the sampling factors of a JPEG's components (ITU-T T.81, B.2.2)."""
    data = path.read_bytes()
    start = max(data.find(b"\xff\xc0\0"), data.find(b"\xff\xc2\0"))
    return {data[start + 11 + 3 * component] for component in range(data[start + 9])}


@pytest.mark.parametrize("ending", LOSSY)
def test_higher_quality_is_closer_to_the_png_and_larger(finished, photo, ending):
    png = finished(photo)
    result = [
        (psnr(pixels(path), photo), path.stat().st_size) for path in (export_png(png, ending, q) for q in (30, 75, 98))
    ]

    assert result == sorted(result)
    assert result[0][0] < result[1][0] - 2 < result[2][0] - 4
    assert result[2][0] > 38


def test_a_jpeg_keeps_full_colour_from_90_up(finished, photo):
    png = finished(photo)

    assert [sampling(export_png(png, "jpg", quality)) for quality in (89, 90)] == [{0x22, 0x11}, {0x11}]


def test_a_jpeg_of_noise_is_larger_than_pillows_buffer(finished):
    noise = np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8)
    result = export_png(finished(noise), "jpg", 100)
    assert result.stat().st_size > 300 * 400
    assert psnr(pixels(result), noise) > 25


def test_a_webp_of_100_is_lossless_with_its_transparency(finished, photo):
    values = np.dstack([photo, np.tile(np.arange(56, dtype=np.uint8) * 4, (40, 1))])

    assert np.array_equal(pixels(export_png(finished(values), "webp", 100)), values)


@pytest.mark.parametrize(("quality", "channels"), [(95, 3), (80, 3), (80, 1)])
def test_a_jpeg_in_strips_has_the_pixels_of_one_in_one_piece(finished, photo, monkeypatch, quality, channels):
    values = np.tile(photo, (3, 2, 1))[:117, :101, :channels].squeeze()
    whole = io.BytesIO()
    Image.fromarray(values).save(whole, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2)
    monkeypatch.setattr(formats, "_STRIP_BYTES", 1 << 10)  # More than seven strips.

    result = export_png(finished(values), "jpg", quality)

    assert b"\xff\xd6" in result.read_bytes()
    assert np.array_equal(pixels(result), np.asarray(Image.open(whole)))


def exif_with_location() -> bytes:
    """Return EXIF with a camera, an exposure, a GPS location and maker notes."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Camera of mine", 1
    exif.get_ifd(0x8769).update({0x829A: 0.25, 0x927C: b"notes of the maker"})
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 22.0, 12.0)})
    return exif.tobytes()[6:]


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 dc:format="a title" exif:GPSLatitude="47,22.2N"/></rdf:RDF></x:xmpmeta>"""
IPTC = b"\x1c\2\x78\0\5words"
PIXEL_TAGS = (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 34675)
METADATA = {"exif": exif_with_location(), "xmp": XMP, "iptc": IPTC, "dpi": (300.0, 300.0)}


@pytest.mark.parametrize("ending", [*LOSSY, "png", "tif"])
def test_none_keeps_only_profile_and_resolution(finished, photo, ending):
    result = export_png(finished(photo, SRGB, **METADATA), ending, metadata="none")
    image = Image.open(result)

    assert image.info["icc_profile"] == SRGB
    assert set(image.getexif()) <= {0x011A, 0x011B, 0x0128, *(PIXEL_TAGS if ending == "tif" else ())}
    assert {"xmp", "comment", "photoshop", "XML:com.adobe.xmp"} & set(image.info) == set()
    assert origin_of(result) == Origin()
    assert (image.getexif().get(0x011A) or image.info["dpi"][0]) == pytest.approx(300, abs=0.01)
    assert image.size == (56, 40)


def test_transparency_becomes_white_in_a_jpeg_and_is_kept_elsewhere(finished):
    values = np.zeros((16, 48, 4), np.uint8)
    values[:, 16:32, 3], values[:, 32:] = 128, (200, 10, 10, 255)
    png = finished(values)

    jpeg = pixels(export_png(png, "jpg", 100))
    assert [jpeg[8, x].tolist() for x in (4, 24)] == [[255] * 3, [127] * 3]
    assert np.abs(jpeg[8, 40].astype(int) - (200, 10, 10)).max() <= 2
    for ending in ("webp", "avif"):
        assert np.abs(pixels(export_png(png, ending), "RGBA")[8, [4, 24, 40], 3].astype(int) - (0, 128, 255)).max() <= 2
    assert formats.notes_of(png, Encoding("jpeg")) == ["on_white"]
    assert formats.notes_of(png, Encoding("webp")) == []

    black = Encoding("jpeg", 100, background="black")
    formats.export(png, png.with_name("black.jpg"), black)
    dark = pixels(png.with_name("black.jpg"))
    assert [dark[8, x].tolist() for x in (4, 24)] == [[0] * 3, [0] * 3]
    assert formats.notes_of(png, black) == ["on_black"]
    with pytest.raises(SettingsError):
        Encoding("jpeg", background="red")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_become_10_in_an_avif(finished, channels):
    values = np.random.default_rng(1).integers(0, 65_536, (20, 30, channels), np.uint16)
    png = finished(values, SRGB if channels > 2 else None, exif=exif_with_location(), xmp=XMP)

    result = export_png(png, "avif", 100)

    seen = cv2.imread(str(result), cv2.IMREAD_UNCHANGED)
    assert seen is not None
    if channels > 1:
        seen = seen[..., [2, 1, 0, 3][: seen.shape[2]]]
    expected = values if channels != 2 else values[..., [0, 0, 0, 1]]
    assert np.abs(seen.reshape(expected.shape) * (65_535 / 1023) - expected).max() <= 33
    image = Image.open(result)
    assert image.getexif()[0x010F] == "Camera of mine"
    assert image.info["xmp"] == XMP
    assert image.info.get("icc_profile") == (SRGB if channels > 2 else None)
    assert origin_of(result).input_sha256 == ORIGIN.input_sha256
    assert formats.notes_of(png, Encoding("avif")) == ["ten_bits"]


@pytest.mark.parametrize(("program", "ending"), [("avifdec", "avif"), ("tiffinfo", "tif"), ("djxl", "jxl")])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_reference_program_of_a_format_reads_a_result_without_a_warning(finished, program, ending, dtype):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    values = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (20, 30, 4), dtype)
    result = export_png(finished(values, SRGB, xmp=XMP, dpi=(300, 300)), ending)

    outputs = {"avifdec": [result.with_suffix(".png")], "djxl": [result.with_suffix(".png")], "tiffinfo": []}
    done = subprocess.run([program, result, *outputs[program]], capture_output=True, text=True, check=True)

    assert "warning" not in (done.stdout + done.stderr).lower()
    assert all(pixels(path).shape == (20, 30, 4) for path in outputs[program])


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_16_bits_are_rounded_to_8(finished, ending):
    png = finished(np.full((16, 16, 3), 200 * 257 - 100, np.uint16))

    assert np.abs(pixels(export_png(png, ending, 100)).astype(int) - 200).max() <= (0 if ending == "webp" else 1)
    assert formats.notes_of(png, Encoding.of_file(Path(f"x.{ending}"))) == ["eight_bits"]


def test_grey_keeps_its_profile_or_becomes_srgb(finished):
    png = finished(np.full((16, 16), 55, np.uint8), icc=LINEAR_GREY)

    for ending in ("jpg", "avif"):
        result = Image.open(export_png(png, ending, 100))
        assert (result.mode, result.info["icc_profile"]) == ("L", LINEAR_GREY)
    webp = Image.open(export_png(png, "webp", 100))
    assert webp.info.get("icc_profile") is None
    assert webp.getpixel((8, 8)) == (128, 128, 128)  # A linear 55 in sRGB.


@pytest.mark.parametrize(
    ("format", "width", "height", "sentence"),
    [
        ("jpeg", 65_501, 1, "for JPEG: 65,501 × 1 px. The limit is 65,500 px for each side"),
        ("webp", 1, 16_384, "The limit is 16,383 px for each side"),
        ("avif", 40_000, 1, "The limit is 32,768 px for each side"),
        (
            "avif",
            20_000,
            20_000,
            "for AVIF: 20,000 × 20,000 px. The limit is 268 MP",
        ),
    ],
)
def test_a_result_too_large_for_a_format_is_rejected(format, width, height, sentence):
    with pytest.raises(PictureError) as error:
        Encoding(format).check(width, height)

    assert sentence in str(error.value)
    assert "PNG" in error.value.message("zh-CN")


@pytest.mark.parametrize(("ending", "width"), [("jpg", 65_500), ("webp", 16_383), ("avif", 32_768)])
def test_the_largest_side_of_a_format_is_written_and_read(finished, ending, width):
    assert pixels(export_png(finished(np.full((8, width), 90, np.uint8)), ending)).shape[:2] == (8, width)


def test_encoding_in_one_piece_is_rejected_if_memory_is_short(finished, photo, monkeypatch):
    monkeypatch.setattr(formats, "free_memory", lambda: 20_000)
    png = finished(photo)

    for ending in ("webp", "avif"):
        with pytest.raises(MemoryShortError, match="Choose PNG"):
            export_png(png, ending)
    export_png(png, "jpg")


@pytest.mark.parametrize("ending", LOSSY)
def test_a_full_disk_and_a_cancel_leave_the_old_file(finished, photo, ending, monkeypatch):
    png = finished(photo)
    place = png.with_name(f"{png.stem}-exported.{ending}")
    place.write_bytes(b"earlier")
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        export(png, place, Encoding.of_file(place), stop)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(StorageError, match="Not enough disk space"):
        export_png(png, ending)

    assert place.read_bytes() == b"earlier"
    assert sorted(path.name for path in png.parent.iterdir()) == sorted((png.name, place.name))


def test_save_chooses_the_format_by_extension_and_reports_losses(enhancer, photo, tmp_path, fresh_store):
    source = tmp_path / "clear.png"
    Image.fromarray(np.dstack([photo, photo[..., 0]])).save(source)
    result = enhancer.run(source, RAW)

    saved = [result.save(tmp_path / name, quality=80) for name in ("a.jpg", "a.webp", "a.avif", "a.PNG", "a.tiff")]

    assert [Image.open(one.path).format for one in saved] == ["JPEG", "WEBP", "AVIF", "PNG", "TIFF"]
    assert [one.info["output"].get("notes") for one in saved] == [["on_white"], [], [], None, []]
    assert saved[3].path.read_bytes() == result.path.read_bytes()
    for one in saved:
        assert one.info["output"]["bytes"] == one.path.stat().st_size
        assert (one.info["output"]["width"], one.info["output"]["height"]) == (224, 160)
    with pytest.raises(SettingsError, match="unsupported extension"):
        result.save(tmp_path / "a.bmp")
    with pytest.raises(StorageError, match="never overwritten"):
        result.save(source)


def entry_of(result) -> Entry:
    """Return the entry of a result in the list of recent results."""
    source = result.info["input"]
    about = (source["name"], source["sha256"], source["width"], source["height"], result.info["settings"], "", "")
    return Entry("0" * 64, result.info["task_id"], "done", "", *about, task_id=result.info["task_id"])


def test_the_same_run_is_encoded_once_and_deleted_with_its_last_task(enhancer, photo_file, fresh_store):
    first, again = (enhancer.run(photo_file, RAW, encoding=Encoding("jpeg", 80)) for _ in range(2))

    assert (first.path, again.info["cached"]) == (again.path, True)
    assert first.path.stat().st_size == first.info["output"]["bytes"]
    assert enhancer.tasks.info(first.info["task_id"])["output"]["path"].endswith(".png")
    enhancer.tasks.remove([entry_of(first)])
    assert first.path.exists()
    enhancer.tasks.remove([entry_of(again)])
    assert not first.path.exists()


def test_a_result_too_large_for_its_format_is_rejected_early(enhancer, tmp_path, monkeypatch, fresh_store):
    source = tmp_path / "strip.png"
    Image.new("RGB", (5_000, 1)).save(source)
    monkeypatch.setattr(enhancer.engine, "stream", None)

    for target in ({"output": tmp_path / "x.webp"}, {"encoding": Encoding("webp")}):
        with pytest.raises(PictureError, match="Choose PNG"):
            enhancer.run(source, RAW, **target)
    assert [path.name for path in tmp_path.glob("*.*")] == ["strip.png"]


@pytest.mark.parametrize("ending", [".webp", ".avif"])
def test_cancel_works_while_another_image_is_encoded(finished, photo, tmp_path, ending):
    stop = threading.Event()
    place = tmp_path / f"result{ending}"
    with formats._ONE_PIECE, ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(export, finished(photo), place, Encoding.of_file(place), stop)
        stop.set()
        with pytest.raises(Cancelled):
            waiting.result(timeout=30)
    assert not place.exists()
