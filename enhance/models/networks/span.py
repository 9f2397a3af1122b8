"""SPAN: Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution",
2024."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..graphs import Activation, Affine, Gate, Graph, State, Tensors

if TYPE_CHECKING:
    import torch

TITLE = "SPAN"
ARCHITECTURE = "SPAN"

SPAN_MEAN = (0.4488, 0.4371, 0.4040)
SPAN_RANGE = 255.0
"""Constants of SPAN that its files do not contain. It subtracts the mean from the image and
multiplies by the range."""

_SILU = Activation("silu")


def span(
    features: int = 48,
    factor: int = 4,
    channels: int = 3,
    output: int = 3,
    *,
    norm: bool = True,
) -> Graph:
    """Return SPAN at scale `factor`, with each three-branch convolution folded into one.

    With `norm`, it first subtracts the mean of its training images, by the tensor `mean_shift`.
    """
    graph = Graph()
    image = graph.input(channels)
    if norm:
        image = graph.append(Affine, image, gain=SPAN_RANGE, shift="mean_shift")
    first = graph.conv("conv_1", image, channels=features)
    trunk = first
    inner: list[int] = []  # the first layers of the blocks
    ends: list[int] = []
    for block in range(1, 7):
        name = f"block_{block}"
        body = graph.conv(f"{name}.c1_r", trunk, activation=_SILU)
        inner.append(body)
        body = graph.conv(f"{name}.c2_r", body, activation=_SILU)
        body = graph.conv(f"{name}.c3_r", body)
        trunk = graph.append(Gate, body, trunk)
        ends.append(trunk)
    last = graph.conv("conv_2", trunk)
    joined = graph.conv("conv_cat", first, last, ends[0], inner[-1], size=1)
    wide = graph.conv("upsampler.0", joined, channels=output * factor**2)
    graph.shuffle(wide, factor)
    return graph.keep_ends_precise()


def _fold_branches(state: State) -> Tensors:
    """Return the tensors with each convolution of two branches folded into its `eval_conv`, whose
    name is dropped.

    The branches are a 1x1 convolution, and a 3x3 convolution between two of 1x1 with twice the
    channels. They are folded in float64.
    """
    tensors: Tensors = {}
    for key, tensor in state.items():
        if ".sk." not in key and ".conv." not in key:
            tensors[key.replace(".eval_conv", "")] = tensor
    for key in state:
        if key.endswith(".sk.weight"):
            layer = key.removesuffix(".sk.weight")
            weight, bias = _fold_layer(state, layer)
            tensors[f"{layer}.weight"] = weight.float()
            tensors[f"{layer}.bias"] = bias.float()
    return tensors


def _fold_layer(state: State, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weight [out, in, 3, 3] and the bias [out], in float64, of a convolution of two
    branches."""
    parts = [f"{layer}.{part}" for part in ("conv.0", "conv.1", "conv.2", "sk")]
    first, middle, last, side = (state[f"{part}.weight"].double() for part in parts)
    biases = [state[f"{part}.bias"].double() for part in parts]
    first_bias, middle_bias, last_bias, side_bias = biases
    outputs, inputs = side.shape[:2]
    # A 1x1 convolution is a matrix for the channels, so the three kernels are multiplied as
    # matrices. `reshape` rejects forged shapes.
    first = first.reshape(2 * inputs, inputs)
    last = last.reshape(outputs, 2 * outputs)
    kernels = (last @ middle.flatten(1)).view(outputs, -1, *middle.shape[2:])
    weight = (first.T @ kernels.flatten(2)).view(outputs, inputs, *middle.shape[2:])
    weight[:, :, 1, 1] += side[:, :, 0, 0]
    # The image is padded before the first convolution, whose bias is therefore also added beyond
    # the edges.
    bias = last @ (middle.sum((2, 3)) @ first_bias + middle_bias) + last_bias + side_bias
    return weight, bias


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network."""
    tensors = _fold_branches(network.state_dict())
    tensors.pop("no_norm", None)
    if network.is_norm:
        shift = [-mean * SPAN_RANGE for mean in SPAN_MEAN]
        tensors["mean_shift"] = tensors["conv_1.weight"].new_tensor(shift)
    graph = span(
        features=network.hyperparameters["feature_channels"],
        factor=network.hyperparameters["upscale"],
        channels=network.in_channels,
        output=network.out_channels,
        norm=network.is_norm,
    )
    return graph, tensors
