"""Decoding by strips: the same pixels as decoding at once, in little memory, in an unnamed file if there are many."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from enhance.errors import PictureError, StorageError
from enhance.images import colour, decode, read_image, worker
from enhance.images.containers import make_chunk
from tests.unit.image_files import cmyk_profile, encode, exif_block, png, rgb_profile, tiff

PHOTO = Image.fromarray(skimage.data.astronaut()[100:161, 180:271])
CLEAR = PHOTO.copy()
CLEAR.putalpha(Image.fromarray((np.indices((61, 91)).sum(0) // 9 % 3 * 100).astype(np.uint8)))
GREY = PHOTO.convert("L")
DEEP = np.asarray(CLEAR).astype(np.uint16) * 257
KEY = make_chunk(b"tRNS", np.asarray(DEEP[30, 40, :3], ">u2").tobytes())
KINDS = {
    "jpeg": encode(PHOTO, "JPEG"),
    "grey jpeg": encode(GREY, "JPEG"),
    "cmyk jpeg": encode(PHOTO.convert("CMYK"), "JPEG", icc_profile=cmyk_profile()),
    "png": encode(PHOTO, "PNG"),
    "png with alpha": encode(CLEAR, "PNG"),
    "grey png": encode(GREY, "PNG"),
    "grey png with alpha": encode(CLEAR.convert("LA"), "PNG"),
    "grey png in colour": encode(GREY, "PNG", icc_profile=rgb_profile()),
    "png with a transparent colour": encode(PHOTO, "PNG", transparency=PHOTO.getpixel((40, 30))),
    "palette png": encode(PHOTO.quantize(40), "PNG", transparency=3),
    "bits of a png": encode(PHOTO.convert("1"), "PNG"),
    "deep png": png(DEEP[..., :3], 2),
    "deep png with alpha": png(DEEP, 6),
    "deep grey png with alpha": png(DEEP[..., [0, 3]], 4),
    "deep png with a transparent colour": png(DEEP[..., :3], 2, before_pixels=KEY),
    "webp": encode(CLEAR, "WEBP"),
    "avif": encode(CLEAR, "AVIF"),
    "gif": encode(PHOTO, "GIF"),
    "bmp": encode(PHOTO, "BMP"),
    "tiff": encode(CLEAR, "TIFF", compression="tiff_lzw"),
    "cmyk tiff": encode(PHOTO.convert("CMYK"), "TIFF"),
    "deep tiff": tiff(DEEP, 2, extra_sample=1),
    "tiff of floats": tiff((DEEP[..., :3] / 65535).astype(np.float32), 2),
}
TURNED = {
    f"{kind} turned {turn}": data
    for turn in (3, 6, 7)
    for kind, data in (
        ("jpeg", encode(PHOTO, "JPEG", exif=b"Exif\0\0" + exif_block(turn))),
        ("png", encode(CLEAR, "PNG", exif=b"Exif\0\0" + exif_block(turn))),
        ("deep png", png(DEEP, 6, before_pixels=make_chunk(b"eXIf", exif_block(turn)))),
        ("deep tiff", tiff(DEEP, 2, orientation=turn)),
    )
}


def strips_of(path: Path) -> list[np.ndarray]:
    return list(decode.decode(path, 1_000_000, None, lambda need: None))[1:]


@pytest.mark.parametrize("kind", KINDS | TURNED)
def test_strips_of_any_height_join_to_the_same_pixels(tmp_path: Path, monkeypatch, kind: str):
    path = tmp_path / "image"
    path.write_bytes((KINDS | TURNED)[kind])
    (whole,) = strips_of(path)

    for rows in (1, 7):
        monkeypatch.setattr(decode, "_STRIP_PIXELS", rows * whole.shape[1])
        monkeypatch.setattr(decode, "BLOCK", rows)  # of images with alpha,
        monkeypatch.setattr(decode, "fill_transparent", lambda strips: strips)  # reads beyond the strip
        strips = strips_of(path)
        assert {len(strip) for strip in strips[:-1]} == {rows}
        seen = whole[..., -1:] > 0 if whole.shape[2] == 4 else True
        assert np.array_equal(np.concatenate(strips) * seen, whole * seen)


def test_transparent_pixels_are_filled_equally_in_blocks_and_at_once(monkeypatch):
    monkeypatch.setattr(colour, "BLOCK", 4)
    random = np.random.default_rng(5)
    image = random.integers(1, 256, (50, 9, 4), dtype=np.uint8)
    image[..., 3] *= random.random((50, 9)) < 0.2
    blocks = [image[top : top + 4].copy() for top in range(0, 50, 4)]

    joined = np.concatenate(list(colour.fill_transparent(blocks)))

    for top in range(0, 50, 8):
        window = image[max(0, top - 4) : top + 12].copy()
        colour._fill_rows(window, min(top, 4), min(top, 4) + 8)
        assert np.array_equal(joined[top : top + 8], window[min(top, 4) :][:8])
    assert (joined[..., 3] == image[..., 3]).all()


def test_large_image_is_in_an_unnamed_file(tmp_path: Path, monkeypatch):
    path, folder = tmp_path / "photo.png", tmp_path / "room"
    CLEAR.save(path)
    small = read_image(path)
    monkeypatch.setattr(worker, "IN_MEMORY", 1000)

    image = read_image(path, folder=folder)

    assert np.array_equal(image.rgb, small.rgb)
    assert np.array_equal(image.alpha, small.alpha)  # type: ignore[arg-type]
    assert list(folder.iterdir()) == []
    if sys.platform == "linux":
        assert mapped_from(folder) == 2
        image.rgb[0] = 1  # The mapping is private, so the disk does not change.
        del image
        gc.collect()
        assert mapped_from(folder) == 0


def mapped_from(folder: Path) -> int:
    return sum(str(folder) in line for line in Path("/proc/self/maps").read_text().splitlines())


def test_full_disk_is_one_error_and_the_next_image_is_read(tmp_path: Path, monkeypatch):
    path = tmp_path / "photo.png"
    PHOTO.save(path)
    monkeypatch.setattr(worker, "IN_MEMORY", 1000)

    def full(file: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="Not enough disk space") as caught:
        read_image(path, folder=tmp_path)
    assert caught.value.key == "disk_full"
    monkeypatch.setattr(worker, "IN_MEMORY", 1 << 20)
    assert read_image(path, folder=tmp_path).width == 91


def test_disk_space_is_checked_before_writing(tmp_path: Path, monkeypatch):
    path = tmp_path / "photo.png"
    PHOTO.save(path)
    monkeypatch.setattr(worker, "IN_MEMORY", 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 9}))

    with pytest.raises(StorageError, match="Free up space or choose another folder"):
        read_image(path, folder=tmp_path)


def test_damage_after_the_first_strip_is_one_error_and_the_next_image_is_read(tmp_path: Path):
    noise = np.random.default_rng(1).integers(0, 256, (1400, 1000, 3), dtype=np.uint8)
    data = png(noise, 2)
    start = data.index(b"IDAT") + 4
    cut = data[: start - 8] + make_chunk(b"IDAT", data[start : len(data) - 400_000]) + make_chunk(b"IEND", b"")
    (tmp_path / "cut.png").write_bytes(cut)
    (tmp_path / "good.png").write_bytes(data)

    with pytest.raises(PictureError) as caught:
        read_image(tmp_path / "cut.png")
    assert caught.value.key == "image_incomplete"
    assert np.array_equal(read_image(tmp_path / "good.png").rgb, noise)


PEAK = """
import re, sys
from pathlib import Path
from enhance.images.decode import decode

def peak_after(path):
    for _ in decode(Path(path), 400_000_000, None, lambda need: None):
        pass
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

before = peak_after(sys.argv[1])
print(1024 * (peak_after(sys.argv[2]) - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux provides the peak")
@pytest.mark.parametrize(("name", "bytes_of_a_pixel"), [("large.png", 4), ("large.jpg", 4)])
def test_worker_never_holds_the_whole_image_in_its_final_form(tmp_path: Path, name: str, bytes_of_a_pixel: int):
    small, large = tmp_path / f"small{Path(name).suffix}", tmp_path / name
    Image.new("RGB", (1000, 1000), (9, 99, 200)).save(small)
    Image.new("RGB", (6000, 4000), (9, 99, 200)).save(large)

    done = subprocess.run([sys.executable, "-c", PEAK, small, large], capture_output=True, text=True, check=True)

    assert int(done.stdout) < 24_000_000 * bytes_of_a_pixel + 48_000_000


def test_a_file_whose_header_or_content_changes_while_it_is_read_is_rejected(tmp_path: Path):
    path, start, other = tmp_path / "image", TURNED["jpeg turned 3"], TURNED["jpeg turned 6"]
    for during_header, during_pixels in ((other, other), (start, other), (start, start[:-2]), (start + b"more", start)):
        path.write_bytes(start)

        def begin(_: decode.DecodeBudget, data: bytes = during_header) -> None:
            path.write_bytes(data)

        decoded = decode.decode(path, 1_000_000, None, begin)
        next(decoded)
        path.write_bytes(during_pixels)
        with pytest.raises(PictureError, match="damaged"):
            list(decoded)
