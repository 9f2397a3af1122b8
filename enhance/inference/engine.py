"""The engine: one device, one model in memory, exact row streaming, turns, stop and progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Generator, Hashable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from weights.memory import stream_bytes, weight_bytes

from ..errors import Cancelled, EnhanceError, MemoryShortError, SettingsError
from ..settings import Recipe
from . import known_graph
from .network_output import streams_columns
from .steps import Clock, RowNetwork, Speedometer, Steps, Threads, is_out_of_memory, strip_rows
from .stream import Stream
from .turns import DEVICE_THREAD, Progress, RunPlace, Runs, Turn, Waiting


class HeldModel(Protocol):
    """A model in memory."""

    @property
    def name(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def precisions(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, eq=False)
class Loan:
    """All of one run of a network, for a device that is lent to another process for one call: what `stream` takes.

    `seconds` is how long it is expected to take there.
    """

    rgb: np.ndarray
    recipe: Recipe
    tile: int
    precision: str
    seconds: float


@dataclass(frozen=True, eq=False)
class LentStep:
    """A strip that comes back of a loan, how far that is as `Progress` takes it, and the seconds until then.

    A strip of no pixels only tells how far it is, and lets the run be stopped.
    """

    strip: np.ndarray
    told: tuple[int, int, float | None]
    seconds: float


Lend = Callable[[Loan], Generator[LentStep | EnhanceError, None, None]]

_TYPES = ("cpu", "cuda", "mps")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Held = TypeVar("Held", bound=HeldModel)
Made = TypeVar("Made")


class Engine:
    """Runs networks on one device; safe to call from several threads, all of whose steps the device's thread does.

    The model stays in memory for the next picture. Who serves for long calls `release_if_idle` now and then, which lets
    it go after `idle_seconds` without one; others `release` it. Where the device is only lent, `lend` runs networks on
    it, and the rest is done by the processor: that is the `own` device of this process then, else `device`.
    """

    def __init__(
        self, device: str = "auto", precision: str = "auto", *, idle_seconds: float = 300, lend: Lend | None = None
    ):
        self.device = pick_device(device)
        self._lend, self.own = lend, torch.device("cpu") if lend else self.device
        check_precision(precision)
        self._precision = precision
        self._runs = Runs()
        self._speed = Speedometer(self.own)
        self._idle_seconds = idle_seconds
        self._used = time.monotonic()
        self._model: HeldModel | None = None

    def estimate(self, model: str, height: int, width: int, bits: int = 8) -> float:
        """The seconds that the network called `model` will take for a picture of this size on this machine."""
        return self._speed.seconds(model, self._paced_at(self.precision(bits, model)), height * width)

    def memory(self, model: str, height: int, width: int, bits: int = 8, tile: int = 192) -> int:
        """The bytes that the network called `model` will take for a picture of this size, its weights among them."""
        graph, dtype = known_graph(model), PRECISIONS[self.precision(bits, model)]
        across = -(-min(height, width) // graph.unshuffle)
        threads = _threads(self.device, dtype)
        rows = strip_rows(across, tile, self.device, threads)
        return weight_bytes(graph, dtype.itemsize) + stream_bytes(graph, across, rows, dtype.itemsize, threads.strips)

    def precision(self, bits: int = 8, model: str | None = None) -> str:
        """The precision at which `model` (any) runs a picture of `bits` bits a channel here."""
        supported = known_graph(model).precisions if model else tuple(PRECISIONS)
        return pick_precision(self._precision, self.device, bits, supported)

    def loaded(self) -> tuple[str, int] | None:
        """The model in memory and its size in bytes, or None."""
        model = self._model
        return None if model is None else (model.name, model.bytes)

    def use(
        self,
        name: str,
        load: Callable[[torch.device], Held],
        work: Callable[[Held], Made],
        turn: Turn | None = None,
    ) -> Made:
        """What `work` makes with the model called `name`, in one turn; `load` brings it where it is not in memory."""

        def step() -> Made:
            self._used = time.monotonic()
            held = self._model
            if held is None or held.name != name:
                self._drop()
                held = self._model = load(self.own)
            try:
                return work(held)  # type: ignore[arg-type]
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._drop()
                raise MemoryShortError("memory_short") from error

        return DEVICE_THREAD.do(step, turn)

    @property
    def runs(self) -> int:
        """How many runs go on or wait, previews not counted."""
        return len(self._runs)

    def near(self, turn: Turn) -> AbstractContextManager[RunPlace]:
        """A place near the device for a long run: whoever takes it before decoding holds no picture while waiting."""
        return self._runs.near(turn)

    def leave(self, place: RunPlace) -> None:
        """Give up a place that is not needed any more."""
        self._runs.leave(place)

    def release(self) -> None:
        """Give the model's memory back; the next run loads it again."""
        DEVICE_THREAD.do(self._drop, Turn(urgent=True))

    def release_if_idle(self) -> None:
        """Give the model's memory back when nothing has used it for a while."""
        if self._model is not None and not self._runs and time.monotonic() - self._used >= self._idle_seconds:
            self.release()

    def stream(
        self,
        rgb: np.ndarray,
        model: str | Recipe,
        *,
        tile: int = 192,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
        waiting: Waiting | None = None,
        urgent: bool = False,
        aside: bool = False,
        columns: bool | None = None,
        caller: Hashable = None,
        place: RunPlace | None = None,
    ) -> Generator[np.ndarray, None, None]:
        """The network's output of `rgb` [H, W, 3] (uint8 or uint16, RGB), strip by strip, in the same type.

        A portrait or square picture gives strips [n, W * scale, 3] from top to bottom, a landscape one
        [H * scale, n, 3] from left to right (`streams_columns`); `columns` has a part of a picture go the way of the
        whole, where nothing is lent. `tile` bounds the unit of work, no pixel. An `urgent` one gets the device between
        the steps of a run that is not, and one `aside` takes turns with them; every other waits until the runs before
        it are done. `waiting` counts the time until then. Runs of several callers take turns; `place` is one near the
        device, where the caller has it. Raises Cancelled, WeightsError, MemoryShortError.
        """
        recipe = Recipe(model) if isinstance(model, str) else model
        turn = Turn(caller, urgent, stop, waiting or Waiting())
        if self._lend is None:
            across = streams_columns(*rgb.shape[:2]) if columns is None else columns
            strips = self._strips(rgb, recipe, tile, progress, turn, across)
        else:
            strips = self._lent_strips(rgb, recipe, tile, progress, turn)
        with nullcontext() if urgent or aside else self._runs.run(turn, place):
            yield from strips

    def enlarge(self, rgb: np.ndarray, model: str | Recipe, **options: Any) -> np.ndarray:
        """The network's whole output [H * scale, W * scale, 3]; arguments, types and errors are those of `stream`."""
        height, width = rgb.shape[:2]
        scale = known_graph(model if isinstance(model, str) else model.model).scale
        result = np.empty((scale * height, scale * width, 3), rgb.dtype)
        across = result.swapaxes(0, 1) if streams_columns(height, width) else result
        filled = 0
        for strip in self.stream(rgb, model, **options):
            rows = strip.swapaxes(0, 1) if across is not result else strip
            across[filled : filled + len(rows)] = rows
            filled += len(rows)
        return result

    def _strips(
        self,
        rgb: np.ndarray,
        recipe: Recipe,
        tile: int,
        progress: Progress | None,
        turn: Turn,
        columns: bool,
    ) -> Generator[np.ndarray, None, None]:
        picture = rgb.transpose(1, 0, 2) if columns else rgb
        levels = np.iinfo(rgb.dtype).max
        dtype = PRECISIONS[self.precision(8 if levels == 255 else 16, recipe.model)]
        busy = 0.0

        def begin() -> Steps:
            graph, feed = self._load(recipe, columns).graph, _feed(picture, levels, self.device)
            height, width = picture.shape[:2]
            return Steps(Stream(graph, height, width, feed, transposed=columns), tile, dtype)

        def step() -> np.ndarray:
            nonlocal busy
            loaded = self._load(recipe, columns)
            started = time.perf_counter()
            strip = self._to_pixels(run.step(loaded, lambda: DEVICE_THREAD.look(turn)), levels)
            busy += time.perf_counter() - started
            return strip

        run = DEVICE_THREAD.do(begin, turn)
        clock = Clock(picture.shape[0], self._speed.seconds(recipe.model, dtype, picture.shape[0] * picture.shape[1]))
        while not run.stream.finished:
            if turn.stopped:
                raise Cancelled("stopped")
            strip = DEVICE_THREAD.do(step, turn)
            if progress is not None:
                progress(*clock.read(run.stream.work_done()))
            if strip.size:
                yield strip.transpose(1, 0, 2) if columns else strip
        self._speed.record(recipe.model, dtype, picture.shape[0] * picture.shape[1], busy)

    def _lent_strips(
        self, rgb: np.ndarray, recipe: Recipe, tile: int, progress: Progress | None, turn: Turn
    ) -> Generator[np.ndarray, None, None]:
        """The same by one call of the lender; it takes no turns, and is stopped by leaving it."""
        assert self._lend is not None
        precision = self.precision(8 * rgb.itemsize, recipe.model)
        paced, pixels = (recipe.model, self._paced_at(precision)), rgb.shape[0] * rgb.shape[1]
        loan, busy = Loan(rgb, recipe, tile, precision, self._speed.seconds(*paced, pixels)), 0.0
        with closing(_in_own_words(self._lend(loan))) as steps:
            for step in steps:
                if turn.stopped:
                    raise Cancelled("stopped")
                busy = step.seconds
                if progress is not None:
                    progress(*step.told)
                if step.strip.size:
                    yield step.strip
        self._speed.record(*paced, pixels, busy)

    def _paced_at(self, precision: str) -> torch.dtype:
        """At what the speed is tried: a processor is no measure of a lent card's fast types."""
        return PRECISIONS[precision if self._lend is None else "fp32"]

    def _to_pixels(self, rows: torch.Tensor, levels: int) -> np.ndarray:
        """Rows in 0..1 rounded to the nearest of 0..`levels`."""
        if not torch.isfinite(rows).all():
            raise EnhanceError("not_finite")
        scaled = rows.clamp(0, 1).mul_(levels).round_()
        if levels == 255:
            return scaled.to(torch.uint8).cpu().numpy()
        return scaled.to(torch.int32).cpu().numpy().astype(np.uint16)

    def _load(self, recipe: Recipe, transposed: bool) -> RowNetwork:
        """The model, loaded if another (or none) is in memory. Only on the device's thread."""
        self._used, held = time.monotonic(), self._model
        if not isinstance(held, RowNetwork) or held.recipe != recipe:
            self._drop()
            held = self._model = RowNetwork.load(recipe, transposed=transposed)
        held.turn(transposed=transposed)
        return held

    def _drop(self) -> None:
        self._model = None
        if self.own.type == "cuda":
            torch.cuda.empty_cache()


def _in_own_words(lent: Generator[LentStep | EnhanceError, None, None]) -> Generator[LentStep, None, None]:
    with closing(lent):
        try:
            for step in lent:
                if isinstance(step, EnhanceError):
                    raise step
                yield step
        except EnhanceError:
            raise
        except Exception as error:  # the lender's own: no device is free, or the visitor's share is used up
            raise EnhanceError("device_not_lent", reason=str(error)) from error


def _feed(picture: np.ndarray, levels: int, device: torch.device) -> Callable[[int, int], torch.Tensor]:
    def rows(first: int, last: int) -> torch.Tensor:
        part = np.ascontiguousarray(picture[first:last], dtype=np.float32)
        return torch.from_numpy(part).to(device).div_(levels)

    return rows


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` takes CUDA, then Apple's MPS, then the processor.

    Raises SettingsError for a device that this machine or this build of PyTorch does not have.
    """
    return DEVICE_THREAD.do(lambda: _find_device(name), Turn(urgent=True))


def _find_device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in _TYPES:
            raise ValueError(f"{name} computes nothing")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise SettingsError("device_missing", device=name) from error
    return device


def check_precision(name: str) -> None:
    """Raises SettingsError unless `name` is auto or a precision."""
    if name not in (*PRECISIONS, "auto"):
        raise SettingsError("precision_unknown", precision=name, known=", ".join(PRECISIONS))


def pick_precision(name: str, device: torch.device, bits: int = 8, supported: Collection[str] = PRECISIONS) -> str:
    """`fp32`, `bf16` or `fp16`: the fastest that leaves no visible trace on a picture of `bits` bits a channel.

    `supported` are those that the network declares: another one gives way to fp32.
    """
    if bits > 8:
        return "fp32"
    if name == "auto":
        fast = {"cuda": "fp16", "cpu": "bf16"}.get(device.type, "fp32")
        name = "fp32" if device.type == "cpu" and not _multiplies_bf16() else fast
    return name if name in supported else "fp32"


@cache
def _multiplies_bf16() -> bool:
    """Whether the processor multiplies bfloat16 by itself; where it does not, bf16 is slower than fp32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return DEVICE_THREAD.do(lambda: any(getattr(torch.cpu, probe, bool)() for probe in probes), Turn(urgent=True))


@cache
def _threads(device: torch.device, dtype: torch.dtype) -> Threads:
    return DEVICE_THREAD.do(lambda: Threads.here(device, dtype), Turn(urgent=True))
