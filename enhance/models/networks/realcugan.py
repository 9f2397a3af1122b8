"""Real-CUGAN by Bilibili (https://github.com/bilibili/ailab), 2022: two U-Nets without padding, and
channel gates."""

from __future__ import annotations

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
)

if TYPE_CHECKING:
    import torch

TITLE = "Real-CUGAN"
ARCHITECTURE = "RealCUGAN"

_LEAKY = Activation("leaky", 0.1)
_MARGINS = {2: (18, 2), 3: (14, 4), 4: (19, 2)}
_FAST_MARGIN = (38, 4)
"""For each factor, the pixels around the image that the network reads, and the divisor of its
extended size.

These and the borders of all crops are the authors'. Layers without padding have an output that is
smaller than their input.
"""
_PRO_GAIN = 0.7
_PRO_SHIFT = 0.15
"""The image in the pro models is `image * gain + shift`."""


def realcugan(
    factor: int = 2,
    channels: int = 3,
    output: int = 3,
    *,
    pro: bool = False,
    fast: bool = False,
) -> Graph:
    """Return Real-CUGAN at scale `factor`.

    The `fast` 2x network is that of 4x for the unshuffled image.

    A transposed convolution is a convolution before a pixel shuffle, and a convolution of stride 2
    is one after a pixel unshuffle. The first layers of a U-Net are computed again at its end, so
    that their output need not be stored.
    """
    graph = Graph()
    margin, fold = _FAST_MARGIN if fast else _MARGINS[factor]
    above = -(-margin // fold)
    grid = graph.input(channels * fold**2, fold, 2 * above)
    image = _image(graph, grid, above * fold - margin, pro)
    if fast:
        image = _unshuffle(graph, image)
    is_shuffled = fast or factor == 4
    features = 64 if is_shuffled else output
    coarse = _add_first(graph, image, features, factor=3 if factor == 3 else 2)
    fine = _add_second(graph, coarse, features)
    result = graph.add(fine, graph.append(Crop, coarse, border=20))
    if is_shuffled:
        wide = graph.conv("conv_final", result, channels=4 * output, valid=True)
        wide = graph.append(Crop, wide, border=1)
        result = graph.shuffle(wide, 2)
        image = _image(graph, grid, above * fold, pro)
        result = graph.add(result, graph.append(Nearest, image, enlarge=factor))
    if pro:
        graph.append(Affine, result, gain=1 / _PRO_GAIN, shift=-_PRO_SHIFT / _PRO_GAIN)
    return graph.keep_ends_precise()


def _image(graph: Graph, grid: int, border: int, pro: bool) -> int:
    """Append the image without `border` px on each side, in the range that the network expects."""
    image = graph.append(Crop, graph.shuffle(grid, graph.unshuffle), border=border)
    if pro:
        image = graph.append(Affine, image, gain=_PRO_GAIN, shift=_PRO_SHIFT)
    return image


def _add_first(graph: Graph, image: int, output: int, factor: int) -> int:
    body = _add_pair(graph, "unet1.conv1", image, 32, 64)
    body = _add_down(graph, "unet1.conv1_down", body)
    body = _add_pair(graph, "unet1.conv2", body, 128, 64)
    body = _add_gate(graph, "unet1.conv2", body)
    side = _add_pair(graph, "unet1.conv1", image, 32, 64)
    body = _add_up(graph, "unet1.conv2_up", body, side, border=4)
    body = graph.conv("unet1.conv3", body, activation=_LEAKY, valid=True)
    wide = graph.conv("unet1.conv_bottom", body, channels=output * factor**2, valid=factor == 2)
    fine = graph.shuffle(wide, factor)
    if factor == 3:
        fine = graph.append(Crop, fine, border=1)
    return fine


def _add_second(graph: Graph, image: int, output: int) -> int:
    body = _add_pair(graph, "unet2.conv1", image, 32, 64)
    body = _add_down(graph, "unet2.conv1_down", body)
    middle = _add_pair(graph, "unet2.conv2", body, 64, 128)
    body = _add_gate(graph, "unet2.conv2", middle)
    body = _add_down(graph, "unet2.conv2_down", body)
    body = _add_pair(graph, "unet2.conv3", body, 256, 128)
    body = _add_gate(graph, "unet2.conv3", body)
    side = _add_gate(graph, "unet2.conv2", middle)
    body = _add_up(graph, "unet2.conv3_up", body, side, border=4)
    body = _add_pair(graph, "unet2.conv4", body, 64, 64)
    body = _add_gate(graph, "unet2.conv4", body)
    side = _add_pair(graph, "unet2.conv1", image, 32, 64)
    body = _add_up(graph, "unet2.conv4_up", body, side, border=16)
    body = graph.conv("unet2.conv5", body, activation=_LEAKY, valid=True)
    return graph.conv("unet2.conv_bottom", body, channels=output, valid=True)


def _add_pair(graph: Graph, name: str, body: int, middle: int, output: int) -> int:
    body = graph.conv(f"{name}.conv.0", body, channels=middle, activation=_LEAKY, valid=True)
    return graph.conv(f"{name}.conv.2", body, channels=output, activation=_LEAKY, valid=True)


def _add_gate(graph: Graph, name: str, body: int) -> int:
    hidden = graph.nodes[body].channels // 8
    return graph.append(ChannelGate, body, name=f"{name}.seblock", hidden=hidden)


def _add_down(graph: Graph, name: str, body: int) -> int:
    down = _unshuffle(graph, body)
    return graph.conv(name, down, channels=graph.nodes[body].channels, size=1, activation=_LEAKY)


def _add_up(graph: Graph, name: str, body: int, side: int, border: int) -> int:
    """Append an upscaling by 2, and add the map `side` of that size without its `border`."""
    side = graph.append(Crop, side, border=border)
    channels = 4 * graph.nodes[body].channels
    wide = graph.conv(name, body, channels=channels, size=1, activation=_LEAKY)
    return graph.add(graph.shuffle(wide, 2), side)


def _unshuffle(graph: Graph, source: int) -> int:
    return graph.append(Unshuffle, source, channels=4 * graph.nodes[source].channels, factor=2)


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network."""
    options = network.hyperparameters
    fast = hasattr(network, "inv")
    factor = 2
    if network.unet1.conv_bottom.kernel_size[0] == 5:
        factor = 3
    elif hasattr(network, "ps") and not fast:
        factor = 4
    tensors: Tensors = {}
    for name, tensor in network.state_dict().items():
        layer, _, kind = name.rpartition(".")
        if layer.endswith(("_up", "unet1.conv_bottom")):
            step = 3 if factor == 3 and layer == "unet1.conv_bottom" else 2
            tensor = _untranspose(tensor, step)
        elif layer.endswith("_down") and kind == "weight":
            tensor = tensor.flatten(1)[:, :, None, None]
        name = name.replace("seblock.conv1.", "seblock.0.").replace("seblock.conv2.", "seblock.2.")
        tensors[name] = tensor
    pro = tensors.pop("pro", None) is not None
    graph = realcugan(factor, options["in_channels"], options["out_channels"], pro=pro, fast=fast)
    return graph, tensors


def _untranspose(weight: torch.Tensor, step: int) -> torch.Tensor:
    """Convert a transposed convolution of stride `step` to one before a pixel shuffle by `step`.

    `weight` is its kernel [in, out, k, k] or its bias [out].
    """
    if weight.ndim == 1:
        return weight.repeat_interleave(step**2)
    inputs, outputs, size, _ = weight.shape
    if size == step:
        return weight.permute(1, 2, 3, 0).reshape(outputs * step**2, inputs, 1, 1)
    # Output row step * q + phase is a sum over input rows q + place - 1, each with tap phase + 1 -
    # step * (place - 1). That is a transposed convolution with a padding of 1. Networks have 3 or
    # 2: `valid` or a crop removes the rest.
    taps = [
        (phase, place, tap)
        for phase in range(step)
        for place in range(3)
        if 0 <= (tap := phase + 1 - step * (place - 1)) < size
    ]
    kernel = weight.new_zeros(outputs, step, step, inputs, 3, 3)
    for row, above, down in taps:
        for column, left, across in taps:
            kernel[:, row, column, :, above, left] = weight[:, :, down, across].T
    return kernel.reshape(outputs * step**2, inputs, 3, 3)
