"""A network in memory, and its weights made ready to run: one device, one precision, one direction of streaming."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F

from ..settings import Recipe
from . import models
from .networks import Conv, Graph, Shuffle, build_graph

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kernel:
    """One convolution, ready to run on a block of rows."""

    weight: torch.Tensor
    bias: torch.Tensor
    slope: float
    prelu: torch.Tensor | None
    enlarge: int

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Convolve rows [n + 2, W, in] (one more above and below than wanted) to [n, W, out], or twice as large.

        The columns beyond the left and right edge count as zero.
        """
        result = self._convolve(rows.permute(2, 0, 1).unsqueeze(0))[0].permute(1, 2, 0)
        return result if self.enlarge == 1 else _interleave(result)

    def _convolve(self, batch: torch.Tensor) -> torch.Tensor:
        if self.prelu is not None:
            return F.prelu(F.conv2d(batch, self.weight, self.bias, padding=(0, 1)), self.prelu)
        if self.slope == 1.0:
            return F.conv2d(batch, self.weight, self.bias, padding=(0, 1))
        fused = _fused_convolution() if batch.device.type == "cpu" and batch.dtype != torch.float16 else None
        if fused is not None:
            return fused(batch, self.weight, self.bias, [0, 1], [1, 1], [1, 1], 1, "leaky_relu", [self.slope], "")
        return F.leaky_relu_(F.conv2d(batch, self.weight, self.bias, padding=(0, 1)), self.slope)


@cache
def _fused_convolution() -> Callable[..., torch.Tensor] | None:
    """PyTorch's private convolution with the activation fused in, or None where this build lacks it."""
    try:
        fused = torch.ops.mkldnn._convolution_pointwise
        batch, weight = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3)
        found = fused(batch, weight, torch.tensor([-18.0]), [0, 1], [1, 1], [1, 1], 1, "leaky_relu", [0.5], "")
        return fused if torch.equal(found.flatten(), torch.tensor([-6.0, -4.5, -6.0])) else None
    except (AttributeError, RuntimeError, TypeError):
        return None


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
    def precisions(self) -> tuple[str, ...]:
        """The precisions that the network declares."""
        return self.graph.precisions

    @property
    def bytes(self) -> int:
        tensors = [*self.state.values()]
        for ready in [*self.kernels.values()]:
            tensors += [kernel.weight for kernel in ready.values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def prepare(
    graph: Graph, state: Mapping[str, torch.Tensor], device: torch.device, dtype: torch.dtype, *, transposed: bool
) -> dict[int, Kernel]:
    """The kernels of all convolutions by their place in the graph, on `device`.

    `precise` convolutions stay in float32, the others take `dtype`. With `transposed` the kernels serve a picture
    whose rows and columns are swapped.
    """
    kernels: dict[int, Kernel] = {}
    shuffled = {node.source: node.factor for node in graph.nodes if isinstance(node, Shuffle)}
    for place, node in enumerate(graph.nodes):
        if not isinstance(node, Conv):
            continue
        kind = torch.float32 if node.precise else dtype
        weight, bias = state[f"{node.name}.weight"].float(), state[f"{node.name}.bias"].float()
        if transposed:
            weight = weight.transpose(2, 3)
        if transposed and place in shuffled:
            weight, bias = (_swap_subpixels(tensor, shuffled[place]) for tensor in (weight, bias))
        if node.enlarge == 2:
            weight, bias = _phases(weight), bias.repeat(4)
        prelu = state[node.prelu].to(device, kind) if node.prelu else None
        kernels[place] = Kernel(
            weight.to(device, kind).contiguous(memory_format=torch.channels_last),
            bias.to(device, kind),
            node.slope,
            prelu,
            node.enlarge,
        )
    return kernels


def _swap_subpixels(tensor: torch.Tensor, factor: int) -> torch.Tensor:
    """Output channels [c, row, column] in the order [c, column, row]: pixel shuffle then swaps rows and columns too."""
    return tensor.unflatten(0, (-1, factor, factor)).transpose(1, 2).flatten(0, 2)


def _phases(weight: torch.Tensor) -> torch.Tensor:
    """The four 2x2 kernels [4 * out, in, 2, 2] that equal nearest x2 followed by this 3x3 kernel.

    An even output row reads its source row twice and the one above once, an odd one the one below: taps that fall on
    the same source pixel are summed.
    """

    def fold(kernel: torch.Tensor, axis: int, odd: int) -> torch.Tensor:
        first, middle, last = kernel.unbind(axis)
        pair = (first + middle, last) if odd else (first, middle + last)
        return torch.stack(pair, axis)

    return torch.cat([fold(fold(weight, 2, row), 3, column) for row in (0, 1) for column in (0, 1)])


def _interleave(phases: torch.Tensor) -> torch.Tensor:
    """Phases [n + 1, W + 1, 4 * C] of a doubled map woven to its rows [2 * n, 2 * W, C]."""
    height, width, channels = phases.shape[0] - 1, phases.shape[1] - 1, phases.shape[2] // 4
    woven = phases.new_empty(height, 2, width, 2, channels)
    for row in (0, 1):
        for column in (0, 1):
            phase = (2 * row + column) * channels
            woven[:, row, :, column] = phases[row : row + height, column : column + width, phase : phase + channels]
    return woven.view(2 * height, 2 * width, channels)
