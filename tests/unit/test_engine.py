"""The engine: a lack of memory, precisions, cancelling, progress, and one model and one thread for all callers."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import numpy as np
import psutil
import pytest
import torch

from enhance import Enhancer, Settings, models
from enhance.device_thread import DEVICE_THREAD
from enhance.engine import device, kernels, steps
from enhance.engine.device import pick_device, pick_precision
from enhance.engine.engine import Engine
from enhance.engine.kernels import Convolution
from enhance.engine.steps import SMALLEST_STRIP, RowNetwork
from enhance.errors import Cancelled, MemoryShortError, SettingsError
from enhance.models.networks import SHIPPED
from enhance.models.networks.realcugan import realcugan
from enhance.scheduler import Ticket

FAST = "realesr-animevideov3"
ANIME = "realesrgan-x4plus-anime"


@pytest.fixture
def tall(photo: np.ndarray) -> np.ndarray:
    """A photo of many steps."""
    return np.tile(photo, (20, 1, 1))


# --- Memory and precision


def test_a_lack_of_memory_halves_the_strip_and_changes_no_pixel(engine, photo, monkeypatch):
    expected = engine.enlarge(photo, FAST)
    heights = []
    convolve = Convolution.__call__

    def short_of_memory(kernel, rows):
        if rows.shape[0] > SMALLEST_STRIP + 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        heights.append(rows.shape[0])
        return convolve(kernel, rows)

    monkeypatch.setattr(Convolution, "__call__", short_of_memory)
    result = engine.enlarge(photo, FAST)

    assert max(heights) <= SMALLEST_STRIP + 2
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_a_lack_of_memory_for_the_smallest_strip_is_an_error(engine, photo, monkeypatch):
    tried = []

    def out_of_memory(kernel, rows):
        tried.append(rows.shape[0])
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Convolution, "__call__", out_of_memory)
    with pytest.raises(MemoryShortError, match="Not enough memory"):
        engine.enlarge(photo, FAST)

    assert tried[-1] == 1 + 2


def test_an_overflow_in_fp16_is_repeated_in_fp32(engine, photo, monkeypatch):
    expected = engine.enlarge(photo[:20], FAST)
    convolve = Convolution.__call__
    overflowed = []

    def overflowing(kernel, rows):
        result = convolve(kernel, rows)
        if kernel.weight.dtype == torch.float16 and kernel.weight.shape[1] == 64:
            overflowed.append(True)
            return torch.full_like(result, float("inf"))
        return result

    monkeypatch.setattr(Convolution, "__call__", overflowing)
    result = Engine("cpu", "fp16").enlarge(photo[:20], FAST)

    assert overflowed
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_unavailable_devices_and_precisions_are_errors():
    with pytest.raises(SettingsError, match="is not available"):
        pick_device("warp drive")
    with pytest.raises(SettingsError, match="Choose from auto"):
        Engine("cpu", "fp8")


@pytest.mark.parametrize(
    ("is_supported", "seconds", "chosen"),
    [(True, [2.0, 1.0], "bf16"), (True, [1.0, 0.95], "fp32"), (False, [2.0, 1.0], "fp32")],
    ids=["faster", "hardly faster", "not supported"],
)
def test_a_cpu_uses_bf16_only_if_that_is_much_faster(monkeypatch, is_supported, seconds, chosen):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: is_supported)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.setattr(device, "_convolution_seconds", lambda *dtypes: seconds)
    device._is_bf16_faster.cache_clear()
    try:
        assert Engine("cpu").precision() == chosen
    finally:
        device._is_bf16_faster.cache_clear()


def test_a_network_runs_only_in_its_precisions(monkeypatch):
    cuda = torch.device("cuda")
    assert [pick_precision("auto", cuda), pick_precision("auto", cuda, supported=("fp32", "bf16"))] == ["fp16", "fp32"]
    monkeypatch.setitem(cast(dict[str, Any], SHIPPED), FAST, realcugan)  # has barriers, which exclude fp16

    for precision, with_barriers in (("fp16", "fp32"), ("bf16", "bf16")):
        engine = Engine("cpu", precision)
        chosen = engine.precision(), engine.precision(model=FAST), engine.precision(model=ANIME)
        assert chosen == (precision, with_barriers, precision)
        assert engine.precision(bits=16) == "fp32"


# --- Steps


def test_progress_ends_with_all_rows(engine, tall):
    seen = []

    engine.enlarge(tall[:480], FAST, progress=lambda *report: seen.append(report))

    done, total, left = zip(*seen, strict=True)
    assert len(seen) > 2
    assert list(done) == sorted(done)
    assert set(total) == {480}
    assert done[-1] == 480
    assert left[-1] == pytest.approx(0, abs=0.01)


def test_a_preview_runs_between_the_steps_of_a_run(engine, tall):
    urgent_is_done, finished_first = threading.Event(), []

    def run_preview():
        engine.enlarge(tall[:16, :16], FAST, ticket=Ticket("preview"))
        urgent_is_done.set()

    def progress(done, total, left):
        if done < total and not urgent.is_alive() and not urgent_is_done.is_set():
            urgent.start()
        if done < total:
            finished_first.append(urgent_is_done.is_set())

    urgent = threading.Thread(target=run_preview)
    engine.enlarge(tall, FAST, progress=progress)
    urgent.join()

    assert finished_first[-1], "the preview waited for the whole run"


def test_a_gpu_runs_one_step_ahead(engine, tall, monkeypatch):
    done, step, expected = threading.Semaphore(0), steps.Steps.step, engine.enlarge(tall[:400], FAST)

    def counted(self, *given):
        rows = step(self, *given)
        done.release()
        return rows

    monkeypatch.setattr(steps.Steps, "step", counted)
    monkeypatch.setattr(engine, "_runs_ahead", True)
    strips = []
    for strip in engine.stream(tall[:400], FAST):
        assert done.acquire(timeout=60), "its own step"
        if sum(map(len, strips)) + len(strip) < len(expected):
            assert done.acquire(timeout=60), "the next step, which was not requested yet"
            done.release()
        strips.append(strip)

    assert np.array_equal(np.concatenate(strips), expected)


def test_an_abandoned_run_withdraws_its_next_step(engine, tall, monkeypatch):
    monkeypatch.setattr(engine, "_runs_ahead", True)
    stop = threading.Event()
    left, stopped = (engine.stream(tall, FAST, ticket=Ticket(stop=stop)) for _ in range(2))

    next(left)
    left.close()
    next(stopped)
    stop.set()
    with pytest.raises(Cancelled):
        list(stopped)

    assert not DEVICE_THREAD._normal
    assert engine.enlarge(tall[:8, :8], FAST).shape == (32, 32, 3)


# --- One model, one thread


def test_one_model_is_in_memory_until_it_is_replaced_released_or_idle(tall):
    engine = Engine("cpu", "fp32")
    for name in (FAST, ANIME):
        engine.enlarge(tall[:8, :8], name)
        assert (engine.loaded() or "")[0] == name
    engine.release()
    assert engine.loaded() is None

    engine.enlarge(tall[:8, :8], FAST)
    engine.release_if_idle()
    assert engine.loaded(), "a model that was just used is kept"
    engine._used -= 300
    engine.release_if_idle()
    assert engine.loaded() is None


def test_gpu_memory_is_freed_when_the_model_is_replaced_or_released_or_memory_is_short(monkeypatch):
    trimmed = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: trimmed.append(engine.loaded()))
    engine = Engine("cpu", "fp32")
    engine.device = torch.device("cuda")

    for name in (FAST, FAST, ANIME):
        engine.use(name, lambda _, name=name: SimpleNamespace(name=name, bytes=1), lambda model: model)
    assert len(trimmed) == 2

    engine.release()
    assert len(trimmed) == 3
    for raised, expected, is_kept in (
        (torch.OutOfMemoryError(), MemoryShortError, False),
        (Cancelled("stopped"), Cancelled, True),
    ):
        with pytest.raises(expected):
            engine.use(FAST, lambda _: SimpleNamespace(name=FAST, bytes=1), Mock(side_effect=raised))
        assert bool(engine.loaded()) == is_kept
    assert not any(trimmed), "the model was released before"


def test_pytorch_runs_only_on_the_devices_thread_and_its_helpers(photo, photo_file, monkeypatch):
    seen: dict[str, set[str]] = {}

    def record(owner, name):
        whole = getattr(owner, name)

        def recorded(*given, **named):
            seen.setdefault(name, set()).add(threading.current_thread().name)
            return whole(*given, **named)

        monkeypatch.setattr(owner, name, recorded)

    for owner, names in (
        (torch, ("from_numpy", "zeros", "empty", "stack", "isfinite")),
        (torch.nn.functional, ("conv2d",)),
        (torch.cpu, ("_is_avx512_bf16_supported",)),
        (Convolution, ("__call__",)),
        (RowNetwork, ("load",)),
        (steps, ("prepare",)),
        (models, ("read_state_dict",)),
    ):
        for name in names:
            record(owner, name)
    kernels._fused_convolution.cache_clear()
    device._is_bf16_faster.cache_clear()

    enhancer = Enhancer("cpu", data=photo_file.parent / "data")
    settings = Settings.from_preset("anime-fast")
    others = [threading.Thread(target=lambda: enhancer.preview(photo_file, settings, size=16)) for _ in range(2)]
    others.append(threading.Thread(target=lambda: enhancer.estimate(512, 512, Settings("gentle"))))
    for other in others:
        other.start()
    enhancer.run(photo_file, settings)
    enhancer.upscale(photo.astype(np.uint16), FAST)
    for other in others:
        other.join()

    assert set.union(*seen.values()) <= {"enhance-device", "enhance-core"}
    assert set(seen) > {"from_numpy", "__call__", "load", "read_state_dict", "prepare"}


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps freed memory")
def test_a_server_returns_freed_memory_to_the_system(tmp_path):
    blocks = [
        np.ones(60_000, np.uint8) for _ in range(2000)
    ]  # 120 MB in blocks that are too small for mappings of their own
    del blocks[:-1]
    before = psutil.Process().memory_info().rss
    Enhancer("cpu", data=tmp_path).release_if_idle()
    assert psutil.Process().memory_info().rss < before - 60e6
