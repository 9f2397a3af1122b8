"""The storage of a network's output, and images that are processed in parts to save memory."""

from __future__ import annotations

import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
from skimage import data

from enhance.engine.device import PRECISIONS
from enhance.engine.engine import Engine
from enhance.engine.kernels import ImageRows
from enhance.engine.raw_store import NetworkOutput, OutputShape
from enhance.engine.steps import SMALLEST_STRIP
from enhance.errors import Cancelled, StorageError
from enhance.jobs.scheduler import Job
from enhance.models import graph_of
from enhance.models.memory import stream_bytes
from tests.conftest import apart
from tests.unit.hub_server import limit_file_size
from tests.user_models import add_models

FAST = "realesr-animevideov3"
IMAGE = np.random.default_rng(1).integers(0, 65535, (17, 23, 3), np.uint16)


def filled_output(image=IMAGE, columns=False, path=None):
    """Return an output to which the image was added in strips."""
    height, width, _ = image.shape
    shape = OutputShape(height, width, image.dtype.name, columns)
    output = NetworkOutput.create(shape, path=path)
    for first in range(0, width if columns else height, 5):
        output.add(image[:, first : first + 5] if columns else image[first : first + 5])
    return output


@pytest.fixture
def on_disk(monkeypatch):
    """Store all outputs on disk."""
    monkeypatch.setattr("enhance.engine.raw_store.OUTPUT_IN_MEMORY", 0)


def has_rows_of(output, image):
    spans = (0, 17), (4, 12), (16, 17)
    return all(np.array_equal(output.rows(*span), image[slice(*span)]) for span in spans)


@pytest.mark.parametrize("image", [IMAGE, IMAGE.astype(np.uint8)], ids=["16 bits", "8 bits"])
@pytest.mark.parametrize("columns", [False, True], ids=["down", "across"])
def test_rows_have_the_pixels_of_the_strips(image, columns, on_disk, tmp_path, monkeypatch):
    path = tmp_path / "output.raw"
    with filled_output(image, columns=columns, path=path) as stored:
        assert has_rows_of(stored, image)
        assert not path.exists()
        stored.keep()
    with NetworkOutput.open(path) as again:
        assert has_rows_of(again, image)
    monkeypatch.setattr("enhance.engine.raw_store.OUTPUT_IN_MEMORY", 1 << 30)
    with filled_output(image, columns=columns) as in_memory:
        assert has_rows_of(in_memory, image)


def test_an_output_that_is_not_kept_leaves_no_file(tmp_path):
    with filled_output(path=tmp_path / "output.raw"):
        pass

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("piece", [slice(0, -30), slice(40, None)])
def test_an_incomplete_file_is_an_error(tmp_path, piece):
    path = tmp_path / "output.raw"
    with filled_output(path=path) as output:
        output.keep()
    path.write_bytes(path.read_bytes()[piece])

    with pytest.raises(StorageError, match="Process the image again"):
        NetworkOutput.open(path)


@pytest.mark.parametrize("rows", [10, 900], ids=["at the end", "while it is written"])
def test_a_full_disk_is_an_error_and_leaves_no_file(rows, tmp_path):
    shape = OutputShape(rows, 23, "uint8", columns=False)
    path = tmp_path / "output.raw"

    def store():
        with NetworkOutput.create(shape, path=path) as output:
            output.add(np.zeros((rows, 23, 3), np.uint8))
            output.keep()

    with limit_file_size(0), pytest.raises(StorageError):
        store()

    assert list(tmp_path.iterdir()) == []


# --- Images in parts


def limit_memory(engine, model, across, monkeypatch) -> list[int]:
    """Limit the memory to two strips of at most `across` pixels in width, and record the widths of
    all streams."""
    graph = graph_of(model)
    dtype = PRECISIONS[engine.precision(8, model)]
    width = graph.grid_length(across)
    room = stream_bytes(graph, width, SMALLEST_STRIP, dtype.itemsize, strips=2)
    monkeypatch.setattr("enhance.engine.engine._STREAM_BYTES", room)
    monkeypatch.setattr("enhance.engine.engine._ALWAYS_FITS", 0)
    # The timing would add a stream.
    monkeypatch.setattr("enhance.engine.estimates.time_strip", lambda *_: 1e-6)
    widths = []
    begin = ImageRows.__init__

    def begin_and_record(self, graph, size, *rest):
        widths.append(size.width)
        begin(self, graph, size, *rest)

    monkeypatch.setattr(ImageRows, "__init__", begin_and_record)
    return widths


@pytest.mark.parametrize("size", [(190, 120), (120, 190)], ids=["portrait", "landscape"])
@pytest.mark.parametrize(("dtype", "precision"), [(np.uint8, "bf16"), (np.uint16, "fp32")])
def test_parts_of_a_wide_image_join_to_the_output_of_one_run(
    size, dtype, precision, on_disk, tmp_path, monkeypatch
):
    levels = dtype(np.iinfo(dtype).max // 255)
    rgb = data.astronaut()[: size[0], 180 : 180 + size[1]].astype(dtype) * levels
    engine = Engine("cpu", precision)
    done = []
    across = size[1] <= size[0]
    with monkeypatch.context() as patch:
        patch.setattr("enhance.engine.engine.streams_columns", lambda *_: across)
        whole = np.concatenate([*engine.stream(rgb, FAST)], axis=int(across))
    widths = limit_memory(engine, FAST, 110, monkeypatch)

    joined = engine.enlarge(rgb, FAST, folder=tmp_path, progress=done.append)

    apart = np.abs(joined.astype(int) - whole)
    assert len(widths) > 1
    assert max(widths) <= 110
    assert apart.max() <= 1  # of 65535 that is 1.5e-5
    assert np.mean(apart > 0) < 0.01
    assert done == sorted(done)
    assert done[-1] == 1


@pytest.fixture(scope="module")
def own_models():
    with add_models("esrgan-unshuffle-2", "esrgan-unshuffle-grey", "compact-3x"):
        yield


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("esrgan-unshuffle-2", (301, 240)),
        ("esrgan-unshuffle-grey", (241, 300)),
        ("compact-3x", (101, 80)),
    ],
)
def test_parts_join_for_every_grid_and_scale(own_models, kind, size, monkeypatch):
    rgb = data.astronaut()[: size[0], : size[1]]
    engine = Engine("cpu", "fp32")
    plain = engine.enlarge(rgb, kind)
    widths = limit_memory(engine, kind, min(size) - 2, monkeypatch)

    joined = engine.enlarge(rgb, kind)

    assert len(widths) > 1
    assert apart(joined, plain) <= 1


def test_an_image_in_parts_is_rejected_early_if_the_disk_is_full(on_disk, tmp_path, monkeypatch):
    engine = Engine("cpu")
    widths = limit_memory(engine, FAST, 110, monkeypatch)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1_000_000))

    with pytest.raises(StorageError, match=r"1\.2 MB .* 1\.0 MB"):
        engine.enlarge(data.astronaut()[:130, :130], FAST, folder=tmp_path)

    assert widths == []


def test_an_image_in_parts_can_be_cancelled_in_each_part_which_closes_its_file(
    on_disk, tmp_path, monkeypatch
):
    files = []
    open_file = tempfile.TemporaryFile

    def open_and_record(**options):
        files.append(open_file(**options))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", open_and_record)
    engine = Engine("cpu")
    job = Job()
    widths = limit_memory(engine, FAST, 110, monkeypatch)

    def stop_in_the_second(*_):
        if len(widths) == 2:
            job.stop.set()

    rgb = data.astronaut()[:130, :130]
    with pytest.raises(Cancelled):
        engine.enlarge(rgb, FAST, progress=stop_in_the_second, job=job, folder=tmp_path)

    assert [file.closed for file in files] == [True, True]
