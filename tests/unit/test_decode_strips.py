"""Decoding by strips needs little memory. The pixels of a large image are in an unnamed file."""

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
from enhance.images import decode, read_image, worker
from enhance.images.containers import make_chunk
from tests.unit.image_files import encode, exif_block, png

PHOTO = Image.fromarray(skimage.data.astronaut()[100:161, 180:271])


@pytest.fixture
def large(tmp_path: Path, monkeypatch) -> Path:
    """A photo with transparency that is too large for memory."""
    photo = PHOTO.copy()
    photo.putalpha(Image.fromarray(np.asarray(PHOTO.convert("L")) | 1))
    photo.save(tmp_path / "photo.png")
    monkeypatch.setattr(worker, "IN_MEMORY", 1000)
    return tmp_path / "photo.png"


def test_large_image_is_in_an_unnamed_file(large: Path, tmp_path: Path):
    folder, expected = tmp_path / "room", np.asarray(Image.open(large))
    image = read_image(large, folder=folder)

    assert np.array_equal(image.rows(0, image.height), expected)
    assert list(folder.iterdir()) == []
    if sys.platform == "linux":
        assert mapped_from(folder) == 2
        image.rgb[0] = 1  # The mapping is private, so the disk does not change.
        del image
        gc.collect()
        assert mapped_from(folder) == 0


def mapped_from(folder: Path) -> int:
    return sum(str(folder) in line for line in Path("/proc/self/maps").read_text().splitlines())


def test_full_disk_is_one_error_and_the_next_image_is_read(large: Path, tmp_path: Path, monkeypatch):
    def full(file: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as changed:
        changed.setattr(os, "posix_fallocate", full)
        with pytest.raises(StorageError) as caught:
            read_image(large, folder=tmp_path)
    assert caught.value.key == "disk_full"
    assert read_image(large, folder=tmp_path).width == 91
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 9}))
    with pytest.raises(StorageError, match="Free up space or choose another folder"):
        read_image(large, folder=tmp_path)


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
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_worker_never_holds_the_whole_image_in_its_final_form(tmp_path: Path, ending: str):
    small, large = tmp_path / f"small.{ending}", tmp_path / f"large.{ending}"
    Image.new("RGB", (1000, 1000), (9, 99, 200)).save(small)
    Image.new("RGB", (6000, 4000), (9, 99, 200)).save(large, compress_level=1)

    done = subprocess.run([sys.executable, "-c", PEAK, small, large], capture_output=True, text=True, check=True)

    assert int(done.stdout) < 24_000_000 * 4 + 48_000_000


def test_a_file_whose_header_or_content_changes_while_it_is_read_is_rejected(tmp_path: Path):
    start, other = (encode(PHOTO, "JPEG", exif=b"Exif\0\0" + exif_block(turn)) for turn in (3, 6))
    path = tmp_path / "image"
    for during_header, during_pixels in ((other, other), (start, other), (start, start[:-2]), (start + b"more", start)):
        path.write_bytes(start)

        def begin(_: decode.DecodeBudget, data: bytes = during_header) -> None:
            path.write_bytes(data)

        decoded = decode.decode(path, 1_000_000, None, begin)
        next(decoded)
        path.write_bytes(during_pixels)
        with pytest.raises(PictureError, match="damaged"):
            list(decoded)
