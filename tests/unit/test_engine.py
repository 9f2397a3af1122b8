"""The engine: a lack of memory, precisions, cancelling, and one model and one thread for
all callers."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from enhance import models
from enhance.engine.device import pick_precision
from enhance.engine.engine import Engine
from enhance.engine.kernels import Convolution
from enhance.engine.steps import SMALLEST_STRIP
from enhance.errors import Cancelled, MemoryShortError, is_memory_short
from enhance.jobs.scheduler import Job
from enhance.models.networks import realcugan, shipped_graph
from tests.conftest import apart
from tests.user_models import random_network

FAST = "realesr-animevideov3"
ANIME = "realesrgan-x4plus-anime"


@pytest.fixture
def tall(photo):
    """A photo of many steps."""
    return np.tile(photo, (20, 1, 1))


# --- Memory and precision


def test_a_lack_of_memory_halves_the_strip_and_changes_no_pixel(engine, photo, monkeypatch):
    expected = engine.enlarge(photo, FAST)
    most = SMALLEST_STRIP + 2
    heights = []
    convolve = Convolution.__call__

    def short_of_memory(kernel, rows):
        heights.append(len(rows))
        if len(rows) > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return convolve(kernel, rows)

    monkeypatch.setattr(Convolution, "__call__", short_of_memory)
    assert apart(engine.enlarge(photo, FAST), expected) <= 1
    assert heights[0] > most

    most = 0
    with pytest.raises(MemoryShortError, match="Not enough memory"):
        engine.enlarge(photo, FAST)
    assert heights[-1] == 1 + 2, "the smallest strip was not tried"


def test_a_lack_of_memory_is_known_by_its_number_and_a_full_disk_is_none():
    assert is_memory_short(OSError(errno.ENOMEM, "Not enough space"))
    assert not is_memory_short(OSError(errno.ENOSPC, "There is not enough space on the disk"))


def test_an_overflow_in_fp16_is_repeated_in_fp32(engine, photo, monkeypatch):
    expected = engine.enlarge(photo[:20], FAST)
    convolve = Convolution.__call__
    overflowed = []

    def overflowing(kernel, rows):
        result = convolve(kernel, rows)
        if kernel.weight.dtype == torch.float16 and kernel.weight.shape[1] == 64:
            overflowed.append(True)
            result.fill_(float("inf"))
        return result

    monkeypatch.setattr(Convolution, "__call__", overflowing)
    result = Engine("cpu", "fp16").enlarge(photo[:20], FAST)

    assert overflowed
    assert apart(result, expected) <= 1


def test_a_network_runs_only_in_its_precisions(monkeypatch):
    cuda = torch.device("cuda")
    assert pick_precision("auto", cuda) == "fp16"
    assert pick_precision("auto", cuda, supported=("fp32", "bf16")) == "fp32"
    graph, _ = realcugan.convert(random_network("real-cugan-2x"))  # Its barriers exclude fp16.
    usual = shipped_graph(ANIME)
    monkeypatch.setattr(models, "graph_of", {FAST: graph, ANIME: usual}.__getitem__)

    engine = Engine("cpu", "fp16")
    assert engine.precision(model=FAST) == "fp32"
    assert engine.precision(model=ANIME) == "fp16"
    assert engine.precision(bits=16, model=ANIME) == "fp32"


# --- Steps


def test_a_preview_runs_between_the_steps_of_a_run(engine, tall):
    previews = []
    ended_first = []

    def progress(share):
        if not previews:
            job = Job("preview")
            previews.append(pool.submit(engine.enlarge, tall[:16, :16], FAST, job=job))
        if share < 1:
            ended_first.append(previews[0].done())

    with ThreadPoolExecutor(1) as pool:
        engine.enlarge(tall, FAST, progress=progress)

    assert ended_first[-1], "the preview waited for the whole run"


@pytest.mark.parametrize("runs_ahead", [True, False])
def test_an_abandoned_or_cancelled_run_does_not_disturb_the_next(
    engine, tall, monkeypatch, runs_ahead
):
    monkeypatch.setattr(engine, "_runs_ahead", runs_ahead)
    job = Job()
    left = engine.stream(tall, FAST)
    stopped = engine.stream(tall, FAST, job=job)
    expected = Engine("cpu", "fp32").enlarge(tall[:8, :8], FAST)

    next(left)
    left.close()
    next(stopped)
    job.stop.set()
    with pytest.raises(Cancelled):
        list(stopped)

    assert np.array_equal(engine.enlarge(tall[:8, :8], FAST), expected)


# --- One model, one thread


def test_one_model_is_in_memory_until_it_is_replaced_or_released(photo):
    engine = Engine("cpu", "fp32")
    for name in (FAST, ANIME):
        engine.enlarge(photo[:8, :8], name)
        assert (engine.loaded() or "")[0] == name
    engine.release_if_idle()
    assert engine.loaded(), "a model that was just used is kept"
    engine.release()
    assert engine.loaded() is None
