"""Real-CUGAN by Bilibili (https://github.com/bilibili/ailab), 2022: two U-Nets without padding, and
channel gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..graphs import (
    Activation,
    Affine,
    ChannelGate,
    Crop,
    Graph,
    Nearest,
    State,
    Tensors,
    Unshuffle,
    Unsupported,
)

if TYPE_CHECKING:
    import torch

TITLE = "Real-CUGAN"
ARCHITECTURE = "RealCUGAN"


_MARGINS = {2: (18, 2), 3: (14, 4), 4: (19, 2)}
"""The pixels around the image that a network reads, and the divisor of its extended size, by its
factor.

These and the borders of all crops are the authors'. Layers without padding have an output that is
smaller than their input.
"""
_LEAKY = Activation("leaky", 0.1)
_PRO_GAIN = 0.7
_PRO_SHIFT = 0.15
"""The image in the pro models is `image * gain + shift`."""


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network. Raises Unsupported.

    A transposed convolution is a convolution before a pixel shuffle, and a convolution of stride 2
    is one after a pixel unshuffle. The first layers of a U-Net are computed again at its end, so
    that their output need not be stored.
    """
    if hasattr(network, "inv"):
        raise Unsupported("Real-CUGAN (fast)")
    bottom_step = network.unet1.conv_bottom.stride[0]
    factor = bottom_step
    if hasattr(network, "ps"):
        factor = 4
    tensors = _convert_tensors(network.state_dict(), bottom_step)
    pro = tensors.pop("pro", None) is not None
    margin, fold = _MARGINS[factor]
    above = -(-margin // fold)  # rows of the grid
    graph = Graph()
    grid = graph.input(network.hyperparameters["in_channels"] * fold**2, fold, 2 * above)
    image = _image(graph, grid, above * fold - margin, pro)
    layers = _Layers(graph, tensors)
    coarse = _add_first(layers, image, factor)
    fine = _add_second(layers, coarse)
    result = graph.add(fine, graph.append(Crop, coarse, border=20))
    if factor == 4:
        wide = graph.conv_of(tensors, "conv_final", result, valid=True)
        wide = graph.append(Crop, wide, border=1)
        result = graph.shuffle(wide, 2)
        image = _image(graph, grid, above * fold, pro)
        result = graph.add(result, graph.append(Nearest, image, enlarge=factor))
    if pro:
        graph.append(Affine, result, gain=1 / _PRO_GAIN, shift=-_PRO_SHIFT / _PRO_GAIN)
    return graph.keep_ends_precise(), tensors


def _image(graph: Graph, grid: int, border: int, pro: bool) -> int:
    """Append the image without `border` px on each side, in the range that the network expects."""
    image = graph.append(Crop, graph.shuffle(grid, graph.unshuffle), border=border)
    if pro:
        image = graph.append(Affine, image, gain=_PRO_GAIN, shift=_PRO_SHIFT)
    return image


@dataclass(frozen=True)
class _Layers:
    """The parts of a U-Net, which are appended to a graph. Each returns the index of its last
    node."""

    graph: Graph
    tensors: Tensors

    def conv(self, name: str, body: int, **fields: Any) -> int:
        return self.graph.conv_of(self.tensors, name, body, activation=_LEAKY, **fields)

    def pair(self, name: str, body: int) -> int:
        body = self.conv(f"{name}.conv.0", body, valid=True)
        return self.conv(f"{name}.conv.2", body, valid=True)

    def gate(self, name: str, body: int) -> int:
        name = f"{name}.seblock"
        hidden = len(self.tensors[f"{name}.0.weight"])
        return self.graph.append(ChannelGate, body, name=name, hidden=hidden)

    def down(self, name: str, body: int) -> int:
        channels = 4 * self.graph.nodes[body].channels
        body = self.graph.append(Unshuffle, body, channels=channels, factor=2)
        return self.conv(name, body)

    def up(self, name: str, body: int, side: int, border: int) -> int:
        """Upscale by 2, and add the map `side` of that size without its `border`."""
        side = self.graph.append(Crop, side, border=border)
        return self.graph.add(self.graph.shuffle(self.conv(name, body), 2), side)


def _add_first(layers: _Layers, image: int, factor: int) -> int:
    graph = layers.graph
    body = layers.pair("unet1.conv1", image)
    body = layers.down("unet1.conv1_down", body)
    body = layers.pair("unet1.conv2", body)
    body = layers.gate("unet1.conv2", body)
    side = layers.pair("unet1.conv1", image)
    body = layers.up("unet1.conv2_up", body, side, border=4)
    body = layers.conv("unet1.conv3", body, valid=True)
    if factor == 3:
        wide = graph.conv_of(layers.tensors, "unet1.conv_bottom", body)
        return graph.append(Crop, graph.shuffle(wide, 3), border=1)
    wide = graph.conv_of(layers.tensors, "unet1.conv_bottom", body, valid=True)
    return graph.shuffle(wide, 2)


def _add_second(layers: _Layers, image: int) -> int:
    body = layers.pair("unet2.conv1", image)
    body = layers.down("unet2.conv1_down", body)
    middle = layers.pair("unet2.conv2", body)
    body = layers.gate("unet2.conv2", middle)
    body = layers.down("unet2.conv2_down", body)
    body = layers.pair("unet2.conv3", body)
    body = layers.gate("unet2.conv3", body)
    side = layers.gate("unet2.conv2", middle)
    body = layers.up("unet2.conv3_up", body, side, border=4)
    body = layers.pair("unet2.conv4", body)
    body = layers.gate("unet2.conv4", body)
    side = layers.pair("unet2.conv1", image)
    body = layers.up("unet2.conv4_up", body, side, border=16)
    body = layers.conv("unet2.conv5", body, valid=True)
    return layers.graph.conv_of(layers.tensors, "unet2.conv_bottom", body, valid=True)


def _convert_tensors(state: State, bottom_step: int) -> Tensors:
    """Return the tensors with those of strided and transposed convolutions converted.

    `bottom_step` is the stride of the last layer of the first U-Net, 2 for that of all others.
    """
    tensors: Tensors = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        if layer == "unet1.conv_bottom":
            tensor = _untranspose(tensor, bottom_step)
        elif layer.endswith("_up"):
            tensor = _untranspose(tensor, 2)
        elif layer.endswith("_down") and kind == "weight":
            tensor = tensor.flatten(1)[:, :, None, None]
        name = name.replace("seblock.conv1.", "seblock.0.").replace("seblock.conv2.", "seblock.2.")
        tensors[name] = tensor
    return tensors


def _untranspose(weight: torch.Tensor, step: int) -> torch.Tensor:
    """Convert a transposed convolution of stride `step` to one before a pixel shuffle by `step`.

    `weight` is its kernel [in, out, k, k] or its bias [out].
    """
    from torch.nn.functional import pad

    if weight.ndim == 1:
        return weight.repeat_interleave(step**2)
    inputs, outputs, size, _ = weight.shape
    if size == step:
        return weight.permute(1, 2, 3, 0).reshape(outputs * step**2, inputs, 1, 1)
    # The output of a single pixel in the middle of 3x3 pixels is the kernel. The padding of the
    # networks is 3 or 2, here it is 1: `valid` or a crop removes the rest.
    before = step - 1
    after = 3 * step - size - before
    response = pad(weight, (before, after, before, after))  # [in, out, 3 * s, 3 * s]
    # An output pixel above the middle reads the row below its own.
    kernels = response.unflatten(2, (3, step)).unflatten(4, (3, step)).flip(2, 4)
    return kernels.permute(1, 3, 5, 0, 2, 4).reshape(outputs * step**2, inputs, 3, 3)
