"""The engine: one device, one model in memory, exact row streaming, turns, stop and progress."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch

from ..errors import Cancelled, EnhanceError, MemoryShortError
from ..settings import Recipe
from . import models
from .device import PRECISIONS, check_precision, pick_device, pick_precision
from .graph import Graph
from .kernels import Kernel, prepare
from .network_output import streams_columns
from .networks import build_graph, known_graph
from .rows import Stream
from .turns import Progress, Turns, Waiting
from .usage import Speedometer

log = logging.getLogger(__name__)

SMALLEST_STRIP = 8
# A strip of this many pixels keeps a convolution's input in a processor's cache: larger ones are slower there.
_CACHED_PIXELS = 12_288


class HeldModel(Protocol):
    """A model in memory."""

    @property
    def name(self) -> str: ...
    @property
    def bytes(self) -> int: ...


Held = TypeVar("Held", bound=HeldModel)
Made = TypeVar("Made")


@dataclass
class RowNetwork:
    """A network that streams by rows, in memory: its graph, its weights, and the kernels made ready so far."""

    recipe: Recipe
    transposed: bool
    graph: Graph
    state: dict[str, torch.Tensor]
    kernels: dict[torch.dtype, dict[int, Kernel]]

    @property
    def name(self) -> str:
        return self.recipe.model

    @property
    def bytes(self) -> int:
        tensors = [*self.state.values()]
        for ready in self.kernels.values():
            tensors += [kernel.weight for kernel in ready.values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class Engine:
    """Runs networks on one device; safe to call from several threads.

    The model stays in memory for the next picture, and goes after `idle_seconds` without one.
    """

    def __init__(self, device: str = "auto", precision: str = "auto", *, idle_seconds: float = 300):
        self.device = pick_device(device)
        check_precision(precision)
        self._precision = precision
        self._turns = Turns()
        self._speed = Speedometer(self.device)
        self._idle_seconds = idle_seconds
        self._rest: threading.Timer | None = None
        self._model: HeldModel | None = None

    def estimate(self, model: str, height: int, width: int, bits: int = 8) -> float:
        """The seconds that the network called `model` will take for a picture of this size on this machine."""
        return self._speed.seconds(model, PRECISIONS[self.precision(bits, model)], height * width)

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
        *,
        waiting: Waiting | None = None,
    ) -> Made:
        """What `work` makes with the model called `name`, in one turn; `load` brings it where it is not in memory."""
        try:
            with self._turns.turn(waiting):
                held = self._model
                if held is None or held.name != name:
                    self._drop()
                    held = self._model = load(self.device)
                try:
                    return work(held)  # type: ignore[arg-type]
                except Exception as error:
                    if not _is_out_of_memory(error):
                        raise
                    self._drop()
                    raise MemoryShortError("memory_short") from error
        finally:
            self._release_later()

    @property
    def runs(self) -> int:
        """How many runs go on or wait, previews not counted."""
        return self._turns.runs

    def release(self) -> None:
        """Give the model's memory back; the next run loads it again."""
        with self._turns.turn(urgent=True):
            self._drop()

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
    ) -> Generator[np.ndarray, None, None]:
        """The network's output of `rgb` [H, W, 3] (uint8 or uint16, RGB), strip by strip, in the same type.

        A portrait or square picture gives strips [n, W * scale, 3] from top to bottom, a landscape one
        [H * scale, n, 3] from left to right (`streams_columns`). `tile` bounds the unit of work, no pixel. An `urgent`
        caller gets the device between the steps of a run that is not; `waiting` counts the time until then. Raises
        Cancelled, WeightsError, MemoryShortError.
        """
        recipe = Recipe(model) if isinstance(model, str) else model
        waiting = waiting or Waiting()
        try:
            with nullcontext() if urgent else self._turns.run(waiting, stop):
                yield from self._strips(rgb, recipe, tile, progress, stop, waiting, urgent=urgent)
        finally:
            self._release_later()

    def _strips(
        self,
        rgb: np.ndarray,
        recipe: Recipe,
        tile: int,
        progress: Progress | None,
        stop: threading.Event | None,
        waiting: Waiting,
        *,
        urgent: bool,
    ) -> Generator[np.ndarray, None, None]:
        columns = streams_columns(rgb.shape[0], rgb.shape[1])
        picture = rgb.transpose(1, 0, 2) if columns else rgb
        levels = np.iinfo(rgb.dtype).max
        dtype = PRECISIONS[self.precision(8 if levels == 255 else 16, recipe.model)]
        with self._turns.turn(waiting, urgent=urgent):
            graph = self._load(recipe, columns).graph
        run = _Run(Stream(graph, picture.shape[0], picture.shape[1], _feed(picture, levels, self.device)), tile, dtype)
        clock = _Clock(picture.shape[0])
        busy = 0.0
        while not run.stream.finished:
            if stop is not None and stop.is_set():
                raise Cancelled("stopped")
            with self._turns.turn(waiting, urgent=urgent):
                loaded = self._load(recipe, columns)
                started = time.perf_counter()
                strip = self._to_pixels(run.step(loaded), levels)
                busy += time.perf_counter() - started
            if progress is not None:
                progress(*clock.read(run.stream.work_done()))
            if strip.size:
                yield strip.transpose(1, 0, 2) if columns else strip
        self._speed.record(recipe.model, dtype, picture.shape[0] * picture.shape[1], busy)

    def _to_pixels(self, rows: torch.Tensor, levels: int) -> np.ndarray:
        """Rows in 0..1 rounded to the nearest of 0..`levels`."""
        if not torch.isfinite(rows).all():
            raise EnhanceError("not_finite")
        scaled = rows.clamp(0, 1).mul_(levels).round_()
        if levels == 255:
            return scaled.to(torch.uint8).cpu().numpy()
        return scaled.to(torch.int32).cpu().numpy().astype(np.uint16)

    def _load(self, recipe: Recipe, transposed: bool) -> RowNetwork:
        """The model, loaded if another (or none) is in memory. Only within a turn."""
        held = self._model
        if not isinstance(held, RowNetwork) or held.recipe != recipe:
            self._drop()
            started = time.perf_counter()
            graph, state = _read(recipe)
            held = self._model = RowNetwork(recipe, transposed, graph, state, {})
            log.info("Loaded %s in %.1f s", " and ".join(recipe.models), time.perf_counter() - started)
        if held.transposed != transposed:
            held.transposed = transposed
            held.kernels.clear()
        return held

    def _release_later(self) -> None:
        """Release the model when nothing more has come for a while."""
        if self._rest is not None:
            self._rest.cancel()
        self._rest = threading.Timer(self._idle_seconds, self._release_if_idle)
        self._rest.daemon = True
        self._rest.start()

    def _release_if_idle(self) -> None:
        if self._turns.runs == 0:
            self.release()

    def _drop(self) -> None:
        self._model = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class _Run:
    """One picture's steps: how high they are, and what happens when one fails."""

    def __init__(self, stream: Stream, tile: int, dtype: torch.dtype):
        self.stream, self.dtype = stream, dtype
        self.rows = max(SMALLEST_STRIP, tile * tile // stream.width)
        if stream.device.type == "cpu":
            self.rows = min(self.rows, max(SMALLEST_STRIP, _CACHED_PIXELS // stream.width))

    def step(self, model: RowNetwork) -> torch.Tensor:
        """The next output rows; halves the strip when memory is short, and repeats in fp32 what overflowed in fp16."""
        if self.dtype != torch.float16:
            return self._fitting_step(model, self.dtype)
        before = self.stream.snapshot()
        rows = self._fitting_step(model, torch.float16)
        if not self.stream.overflowed():
            return rows
        log.info("A step overflowed in fp16 and is repeated in fp32")
        self.stream.restore(before)
        return self._fitting_step(model, torch.float32)

    def _fitting_step(self, model: RowNetwork, dtype: torch.dtype) -> torch.Tensor:
        while True:
            try:
                if dtype not in model.kernels:
                    model.kernels[dtype] = prepare(
                        model.graph, model.state, self.stream.device, dtype, transposed=model.transposed
                    )
                with torch.inference_mode():
                    return self.stream.step(model.kernels[dtype], self.rows)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._take_less(error)

    def _take_less(self, error: Exception) -> None:
        self.stream.release_scratch()
        if self.stream.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.rows <= SMALLEST_STRIP:
            raise MemoryShortError("memory_short") from error
        self.rows = max(SMALLEST_STRIP, self.rows // 2)
        log.info("Memory is short: going on with strips of %d rows", self.rows)


class _Clock:
    """Turns the share of the work that is done into rows and seconds left."""

    def __init__(self, rows: int):
        self._rows = rows
        self._started = time.perf_counter()

    def read(self, share: float) -> tuple[int, int, float | None]:
        elapsed = time.perf_counter() - self._started
        left = elapsed / share * (1 - share) if share > 0 else None
        return min(self._rows, int(share * self._rows + 1e-6)), self._rows, left


def _read(recipe: Recipe) -> tuple[Graph, dict[str, torch.Tensor]]:
    """The graph and the weights of the recipe, mixed where it has two models."""
    states = [models.state_dict(models.ensure(name)) for name in recipe.models]
    graphs = [build_graph(state, name) for state, name in zip(states, recipe.models, strict=True)]
    if recipe.partner is None:
        return graphs[0], states[0]
    first, second = states
    mixed = {key: recipe.share * tensor + (1 - recipe.share) * second[key] for key, tensor in first.items()}
    return graphs[0], mixed


def _feed(picture: np.ndarray, levels: int, device: torch.device) -> Callable[[int, int], torch.Tensor]:
    def rows(first: int, last: int) -> torch.Tensor:
        part = np.ascontiguousarray(picture[first:last], dtype=np.float32)
        return torch.from_numpy(part).to(device).div_(levels)

    return rows


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
