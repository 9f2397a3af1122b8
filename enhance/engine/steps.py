"""The steps of one image: their size, the threads that share them, and what happens when one fails."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

import torch

from enhance.models.graphs import Graph
from enhance.models.memory import stream_bytes

from .. import models
from ..errors import MemoryShortError
from ..settings import WeightInterpolation
from .device import free_memory, is_out_of_memory, wait_for_device
from .kernels import Kernel, prepare
from .replay import Recorder, Replay, all_finite, is_full_step, recorder
from .stream import Check, Stream, Window

log = logging.getLogger(__name__)

SMALLEST_STRIP = 8
"""The least height of a strip in rows while there is enough memory."""
_HIGHEST_STRIP = 32
"""On a CPU: a small image should have a strip for each thread too."""
_PIXELS_PER_CORE = 6_144
"""Pixels of a strip on a CPU: more would leave the cache, with fewer the cost of each call dominates."""
_AMX_FACTOR = 3
"""How many times larger strips are with matrix tiles (AMX), which only large convolutions keep busy."""
_STEP_WORK = 20e9
"""Multiply-adds of a step, about. Threads wait for each other at its end, which slows down fast networks."""
_STRIPS_AT_ONCE = 4
"""With more strips at once Python would become the bottleneck, so several cores share each strip."""
_LEAST_REPLAYS = 8
"""A step is recorded if so many more steps follow."""
_LEAST_REPLAY_GAIN = 0.9
"""The largest share of a step's time that its replay can take."""


@dataclass
class RowNetwork:
    """A network that streams by rows, in memory: its graph, its weights, and the kernels prepared so far."""

    recipe: WeightInterpolation
    transposed: bool
    graph: Graph
    state: dict[str, torch.Tensor]
    kernels: dict[torch.dtype, dict[int, Kernel]]

    @classmethod
    def load(cls, recipe: WeightInterpolation, *, transposed: bool) -> RowNetwork:
        """Load a network, and interpolate its weights with those of another if `recipe` names two."""
        started = time.perf_counter()
        states = [models.read_state_dict(models.ensure(name)) for name in recipe.models]
        graph = models.graph_of(recipe.models[0])
        for state, name in zip(states, recipe.models, strict=True):
            models.check_state(state, models.graph_of(name), name)
        state = states[0]
        if recipe.partner is not None:
            share, other = recipe.share, states[1]
            state = {key: share * tensor + (1 - share) * other[key] for key, tensor in state.items()}
        log.info("Loaded %s in %.1f s", " and ".join(recipe.models), time.perf_counter() - started)
        return cls(recipe, transposed, graph, state, {})

    def turn(self, *, transposed: bool) -> None:
        """Set the direction of the images. The kernels of the other direction are dropped."""
        if self.transposed != transposed:
            self.transposed = transposed
            self.kernels.clear()

    @property
    def name(self) -> str:
        return self.recipe.model

    @property
    def precisions(self) -> tuple[str, ...]:
        return self.graph.precisions

    @property
    def bytes(self) -> int:
        stored = sum(tensor.numel() * tensor.element_size() for tensor in [*self.state.values()])
        return stored + sum(one.bytes for kernels in [*self.kernels.values()] for one in kernels.values())


@dataclass(frozen=True)
class Threads:
    """How an image is shared: strips at once, cores for each, and whether they have matrix tiles (AMX)."""

    strips: int
    cores: int = 1
    tiles: bool = False

    @classmethod
    def here(cls, device: torch.device, dtype: torch.dtype) -> Threads:
        """Return the threads for a device and a precision; only on the device's thread.

        A GPU runs one strip at a time, and so does fp16, whose steps may be repeated.
        """
        cores = torch.get_num_threads()
        if device.type != "cpu" or dtype == torch.float16:
            return cls(1, cores)
        probe = getattr(torch.cpu, "_is_amx_tile_supported", bool)
        return cls.of(cores, dtype == torch.bfloat16 and bool(probe()))

    @classmethod
    def of(cls, cores: int, tiles: bool = False) -> Threads:
        """Return the threads for so many cores that leave the fewest idle."""
        strips = max(range(1, 2 * _STRIPS_AT_ONCE + 1), key=lambda n: (cores // n * n, -abs(n - _STRIPS_AT_ONCE)))
        return cls(strips, cores // strips, tiles)


def strip_rows(width: int, tile: int, device: torch.device, threads: Threads) -> int:
    """Return the height of the strips of an image, at most `tile` x `tile` pixels unless that is less than 8 rows.

    A GPU gets that much; a CPU as much as keeps each core busy within its cache.
    """
    most = tile * tile // width
    if device.type == "cpu":
        factor = threads.cores * (_AMX_FACTOR if threads.tiles else 1)
        most = min(most, factor * min(_HIGHEST_STRIP, _PIXELS_PER_CORE // width))
    return max(SMALLEST_STRIP, most)


class Steps:
    """The steps of one image: how high their strips are, what happens when one fails, and whether they are replayed."""

    def __init__(self, stream: Stream, tile: int, dtype: torch.dtype, threads: Threads | None = None):
        self.stream, self.dtype = stream, dtype
        self._threads = threads or Threads.here(stream.device, dtype)
        self.rows = strip_rows(stream.width, tile, stream.device, self._threads)
        if (free := free_memory(stream.device)) < math.inf:
            while self.rows > 1 and self._bytes > free:
                self.rows //= 2
        work = stream.graph.work * _PIXELS_PER_CORE * self._threads.cores * self._threads.strips
        self._rounds = max(1, round(_STEP_WORK / work)) if self._threads.strips > 1 else 1
        self._recorder = recorder(stream.device)
        self._replay: Replay | None = None
        self._was_full = False

    def step(self, model: RowNetwork, check: Check = lambda: None) -> torch.Tensor:
        """Return the next output rows, which the next step overwrites.

        The strip is halved if memory is full, and a step that overflowed in fp16 is repeated in fp32.
        """
        rows = self._finite_step(model, check)
        wait_for_device(self.stream.device)
        return rows

    def _finite_step(self, model: RowNetwork, check: Check) -> torch.Tensor:
        replay = self._ready_replay(model)
        if replay is None:
            may_go_back = self.dtype == torch.float16 or self._recorder is not None
            before = self.stream.snapshot() if may_go_back else []
            rows = self._direct_step(model, before, check)
            if self.dtype != torch.float16 or all_finite(self.stream.snapshot(), rows):
                return rows
            self.stream.restore(before)
        else:
            check()
            rows = replay.step()
            if self.dtype != torch.float16 or replay.all_finite:
                return rows
            replay.undo()
        log.info("A step overflowed in fp16 and is repeated in fp32")
        return self._fitting_step(model, torch.float32, check)

    @property
    def _bytes(self) -> int:
        """The memory of a stream with these strips."""
        return stream_bytes(self.stream.graph, self.stream.width, self.rows, self.dtype.itemsize)

    def _ready_replay(self, model: RowNetwork) -> Replay | None:
        """Return the replay of the next step, if there is one. Another model in between has dropped its kernels."""
        replay = self._replay
        if replay is not None and not replay.uses(model.kernels.get(self.dtype)):
            self._replay, self._recorder = None, recorder(self.stream.device)
        elif replay is not None and replay.is_finished:
            self._replay = None
        return self._replay if self._replay is not None and self._replay.is_ready else None

    def _direct_step(self, model: RowNetwork, before: list[Window], check: Check) -> torch.Tensor:
        """Run a step without a replay; once per image, try whether later steps are faster as replays."""
        if self._recorder is None:
            return self._fitting_step(model, self.dtype, check)
        height, started = self.rows, time.perf_counter()
        rows = self._fitting_step(model, self.dtype, check)
        wait_for_device(self.stream.device)
        seconds, was_full, left = time.perf_counter() - started, self._was_full, self.stream.height - self.stream.fed
        self._was_full = self.rows == height and is_full_step(model.graph, before, self.stream.snapshot(), height)
        if was_full and self._was_full and left >= _LEAST_REPLAYS * height:
            record, self._recorder = self._recorder, None
            self._replay = self._try_replay(record, model.kernels[self.dtype], before, rows, seconds)
        return rows

    def _try_replay(
        self, record: Recorder, kernels: dict[int, Kernel], before: list[Window], rows: torch.Tensor, seconds: float
    ) -> Replay | None:
        """Return the last step as a replay, if it has the same output in less than the `seconds` that the step took."""
        after = self.stream.snapshot()
        try:
            self.stream.restore(before)
            held = sum(chunk.nbytes for window in before for chunk in window.chunks)
            if 2 * held + self._bytes > free_memory(self.stream.device):
                return None
            replay = Replay(self.stream, kernels, self.rows, record)
            took = math.inf
            for _ in range(2):  # the first replay only loads the graph
                self.stream.restore(before)
                started = time.perf_counter()
                replay.step()
                wait_for_device(self.stream.device)
                took = time.perf_counter() - started
            return replay if took < _LEAST_REPLAY_GAIN * seconds and replay.matches(rows, after) else None
        except RuntimeError as error:
            log.info("Steps are not replayed: %s", str(error))
            return None
        finally:
            self.stream.restore(after)

    def _fitting_step(self, model: RowNetwork, dtype: torch.dtype, check: Check) -> torch.Tensor:
        while True:
            try:
                if dtype not in model.kernels:
                    model.kernels[dtype] = prepare(
                        model.graph, model.state, self.stream.device, dtype, transposed=model.transposed
                    )
                return self.stream.step(model.kernels[dtype], self.rows, check, self._threads.strips, self._rounds)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(error)

    def _halve(self, error: Exception) -> None:
        self.stream.release_scratch()
        self._replay = None
        if self.stream.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.rows == 1:
            raise MemoryShortError("memory_short") from error
        self.rows //= 2
        log.info("Memory is full: continuing with strips of %d rows", self.rows)
