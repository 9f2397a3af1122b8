"""Worker processes: a file that makes one fail causes one error message, and the next image is
decoded."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from unittest.mock import Mock

import numpy as np
import psutil
import pytest
import skimage.data
from PIL import Image

from enhance.errors import PictureError, StorageError
from enhance.images import decode, read_image, worker
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
usual_fill = decode.fill_transparent
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

def fill_transparent(rows, height):
    return [] if name.startswith("omits") else usual_fill(rows, height)

decode.read_header, decode.decode_pixels = read_header, decode_pixels
decode.fill_transparent = fill_transparent
decode.serve()
"""


@pytest.fixture
def small(tmp_path):
    """A photo with transparency."""
    path = tmp_path / "small.png"
    photo = PHOTO.copy()
    photo.putalpha(100)
    photo.save(path)
    return path


@pytest.fixture
def start_workers(monkeypatch):
    """A function that replaces the worker processes."""
    with ExitStack() as ended:

        def start(*options):
            workers = Workers(*options)
            ended.callback(workers.end_idle)
            monkeypatch.setattr(worker, "WORKERS", workers)

        yield start


@pytest.fixture
def faulty(monkeypatch, start_workers):
    """A worker with a short time limit, which hangs, crashes or uses too much memory for images of
    that name."""
    monkeypatch.setattr(worker, "_HEADER_SECONDS", 1)
    start_workers(1, FAULTY_WORKER)


def error_of(path):
    """Return the key of the error message."""
    with pytest.raises(PictureError) as caught:
        read_image(path)
    return caught.value.key


def children():
    return {*psutil.Process().children(recursive=True)}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("hangs.png", "image_too_slow"),
        ("stalls.png", "image_too_slow"),
        ("crashes.png", "image_damaged"),
        ("omits.png", "image_damaged"),
        pytest.param("swells.png", "image_too_much_memory", marks=LINUX),
        pytest.param("bloats.png", "image_too_much_memory", marks=LINUX),
    ],
)
def test_a_decoder_that_fails_is_ended_with_one_error(small, faulty, name, key):
    path = small.with_name(name)
    path.write_bytes(small.read_bytes())
    assert error_of(path) == key
    assert read_image(small).width == 96


def test_a_killed_idle_worker_is_replaced_and_an_interrupt_ends_none(small, faulty):
    before = children()
    read_image(small)
    (process,) = children() - before
    process.send_signal(signal.SIGINT)
    read_image(small)
    assert children() - before == {process}
    process.kill()
    process.wait()
    assert read_image(small).width == 96


def test_images_wait_for_memory_and_one_that_needs_more_is_rejected(small, monkeypatch):
    enough_for_one = 64 * 96 * 400
    monkeypatch.setattr(worker, "free_system_memory", lambda: enough_for_one)
    with ThreadPoolExecutor(8) as threads:
        assert [image.width for image in threads.map(read_image, [small] * 8)] == [96] * 8
    monkeypatch.setattr(worker, "free_system_memory", lambda: 1000)
    assert error_of(small) == "image_memory_short"


def test_container_limit_counts_file_caches_as_free(tmp_path, monkeypatch):
    (tmp_path / "memory.stat").write_text("anon 700\ninactive_file 300\n")
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("1500\n")
    monkeypatch.setattr(worker, "CONTROL_GROUP", tmp_path)
    assert worker.free_system_memory() == 800


def test_worker_that_does_not_start_is_one_error(small, start_workers):
    start_workers(1, "raise SystemExit")
    assert error_of(small) == "image_no_reader"


def test_concurrent_reads_return_their_own_pixels_and_idle_workers_end(tmp_path, start_workers):
    start_workers(3)
    before = len(children())
    for shade in range(8):
        Image.new("L", (300, 200), shade).save(tmp_path / f"{shade}.png")
    shades = [*range(8)] * 5
    with ThreadPoolExecutor(8) as threads:
        images = threads.map(read_image, [tmp_path / f"{shade}.png" for shade in shades])
        for image, shade in zip(images, shades, strict=True):
            assert (image.rgb == shade).all()

    assert len(children()) <= before + 2


PARENT = f"""
import sys, threading, psutil, time
from pathlib import Path
from enhance.images import worker

workers = worker.Workers(2, {FAULTY_WORKER!r})
hanging = "image", Path(sys.argv[1]), None, None
threading.Thread(target=workers.request, args=hanging, daemon=True).start()
workers.request("image", Path(sys.argv[2]), None, None)
print(*[one.pid for one in psutil.Process().children()], flush=True)
time.sleep(60)
"""


def test_workers_end_with_the_parent(small):
    hanging = small.with_name("hangs.png")
    hanging.write_bytes(small.read_bytes())
    command = [sys.executable, "-c", PARENT, hanging, small]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        started = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(started) == 2
    _, alive = psutil.wait_procs(started, timeout=5)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_large_image_is_in_an_unnamed_file_for_which_the_disk_can_be_full(
    small, tmp_path, monkeypatch
):
    def full(file, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(worker, "PIXELS_IN_MEMORY", 1000)
    with monkeypatch.context() as changed:
        changed.setattr(os, "posix_fallocate", full)
        with pytest.raises(StorageError, match="Not enough disk space"):
            read_image(small, folder=tmp_path / "pixels")
    image = read_image(small, folder=tmp_path / "pixels")
    assert np.array_equal(image.rows(0, image.height), np.asarray(Image.open(small)))
    assert list((tmp_path / "pixels").iterdir()) == []
    image.rgb[0] = 1
    assert (image.rgb[0] == 1).all(), "pixels can be changed"


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
def test_worker_never_holds_the_whole_image_in_its_final_form(tmp_path):
    small = tmp_path / "small.jpg"
    large = tmp_path / "large.jpg"
    Image.new("RGB", (1000, 1000), (9, 99, 200)).save(small)
    Image.new("RGB", (6000, 4000), (9, 99, 200)).save(large)
    printed = subprocess.check_output([sys.executable, "-c", PEAK, small, large])
    assert int(printed) < 24_000_000 * 4 + 48_000_000


START, OTHER = (encode(PHOTO, "JPEG", exif=b"Exif\0\0" + exif_block(turn)) for turn in (3, 6))


@pytest.mark.parametrize(
    ("during_header", "during_pixels"),
    [(START, OTHER), (START, START[:-2]), (START + b"more", START)],
    ids=["pixels", "shorter", "header"],
)
def test_a_file_whose_header_or_content_changes_while_it_is_read_is_rejected(
    tmp_path, during_header, during_pixels
):
    path = tmp_path / "image"
    path.write_bytes(START)
    decoded = decode.decode(path, 1_000_000, None, lambda _: path.write_bytes(during_header))
    next(decoded)
    path.write_bytes(during_pixels)
    with pytest.raises(PictureError) as error:
        list(decoded)
    assert error.value.key == "image_damaged"


def test_an_image_is_decoded_if_memory_is_free_only_for_a_moment(monkeypatch):
    free = Mock(side_effect=[0, 100, 0])
    monkeypatch.setattr(worker, "free_system_memory", free)
    workers = Workers(2)
    budget = decode.DecodeBudget(10, 1)
    with workers._memory(budget) as is_first_enough:
        assert not is_first_enough
        with workers._memory(budget) as is_enough:
            assert is_enough
