"""A network in memory, and one picture's steps through it: how high they are, and what happens when one fails."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import torch

from ..errors import MemoryShortError
from ..settings import Recipe
from . import models
from .graph import Graph
from .kernels import Kernel, prepare
from .networks import build_graph
from .rows import Stream

log = logging.getLogger(__name__)

SMALLEST_STRIP = 8
# A strip of this many pixels keeps a convolution's input in a processor's cache: larger ones are slower there.
_CACHED_PIXELS = 12_288


@dataclass
class RowNetwork:
    """A network that streams by rows, in memory: its graph, its weights, and the kernels made ready so far."""

    recipe: Recipe
    transposed: bool
    graph: Graph
    state: dict[str, torch.Tensor]
    kernels: dict[torch.dtype, dict[int, Kernel]]

    @classmethod
    def load(cls, recipe: Recipe, *, transposed: bool) -> RowNetwork:
        """The recipe's network with its weights, those of two models mixed where it names two."""
        started = time.perf_counter()
        states = [models.state_dict(models.ensure(name)) for name in recipe.models]
        graph, *_ = [build_graph(state, name) for state, name in zip(states, recipe.models, strict=True)]
        state = states[0]
        if recipe.partner is not None:
            share, other = recipe.share, states[1]
            state = {key: share * tensor + (1 - share) * other[key] for key, tensor in state.items()}
        log.info("Loaded %s in %.1f s", " and ".join(recipe.models), time.perf_counter() - started)
        return cls(recipe, transposed, graph, state, {})

    def turn(self, *, transposed: bool) -> None:
        """Serve pictures of this direction from now on: the kernels of the other one are of no use."""
        if self.transposed != transposed:
            self.transposed = transposed
            self.kernels.clear()

    @property
    def name(self) -> str:
        return self.recipe.model

    @property
    def bytes(self) -> int:
        tensors = [*self.state.values()]
        for ready in self.kernels.values():
            tensors += [kernel.weight for kernel in ready.values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class Steps:
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
                if not is_out_of_memory(error):
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


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device's error says that memory is short."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
