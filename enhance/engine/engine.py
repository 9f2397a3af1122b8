"""The engine: one device with one model in memory, which runs networks by row streaming."""

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
from .device import (
    PRECISIONS,
    PendingPixels,
    Transfer,
    check_precision,
    free_memory,
    is_out_of_memory,
    pick_device,
    pick_precision,
)
from .estimates import Estimator, RunClock
from .raw_store import ShareDone, Strips, streams_columns, strips_of_parts
from .steps import SMALLEST_STRIP, RowNetwork, Steps, Threads, strip_rows
from .stream import Stream


class HeldModel(Protocol):
    """A model in memory."""

    @property
    def name(self) -> str: ...
    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Loan:
    """One run of a network on a GPU that is lent to another process for one call (ZeroGPU).

    The fields are the parameters of `Engine.stream`; `seconds` is how long the run is expected to take there.
    """

    rgb: np.ndarray
    recipe: WeightInterpolation
    tile: int
    precision: str
    seconds: float


@dataclass(frozen=True, eq=False)
class LentStep:
    """A strip of the output, which can be empty, the progress so far, and the seconds until then."""

    strip: np.ndarray
    told: tuple[int, int, float | None]
    seconds: float


_STREAM_BYTES = 1_800_000_000
"""The memory that a stream can use, except on a GPU: with all else that a run needs, less than 3 GB."""
_CPU_STRIPS = 2
_ALWAYS_FITS = 1024
"""An image with no longer side is never cut. No memory is counted for previews."""

Lend = Callable[[Loan], Generator[LentStep | EnhanceError, None, None]]

Held = TypeVar("Held", bound=HeldModel)
Made = TypeVar("Made")


class Engine:
    """Runs networks on one device; safe to call from several threads.

    The model stays in memory for the next image. A server calls `release_if_idle` now and then, which releases it after
    `idle_seconds`. If `lend` is given, it runs the networks, and `own`, the device of this process, is the CPU.
    """

    def __init__(
        self, device: str = "auto", precision: str = "auto", *, idle_seconds: float = 300, lend: Lend | None = None
    ):
        self.device = pick_device(device)
        self._lend, self.own = lend, torch.device("cpu") if lend else self.device
        check_precision(precision)
        self._precision = precision
        self._runs_ahead = self.own.type != "cpu"
        self._estimates = Estimator(self.own)
        self._idle_seconds = idle_seconds
        self._used = time.monotonic()
        self._model: HeldModel | None = None

    def estimate(self, model: str, height: int, width: int, bits: int = 8) -> float:
        """Return the expected seconds of a network on this machine for an image of this size."""
        precision, along, across = self.precision(bits, model), max(height, width), min(height, width)
        rows = rows_seen(self._cuts(model, PRECISIONS[precision], along, across)) or along
        return self._estimates.seconds(model, self._timed_precision(precision), rows * across)

    def memory(self, model: str, height: int, width: int, bits: int = 8, tile: int = 192) -> int:
        """Return the bytes that a network and its weights need for an image of this size."""
        dtype, across = PRECISIONS[self.precision(bits, model)], min(height, width)
        cuts = self._cuts(model, dtype, max(height, width), across)
        graph, threads = models.graph_of(model), _threads(self.device, dtype)
        width = -(-(tallest(cuts) if cuts else across) // graph.unshuffle)
        rows = strip_rows(width, tile, self.device, threads)
        return weight_bytes(graph, dtype.itemsize) + stream_bytes(graph, width, rows, dtype.itemsize, threads.strips)

    def precision(self, bits: int = 8, model: str | None = None) -> str:
        """Return the precision of a model, or of any, for an image of `bits` bits per channel."""
        supported = models.graph_of(model).precisions if model else tuple(PRECISIONS)
        return pick_precision(self._precision, self.device, bits, supported)

    def loaded(self) -> tuple[str, int] | None:
        """Return the model in memory and its size in bytes, or None."""
        model = self._model
        return None if model is None else (model.name, model.bytes)

    def use(
        self,
        name: str,
        load: Callable[[torch.device], Held],
        work: Callable[[Held], Made],
        ticket: Ticket | None = None,
    ) -> Made:
        """Return what `work` makes with the model called `name`, in one step; `load` loads it if necessary."""

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
        """Free the memory of the model; the next run loads it again."""
        SCHEDULER.call(self._drop)

    def release_if_idle(self) -> None:
        """Free the memory of the model if nothing has used it for a while."""
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
        """Yield the network's output for `rgb` [H, W, 3] (uint8 or uint16, RGB) in strips of the same type.

        The strips of a portrait or square image are [n, W * scale, 3] from top to bottom, those of a landscape image
        [H * scale, n, 3] from left to right (`streams_columns`); `columns` overrides that, for a region of an image.
        `tile` bounds the size of a step and changes no pixel.

        A run (see `Ticket`) begins when the runs ahead of it are done. An image that is too large for memory is
        processed in parts, whose output is stored in `folder`. Raises Cancelled, WeightsError, MemoryShortError,
        StorageError.
        """
        recipe = WeightInterpolation(model) if isinstance(model, str) else model
        ticket = ticket or Ticket()
        if self._lend is None:
            across = streams_columns(*rgb.shape[:2]) if columns is None else columns
            strips = self._strips(rgb, recipe, tile, progress, ticket, across, folder)
        else:
            strips = self._lent_strips(rgb, recipe, tile, progress, ticket)
        with SCHEDULER.queue_job(ticket) if ticket.queue_name == "run" else nullcontext():
            yield from strips

    def enlarge(self, rgb: np.ndarray, model: str | WeightInterpolation, **options: Any) -> np.ndarray:
        """Return the network's output [H * scale, W * scale, 3]; see `stream` for parameters and errors."""
        height, width = rgb.shape[:2]
        scale = models.graph_of(model if isinstance(model, str) else model.model).scale
        result = np.empty((scale * height, scale * width, 3), rgb.dtype)
        lines = result.swapaxes(0, 1) if streams_columns(height, width) else result
        filled = 0
        for strip in self.stream(rgb, model, **options):
            rows = strip.swapaxes(0, 1) if lines is not result else strip
            lines[filled : filled + len(rows)] = rows
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
        clock = RunClock(along, self._estimates.seconds(model, dtype, (rows_seen(cuts) or along) * across))

        def report(share: float) -> None:
            if progress is not None:
                progress(*clock.read(share))

        def run(part: np.ndarray, columns: bool, report: ShareDone) -> Strips:
            return self._run(part, recipe, tile, dtype, report, ticket, columns)

        if not cuts:
            yield from run(rgb, columns, report)
            return
        with closing(strips_of_parts(rgb, cuts, columns, models.graph_of(model).scale, run, report, folder)) as strips:
            for strip in strips:
                ticket.check()
                yield strip

    def _cuts(self, model: str, dtype: torch.dtype, along: int, across: int, *, begins: bool = False) -> list[Cut]:
        """Return the parts of an image that is too large for memory; none if it is processed as a whole.

        The limit of a GPU is its free memory when the run begins. All CPUs have the same limit and count as two cores,
        so that neither their number nor the tile changes a pixel.
        """
        if max(along, across) <= _ALWAYS_FITS or self._lend:
            return []
        graph, room = models.graph_of(model), float(_STREAM_BYTES)
        if self.device.type == "cuda":
            room = SCHEDULER.call(lambda: free_memory(self.device)) if begins else float("inf")

        def bytes_of(width: int) -> int:
            width = -(-width // graph.unshuffle)
            return stream_bytes(graph, width, SMALLEST_STRIP, dtype.itemsize, _CPU_STRIPS)

        return cut_to_fit(graph, along, across, bytes_of, room)

    def _run(
        self,
        rgb: np.ndarray,
        recipe: WeightInterpolation,
        tile: int,
        dtype: torch.dtype,
        report: ShareDone,
        ticket: Ticket,
        columns: bool,
    ) -> Strips:
        image = rgb.transpose(1, 0, 2) if columns else rgb
        height, width = image.shape[:2]
        busy = 0.0

        def begin() -> tuple[Steps, Transfer]:
            graph, transfer = self._load(recipe, columns).graph, Transfer(self.device, rgb.dtype)
            stream = Stream(graph, height, width, transfer.reader(image), transposed=columns)
            return Steps(stream, tile, dtype), transfer

        def step() -> PendingPixels:
            nonlocal busy
            loaded = self._load(recipe, columns)
            started = time.perf_counter()
            pixels = transfer.to_pixels(run.step(loaded, lambda: SCHEDULER.check(ticket)))
            busy += time.perf_counter() - started
            return pixels

        run, transfer = SCHEDULER.call(begin, ticket)
        for pixels in self._outputs(run, step, ticket):
            report(run.stream.work_done())
            strip = pixels()
            if strip.size:
                yield strip.transpose(1, 0, 2) if columns else strip
        self._estimates.record(recipe.model, dtype, height * width, busy)

    def _outputs(
        self, run: Steps, step: Callable[[], PendingPixels], ticket: Ticket
    ) -> Generator[PendingPixels, None, None]:
        """Yield the output of each step. A GPU runs the next step while the pixels of the last one are written."""
        submitted: Step[PendingPixels] = SCHEDULER.submit(step, ticket)
        try:
            while True:
                pixels = SCHEDULER.wait_for(submitted)
                finished = run.stream.finished
                if self._runs_ahead and not finished:
                    submitted = SCHEDULER.submit(step, ticket)
                yield pixels
                if finished:
                    return
                ticket.check()
                if not self._runs_ahead:
                    submitted = SCHEDULER.submit(step, ticket)
        finally:
            SCHEDULER.withdraw(submitted)

    def _lent_strips(
        self, rgb: np.ndarray, recipe: WeightInterpolation, tile: int, progress: Progress | None, ticket: Ticket
    ) -> Strips:
        """Yield the strips of one call of the lender, which is stopped by closing it."""
        assert self._lend is not None
        precision = self.precision(8 * rgb.itemsize, recipe.model)
        timed, pixels = (recipe.model, self._timed_precision(precision)), rgb.shape[0] * rgb.shape[1]
        loan, busy = Loan(rgb, recipe, tile, precision, self._estimates.seconds(*timed, pixels)), 0.0
        with closing(_with_own_errors(self._lend(loan))) as steps:
            for step in steps:
                ticket.check()
                busy = step.seconds
                if progress is not None:
                    progress(*step.told)
                if step.strip.size:
                    yield step.strip
        self._estimates.record(*timed, pixels, busy)

    def _timed_precision(self, precision: str) -> torch.dtype:
        """Return the precision at which estimates are timed: a CPU is no measure for the fast types of a lent GPU."""
        return PRECISIONS[precision if self._lend is None else "fp32"]

    def _load(self, recipe: WeightInterpolation, transposed: bool) -> RowNetwork:
        """Return the model, and load it if it is not in memory; only on the device's thread."""
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


def _with_own_errors(lent: Generator[LentStep | EnhanceError, None, None]) -> Generator[LentStep, None, None]:
    with closing(lent):
        try:
            for step in lent:
                if isinstance(step, EnhanceError):
                    raise step
                yield step
        except EnhanceError:
            raise
        except Exception as error:  # the lender's: no GPU is free, or the user's quota is used up
            raise EnhanceError("device_not_lent", reason=str(error)) from error


@cache
def _threads(device: torch.device, dtype: torch.dtype) -> Threads:
    return SCHEDULER.call(lambda: Threads.here(device, dtype))
