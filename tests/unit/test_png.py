"""What PngWriter writes is read by others pixel for pixel, and appears whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from enhance.errors import StorageError
from enhance.images import Metadata, read_picture
from enhance.images.containers import chunk_content, scan_chunks
from enhance.output.png import PngFormat, PngWriter, encode_png
from tests.unit.picture_files import exif_block, grey_profile, rgb_profile

RANDOM = np.random.default_rng(11)
PHOTO = skimage.data.astronaut()[:131, :97]
RGB = PngFormat(97, 131, 3)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
IPTC = b"\x1c\2\x78\0\5words"


def values(height: int, width: int, channels: int, bits: int) -> np.ndarray:
    """A smooth picture with some noise, as [H, W, C]."""
    slope = np.add.outer(np.arange(height), np.arange(width))[..., None] * np.array([90, 70, 50, 30])[:channels]
    noisy = slope + RANDOM.integers(0, 200, (height, width, channels))
    return noisy.astype(np.uint16) if bits == 16 else (noisy >> 8).astype(np.uint8)


def write(path: Path, array: np.ndarray, step: int = 7, **options) -> PngWriter:
    """Write the array in strips of `step` rows."""
    height, width, channels = array.shape
    with PngWriter(path, PngFormat(width, height, channels, array.dtype.itemsize * 8, **options)) as writer:
        for top in range(0, height, step):
            writer.write(array[top : top + step])
    return writer


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def chunks_of(path: Path) -> list[tuple[bytes, bytes]]:
    with path.open("rb") as file:
        return [(chunk.kind, chunk_content(file, chunk)) for chunk in scan_chunks(file)]


def accepted_by_pngcheck(path: Path) -> bool:
    if shutil.which("pngcheck") is None:
        pytest.skip("pngcheck is not installed")
    done = subprocess.run(["pngcheck", "-v", str(path)], capture_output=True, text=True, check=False)
    return done.returncode == 0 and "No errors detected" in done.stdout


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (37, 53), (2, 1), (1, 131)])
def test_opencv_reads_back_every_pixel(tmp_path: Path, size: tuple[int, int], channels: int, bits: int):
    array = values(*size, channels, bits)
    write(tmp_path / "out.png", array)
    got = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)
    assert got is not None
    order = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    assert np.array_equal(got.reshape(*size, -1), array[..., order])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pillow_reads_back_every_pixel(tmp_path: Path, channels: int):
    array = values(37, 53, channels, 8)
    write(tmp_path / "out.png", array)
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        assert np.array_equal(np.asarray(image).reshape(array.shape), array)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pngcheck_finds_no_fault(tmp_path: Path, channels: int, bits: int):
    profile = grey_profile() if channels < 3 else rgb_profile()
    texts = (("Software", "enhance"), ("Titel", "schön"), ("标题".encode().hex(), "日本 10 µm"))
    array = values(41, 29, channels, bits)
    write(tmp_path / "out.png", array, icc=profile, metadata=Metadata(exif_block(1), XMP, IPTC, texts, (300, 240)))
    assert accepted_by_pngcheck(tmp_path / "out.png")


@pytest.mark.parametrize("steps", [[131], [1] * 131, [3, 0, 50, 1, 77]])
def test_strips_of_any_height_give_the_same_pixels(tmp_path: Path, steps: list[int]):
    with PngWriter(tmp_path / "out.png", RGB) as writer:
        top = 0
        for step in steps:
            writer.write(PHOTO[top : top + step])
            top += step
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), PHOTO)


def test_grey_rows_need_no_channel_axis_and_views_are_fine(tmp_path: Path):
    grey = PHOTO[::-1, ::2, 1]
    with PngWriter(tmp_path / "out.png", PngFormat(grey.shape[1], grey.shape[0], 1)) as writer:
        writer.write(grey)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), grey)


def test_profile_exif_and_text_come_back_byte_for_byte(tmp_path: Path):
    told = Metadata(exif_block(1), texts=(("Comment", "x"), ("Author", "李")))
    write(tmp_path / "out.png", PHOTO, icc=rgb_profile(), metadata=told)
    chunks = chunks_of(tmp_path / "out.png")
    kinds = [kind for kind, _ in chunks]
    content = dict(chunks)
    assert kinds[0] == b"IHDR"
    assert kinds[-1] == b"IEND"
    assert kinds.index(b"iCCP") < kinds.index(b"IDAT")
    assert zlib.decompress(content[b"iCCP"].partition(b"\0\0")[2]) == rgb_profile()
    assert content[b"eXIf"] == exif_block(1)
    with Image.open(tmp_path / "out.png") as image:
        assert image.info["icc_profile"] == rgb_profile()
        assert image.info["exif"] == b"Exif\0\0" + exif_block(1)
        assert (image.info["Comment"], image.info["Author"]) == ("x", "李")


def test_what_is_written_reads_back_as_the_same_picture(tmp_path: Path):
    array = values(30, 40, 4, 16) | 1
    told = Metadata(exif_block(1), XMP, IPTC, (("Comment", "x"), ("Comment", "李")), (300.0, 240.0))
    write(tmp_path / "out.png", array, icc=rgb_profile(), metadata=told)
    picture = read_picture(tmp_path / "out.png")
    assert picture.alpha is not None
    assert np.array_equal(np.dstack([picture.rgb, picture.alpha]), array)
    assert picture.icc == rgb_profile()
    assert picture.metadata.dpi == pytest.approx(told.dpi, abs=0.01)
    assert replace(picture.metadata, dpi=told.dpi) == told


def test_hash_and_length_are_those_of_the_file(tmp_path: Path):
    writer = write(tmp_path / "out.png", PHOTO)
    data = (tmp_path / "out.png").read_bytes()
    assert writer.sha256 == hashlib.sha256(data).hexdigest()
    assert writer.bytes_written == len(data)


def test_a_large_picture_comes_in_several_chunks_of_a_moderate_size(tmp_path: Path):
    noise = RANDOM.integers(0, 256, (1500, 1000, 3), dtype=np.uint8)
    write(tmp_path / "out.png", noise, step=1500)
    lengths = [len(content) for kind, content in chunks_of(tmp_path / "out.png") if kind == b"IDAT"]
    assert len(lengths) > 2
    assert max(lengths) < 2 << 20
    assert min(lengths[:-1]) >= 256 << 10
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), noise)


def test_an_enlarged_photo_is_no_larger_than_pillows_level_1(tmp_path: Path):
    enlarged = cv2.resize(PHOTO, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    Image.fromarray(enlarged).save(tmp_path / "pillow.png", compress_level=1)
    assert write(tmp_path / "out.png", enlarged).bytes_written <= (tmp_path / "pillow.png").stat().st_size


def test_folders_are_made_and_an_old_file_is_replaced(tmp_path: Path):
    path = tmp_path / "a" / "b" / "out.png"
    write(path, PHOTO)
    write(path, PHOTO[:50])
    assert Image.open(path).size == (97, 50)
    assert names_in(path.parent) == ["out.png"]


@pytest.mark.parametrize("problem", [RuntimeError("stop"), KeyboardInterrupt()])
def test_an_exception_in_the_middle_leaves_nothing(tmp_path: Path, problem: BaseException):
    with pytest.raises(type(problem)), PngWriter(tmp_path / "out.png", RGB) as writer:  # noqa: PT012
        writer.write(PHOTO[:60])
        raise problem
    assert names_in(tmp_path) == []


def test_an_exception_in_the_middle_leaves_the_old_file(tmp_path: Path):
    (tmp_path / "out.png").write_bytes(b"the old one")
    with pytest.raises(RuntimeError), PngWriter(tmp_path / "out.png", RGB) as writer:  # noqa: PT012
        writer.write(PHOTO)
        raise RuntimeError
    assert (tmp_path / "out.png").read_bytes() == b"the old one"
    assert names_in(tmp_path) == ["out.png"]


def test_missing_rows_leave_nothing(tmp_path: Path):
    with (
        pytest.raises(StorageError, match="only 130 of 131 rows"),
        PngWriter(tmp_path / "out.png", RGB) as writer,
    ):
        writer.write(PHOTO[:130])
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("rows", [PHOTO[:, :50], PHOTO.astype(np.uint16), PHOTO[..., :2], np.vstack([PHOTO, PHOTO])])
def test_rows_that_do_not_fit_leave_nothing(tmp_path: Path, rows: np.ndarray):
    with pytest.raises(ValueError, match="rows"), PngWriter(tmp_path / "out.png", RGB) as writer:
        writer.write(rows)
    assert names_in(tmp_path) == []


def full_disk_after(written: int, monkeypatch) -> None:
    """Files opened for writing are full after so many bytes."""
    original = Path.open

    def opened(path: Path, mode: str = "r", *args, **kwargs):
        file = original(path, mode, *args, **kwargs)
        if mode != "xb":
            return file

        class Filling:
            room = written

            def write(self, data: bytes) -> int:
                self.room -= len(data)
                if self.room < 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return file.write(data)

            def close(self) -> None:
                file.close()

        return Filling()

    monkeypatch.setattr(Path, "open", opened)


@pytest.mark.parametrize("written", [10, 40, 400_000])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch, written: int):
    full_disk_after(written, monkeypatch)
    noise = RANDOM.integers(0, 256, (500, 800, 3), dtype=np.uint8)
    with pytest.raises(StorageError, match="Not enough disk space"):
        write(tmp_path / "out.png", noise, step=100)
    assert names_in(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_that_is_full_only_at_the_end_is_told(tmp_path: Path, monkeypatch):
    original = Path.open

    def on_a_full_disk(path: Path, mode: str = "r"):
        original(path, mode).close()
        return original(Path("/dev/full"), "wb")

    monkeypatch.setattr(Path, "open", on_a_full_disk)
    with pytest.raises(StorageError, match="Not enough disk space"):
        write(tmp_path / "out.png", PHOTO[:2])
    assert names_in(tmp_path) == []


def test_a_name_that_is_a_folder_or_below_a_file_is_told(tmp_path: Path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(StorageError, match="it is a folder"):
        write(tmp_path / "folder.png", PHOTO)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="Choose another"):
        write(tmp_path / "file" / "out.png", PHOTO)
    assert names_in(tmp_path) == ["file", "folder.png"]


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="No permission"):
        write(tmp_path / "out.png", PHOTO)
    tmp_path.chmod(0o700)


def test_what_no_png_can_be_is_refused(tmp_path: Path):
    for width, height, channels, bits in ((0, 5, 3, 8), (5, 5, 5, 8), (5, 5, 3, 12)):
        with pytest.raises(ValueError, match="no PNG is"):
            PngFormat(width, height, channels, bits)
    with pytest.raises(ValueError, match="cannot hold a text"):
        write(tmp_path / "out.png", PHOTO, metadata=Metadata(texts=(("", "no name"),)))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("array", [PHOTO, PHOTO[..., 0], PHOTO.astype(np.uint16) * 257])
def test_encode_png_gives_the_bytes_of_the_same_picture(array: np.ndarray):
    data = encode_png(array, icc=grey_profile() if array.ndim == 2 else rgb_profile())
    got = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert got is not None
    assert np.array_equal(got if array.ndim == 2 else got[..., ::-1], array)
