"""Malicious files cause one error message, and the next image is decoded."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import skimage.data
from PIL import Image

from enhance.errors import PictureError
from enhance.images import end_idle_workers, inspect, read_image, worker
from enhance.images.worker import Workers
from tests.unit.image_files import COMPRESSION, encode, tiff, with_tags

PHOTO = Image.fromarray(skimage.data.astronaut()[100:164, 180:276])
SPECK = PHOTO.resize((4, 4))
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
    path = tmp_path / "small.png"
    PHOTO.save(path)
    return path


@pytest.fixture
def faulty(monkeypatch) -> Iterator[Workers]:
    """A worker with a short time limit, which hangs, crashes or uses too much memory for images of that name."""
    monkeypatch.setattr(worker, "_HEADER_SECONDS", 1)
    workers = Workers(1, FAULTY_WORKER)
    monkeypatch.setattr(worker, "WORKERS", workers)
    yield workers
    workers.end_idle()


def write_file(tmp_path: Path, data: bytes, name: str = "photo.jpg") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def error_of(path: Path) -> str:
    """Return the key of the error message."""
    with pytest.raises(PictureError) as caught:
        read_image(path)
    assert str(caught.value).startswith(path.name)
    return caught.value.key


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def large_jpeg() -> bytes:
    """Return a JPEG of a few bytes that declares 9999 x 9999 px."""
    data = bytearray(encode(PHOTO.resize((16, 16)), "JPEG", quality=1))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 9999, 9999)
    return bytes(data)


def scans_of(count: int) -> bytes:
    data = encode(PHOTO, "JPEG", progressive=True)
    first = data.rindex(b"\xff\xda")
    return data[:first] + data[first:-2] * count + b"\xff\xd9"


def memory() -> int:
    return sum(one.memory_info().rss for one in [psutil.Process(), *children()])


def test_oversized_declared_size_takes_no_memory(tmp_path: Path, small: Path):
    path, most = write_file(tmp_path, large_jpeg()), []
    read_image(small)
    before, done = memory(), threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            most.append(memory())

    with ThreadPoolExecutor(1) as thread:
        thread.submit(watch)
        for _ in range(10):
            assert error_of(path) == "image_too_few_bytes"
            with pytest.raises(PictureError, match="cannot contain 9,999 × 9,999 px"):
                inspect(path)
        done.set()
    assert max(most) < before + 30_000_000


@pytest.mark.parametrize(
    "data",
    [
        encode(SPECK, "GIF")[:6] + struct.pack("<HH", 9999, 9999) + encode(SPECK, "GIF")[10:],
        with_tags(tiff(np.zeros((1, 1, 3), np.uint8)), {256: 9999, 257: 9999}),
        with_tags(tiff(np.zeros((1, 1, 3), np.uint16)), {256: 9999, 257: 9999, COMPRESSION: 5}),
    ],
    ids=["GIF", "TIFF", "TIFF LZW"],
)
def test_too_few_bytes_are_detected_in_the_header(tmp_path: Path, data: bytes):
    assert error_of(write_file(tmp_path, data)) == "image_too_few_bytes"


def test_the_smallest_real_files_are_read(tmp_path: Path):
    flat = Image.new("L", (1500, 1500), 128)
    for kind, options in (
        ("JPEG", {"quality": 1, "optimize": True}),
        ("JPEG", {"quality": 1, "progressive": True}),
        ("GIF", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("PNG", {}),
    ):
        assert read_image(write_file(tmp_path, encode(flat, kind, **options))).width == 1500


def test_jpeg_with_many_scans_is_rejected(tmp_path: Path):
    assert error_of(write_file(tmp_path, scans_of(10_000))) == "image_many_scans"
    assert read_image(write_file(tmp_path, scans_of(80))).width == 96


@pytest.mark.parametrize("fill", [b"\xff", b"\0", b"\xff\xe5\0\2"])
def test_padded_jpeg_is_rejected(tmp_path: Path, fill: bytes):
    data = encode(PHOTO, "JPEG")
    after_first = 2 + 2 + int.from_bytes(data[4:6], "big")
    start, rest = data[:after_first], data[after_first:]
    assert error_of(write_file(tmp_path, start + fill * (20_000_000 // len(fill)) + rest)) == "image_padding"
    assert read_image(write_file(tmp_path, start + fill * 1000 + rest)).width == 96


def test_data_after_a_jpeg_does_not_count_as_scans(tmp_path: Path):
    data = encode(PHOTO, "JPEG", progressive=True) + b"\xff\xda\0\2" * 500
    assert read_image(write_file(tmp_path, data)).width == 96


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *((f"{fault}.png", "image_too_slow") for fault in ("hangs", "stalls")),
        ("crashes.png", "image_damaged"),
        *(pytest.param(f"{fault}.png", "image_too_much_memory", marks=LINUX) for fault in ("swells", "bloats")),
    ],
)
def test_a_decoder_that_fails_is_ended_with_one_error(tmp_path: Path, small: Path, faulty: Workers, name, key):
    assert error_of(write_file(tmp_path, small.read_bytes(), name)) == key
    assert read_image(small).width == 96


def test_killed_idle_worker_is_replaced(small: Path, faulty: Workers):
    assert read_image(small).width == 96
    faulty._idle[0].process.kill()
    faulty._idle[0].process.wait()
    assert read_image(small).width == 96


@pytest.mark.skipif(sys.platform == "win32", reason="a signal of POSIX")
def test_an_interrupt_does_not_end_a_worker(small: Path, faulty: Workers):
    assert read_image(small).width == 96
    process = faulty._idle[0].process
    process.send_signal(signal.SIGINT)
    assert read_image(small).width == 96
    assert faulty._idle[0].process is process


def test_image_larger_than_free_memory_is_rejected(small: Path, monkeypatch):
    monkeypatch.setattr(worker, "free_memory", lambda: 1000)
    assert error_of(small) == "image_memory_short"
    monkeypatch.undo()
    assert read_image(small).width == 96


def test_container_limit_counts_file_caches_as_free(tmp_path: Path):
    (tmp_path / "memory.stat").write_text("anon 700\ninactive_file 300\n")
    (tmp_path / "memory.current").write_text("1000\n")
    cgroup = (tmp_path, "memory.max", "memory.current", "inactive_file")
    (tmp_path / "memory.max").write_text("max\n")
    assert worker._free_in_container(cgroup) is None
    (tmp_path / "memory.max").write_text("1500\n")
    assert worker._free_in_container(cgroup) == 800
    assert worker.free_memory() > 0


def test_images_wait_for_memory(small: Path, monkeypatch):
    monkeypatch.setattr(worker, "free_memory", lambda: 64 * 96 * 20)  # enough for one at a time
    with ThreadPoolExecutor(8) as threads:
        assert [image.width for image in threads.map(read_image, [small] * 8)] == [96] * 8


def test_worker_that_does_not_start_is_one_error(small: Path, monkeypatch):
    monkeypatch.setattr(worker, "WORKERS", Workers(1, "raise SystemExit"))
    assert error_of(small) == "image_no_reader"


def test_all_idle_workers_except_one_are_ended(small: Path, monkeypatch):
    workers, message = Workers(3), ("decode", small, None, None)
    monkeypatch.setattr(worker, "WORKERS", workers)
    before, waiting, exchange = len(children()), threading.Barrier(3), workers._exchange

    def together(*given):
        waiting.wait(60)
        return exchange(*given)

    monkeypatch.setattr(workers, "_exchange", together)
    with ThreadPoolExecutor(3) as threads:
        for _ in range(3):
            threads.submit(workers.request, *message)
    monkeypatch.setattr(workers, "_exchange", exchange)

    end_idle_workers()
    assert len(children()) == before + 3, "workers that were just used are kept"
    monkeypatch.setattr(worker, "_IDLE_SECONDS", 0)
    end_idle_workers()
    assert len(children()) == before + 1
    assert read_image(small).width == PHOTO.width
    workers.end_idle()


def test_concurrent_reads_return_their_own_pixels(tmp_path: Path):
    images = [Image.new("RGB", (300, 200 + shade), (shade,) * 3) for shade in range(8)]
    paths = [write_file(tmp_path, encode(image, "PNG"), f"{image.height}.png") for image in images]

    with ThreadPoolExecutor(8) as threads:
        found = [*threads.map(read_image, paths * 5)]

    for image, expected in zip(found, images * 5, strict=True):
        assert np.array_equal(image.rgb, np.asarray(expected))


def test_worker_does_not_import_torch(small: Path):
    read_image(small)
    of_workers = [Path(f"/proc/{one.pid}/maps") for one in children() if worker.PROGRAM in one.cmdline()]
    texts = [maps.read_text() for maps in of_workers if maps.exists()]
    assert texts
    assert not any("libtorch" in text for text in texts)


def test_workers_end_with_the_parent(tmp_path: Path, small: Path):
    hanging = write_file(tmp_path, small.read_bytes(), "hangs.png")
    program = (
        "import sys, threading, psutil, time\nfrom enhance.images import worker\n"
        f"workers = worker.Workers(2, {FAULTY_WORKER!r})\nfrom pathlib import Path\n"
        "hanging = 'decode', Path(sys.argv[1]), None, None\n"
        "threading.Thread(target=workers.request, args=hanging, daemon=True).start()\n"
        "workers.request('decode', Path(sys.argv[2]), None, None)\n"
        "print(*[one.pid for one in psutil.Process().children()], flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, hanging, small], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=5)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_a_script_without_a_main_guard_runs_once_and_leaves_nothing(tmp_path: Path, small: Path):
    script = tmp_path / "script.py"
    script.write_text("import sys\nfrom enhance.images import read_image\nprint(read_image(sys.argv[1]).width)\n")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    before = set(os.listdir("/dev/shm")) if Path("/dev/shm").exists() else set()  # noqa: PTH208
    command = [sys.executable, "-W", "error", script, small]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "96\n", "")
    assert not before or set(os.listdir("/dev/shm")) <= before  # noqa: PTH208
