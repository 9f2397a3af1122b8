"""Networks with barriers: streamed in phases, with stored feature maps."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from enhance import Settings
from enhance.engine.engine import Engine
from enhance.engine.kernels import ImageRows, prepare
from enhance.engine.phased_stream import PhasedStream, RowStatistics
from enhance.errors import Cancelled, StorageError
from enhance.jobs.scheduler import Job
from enhance.models.networks import plksr, realcugan
from enhance.models.user_models import add
from enhance.size import Size
from tests.conftest import apart
from tests.unit.hub_server import limit_file_size
from tests.user_models import random_network, random_tensors, save_model

KIND = "real-plksr-2x"
PLKSR, _ = plksr.convert(random_network(KIND))
CUGAN_2X, _ = realcugan.convert(random_network("real-cugan-2x"))
CUGAN_3X, _ = realcugan.convert(random_network("real-cugan-3x"))
CPU = torch.device("cpu")
BLACK = np.zeros((300, 60, 3), np.uint8)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """A weights folder with a network that has two barriers."""
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "weights"))
    add(save_model(KIND, tmp_path / "model.pth"), KIND, tmp_path / "weights")
    return tmp_path / "weights"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for feature maps, which are all stored on disk."""
    monkeypatch.setattr("enhance.images.worker.PIXELS_IN_MEMORY", 0)
    (tmp_path / "maps").mkdir()
    return tmp_path / "maps"


def stream(image, graph, rows, threads=1, folder=None):
    kernels = prepare(graph, random_tensors(graph.shapes()), CPU, torch.float32, transposed=False)
    size = Size.of_shape(image.shape)
    image_rows = ImageRows(graph, size, lambda first, last: image[first:last])
    run = PhasedStream(image_rows, torch.float32, folder=folder)
    strips = []
    while not run.finished:
        strips.append(run.step(kernels, rows, strips=threads))
    return torch.cat([strip for strip in strips if strip.numel()])


def stored_files(folder):
    """Return the files in a folder, and those without a name that this process has mapped."""
    gc.collect()
    mapped = Path("/proc/self/maps").read_text().splitlines()
    return [*folder.iterdir(), *(line for line in mapped if str(folder) in line)]


@pytest.mark.parametrize(
    ("graph", "scale", "size"),
    [(PLKSR, 2, (1, 9)), (PLKSR, 2, (26, 9)), (CUGAN_2X, 2, (1, 1)), (CUGAN_3X, 3, (9, 8))],
    ids=["one row", "two barriers", "one pixel", "feature maps larger than the image"],
)
def test_neither_strips_nor_threads_nor_files_change_the_output(graph, scale, size, folder):
    image = torch.rand(*size, 3, generator=torch.Generator().manual_seed(1))
    once = stream(image, graph, 64)
    assert once.shape == (scale * size[0], scale * size[1], 3)
    for rows, threads in ((1, 1), (5, 3)):
        in_memory = stream(image, graph, rows, threads)
        assert torch.equal(stream(image, graph, rows, threads, folder), in_memory)
        torch.testing.assert_close(in_memory, once, atol=1e-4, rtol=1e-4)


def test_statistics_are_exact_for_a_large_mean():
    values = 3000 + torch.randn(200, 300, 4, generator=torch.Generator().manual_seed(1))
    measured = RowStatistics(200, 4, CPU)
    for first in range(0, 200, 7):
        measured.add(first, values[first : first + 7])

    mean, variance = measured.total()[:, 0].double()
    exact = values.double()
    torch.testing.assert_close(mean, exact.mean((0, 1)), rtol=1e-6, atol=0)
    torch.testing.assert_close(variance, exact.var((0, 1), correction=0), rtol=1e-4, atol=0)


def test_a_full_disk_leaves_nothing(folder):
    with limit_file_size(0), pytest.raises(StorageError):
        Engine("cpu").enlarge(BLACK, KIND, folder=folder)
    assert stored_files(folder) == []


def test_a_cancelled_run_leaves_nothing(folder):
    """A killed process leaves nothing either, because the files have no names."""
    job = Job()
    seen = []

    def progress(*_):
        seen.append(stored_files(folder))
        job.stop.set()

    with pytest.raises(Cancelled):
        Engine("cpu").enlarge(BLACK, KIND, job=job, folder=folder, progress=progress)

    assert len(seen[0]) == 2
    assert all(line.endswith("(deleted)") for line in seen[0])
    assert stored_files(folder) == []


# --- Previews


@pytest.fixture
def image(photo, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.tile(photo, (3, 3, 1))[:200, :170]).save(path)
    return path


def test_a_preview_of_a_region_is_approximate(image, photo, enhancer):
    settings = Settings(KIND)
    region = enhancer.preview(image, settings, size=20)
    assert region.info["approximate"]
    colourful = Settings.from_preset(KIND, saturation=1.2)
    assert enhancer.retune(region, colourful).info["approximate"]
    whole = enhancer.preview(photo[:20, :30], settings, size=20)
    assert not whole.info["approximate"]


@pytest.mark.usefixtures("fresh_store")
def test_a_preview_begins_on_the_grid_of_the_network(image, enhancer, own_folder, tmp_path):
    add(save_model("esrgan-unshuffle-4", tmp_path / "model.pth"), "folded", own_folder)
    result = enhancer.run(image, Settings("folded"))
    preview = enhancer.preview(image, Settings("folded"), x=81, y=95, size=20)

    box = preview.region.box
    scale = preview.after.shape[0] // box.height
    shown = result.array[scale * box.top : scale * box.bottom, scale * box.left : scale * box.right]
    assert apart(preview.after, shown) <= 1
