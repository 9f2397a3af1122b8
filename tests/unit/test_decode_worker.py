"""Worker processes: a file that makes one fail causes one error message, and the next image is
decoded."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import skimage.data
from PIL import Image

from enhance.errors import PictureError, StorageError
from enhance.images import decode, end_idle_workers, read_image, worker
from enhance.images.worker import Workers
from tests.unit.image_files import encode, exif_block

PHOTO = Image.fromarray(skimage.data.astronaut()[100:164, 180:276])
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the address space")

FAULTY_WORKER = """
import sys; sys.path[:] = sys.argv[1:]
import ctypes, os, time
import cv2
import numpy as np
from enhance.images import decode
usual_header, usual_pixels = decode.read_header, decode.decode_pixels
decode._SECONDS = 1

def read_header(file, **options):
    global name
    name = os.path.basename(file.name)
    if name.startswith("hangs"):
        time.sleep(600)
    return usual_header(file, **options)

def decode_pixels(header, file):
    if name.startswith("stalls"):
        time.sleep(600)
    if name.startswith("crashes"):
        ctypes.string_at(0)
    if name.startswith("swells"):
        np.ones(3 << 30, np.uint8)
    if name.startswith("bloats"):
        cv2.resize(np.zeros((9, 9), np.uint8), (60_000, 60_000))
    return usual_pixels(header, file)

decode.read_header, decode.decode_pixels = read_header, decode_pixels
decode.serve()
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A photo with transparency."""
    path, photo = tmp_path / "small.png", PHOTO.copy()
    photo.putalpha(Image.fromarray(np.asarray(PHOTO.convert("L")) | 1))
    photo.save(path)
    return path


@pytest.fixture
def faulty(monkeypatch) -> Iterator[Workers]:
    """A worker with a short time limit, which hangs, crashes or uses too much memory for images of
    that name."""
    monkeypatch.setattr(worker, "_HEADER_SECONDS", 1)
    workers = Workers(1, FAULTY_WORKER)
    monkeypatch.setattr(worker, "WORKERS", workers)
    yield workers
    workers.end_idle()


def error_of(path: Path) -> str:
    """Return the key of the error message."""
    with pytest.raises(PictureError) as caught:
        read_image(path)
    return caught.value.key


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("hangs.png", "image_too_slow"),
        ("stalls.png", "image_too_slow"),
        ("crashes.png", "image_damaged"),
        pytest.param("swells.png", "image_too_much_memory", marks=LINUX),
        pytest.param("bloats.png", "image_too_much_memory", marks=LINUX),
    ],
)
def test_a_decoder_that_fails_is_ended_with_one_error(
    small: Path, faulty: Workers, name: str, key: str
):
    path = small.with_name(name)
    path.write_bytes(small.read_bytes())
    assert error_of(path) == key
    assert read_image(small).width == 96


def test_a_killed_idle_worker_is_replaced_and_an_interrupt_ends_none(small: Path, faulty: Workers):
    before = {*children()}
    read_image(small)
    (process,) = {*children()} - before
    process.send_signal(signal.SIGINT)
    read_image(small)
    assert {*children()} - before == {process}
    process.kill()
    process.wait()
    assert read_image(small).width == 96


def test_images_wait_for_memory_and_one_that_needs_more_is_rejected(small: Path, monkeypatch):
    enough_for_one = 64 * 96 * 400
    monkeypatch.setattr(worker, "free_system_memory", lambda: enough_for_one)
    with ThreadPoolExecutor(8) as threads:
        assert [image.width for image in threads.map(read_image, [small] * 8)] == [96] * 8
    monkeypatch.setattr(worker, "free_system_memory", lambda: 1000)
    assert error_of(small) == "image_memory_short"


def test_container_limit_counts_file_caches_as_free(tmp_path: Path):
    (tmp_path / "memory.stat").write_text("anon 700\ninactive_file 300\n")
    (tmp_path / "memory.current").write_text("1000\n")
    group = worker.ControlGroup(tmp_path, "memory.max", "memory.current", "inactive_file")
    (tmp_path / "memory.max").write_text("max\n")
    assert group.free_memory() is None
    (tmp_path / "memory.max").write_text("1500\n")
    assert group.free_memory() == 800


def test_worker_that_does_not_start_is_one_error(small: Path, monkeypatch):
    monkeypatch.setattr(worker, "WORKERS", Workers(1, "raise SystemExit"))
    assert error_of(small) == "image_no_reader"


def test_concurrent_reads_return_their_own_pixels_and_idle_workers_end(tmp_path: Path, monkeypatch):
    workers, before = Workers(3), len(children())
    monkeypatch.setattr(worker, "WORKERS", workers)
    images = [Image.new("RGB", (300, 200 + shade), (shade,) * 3) for shade in range(8)]
    for image in images:
        image.save(tmp_path / f"{image.height}.png")
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda image: read_image(tmp_path / f"{image.height}.png"), images * 5)
        for image, expected in zip(found, images * 5, strict=True):
            assert np.array_equal(image.rgb, np.asarray(expected))

    started = len(children()) - before
    assert 1 <= started <= 3
    end_idle_workers()
    assert len(children()) == before + started, "workers that were just used are kept"
    monkeypatch.setattr(worker, "_IDLE_SECONDS", 0)
    end_idle_workers()
    assert len(children()) == before + 1
    workers.end_idle()


def test_worker_does_not_import_torch(small: Path):
    read_image(small)
    of_workers = [
        Path(f"/proc/{one.pid}/maps") for one in children() if worker.PROGRAM in one.cmdline()
    ]
    texts = [maps.read_text() for maps in of_workers if maps.exists()]
    assert texts
    assert not any("libtorch" in text for text in texts)


def test_workers_end_with_the_parent(small: Path):
    hanging = small.with_name("hangs.png")
    hanging.write_bytes(small.read_bytes())
    program = (
        "import sys, threading, psutil, time\nfrom enhance.images import worker\n"
        f"workers = worker.Workers(2, {FAULTY_WORKER!r})\nfrom pathlib import Path\n"
        "hanging = 'image', Path(sys.argv[1]), None, None\n"
        "threading.Thread(target=workers.request, args=hanging, daemon=True).start()\n"
        "workers.request('image', Path(sys.argv[2]), None, None)\n"
        "print(*[one.pid for one in psutil.Process().children()], flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, hanging, small], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=5
    )
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_large_image_is_in_an_unnamed_file(small: Path, tmp_path: Path, monkeypatch):
    def mappings() -> int:
        return (
            Path("/proc/self/maps").read_text().count(str(folder)) if sys.platform == "linux" else 0
        )

    monkeypatch.setattr(worker, "PIXELS_IN_MEMORY", 1000)
    folder, expected = tmp_path / "room", np.asarray(Image.open(small))
    image = read_image(small, folder=folder)
    assert np.array_equal(image.rows(0, image.height), expected)
    assert list(folder.iterdir()) == []
    assert mappings() == 2 or sys.platform != "linux"
    image.rgb[0] = 1  # The mapping is private, so the disk does not change.
    del image
    gc.collect()
    assert mappings() == 0


def test_full_disk_is_one_error_and_the_next_image_is_read(
    small: Path, tmp_path: Path, monkeypatch
):
    def full(file: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(worker, "PIXELS_IN_MEMORY", 1000)
    with monkeypatch.context() as changed:
        changed.setattr(os, "posix_fallocate", full)
        with pytest.raises(StorageError, match="Not enough disk space"):
            read_image(small, folder=tmp_path)
    assert read_image(small, folder=tmp_path).width == 96
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 9}))
    with pytest.raises(StorageError, match="Free up space or choose another folder"):
        read_image(small, folder=tmp_path)


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


@LINUX
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_worker_never_holds_the_whole_image_in_its_final_form(tmp_path: Path, ending: str):
    small, large = tmp_path / f"small.{ending}", tmp_path / f"large.{ending}"
    Image.new("RGB", (1000, 1000), (9, 99, 200)).save(small)
    Image.new("RGB", (6000, 4000), (9, 99, 200)).save(large, compress_level=1)

    done = subprocess.run(
        [sys.executable, "-c", PEAK, small, large], capture_output=True, text=True, check=True
    )

    assert int(done.stdout) < 24_000_000 * 4 + 48_000_000


def test_a_file_whose_header_or_content_changes_while_it_is_read_is_rejected(tmp_path: Path):
    start, other = (encode(PHOTO, "JPEG", exif=b"Exif\0\0" + exif_block(turn)) for turn in (3, 6))
    path = tmp_path / "image"
    for during_header, during_pixels in (
        (other, other),
        (start, other),
        (start, start[:-2]),
        (start + b"more", start),
    ):
        path.write_bytes(start)

        def begin(_: decode.DecodeBudget, data: bytes = during_header) -> None:
            path.write_bytes(data)

        decoded = decode.decode(path, 1_000_000, None, begin)
        next(decoded)
        path.write_bytes(during_pixels)
        with pytest.raises(PictureError) as error:
            list(decoded)
        assert error.value.key == "image_damaged"
