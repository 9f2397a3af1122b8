"""The engine: tiles, strips, precisions, a lack of memory, cancelling and progress."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from enhance.engine import device
from enhance.engine.device import pick_device, pick_precision
from enhance.engine.engine import Engine
from enhance.engine.kernels import Convolution
from enhance.engine.steps import SMALLEST_STRIP
from enhance.errors import Cancelled, MemoryShortError, SettingsError
from enhance.models import graph_of
from enhance.models.networks import SHIPPED
from enhance.scheduler import Ticket

FAST = "realesr-animevideov3"
ANIME = "realesrgan-x4plus-anime"


def enlarge(engine, rgb, model=FAST, **options) -> np.ndarray:
    return engine.enlarge(rgb, model, **options)


@pytest.mark.parametrize("turned", [False, True], ids=["landscape", "portrait"])
def test_the_tile_changes_no_pixel(engine, photo, turned):
    image = np.ascontiguousarray(photo.transpose(1, 0, 2)) if turned else photo

    small, usual, large = (enlarge(engine, image, tile=tile) for tile in (64, 192, 1024))

    assert usual.shape == (4 * image.shape[0], 4 * image.shape[1], 3)
    assert np.abs(small.astype(int) - usual).max() <= 1
    assert np.abs(large.astype(int) - usual).max() <= 1


def test_16_bits_match_8_bits(engine, photo):
    deep = enlarge(engine, photo.astype(np.uint16) * 257)

    assert deep.dtype == np.uint16
    assert np.abs(np.rint(deep / 257) - enlarge(engine, photo)).max() <= 1
    assert len(np.unique(deep)) > 256


def test_a_lack_of_memory_halves_the_strip_and_changes_no_pixel(engine, photo, monkeypatch):
    expected = enlarge(engine, photo)
    heights = []
    convolve = Convolution.__call__

    def short_of_memory(kernel, rows):
        if rows.shape[0] > SMALLEST_STRIP + 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        heights.append(rows.shape[0])
        return convolve(kernel, rows)

    monkeypatch.setattr(Convolution, "__call__", short_of_memory)
    result = enlarge(engine, photo)

    assert max(heights) <= SMALLEST_STRIP + 2
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_a_lack_of_memory_for_the_smallest_strip_is_an_error(engine, photo, monkeypatch):
    tried = []

    def out_of_memory(kernel, rows):
        tried.append(rows.shape[0])
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Convolution, "__call__", out_of_memory)
    with pytest.raises(MemoryShortError, match="Not enough memory"):
        enlarge(engine, photo)

    assert tried[-1] == 1 + 2


def test_an_overflow_in_fp16_is_repeated_in_fp32(photo, monkeypatch):
    expected = enlarge(Engine("cpu", "fp32"), photo)
    convolve = Convolution.__call__
    overflowed = []

    def overflowing(kernel, rows):
        result = convolve(kernel, rows)
        if kernel.weight.dtype == torch.float16 and kernel.weight.shape[1] == 64:
            overflowed.append(True)
            return torch.full_like(result, float("inf"))
        return result

    monkeypatch.setattr(Convolution, "__call__", overflowing)
    result = enlarge(Engine("cpu", "fp16"), photo)

    assert overflowed
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_bf16_is_close_to_fp32(photo):
    exact = enlarge(Engine("cpu", "fp32"), photo)

    rounded = enlarge(Engine("cpu", "bf16"), photo)

    difference = np.abs(rounded.astype(int) - exact)
    assert 0 < difference.max() <= 16
    assert np.square(difference).mean() < 255**2 / 10**4.8


def test_cancel_works_between_steps_and_frees_the_engine(engine, photo):
    stop = threading.Event()
    seen = []

    def progress(done, total, left):
        seen.append(done)
        stop.set()

    with pytest.raises(Cancelled):
        enlarge(engine, np.tile(photo, (20, 1, 1)), progress=progress, ticket=Ticket(stop=stop))
    assert len(seen) == 1
    enlarge(engine, photo)


def test_progress_ends_with_all_rows(engine, photo):
    seen = []

    enlarge(engine, np.tile(photo, (12, 1, 1)), progress=lambda *report: seen.append(report))

    done, total, left = zip(*seen, strict=True)
    assert len(seen) > 2
    assert list(done) == sorted(done)
    assert set(total) == {480}
    assert done[-1] == 480
    assert left[-1] == pytest.approx(0, abs=0.01)


def test_unavailable_devices_and_precisions_are_errors():
    with pytest.raises(SettingsError, match="is not available"):
        pick_device("warp drive")
    with pytest.raises(SettingsError, match="Choose from auto"):
        Engine("cpu", "fp8")
    assert pick_precision("auto", torch.device("cuda")) == "fp16"
    assert pick_precision("bf16", torch.device("cpu"), bits=16) == "fp32"


@pytest.mark.parametrize(
    ("is_supported", "seconds", "chosen"),
    [(True, [2.0, 1.0], "bf16"), (True, [1.0, 2.0], "fp32"), (True, [1.0, 0.95], "fp32"), (False, [2.0, 1.0], "fp32")],
    ids=["faster", "slower", "hardly faster", "not supported"],
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


def test_a_network_runs_only_in_its_declared_precisions(monkeypatch):
    assert pick_precision("auto", torch.device("cuda"), supported=("fp32", "bf16")) == "fp32"
    assert pick_precision("bf16", torch.device("cpu"), supported=("fp32",)) == "fp32"
    known = replace(graph_of(FAST), precisions=("fp32",))
    monkeypatch.setattr("enhance.models.store._shipped_graph", lambda name: known if name == FAST else SHIPPED[name]())

    engine = Engine("cpu", "bf16")

    assert (engine.precision(), engine.precision(model=FAST), engine.precision(model=ANIME)) == ("bf16", "fp32", "bf16")


def repeat(rows: np.ndarray) -> np.ndarray:
    """Return a portrait image that repeats these rows."""
    return np.ascontiguousarray(np.tile(rows, (160 // len(rows), 1, 1)))


FLAT = repeat(np.full((1, 24, 3), (90, 140, 200), np.uint8))
GRADIENT = repeat(np.linspace((20, 90, 200), (250, 100, 10), 24).astype(np.uint8)[None])
TEXTURE = repeat(np.random.default_rng(3).integers(60, 190, (8, 24, 3), dtype=np.uint8))


def seams(strips: list[np.ndarray], period: int) -> np.ndarray:
    """Return how much each output row differs from the same row one period earlier, except near the ends."""
    whole = np.concatenate(strips).astype(int)
    return np.abs(whole[4 * period :] - whole[: -4 * period]).max((1, 2))[100:-100]


@pytest.mark.parametrize("rows", [8, 13])
@pytest.mark.parametrize(("image", "period"), [(FLAT, 1), (GRADIENT, 1), (TEXTURE, 8)])
def test_no_seam_is_visible_between_strips(engine, monkeypatch, image, period, rows):
    monkeypatch.setattr("enhance.engine.steps.strip_rows", lambda *_: rows)

    strips = list(engine.stream(image, FAST))

    assert seams(strips, period).max() <= 1  # the rounding error


@pytest.mark.parametrize(("image", "period"), [(FLAT, 1), (GRADIENT, 1), (TEXTURE, 8)])
def test_separate_strips_would_have_visible_seams(engine, image, period):
    alone = [enlarge(engine, image[first : first + 40]) for first in range(0, 160, 40)]

    assert seams(alone, period).max() > 3
