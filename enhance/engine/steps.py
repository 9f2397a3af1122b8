"""The steps of one image: their size, the threads that share them, and the repetition of failed
steps."""

from __future__ import annotations

import logging
import math
import time
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from enhance.models.graphs import Graph
from enhance.models.memory import weight_bytes

from .. import models
from ..errors import MemoryShortError, is_memory_short
from ..settings import WeightInterpolation
from .device import cpu_supports, wait_for_device
from .kernels import Kernel, prepare
from .phased_stream import PhasedStream
from .stream import Check, Window

log = logging.getLogger(__name__)

SMALLEST_STRIP = 8
"""The minimum height of a strip in rows while there is enough memory."""
_HIGHEST_STRIP = 32
"""The maximum height of a strip on a CPU, so that a small image has one for each thread."""
_PIXELS_PER_CORE = 6_144
"""Pixels of a strip for each core of a CPU. More exceed the cache. With fewer, the cost of each
call dominates."""
_AMX_FACTOR = 3
"""How many times larger strips are with matrix tiles (AMX), which only large convolutions keep
busy."""
_STEP_WORK = 20e9
"""The approximate multiply-adds of a step. Threads wait for each other at its end, which slows down
fast networks."""
_STRIPS_AT_ONCE = 4
"""With more strips at once, Python would become the bottleneck. Several cores then share each
strip."""


@dataclass
class RowNetwork:
    """A network that streams by rows, in memory: its graph, its weights, and the kernels prepared
    so far."""

    recipe: WeightInterpolation
    graph: Graph
    state: dict[str, Tensor]
    kernels: dict[tuple[torch.dtype, bool], dict[int, Kernel]] = field(default_factory=dict)
    """The kernels by precision, for images that are transposed or not."""

    @classmethod
    def load(cls, recipe: WeightInterpolation) -> RowNetwork:
        """Load a network, and interpolate its weights with another network's if `recipe` has a
        partner."""
        started = time.perf_counter()
        states = [models.read_state_dict(models.ensure(name)) for name in recipe.models]
        if recipe.partner is None:
            # The tensors of the networks of a pair have different names.
            weights = dict(ChainMap(*states))
        else:
            first, second = states
            share = recipe.share
            weights = {name: share * first[name] + (1 - share) * second[name] for name in first}
        log.info("Loaded %s in %.1f s", " and ".join(recipe.models), time.perf_counter() - started)
        return cls(recipe, models.graph_of(recipe.model), weights)

    def kernels_for(
        self,
        device: torch.device,
        dtype: torch.dtype,
        *,
        transposed: bool = False,
    ) -> dict[int, Kernel]:
        """Return the kernels for a precision, and for images that are transposed or not."""
        key = dtype, transposed
        if key not in self.kernels:
            self.kernels[key] = prepare(
                self.graph,
                self.state,
                device,
                dtype,
                transposed=transposed,
            )
        return self.kernels[key]

    @property
    def name(self) -> str:
        return Path(self.recipe.model).name

    @property
    def bytes(self) -> int:
        """The memory of the weights, as loaded and as prepared for each precision, except
        padding."""
        # A list, because another thread can add kernels in the meantime.
        return weight_bytes(self.graph, sum(dtype.itemsize for dtype, _ in list(self.kernels)))


@dataclass(frozen=True)
class Threads:
    """How the cores share an image: strips at once, cores for each, and whether they have matrix
    tiles (AMX)."""

    strips: int
    cores: int = 1
    tiles: bool = False

    @classmethod
    def for_device(cls, device: torch.device, dtype: torch.dtype) -> Threads:
        """Return the threads for a device and a precision; only on the device's thread.

        A GPU runs one strip at a time, and so does fp16, whose steps may be repeated.
        """
        cores = torch.get_num_threads()
        if device.type != "cpu" or dtype == torch.float16:
            return cls(1, cores)
        return cls.for_cores(cores, dtype == torch.bfloat16 and cpu_supports("amx_tile"))

    @classmethod
    def for_cores(cls, cores: int, tiles: bool = False) -> Threads:
        """Return the division into threads that leaves the fewest of `cores` idle."""

        def preference(strips: int) -> tuple[int, int]:
            """Return the busy cores, and with equally many of them the distance from
            `_STRIPS_AT_ONCE`."""
            busy = cores // strips * strips
            return busy, -abs(strips - _STRIPS_AT_ONCE)

        strips = max(range(1, 2 * _STRIPS_AT_ONCE + 1), key=preference)
        return cls(strips, cores // strips, tiles)


def strip_rows(width: int, tile: int, device: torch.device, threads: Threads) -> int:
    """Return the height of the strips of an image, at most `tile` x `tile` pixels unless that is
    less than 8 rows.

    Strips for a GPU have that size. Strips for a CPU fit into the caches of its cores.
    """
    rows = tile * tile // width
    if device.type == "cpu":
        cached = threads.cores * min(_HIGHEST_STRIP, _PIXELS_PER_CORE // width)
        if threads.tiles:
            cached *= _AMX_FACTOR
        rows = min(rows, cached)
    return max(SMALLEST_STRIP, rows)


class Steps:
    """The steps of one image: the height of their strips, and the repetition of failed steps."""

    def __init__(
        self,
        stream: PhasedStream,
        tile: int,
        dtype: torch.dtype,
        threads: Threads | None = None,
    ):
        self.stream = stream
        self.dtype = dtype
        image = stream.image
        self._device = image.device
        self._threads = threads or Threads.for_device(image.device, dtype)
        self.rows = strip_rows(image.width, tile, image.device, self._threads)
        self._rounds = 1
        if self._threads.strips > 1:
            work = stream.work * _PIXELS_PER_CORE * self._threads.cores * self._threads.strips
            self._rounds = max(1, round(_STEP_WORK / work))

    def step(self, model: RowNetwork, check: Check = lambda: None) -> Tensor:
        """Return the next output rows.

        The strip is halved if there is not enough memory, and a step that overflowed in fp16 is
        repeated in fp32.
        """
        if self.dtype == torch.float16:
            rows = self._step_in_fp16(model, check)
        else:
            rows = self._fitting_step(model, self.dtype, check)
        # A GPU only queues its work, but a step has to last as long as the work.
        wait_for_device(self._device)
        return rows

    def _step_in_fp16(self, model: RowNetwork, check: Check) -> Tensor:
        # Networks with barriers do not run in fp16, so this is the only phase.
        stream = self.stream.current
        before = stream.snapshot()
        rows = self._fitting_step(model, torch.float16, check)
        if _all_finite(stream.snapshot(), rows):
            return rows
        log.info("A step overflowed in fp16 and is repeated in fp32")
        stream.restore(before)
        return self._fitting_step(model, torch.float32, check)

    def _fitting_step(self, model: RowNetwork, dtype: torch.dtype, check: Check) -> Tensor:
        while True:
            try:
                transposed = self.stream.image.transposed
                kernels = model.kernels_for(self._device, dtype, transposed=transposed)
                strips = self._threads.strips
                return self.stream.step(kernels, self.rows, check, strips, self._rounds)
            # PyTorch raises RuntimeError for every device.
            except (MemoryError, RuntimeError) as error:
                if not is_memory_short(error):
                    raise
                torch.cuda.empty_cache()  # without effect if CUDA is not in use
                if self.rows == 1:
                    raise MemoryShortError("memory_short") from error
                self.rows //= 2
                log.info("Memory is full: continuing with strips of %d rows", self.rows)


def _all_finite(windows: Sequence[Window], rows: Tensor) -> bool:
    """Return whether a step with this state and output was finite in every layer.

    Values that are not finite spread to everything that is computed from them, except through a
    sigmoid, whose limit is correct. Values that nothing was computed from yet are still in the
    windows.
    """
    chunks = [chunk for window in windows for chunk in window.chunks]
    tensors = [tensor for tensor in (*chunks, rows) if len(tensor)]
    with torch.inference_mode():
        maximum = partial(torch.linalg.vector_norm, ord=math.inf, dtype=torch.float32)
        maxima = [maximum(tensor) for tensor in tensors]
        return bool(torch.stack(maxima).isfinite().all())
