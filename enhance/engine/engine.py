"""The engine: one device, one model in memory, exact row streaming, turns, stop and progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from enhance.models.memory import Cut, cut_to_fit, rows_seen, stream_bytes, tallest, weight_bytes

from .. import models
from ..errors import EnhanceError, MemoryShortError
from ..scheduler import SCHEDULER, Progress, Step, Ticket
from ..settings import WeightInterpolation
from .device import PRECISIONS, Arrival, Transfer, check_precision, free_memory, pick_device, pick_precision
from .raw_store import Strips, Told, made_in_parts, streams_columns
from .steps import (
    SMALLEST_STRIP,
    Clock,
    RowNetwork,
    Speedometer,
    Steps,
    Threads,
    is_out_of_memory,
    strip_rows,
)
from .stream import Stream


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
    recipe: WeightInterpolation
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


_MOST_WAITING = 1_800_000_000
"""The bytes that a stream may take, but on a graphics card: with all that a run needs besides, less than 3 GB."""
_STRIPS_OF_TWO_CORES = 2
_NEVER_TOO_WIDE = 1024
"""In pixels: of a preview nothing is counted before it begins."""

Lend = Callable[[Loan], Generator[LentStep | EnhanceError, None, None]]

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
        self._goes_ahead = self.own.type != "cpu"  # its cores have enough to do
        self._speed = Speedometer(self.own)
        self._idle_seconds = idle_seconds
        self._used = time.monotonic()
        self._model: HeldModel | None = None

    def estimate(self, model: str, height: int, width: int, bits: int = 8) -> float:
        """The seconds that the network called `model` will take for a picture of this size on this machine."""
        precision, along, across = self.precision(bits, model), max(height, width), min(height, width)
        seen = rows_seen(self._cuts(model, PRECISIONS[precision], along, across)) or along
        return self._speed.seconds(model, self._paced_at(precision), seen * across)

    def memory(self, model: str, height: int, width: int, bits: int = 8, tile: int = 192) -> int:
        """The bytes that the network called `model` will take for a picture of this size, its weights among them."""
        dtype, across = PRECISIONS[self.precision(bits, model)], min(height, width)
        cuts = self._cuts(model, dtype, max(height, width), across)
        graph, threads = models.graph_of(model), _threads(self.device, dtype)
        width = -(-(tallest(cuts) if cuts else across) // graph.unshuffle)
        rows = strip_rows(width, tile, self.device, threads)
        return weight_bytes(graph, dtype.itemsize) + stream_bytes(graph, width, rows, dtype.itemsize, threads.strips)

    def precision(self, bits: int = 8, model: str | None = None) -> str:
        """The precision at which `model` (any) runs a picture of `bits` bits a channel here."""
        supported = models.graph_of(model).precisions if model else tuple(PRECISIONS)
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
        ticket: Ticket | None = None,
    ) -> Made:
        """What `work` makes with the model called `name`, in one step; `load` brings it where it is not in memory."""

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

        return SCHEDULER.call(step, ticket)

    def release(self) -> None:
        """Give the model's memory back; the next run loads it again."""
        SCHEDULER.call(self._drop)

    def release_if_idle(self) -> None:
        """Give the model's memory back when nothing has used it for a while."""
        idle = not SCHEDULER.count(admitted=False)
        if self._model is not None and idle and time.monotonic() - self._used >= self._idle_seconds:
            self.release()

    def stream(
        self,
        rgb: np.ndarray,
        model: str | WeightInterpolation,
        *,
        tile: int = 192,
        progress: Progress | None = None,
        ticket: Ticket | None = None,
        columns: bool | None = None,
        folder: Path | None = None,
    ) -> Strips:
        """The network's output of `rgb` [H, W, 3] (uint8 or uint16, RGB), strip by strip, in the same type.

        A portrait or square picture gives strips [n, W * scale, 3] from top to bottom, a landscape one
        [H * scale, n, 3] from left to right (`streams_columns`); `columns` has a part of a picture go the way of the
        whole, where nothing is lent. `tile` bounds the unit of work, no pixel. A run waits until the runs ahead of it
        are done; previews and comparisons do not. A picture too wide for memory is made in parts, whose output lies in
        the `folder` meanwhile, where the caller keeps the whole. Raises Cancelled, WeightsError, MemoryShortError,
        StorageError.
        """
        recipe = WeightInterpolation(model) if isinstance(model, str) else model
        ticket = ticket or Ticket()
        if self._lend is None:
            across = streams_columns(*rgb.shape[:2]) if columns is None else columns
            strips = self._strips(rgb, recipe, tile, progress, ticket, across, folder)
        else:
            strips = self._lent_strips(rgb, recipe, tile, progress, ticket)
        with SCHEDULER.place(ticket) if ticket.lane == "run" else nullcontext():
            yield from strips

    def enlarge(self, rgb: np.ndarray, model: str | WeightInterpolation, **options: Any) -> np.ndarray:
        """The network's whole output [H * scale, W * scale, 3]; arguments, types and errors are those of `stream`."""
        height, width = rgb.shape[:2]
        scale = models.graph_of(model if isinstance(model, str) else model.model).scale
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
        recipe: WeightInterpolation,
        tile: int,
        progress: Progress | None,
        ticket: Ticket,
        columns: bool,
        folder: Path | None,
    ) -> Strips:
        model, dtype = recipe.model, PRECISIONS[self.precision(8 * rgb.itemsize, recipe.model)]
        along, across = rgb.shape[1::-1] if columns else rgb.shape[:2]
        cuts = self._cuts(model, dtype, along, across, begins=True)
        clock = Clock(along, self._speed.seconds(model, dtype, (rows_seen(cuts) or along) * across))

        def told(share: float) -> None:
            if progress is not None:
                progress(*clock.read(share))

        def run(part: np.ndarray, columns: bool, told: Told) -> Strips:
            return self._run(part, recipe, tile, dtype, told, ticket, columns)

        if not cuts:
            yield from run(rgb, columns, told)
            return
        with closing(made_in_parts(rgb, cuts, columns, models.graph_of(model).scale, run, told, folder)) as strips:
            for strip in strips:
                ticket.check()
                yield strip

    def _cuts(self, model: str, dtype: torch.dtype, along: int, across: int, *, begins: bool = False) -> list[Cut]:
        """The parts of a picture whose rows would be too many where they wait; none where it is made as one.

        A card has the room that is free when the run begins. Any processor has the same, and is taken for one of two
        cores: how many there are, and the tile, change no pixel.
        """
        if max(along, across) <= _NEVER_TOO_WIDE or self._lend:  # who lends counts for himself
            return []
        graph, room = models.graph_of(model), float(_MOST_WAITING)
        if self.device.type == "cuda":
            room = SCHEDULER.call(lambda: free_memory(self.device)) if begins else float("inf")

        def waiting(width: int) -> int:
            width = -(-width // graph.unshuffle)
            return stream_bytes(graph, width, SMALLEST_STRIP, dtype.itemsize, _STRIPS_OF_TWO_CORES)

        return cut_to_fit(graph, along, across, waiting, room)

    def _run(
        self,
        rgb: np.ndarray,
        recipe: WeightInterpolation,
        tile: int,
        dtype: torch.dtype,
        told: Told,
        ticket: Ticket,
        columns: bool,
    ) -> Strips:
        picture = rgb.transpose(1, 0, 2) if columns else rgb
        height, width = picture.shape[:2]
        busy = 0.0

        def begin() -> tuple[Steps, Transfer]:
            graph, transfer = self._load(recipe, columns).graph, Transfer(self.device, rgb.dtype)
            stream = Stream(graph, height, width, transfer.feed(picture), transposed=columns)
            return Steps(stream, tile, dtype), transfer

        def step() -> Arrival:
            nonlocal busy
            loaded = self._load(recipe, columns)
            started = time.perf_counter()
            arrival = transfer.to_pixels(run.step(loaded, lambda: SCHEDULER.check(ticket)))
            busy += time.perf_counter() - started
            return arrival

        run, transfer = SCHEDULER.call(begin, ticket)
        for arrival in self._arrivals(run, step, ticket):
            told(run.stream.work_done())
            strip = arrival()
            if strip.size:
                yield strip.transpose(1, 0, 2) if columns else strip
        self._speed.record(recipe.model, dtype, height * width, busy)

    def _arrivals(self, run: Steps, step: Callable[[], Arrival], ticket: Ticket) -> Generator[Arrival, None, None]:
        """What each step gives. A card does the next one while the last one's pixels are written."""
        asked: Step[Arrival] = SCHEDULER.submit(step, ticket)
        try:
            while True:
                arrival = SCHEDULER.wait_for(asked)
                finished = run.stream.finished
                if self._goes_ahead and not finished:
                    asked = SCHEDULER.submit(step, ticket)
                yield arrival
                if finished:
                    return
                ticket.check()
                if not self._goes_ahead:
                    asked = SCHEDULER.submit(step, ticket)
        finally:
            SCHEDULER.withdraw(asked)

    def _lent_strips(
        self, rgb: np.ndarray, recipe: WeightInterpolation, tile: int, progress: Progress | None, ticket: Ticket
    ) -> Strips:
        """The same by one call of the lender; it takes no turns, and is stopped by leaving it."""
        assert self._lend is not None
        precision = self.precision(8 * rgb.itemsize, recipe.model)
        paced, pixels = (recipe.model, self._paced_at(precision)), rgb.shape[0] * rgb.shape[1]
        loan, busy = Loan(rgb, recipe, tile, precision, self._speed.seconds(*paced, pixels)), 0.0
        with closing(_in_own_words(self._lend(loan))) as steps:
            for step in steps:
                ticket.check()
                busy = step.seconds
                if progress is not None:
                    progress(*step.told)
                if step.strip.size:
                    yield step.strip
        self._speed.record(*paced, pixels, busy)

    def _paced_at(self, precision: str) -> torch.dtype:
        """At what the speed is tried: a processor is no measure of a lent card's fast types."""
        return PRECISIONS[precision if self._lend is None else "fp32"]

    def _load(self, recipe: WeightInterpolation, transposed: bool) -> RowNetwork:
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


@cache
def _threads(device: torch.device, dtype: torch.dtype) -> Threads:
    return SCHEDULER.call(lambda: Threads.here(device, dtype))
