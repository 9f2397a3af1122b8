"""A network in memory, and its weights made ready to run: one device, one precision, one direction of streaming."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
import torch.nn.functional as F

from weights.graphs import Activate, Activation, Affine, Conv, Graph

from ..settings import Recipe
from . import checked_graph, ensure, state_dict

log = logging.getLogger(__name__)


class Ready(Protocol):
    """One node's weights, ready to run on a block of rows [n, W, C]."""

    def __call__(self, rows: torch.Tensor) -> torch.Tensor: ...

    @property
    def bytes(self) -> int: ...
    @property
    def dtype(self) -> torch.dtype: ...


@dataclass(frozen=True)
class Kernel:
    """One convolution, ready to run on a block of rows."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    activation: Pointwise | None
    enlarge: int

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Convolve rows [n + 2, W, in] (one more above and below than wanted) to [n, W, out], or twice as large.

        The columns beyond the left and right edge count as zero. A 1x1 convolution takes just the rows [n, W, in].
        """
        result = self._convolve(rows.permute(2, 0, 1).unsqueeze(0))[0].permute(1, 2, 0)
        return result if self.enlarge == 1 else _interleave(result)

    @property
    def bytes(self) -> int:
        return self.weight.numel() * self.weight.element_size()

    @property
    def dtype(self) -> torch.dtype:
        """What its rows are converted to."""
        return self.weight.dtype

    def _convolve(self, batch: torch.Tensor) -> torch.Tensor:
        padding = [0, 1 if self.weight.shape[3] > 1 else 0]
        fusing = self.activation is not None and self.activation.fused is not None
        fused = _fused_convolution() if fusing and batch.device.type == "cpu" and batch.dtype != torch.float16 else None
        if fused is not None and self.activation is not None:
            name, scalars = self.activation.fused or ("none", [])
            return fused(batch, self.weight, self.bias, padding, [1, 1], [1, 1], 1, name, scalars, "")
        result = F.conv2d(batch, self.weight, self.bias, padding=padding)
        return result if self.activation is None else self.activation(result)


@dataclass(frozen=True)
class Pointwise:
    """An activation, of a batch [1, C, n, W]; `slopes` [C] are a PReLU's."""

    kind: str
    slope: float = 0.0
    slopes: torch.Tensor | None = None

    @property
    def fused(self) -> tuple[str, list[float]] | None:
        """What PyTorch's fused convolution calls it, and its numbers; None where that does not know it."""
        return {"leaky": ("leaky_relu", [self.slope]), "silu": ("swish", []), "sigmoid": ("sigmoid", [])}.get(self.kind)

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """The activated values, in place where that is possible."""
        if self.kind == "leaky":
            return F.leaky_relu_(values, self.slope)
        if self.kind == "silu":
            return F.silu(values, inplace=True)
        if self.kind == "sigmoid":
            return values.sigmoid_()
        return F.prelu(values, self.slopes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Shifted:
    """Rows times `gain` plus `shift`, each one number or one a channel [C]; in float32."""

    gain: torch.Tensor | float
    shift: torch.Tensor | float
    bytes: int = 0
    dtype: torch.dtype = torch.float32

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return (rows.float() * self.gain).add_(self.shift)


@dataclass(frozen=True)
class Activated:
    """An activation by itself; in float32."""

    activation: Pointwise
    bytes: int = 0
    dtype: torch.dtype = torch.float32

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        batch = rows.to(torch.float32, copy=True).permute(2, 0, 1).unsqueeze(0)
        return self.activation(batch)[0].permute(1, 2, 0)


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
    kernels: dict[torch.dtype, dict[int, Ready]]

    @classmethod
    def load(cls, recipe: Recipe, *, transposed: bool) -> RowNetwork:
        """The recipe's network with its weights, those of two models mixed where it names two."""
        started = time.perf_counter()
        states = [state_dict(ensure(name)) for name in recipe.models]
        graph, *_ = [checked_graph(state, name) for state, name in zip(states, recipe.models, strict=True)]
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
        stored = sum(tensor.numel() * tensor.element_size() for tensor in [*self.state.values()])
        return stored + sum(one.bytes for ready in [*self.kernels.values()] for one in ready.values())


def prepare(
    graph: Graph, state: Mapping[str, torch.Tensor], device: torch.device, dtype: torch.dtype, *, transposed: bool
) -> dict[int, Ready]:
    """What runs the nodes that need more than their sources, by their place in the graph, on `device`.

    `precise` convolutions stay in float32, the others take `dtype`. With `transposed` the kernels serve a picture
    whose rows and columns are swapped.
    """
    ready: dict[int, Ready] = {}
    for place, node in enumerate(graph.nodes):
        if isinstance(node, Conv):
            ready[place] = _kernel(node, state, device, torch.float32 if node.precise else dtype, transposed)
        elif isinstance(node, Affine):
            gain, shift = (
                state[given].to(device, torch.float32) if isinstance(given, str) else given
                for given in (node.gain, node.shift)
            )
            ready[place] = Shifted(gain, shift)
        elif isinstance(node, Activate):
            ready[place] = Activated(_pointwise(node.activation, state, device, torch.float32))
    return ready


def _kernel(
    node: Conv, state: Mapping[str, torch.Tensor], device: torch.device, dtype: torch.dtype, transposed: bool
) -> Kernel:
    weight = state[f"{node.name}.weight"].float()
    bias = state[f"{node.name}.bias"].float() if node.bias else None
    phases = node.enlarge**2
    if transposed:
        weight = weight.transpose(2, 3)
    if phases > 1:
        weight, bias = _phases(weight), bias if bias is None else bias.repeat(phases)
    activation = _pointwise(node.activation, state, device, dtype, phases) if node.activation else None
    weight = weight.to(device, dtype).contiguous(memory_format=torch.channels_last)
    return Kernel(weight, None if bias is None else bias.to(device, dtype), activation, node.enlarge)


def _pointwise(
    activation: Activation,
    state: Mapping[str, torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
    phases: int = 1,
) -> Pointwise:
    slopes = state[activation.slopes].to(device, dtype).repeat(phases) if activation.slopes else None
    return Pointwise(activation.kind, activation.slope, slopes)


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
