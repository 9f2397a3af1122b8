"""What a network's nodes do with rows: its picture and its weights made ready for a device, precision and direction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
import torch.nn.functional as F

from enhance.models.graphs import Activate, Activation, Affine, Conv, Graph

log = logging.getLogger(__name__)

Feed = Callable[[int, int], torch.Tensor]
"""Gives the picture's rows [first, last), [last - first, W, 3], float32 in 0..1."""
_CHANNELS_AT_ONCE = 16
"""As many float32 fit one of a processor's registers (AVX-512), or two (AVX2)."""
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, on which networks for grey pictures are trained


class Ready(Protocol):
    """One node's weights, ready to run on a block of rows [n, W, C]."""

    def __call__(self, rows: torch.Tensor) -> torch.Tensor: ...

    @property
    def bytes(self) -> int: ...
    @property
    def dtype(self) -> torch.dtype: ...


@dataclass(frozen=True)
class Kernel:
    """One convolution, ready to run on a block of rows; `padding` columns beyond either edge count as zero."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    activation: Pointwise | None
    padding: int

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Convolve rows [n + k - 1, W, in] of a kernel [out, in, k, m] to [n, W + 2 * padding - m + 1, out]."""
        return self._convolve(rows.permute(2, 0, 1).unsqueeze(0))[0].permute(1, 2, 0)

    @property
    def bytes(self) -> int:
        return self.weight.numel() * self.weight.element_size()

    @property
    def dtype(self) -> torch.dtype:
        """What its rows are converted to."""
        return self.weight.dtype

    def _convolve(self, batch: torch.Tensor) -> torch.Tensor:
        padding = [0, self.padding]
        fusing = self.activation is not None and self.activation.fused is not None
        fused = _fused_convolution() if fusing and batch.device.type == "cpu" and batch.dtype != torch.float16 else None
        if fused is not None and self.activation is not None:
            name, scalars = self.activation.fused or ("none", [])
            return fused(batch, self.weight, self.bias, padding, [1, 1], [1, 1], 1, name, scalars, "")
        result = F.conv2d(batch, self.weight, self.bias, padding=padding)
        return result if self.activation is None else self.activation(result)


@dataclass(frozen=True)
class Doubling:
    """Nearest x2 and a 3x3 convolution in one: a kernel for the even rows of the output, and one for the odd ones.

    Each [2 * out, in, 2, 2] gives the even columns and then the odd ones.
    """

    even: Kernel
    odd: Kernel

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Convolve rows [n + 2, W, in] to [2 * n, 2 * W, out]."""
        height, width, channels = len(rows) - 2, rows.shape[1], self.even.weight.shape[0] // 2
        woven = rows.new_empty(height, 2, width, 2, channels)
        for row, (kernel, source) in enumerate(((self.even, rows[:-1]), (self.odd, rows[1:]))):
            phases = kernel(source)  # [n, W + 1, 2 * out]
            for column in (0, 1):
                part = phases[:, column : column + width, column * channels : (column + 1) * channels]
                woven[:, row, :, column] = part
        return woven.view(2 * height, 2 * width, channels)

    @property
    def bytes(self) -> int:
        return self.even.bytes + self.odd.bytes

    @property
    def dtype(self) -> torch.dtype:
        return self.even.dtype


@dataclass(frozen=True)
class Narrow:
    """A 3x3 convolution to few channels: what its three columns give side by side [3 * out, in, 3, 1], added up.

    A processor makes 16 channels at once, so three times as many cost no more.
    """

    columns: Kernel

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Convolve rows [n + 2, W, in] to [n, W, out]."""
        left, middle, right = self.columns(rows).tensor_split(3, 2)  # [n, W + 2, out]
        return (left[:, :-2] + middle[:, 1:-1]).add_(right[:, 2:])

    @property
    def bytes(self) -> int:
        return self.columns.bytes

    @property
    def dtype(self) -> torch.dtype:
        return self.columns.dtype


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
) -> Ready:
    weight = state[f"{node.name}.weight"].float()
    bias = state[f"{node.name}.bias"].float() if node.bias else None
    if transposed:
        weight = weight.transpose(2, 3)

    def ready(weight: torch.Tensor, bias: torch.Tensor | None, padding: int) -> Kernel:
        times = weight.shape[0] // node.channels
        activation = _pointwise(node.activation, state, device, dtype, times) if node.activation else None
        weight = weight.to(device, dtype).contiguous(memory_format=torch.channels_last)
        return Kernel(weight, None if bias is None else bias.to(device, dtype), activation, padding)

    if node.enlarge > 1:
        twice = None if bias is None else bias.repeat(2)
        return Doubling(*(ready(torch.cat(_phases(rows, 3)), twice, 1) for rows in _phases(weight, 2)))
    if node.size == 3 and node.activation is None and 3 * node.channels <= _CHANNELS_AT_ONCE and device.type == "cpu":
        once = None if bias is None else torch.cat([bias, bias.new_zeros(2 * node.channels)])
        return Narrow(ready(torch.cat(weight.split(1, 3)), once, 1))
    return ready(weight, bias, node.size // 2)


def _pointwise(
    activation: Activation,
    state: Mapping[str, torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
    times: int = 1,
) -> Pointwise:
    slopes = state[activation.slopes].to(device, dtype).repeat(times) if activation.slopes else None
    return Pointwise(activation.kind, activation.slope, slopes)


def _phases(kernel: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What a kernel's three taps along `axis` are to the even and to the odd places of a source that is doubled there.

    An even one reads the one before once and its own twice, an odd one its own twice and the one after: taps that fall
    on the same place are summed.
    """
    before, middle, after = kernel.unbind(axis)
    return torch.stack((before, middle + after), axis), torch.stack((before + middle, after), axis)


class PictureRows:
    """The picture as a network takes it: grey where it knows only grey, several pixels as one where it unshuffles.

    Then the picture is first continued to a multiple of those, mirrored at its last one.
    """

    def __init__(self, graph: Graph, height: int, width: int, feed: Feed, transposed: bool):
        self._feed, self._height, self._width, self._transposed = feed, height, width, transposed
        self._grey, self._fold = graph.picture_channels == 1, graph.unshuffle
        self.grid = -(-height // self._fold), -(-width // self._fold)

    def rows(self, first: int, last: int) -> torch.Tensor:
        """The rows [first, last) of the network's grid, float32 [n, W, C]."""
        if self._fold == 1:
            return self._coloured(self._feed(first, last))
        fold = self._fold
        rows = self._coloured(self._continued(first * fold, last * fold))  # [n * f, W * f, C]
        rows = rows.unflatten(0, (-1, fold)).unflatten(2, (-1, fold))  # [n, row, W, column, C]
        row, column = (3, 1) if self._transposed else (1, 3)
        return rows.permute(0, 2, 4, row, column).flatten(2)  # [n, W, C * f * f]

    def _coloured(self, rows: torch.Tensor) -> torch.Tensor:
        return rows @ rows.new_tensor(_GREY).unsqueeze(1) if self._grey else rows

    def _continued(self, first: int, last: int) -> torch.Tensor:
        parts = [self._feed(first, min(last, self._height))] if first < self._height else []
        for row in range(max(first, self._height), last):
            mirrored = _mirrored(row, self._height)
            parts.append(self._feed(mirrored, mirrored + 1))
        rows = parts[0] if len(parts) == 1 else torch.cat(parts)  # [n, W, 3]
        beyond = [_mirrored(column, self._width) for column in range(self._width, self.grid[1] * self._fold)]
        return torch.cat([rows, rows[:, beyond]], 1) if beyond else rows


def _mirrored(place: int, length: int) -> int:
    """Which pixel stands for the one at `place` beyond the last; the first one where the picture is too short."""
    return max(0, 2 * (length - 1) - place)
