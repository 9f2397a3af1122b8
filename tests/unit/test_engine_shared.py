"""One engine for several models and callers, and one thread for PyTorch."""

import sys
import threading
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from enhance import Enhancer, Settings, models
from enhance.engine import device, kernels, steps
from enhance.engine.engine import Engine
from enhance.engine.kernels import Convolution
from enhance.engine.steps import RowNetwork
from enhance.errors import Cancelled
from enhance.scenes.faces import FaceRestorer
from enhance.scheduler import SCHEDULER, Ticket

FAST = "realesr-animevideov3"
ANIME = "realesrgan-x4plus-anime"


def enlarge(engine, rgb, model=FAST, **options) -> np.ndarray:
    return engine.enlarge(rgb, model, **options)


def test_one_model_is_in_memory_at_a_time(engine, photo):
    enlarge(engine, photo[:8, :8], FAST)
    assert engine.loaded()[0] == FAST

    enlarge(engine, photo[:8, :8], ANIME)
    assert engine.loaded()[0] == ANIME

    engine.release()
    assert engine.loaded() is None


def test_gpu_memory_is_freed_when_the_model_is_replaced_or_released(monkeypatch):
    trimmed = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: trimmed.append(engine.loaded()))
    engine = Engine("cpu", "fp32")
    engine.device = torch.device("cuda")

    for name in (FAST, FAST, ANIME):
        engine.use(name, lambda _, name=name: SimpleNamespace(name=name, bytes=1), lambda model: model)
    assert len(trimmed) == 2

    engine.release()
    assert len(trimmed) == 3
    assert not any(trimmed), "the model was released before"


def test_an_idle_model_is_released(photo):
    engine = Engine("cpu", "fp32")
    enlarge(engine, photo[:8, :8])
    engine.release_if_idle()
    assert engine.loaded(), "a model that was just used is kept"

    engine._used -= 300
    run = engine.stream(np.tile(photo, (20, 1, 1)), FAST)
    next(run)
    engine._used -= 300
    engine.release_if_idle()
    assert engine.loaded(), "the model of a run is kept"

    run.close()
    engine.release_if_idle()
    assert engine.loaded() is None
    assert enlarge(engine, photo[:8, :8]).shape == (32, 32, 3)


def test_a_gpu_runs_one_step_ahead(photo, monkeypatch):
    image = np.tile(photo, (20, 1, 1))
    engine, done, step = Engine("cpu", "fp32"), threading.Semaphore(0), steps.Steps.step
    expected = enlarge(engine, image)

    def counted(self, *given):
        rows = step(self, *given)
        done.release()
        return rows

    monkeypatch.setattr(steps.Steps, "step", counted)
    engine._runs_ahead = True
    strips = []
    for strip in engine.stream(image, FAST):
        assert done.acquire(timeout=60), "its own step"
        if sum(map(len, strips)) + len(strip) < len(expected):
            assert done.acquire(timeout=60), "the next step, which was not requested yet"
            done.release()
        strips.append(strip)

    assert np.array_equal(np.concatenate(strips), expected)


def test_an_abandoned_run_withdraws_its_next_step(photo):
    engine = Engine("cpu", "fp32")
    engine._runs_ahead = True
    stop = threading.Event()
    left, stopped = (engine.stream(np.tile(photo, (20, 1, 1)), FAST, ticket=Ticket(stop=stop)) for _ in range(2))

    next(left)
    left.close()
    next(stopped)
    stop.set()
    with pytest.raises(Cancelled):
        list(stopped)

    assert SCHEDULER.count_steps() == 0
    assert enlarge(engine, photo[:8, :8]).shape == (32, 32, 3)


def test_a_preview_runs_between_the_steps_of_a_run(engine, photo):
    urgent_is_done = threading.Event()
    finished_first = []

    def run_preview():
        enlarge(engine, photo[:16, :16], ticket=Ticket("preview"))
        urgent_is_done.set()

    def progress(done, total, left):
        if done < total and not urgent.is_alive() and not urgent_is_done.is_set():
            urgent.start()
        if done < total:
            finished_first.append(urgent_is_done.is_set())

    urgent = threading.Thread(target=run_preview)
    enlarge(engine, np.tile(photo, (20, 1, 1)), progress=progress)
    urgent.join()

    assert finished_first[-1], "the preview waited for the whole run"


FACES = list(np.random.default_rng(5).random((2, 512, 512, 3), np.float32))


class StandIn(FaceRestorer):
    """A stand-in for the face network that calls `better`."""

    def __init__(self, better):
        self._better, self._network = better, torch.nn.Identity()

    def __call__(self, face):
        return self._better(face)


def restore_faces(engine, better, stop=None, *, release=True) -> tuple[list[np.ndarray], int]:
    """Restore FACES with `better` in place of the face network. Return them and how often that was loaded."""
    if release:
        engine.release()
    loaded = []

    def load(device):
        loaded.append(device)
        return StandIn(better)

    restored = engine.use("gfpgan-v1.4", load, lambda one: one.restore(FACES, stop))
    return restored, len(loaded)


def test_cancel_works_between_faces_and_frees_the_engine(engine, photo):
    stop, seen = threading.Event(), []

    def stopping(face):
        seen.append(face)
        stop.set()
        return face

    with pytest.raises(Cancelled):
        restore_faces(engine, stopping, stop)
    assert len(seen) == 1
    enlarge(engine, photo)


def test_pytorch_runs_only_on_the_devices_thread_and_its_helpers(photo, photo_file, monkeypatch):
    seen: dict[str, set[str]] = {}

    def record(owner, name):
        whole = getattr(owner, name)

        def recorded(*given, **named):
            seen.setdefault(name, set()).add(threading.current_thread().name)
            return whole(*given, **named)

        monkeypatch.setattr(owner, name, recorded)

    for owner, name in (
        (torch.nn.functional, "conv2d"),
        (torch, "from_numpy"),
        (torch, "zeros"),
        (torch, "empty"),
        (torch, "stack"),
        (torch, "isfinite"),
        (torch.cpu, "_is_avx512_bf16_supported"),
        (Convolution, "__call__"),
        (RowNetwork, "load"),
        (kernels, "prepare"),
        (steps, "prepare"),
        (models, "read_state_dict"),
        (FaceRestorer, "restore"),
    ):
        record(owner, name)
    kernels._fused_convolution.cache_clear()
    device._is_bf16_faster.cache_clear()

    enhancer = Enhancer("cpu", data=photo_file.parent / "data")
    settings = Settings.from_preset("anime-fast")
    warm_up = threading.Thread(target=lambda: enhancer.estimate(512, 512, Settings("gentle")))
    warm_up.start()
    previews = [threading.Thread(target=lambda: enhancer.preview(photo_file, settings, size=16)) for _ in range(2)]
    for preview in previews:
        preview.start()
    enhancer.run(photo_file, settings)
    enhancer.upscale(photo.astype(np.uint16), FAST)
    restore_faces(enhancer.engine, lambda face: torch.from_numpy(face).numpy())
    for thread in (warm_up, *previews):
        thread.join()
    enhancer.release()

    carried = {"__call__", "conv2d", "empty", "from_numpy"}
    assert {name for name, threads in seen.items() if "enhance-core" in threads} == carried
    assert set.union(*seen.values()) == {"enhance-device", "enhance-core"}
    assert set(seen) > {"from_numpy", "zeros", "__call__", "load", "read_state_dict", "restore"}


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps freed memory")
def test_a_server_returns_freed_memory_to_the_system(tmp_path):
    blocks = [np.ones(60_000, np.uint8) for _ in range(2000)]  # 120 MB in blocks that are too small for own mappings
    del blocks[:-1]
    before = psutil.Process().memory_info().rss
    Enhancer("cpu", data=tmp_path).release_if_idle()
    assert psutil.Process().memory_info().rss < before - 60e6
