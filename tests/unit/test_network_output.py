"""The network's output between network and PNG."""

import errno
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

from enhance.engine.device import PRECISIONS
from enhance.engine.engine import Engine
from enhance.engine.raw_store import NetworkOutput, OutputShape
from enhance.engine.steps import SMALLEST_STRIP
from enhance.engine.stream import Stream
from enhance.errors import Cancelled, StorageError
from enhance.files import AtomicFile
from enhance.models import graph_of
from enhance.models.memory import divide_to_fit, longest_part, stream_bytes, weight_bytes
from enhance.models.networks.srvgg import srvgg
from enhance.scheduler import SCHEDULER, Ticket
from tests.user_models import add_models

FAST, X4PLUS = "realesr-animevideov3", "realesrgan-x4plus"


def create_output(dtype, columns: bool, path: Path | None = None) -> NetworkOutput:
    return NetworkOutput.create(OutputShape(17, 23, np.dtype(dtype).name, columns), path=path)


def fill_output(output: NetworkOutput, image: np.ndarray) -> NetworkOutput:
    length = image.shape[1 if output.shape.columns else 0]
    for first in range(0, length, 5):
        last = min(first + 5, length)
        output.add(image[:, first:last] if output.shape.columns else image[first:last])
    return output


@pytest.fixture(params=[np.uint8, np.uint16], ids=["8 bit", "16 bit"])
def image(request) -> np.ndarray:
    return np.random.default_rng(1).integers(0, np.iinfo(request.param).max, (17, 23, 3), request.param)


@pytest.mark.parametrize("columns", [False, True], ids=["down", "across"])
@pytest.mark.parametrize("place", ["memory", "file", "kept"])
def test_rows_have_the_pixels_of_the_strips(image, columns, place, tmp_path, monkeypatch):
    if place == "file":
        monkeypatch.setattr("enhance.engine.raw_store.IN_MEMORY", 0)
    path = tmp_path / "output.raw" if place == "kept" else None

    with fill_output(create_output(image.dtype, columns, path), image) as output:
        assert np.array_equal(output.rows(0, 17), image)
        assert np.array_equal(output.rows(4, 12), image[4:12])
        assert np.array_equal(output.rows(16, 17), image[16:])


@pytest.mark.parametrize("columns", [False, True], ids=["down", "across"])
def test_a_stored_output_can_be_opened(image, columns, tmp_path):
    path = tmp_path / "output.raw"
    with fill_output(create_output(image.dtype, columns, path), image) as output:
        output.keep()

    with NetworkOutput.open(path) as again:
        assert np.array_equal(again.rows(3, 15), image[3:15])


def test_an_output_that_is_not_stored_leaves_no_file(image, tmp_path):
    with fill_output(create_output(image.dtype, False, tmp_path / "output.raw"), image):
        assert not (tmp_path / "output.raw").exists()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("piece", [slice(0, -30), slice(0, 0), slice(40, None)], ids=["end", "all", "start"])
def test_an_incomplete_file_is_an_error(image, tmp_path, piece):
    path = tmp_path / "output.raw"
    with fill_output(create_output(image.dtype, False, path), image) as output:
        output.keep()
    path.write_bytes(path.read_bytes()[piece])

    with pytest.raises(StorageError, match="Process the image again"):
        NetworkOutput.open(path)


def test_a_full_disk_is_an_error():
    with create_output(np.uint8, False) as output, Path("/dev/full").open("wb", buffering=0) as full:
        output._file = full
        with pytest.raises(StorageError, match="Not enough disk space"):
            output.add(np.zeros((5, 23, 3), np.uint8))


@pytest.fixture
def no_temporary_files(monkeypatch):
    """Let the disk of the system's temporary folder be full."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    monkeypatch.setattr("enhance.engine.raw_store.IN_MEMORY", 0)


def test_a_stored_output_needs_no_more_disk_space_to_be_opened(image, tmp_path, no_temporary_files):
    path = tmp_path / "output.raw"
    with fill_output(create_output(image.dtype, False, path), image) as output:
        output.keep()
        assert np.array_equal(output.rows(2, 9), image[2:9])
    before = list(tmp_path.iterdir())

    with NetworkOutput.open(path) as again:
        assert np.array_equal(again.rows(0, 17), image)
        assert list(tmp_path.iterdir()) == before


def test_a_large_output_without_disk_space_is_an_error(no_temporary_files):
    with pytest.raises(StorageError, match="Not enough disk space"):
        create_output(np.uint8, False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_that_is_full_at_the_end_leaves_no_file(image, tmp_path, monkeypatch):
    opened = AtomicFile.open

    def on_a_full_disk(part, mode):
        opened(part, mode).close()
        return Path("/dev/full").open("r+b")

    monkeypatch.setattr(AtomicFile, "open", on_a_full_disk)

    def fill() -> None:
        with create_output(image.dtype, False, tmp_path / "output.raw") as output:
            fill_output(output, image)

    with pytest.raises(StorageError, match="Not enough disk space"):
        fill()
    assert list(tmp_path.iterdir()) == []


PARTS = {"portrait": (190, 120), "landscape": (120, 190), "square": (130, 130)}


def bytes_needed(model: str, dtype: torch.dtype, across: int) -> int:
    """Return the bytes needed to stream an image of this width on two cores."""
    return stream_bytes(graph_of(model), across, SMALLEST_STRIP, dtype.itemsize, strips=2)


def limit_memory(engine: Engine, model: str, across: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit the memory to a stream of at most `across` pixels in width."""
    room = bytes_needed(model, PRECISIONS[engine.precision(8, model)], across)
    monkeypatch.setattr("enhance.engine.engine._STREAM_BYTES", room)
    monkeypatch.setattr("enhance.engine.engine._ALWAYS_FITS", across)


@pytest.mark.parametrize("size", PARTS)
@pytest.mark.parametrize(
    ("model", "dtype", "precision"), [("realesr-animevideov3", np.uint8, "bf16"), ("span-x4", np.uint16, "fp32")]
)
def test_parts_of_a_wide_image_join_to_the_output_of_one_run(size, model, dtype, precision, tmp_path, monkeypatch):
    height, width = PARTS[size]
    photo = skimage.data.astronaut()[:height, 180 : 180 + width]
    rgb = photo.astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    engine, reports = Engine("cpu", precision), list[tuple[int, int, float | None]]()
    across, plain = width <= height, engine.enlarge(rgb, model)
    with monkeypatch.context() as patch:
        patch.setattr("enhance.engine.engine.streams_columns", lambda *_: across)
        whole = np.concatenate([*engine.stream(rgb, model)], axis=int(across))
    widths = streams(monkeypatch)
    limit_memory(engine, model, 110, monkeypatch)
    monkeypatch.setattr("enhance.engine.raw_store.IN_MEMORY", 0)

    joined = engine.enlarge(rgb, model, folder=tmp_path, progress=lambda *report: reports.append(report))

    apart = np.abs(joined.astype(int) - whole)
    assert len(widths) > 1
    assert max(widths) <= 110
    assert apart.max() <= 1  # of 65535 that is 1.5e-5
    assert np.mean(apart > 0) < 0.01
    assert np.abs(joined.astype(int) - plain).max() <= (2 if dtype == np.uint8 else 20)
    assert [done for done, *_ in reports] == sorted(done for done, *_ in reports)
    assert reports[-1][:2] == (max(PARTS[size]), max(PARTS[size]))


@pytest.mark.parametrize(
    ("kind", "size"),
    [("esrgan-unshuffle-2", (301, 240)), ("esrgan-unshuffle-grey", (241, 300)), ("compact-3x", (301, 240))],
)
def test_parts_join_for_every_grid_and_scale(own_models, kind, size, monkeypatch):
    rgb, engine = skimage.data.astronaut()[: size[0], : size[1]], Engine("cpu", "fp32")
    plain, widths, graph = engine.enlarge(rgb, kind), streams(monkeypatch), graph_of(kind)
    folded = 239 // graph.unshuffle
    monkeypatch.setattr("enhance.engine.engine._STREAM_BYTES", stream_bytes(graph, folded, SMALLEST_STRIP, 4, 2))
    monkeypatch.setattr("enhance.engine.engine._ALWAYS_FITS", 0)

    joined = engine.enlarge(rgb, kind)

    assert len(widths) > 1
    assert joined.shape == (*(graph.scale * side for side in size), 3)
    assert np.abs(joined.astype(int) - plain).max() <= 1


@pytest.fixture(scope="module")
def own_models():
    with add_models("esrgan-unshuffle-2", "esrgan-unshuffle-grey", "compact-3x"):
        yield


def test_an_image_in_parts_is_rejected_early_if_the_disk_is_full(tmp_path, monkeypatch):
    engine, rgb = Engine("cpu"), skimage.data.astronaut()[:130, :130]
    limit_memory(engine, FAST, 110, monkeypatch)
    monkeypatch.setattr("enhance.engine.raw_store.IN_MEMORY", 0)
    whole, part = 16 * rgb.nbytes, 16 * 65 * 130 * 3
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": whole + part - 1}))
    widths = streams(monkeypatch)

    with pytest.raises(StorageError, match=r"1\.2 MB .* 1\.2 MB"):
        engine.enlarge(rgb, FAST, folder=tmp_path)

    assert widths == []


def test_an_image_in_parts_can_be_cancelled_in_each_part(tmp_path, monkeypatch):
    engine, rgb, stop = Engine("cpu"), skimage.data.astronaut()[:130, :130], threading.Event()
    limit_memory(engine, FAST, 110, monkeypatch)
    monkeypatch.setattr("enhance.engine.steps._STEP_WORK", 1e9)
    widths, strips = streams(monkeypatch), []

    def stop_in_the_second(*_):
        if len(widths) == 2:
            stop.set()

    with pytest.raises(Cancelled):
        strips.extend(engine.stream(rgb, FAST, progress=stop_in_the_second, ticket=Ticket(stop=stop), folder=tmp_path))

    assert sum(map(len, strips)) == 4 * 65
    assert engine.enlarge(rgb[:40, :40], FAST).shape == (160, 160, 3)


def test_an_abandoned_image_in_parts_closes_its_files(tmp_path, monkeypatch):
    engine, rgb = Engine("cpu"), skimage.data.astronaut()[:130, :130]
    limit_memory(engine, FAST, 110, monkeypatch)
    monkeypatch.setattr("enhance.engine.raw_store.IN_MEMORY", 0)
    monkeypatch.setattr("enhance.engine.raw_store._BLOCK_BYTES", 10_000)
    files, opened = [], tempfile.TemporaryFile

    def recorded(**options):
        assert options == {"dir": tmp_path}
        files.append(opened(**options))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", recorded)
    strips = engine.stream(rgb, FAST, folder=tmp_path)
    next(strips)
    assert [file.closed for file in files] == [False]

    strips.close()

    assert [file.closed for file in files] == [True]
    assert SCHEDULER.count() == 0


def test_the_free_memory_of_a_gpu_determines_the_parts(monkeypatch):
    engine = Engine("cpu", "bf16")
    monkeypatch.setattr("enhance.engine.engine.free_memory", lambda device: 600e6)

    assert engine._cuts(X4PLUS, torch.bfloat16, 4000, 3000, begins=True) == []
    engine.device = torch.device("cuda")
    assert engine._cuts(X4PLUS, torch.float16, 4000, 3000) == [], "an estimate does not query the GPU"
    cuts = engine._cuts(X4PLUS, torch.float16, 4000, 3000, begins=True)
    assert bytes_needed(X4PLUS, torch.float16, longest_part(cuts)) < 600e6 < bytes_needed(X4PLUS, torch.float16, 3000)


@pytest.mark.parametrize(("height", "width", "bits"), [(10_000, 10_000, 8), (10_000, 10_000, 16), (12_000, 8_000, 8)])
def test_the_largest_network_needs_at_most_3_gb(height, width, bits):
    other_bytes = 1e9  # for libraries, image and buffers, as measured at 10,000 x 10,000
    engine = Engine("cpu")
    dtype = PRECISIONS[engine.precision(bits, X4PLUS)]
    across = longest_part(engine._cuts(X4PLUS, dtype, max(height, width), min(height, width)))
    weights = weight_bytes(graph_of(X4PLUS), dtype.itemsize)
    assert bytes_needed(X4PLUS, dtype, across) + weights + other_bytes < 3e9


@pytest.mark.parametrize(
    ("rows", "across", "room", "heights"),
    [
        (900, 600, 600, []),  # fits as a whole
        (900, 600, 500, [450, 450]),  # Each part depends on 18 rows of the other.
        (900, 600, 467, [300, 300, 300]),
        (900, 600, 1, [36] * 25),  # Nothing fits, so the parts are the smallest.
        (30, 600, 500, [30]),
        (700, 600, 599, [350, 350]),
        (70, 60, 1, []),  # A part would not be narrower.
    ],
)
def test_an_image_is_cut_into_the_fewest_parts_that_fit(rows, across, room, heights):
    cuts = divide_to_fit(srvgg(16), rows, across, lambda width: width, room)
    assert [last - first for first, last, *_ in cuts] == heights


def streams(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the widths of all streams from now on."""
    widths, begin = list[int](), Stream.__init__

    def begun(self, graph, height, width, read, **options):
        widths.append(width)
        begin(self, graph, height, width, read, **options)

    monkeypatch.setattr(Stream, "__init__", begun)
    monkeypatch.setattr("enhance.engine.estimates.time_strip", lambda *_: 1e-6)  # The timing would add a stream.
    return widths
