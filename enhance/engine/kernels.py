"""Kernels: the operations of a network on rows, with weights prepared for a device, a precision and
a direction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy import ndarray
from torch import Tensor

from enhance.models.graphs import (
    Activate,
    Activation,
    Add,
    Affine,
    ChannelGate,
    ChannelNorm,
    Conv,
    Crop,
    Gate,
    Graph,
    GroupNorm,
    Multiply,
    Nearest,
    Node,
    Sample,
    Shuffle,
    Unshuffle,
)

from ..size import Size

RowReader = Callable[[int, int], Tensor]
"""Returns the rows [first, last) of an image, float32 [last - first, W, 3] in 0..1."""
_CHANNELS_AT_ONCE = 16
"""The float32 values in one register (AVX-512) or in two (AVX2)."""
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, on which networks for grey images are trained


Kernel = Callable[..., Tensor]
"""The operation of one node, for a block of rows [n, W, C] of each of its sources."""
ActivationFunction = Callable[[Tensor], Tensor]
"""An activation for a batch [1, C, n, W], which is changed in place if possible."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of rows; `padding` columns beyond either edge are zeros."""

    weight: Tensor
    bias: Tensor
    activation: ActivationFunction | None
    padding: int
    groups: int = 1

    def __call__(self, rows: Tensor) -> Tensor:
        """Convolve rows [n + k - 1, W, in] of a kernel [out, in, k, m] to [n, W + 2 * padding - m +
        1, out]."""
        batch = rows.permute(2, 0, 1).unsqueeze(0)  # [1, in, n + k - 1, W]
        padding = 0, self.padding
        result = F.conv2d(batch, self.weight, self.bias, padding=padding, groups=self.groups)
        if self.activation:
            result = self.activation(result)
        return result[0].permute(1, 2, 0)

    @property
    def dtype(self) -> torch.dtype:
        """The precision that the rows are converted to."""
        return self.weight.dtype


@dataclass(frozen=True)
class UpsamplingConvolution:
    """Nearest-neighbour 2x upscaling and a 3x3 convolution: a kernel for even rows of the output,
    and one for odd ones.

    The weights of each are [2 * out, in, 2, 2]: the channels of even output columns, then those of
    odd ones. With a padding of one column, each kernel computes W + 1 columns. Output column 2x
    depends on the source columns x - 1 and x, and has the index x. Output column 2x + 1 depends on
    x and x + 1, and has the index x + 1.
    """

    even: Convolution
    odd: Convolution

    def __call__(self, rows: Tensor) -> Tensor:
        """Convolve rows [n + 2, W, in] to [2 * n, 2 * W, out]."""
        height = len(rows) - 2
        width = rows.shape[1]
        channels = len(self.even.weight) // 2
        output = rows.new_empty(height, 2, width, 2, channels)
        for row, kernel in enumerate((self.even, self.odd)):
            even, odd = kernel(rows[row : row + height + 1]).split(channels, 2)  # [n, W + 1, out]
            output[:, row, :, 0] = even[:, :-1]
            output[:, row, :, 1] = odd[:, 1:]
        return output.view(2 * height, 2 * width, channels)

    @property
    def dtype(self) -> torch.dtype:
        return self.even.dtype


class NarrowConvolution(Convolution):
    """A 3x3 convolution to few channels, as the sum of its three columns [3 * out, in, 3, 1].

    A CPU computes 16 channels at once, so three times as many channels cost no more.
    """

    def __call__(self, rows: Tensor) -> Tensor:
        """Convolve rows [n + 2, W, in] to [n, W, out]."""
        left, middle, right = super().__call__(rows).tensor_split(3, 2)  # [n, W + 2, out]
        return (left[:, :-2] + middle[:, 1:-1]).add_(right[:, 2:])


RowConvolution = Convolution | UpsamplingConvolution


def _mish(values: Tensor) -> Tensor:
    """Return values * tanh(softplus(values)) in float32, in a third of the time of PyTorch's
    function.

    With p = exp(values), tanh(log(1 + p)) = ((1 + p)^2 - 1) / ((1 + p)^2 + 1) = (p^2 + 2 p) / (p^2
    + 2 p + 2).
    """
    power = values.float().clamp(max=20).exp_()  # above 20, the quotient is 1
    ratio = (power + 2).mul_(power)
    return ratio.div_(ratio + 2).mul_(values).to(values.dtype)


def scale_and_shift(
    rows: Tensor,
    gain: Tensor | float,
    shift: Tensor | float,
) -> Tensor:
    """Return rows times `gain` plus `shift`, in float32.

    Each is one number, or one per channel [C].
    """
    return (rows.float() * gain).add_(shift)


def _group_scaling(
    node: GroupNorm,
    weight: Tensor,
    bias: Tensor,
    statistics: Tensor,
) -> Tensor:
    """Return gain and shift [2, 1, C] of a group normalisation for the mean and variance [2, 1, C]
    of each channel."""
    means, variances = statistics.view(2, node.groups, -1)  # [groups, C / groups]
    mean = means.mean(1, keepdim=True)
    # The variance of a group is the mean variance within its channels plus the variance of their
    # means.
    variance = (variances + (means - mean).square()).mean(1, keepdim=True)
    gain = (weight.view_as(means) / (variance + node.eps).sqrt()).flatten()
    shift = bias - mean.expand_as(means).flatten() * gain
    return torch.stack([gain, shift]).unsqueeze(1)


def _gate_scaling(
    squeeze: Tensor,
    squeeze_bias: Tensor,
    excite: Tensor,
    excite_bias: Tensor,
    statistics: Tensor,
) -> Tensor:
    """Return gain and shift [2, 1, C] of a squeeze and excitation for the mean and variance
    [2, 1, C] of each channel.

    Both layers are 1x1 convolutions, here of one pixel.
    """
    squeezed = F.linear(statistics[0], squeeze.flatten(1), squeeze_bias).relu_()
    gain = F.linear(squeezed, excite.flatten(1), excite_bias).sigmoid_()
    return torch.stack([gain, torch.zeros_like(gain)])


def _sample_offsets(
    rows: Tensor,
    positions: Tensor,
    node: Sample,
    transposed: bool,
) -> Tensor:
    """Return the offsets [2 (x, y), groups, n, f, W, f] of the samples around the pixels of rows
    [n, W, C]."""
    # DySample halves the offsets and adds them to a regular grid.
    offsets = (rows.float() * 0.5).add_(positions)
    offsets = offsets.unflatten(2, (2, node.groups, node.enlarge, node.enlarge))
    offsets = offsets.permute(2, 3, 0, 4, 1, 5)
    if transposed:
        return offsets.flip(0).transpose(3, 5)
    return offsets


# The operands of `_add` and `_gate` can be rows of a window, so only new tensors are changed in
# place. They are converted, because a call with two precisions is many times slower on a CPU.


def _add(source: Tensor, trunk: Tensor, factor: float) -> Tensor:
    return torch.add(trunk.float(), source.float(), alpha=factor)


def _gate(source: Tensor, trunk: Tensor) -> Tensor:
    source = source.float()
    return source.sigmoid().sub_(0.5).mul_(trunk.float().add(source))


def _repeat(rows: Tensor, factor: int) -> Tensor:
    """Return rows [n, W, C] as [n * f, W * f, C], by nearest neighbour."""
    return rows.repeat_interleave(factor, 0).repeat_interleave(factor, 1)


def _activate(rows: Tensor, activation: ActivationFunction) -> Tensor:
    batch = rows.to(torch.float32, copy=True).permute(2, 0, 1).unsqueeze(0)
    return activation(batch)[0].permute(1, 2, 0)


_ACTIVATIONS = {
    "silu": partial(F.silu, inplace=True),
    "sigmoid": torch.sigmoid_,
    "gelu": F.gelu,
    "mish": _mish,
}
"""The activations without parameters."""


def prepare(
    graph: Graph,
    state: Mapping[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
    *,
    transposed: bool,
) -> dict[int, Kernel]:
    """Return the kernels of a graph by the index of their node, for all nodes with sources.

    Convolutions that are not `precise` use `dtype`, everything else float32. With `transposed`, the
    kernels are for an image whose rows and columns are swapped.
    """

    def tensor(name: str) -> Tensor:
        return state[name].to(device, torch.float32)

    def operand(value: float | str) -> Tensor | float:
        if isinstance(value, str):
            return tensor(value)
        return value

    def weights(name: str) -> tuple[Tensor, Tensor]:
        return tensor(f"{name}.weight"), tensor(f"{name}.bias")

    def kernel(node: Node) -> Kernel:
        match node:
            case Conv():
                precision = torch.float32 if node.precise else dtype
                return _convolution(node, tensor, precision, transposed)
            case Add():
                return partial(_add, factor=node.factor)
            case Multiply():
                return lambda source, trunk: trunk.float() * source.float()
            case Gate():
                return _gate
            case Affine():
                gain = operand(node.gain)
                shift = operand(node.shift)
                return partial(scale_and_shift, gain=gain, shift=shift)
            case ChannelNorm():
                weight, bias = weights(node.name)
                return lambda rows: F.layer_norm(rows.float(), bias.shape, weight, bias, node.eps)
            case GroupNorm():
                return partial(_group_scaling, node, *weights(node.name))
            case ChannelGate():
                squeeze = weights(f"{node.name}.0")
                excite = weights(f"{node.name}.2")
                return partial(_gate_scaling, *squeeze, *excite)
            case Sample():
                positions = tensor(node.positions).flatten()
                return partial(
                    _sample_offsets, positions=positions, node=node, transposed=transposed
                )
            case Activate():
                activation = _activation(node.activation, tensor, torch.float32)
                return partial(_activate, activation=activation)
            case Crop():
                return lambda rows: rows[:, node.border : rows.shape[1] - node.border]
            case Unshuffle():
                return partial(unshuffle, factor=node.factor, transposed=transposed)
            case Shuffle():
                return partial(shuffle, factor=node.enlarge, transposed=transposed)
            case Nearest():
                return partial(_repeat, factor=node.enlarge)
        return lambda rows: rows  # `Complete`, whose source is complete

    return {index: kernel(node) for index, node in enumerate(graph.nodes) if node.sources}


def _convolution(
    node: Conv,
    tensor: Callable[[str], Tensor],
    dtype: torch.dtype,
    transposed: bool,
) -> RowConvolution:
    weight = tensor(f"{node.name}.weight")
    if transposed:
        weight = weight.transpose(2, 3)
    bias = weight.new_zeros(node.convolved)
    if node.bias:
        bias = tensor(f"{node.name}.bias")

    kind = Convolution

    def make(weight: Tensor, bias: Tensor, padding: int) -> Convolution:
        activation = None
        if node.activation:
            times = len(weight) // node.convolved
            activation = _activation(node.activation, tensor, dtype, times)
        weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        groups = len(weight) if node.depthwise else 1
        return kind(weight, bias.to(dtype), activation, padding, groups)

    if node.enlarge > 1:
        kernels = [torch.cat(_two_taps(rows, 3)) for rows in _two_taps(weight, 2)]
        even, odd = (make(kernel, bias.repeat(2), padding=1) for kernel in kernels)
        return UpsamplingConvolution(even, odd)
    padding = node.radius - node.skipped
    is_plain = not (node.part or node.depthwise or node.activation)
    few = 3 * node.channels <= _CHANNELS_AT_ONCE
    if node.size == 3 and is_plain and few and weight.device.type == "cpu":
        kind = NarrowConvolution
        weight = torch.cat(weight.split(1, 3))
        # The three columns are summed, so only one of them has the bias.
        bias = torch.cat([bias, bias.new_zeros(2 * node.channels)])
    return make(weight, bias, padding)


def _activation(
    activation: Activation,
    tensor: Callable[[str], Tensor],
    dtype: torch.dtype,
    times: int = 1,
) -> ActivationFunction:
    match activation.kind:
        case "leaky":
            return partial(F.leaky_relu_, negative_slope=activation.slope)
        case "prelu":
            slopes = tensor(str(activation.slopes)).to(dtype).repeat(times)
            return partial(F.prelu, weight=slopes)
        case kind:
            return _ACTIVATIONS[kind]


def _two_taps(kernel: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return kernels of two taps along `axis` for the even and the odd positions of a doubled
    source, from three taps.

    An even position reads the source before it once and its own twice, an odd one its own twice and
    the one after. Taps on the same source are summed.
    """
    before, middle, after = kernel.unbind(axis)
    even = torch.stack((before, middle + after), axis)
    odd = torch.stack((before + middle, after), axis)
    return even, odd


class ImageRows:
    """The rows of an image as a network reads them: in grey or colour, and pixel-unshuffled if the
    network does that.

    The image is extended by reflection if its size is not a multiple of the unshuffle factor, or if
    the network reads pixels around it. The attributes `height` and `width` are those of the
    network's grid. See `PhasedStream` for the parameters.
    """

    def __init__(
        self,
        graph: Graph,
        size: Size,
        read: RowReader,
        transposed: bool = False,
    ):
        self.graph = graph
        self.transposed = transposed
        self.device = read(0, 1).device
        self.height = graph.grid_length(size.height)
        self.width = graph.grid_length(size.width)
        self.output_size = size.scale(graph.scale)
        self._read = read
        self._fold = graph.unshuffle
        self._rows = _reflected(size.height, self.height * self._fold, graph.margin)
        self._columns = _reflected(size.width, self.width * self._fold, graph.margin)

    def rows(self, first: int, last: int) -> Tensor:
        """Return rows of the network's grid, float32 [n, W, C].

        Rows around the image come first.
        """
        places = self._rows[first * self._fold : last * self._fold]
        top = int(places.min())
        rows = self._read(top, int(places.max()) + 1)
        extended = rows[places - top][:, self._columns]  # [n * f, W * f, 3]
        if self.graph.image_channels == 1:
            extended = extended @ rows.new_tensor(_GREY).unsqueeze(1)  # [n * f, W * f, 1]
        return unshuffle(extended, self._fold, transposed=self.transposed)


def shuffle(rows: Tensor, factor: int, *, transposed: bool) -> Tensor:
    """Return rows [n, W, C * f * f] as [n * f, W * f, C], by pixel shuffle."""
    rows = rows.unflatten(2, (-1, factor, factor))  # [n, W, C, row, column]
    if transposed:
        rows = rows.transpose(3, 4)
    return rows.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)


def unshuffle(rows: Tensor, factor: int, *, transposed: bool) -> Tensor:
    """Return rows [n * f, W * f, C] as [n, W, C * f * f], by pixel unshuffle."""
    rows = rows.unflatten(0, (-1, factor)).unflatten(2, (-1, factor))  # [n, row, W, column, C]
    rows = rows.permute(0, 2, 4, 1, 3)
    if transposed:
        rows = rows.transpose(3, 4)
    return rows.flatten(2)  # [n, W, C * f * f]


def _reflected(length: int, extended: int, margin: int) -> ndarray:
    """Return the places in an image of each row or column, extended at the end and by a margin on
    both sides."""
    return np.pad(np.arange(length), (margin, extended - length + margin), "reflect")
