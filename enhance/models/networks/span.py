"""SPAN: Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", 2024."""

from __future__ import annotations

from typing import Any

from ..graphs import Activation, Affine, Gate, Graph, State, Tensors

TITLE, ARCHITECTURE = "SPAN", "SPAN"

SPAN_MEAN = (0.4488, 0.4371, 0.4040)
SPAN_RANGE = 255.0
"""Constants of SPAN that its files do not contain. It subtracts the mean from the image and multiplies by the range."""

_SILU = Activation("silu")


def span(features: int = 48, factor: int = 4, channels: int = 3, output: int = 3, *, norm: bool = True) -> Graph:
    """Return SPAN at scale `factor`, with each three-branch convolution folded into one.

    With `norm`, it first subtracts the mean of its training images, by the tensor `mean_shift`.
    """
    graph = Graph()
    image = graph.input(channels)
    if norm:
        image = graph.append(Affine, image, gain=SPAN_RANGE, shift="mean_shift")
    first = trunk = inner = graph.conv("conv_1", image, channels=features)
    ends: list[int] = []
    for block in range(1, 7):
        name, entry = f"block_{block}", trunk
        inner = graph.conv(f"{name}.c1_r", entry, activation=_SILU)
        middle = graph.conv(f"{name}.c2_r", inner, activation=_SILU)
        trunk = graph.append(Gate, graph.conv(f"{name}.c3_r", middle), entry)
        ends.append(trunk)
    last = graph.conv("conv_2", ends[5])
    joined = graph.conv("conv_cat", first, last, ends[0], inner, size=1)
    graph.shuffle(graph.conv("upsampler.0", joined, channels=output * factor**2), factor)
    return graph.keep_ends_precise()


def _fold_branches(state: State) -> Tensors:
    """Return the tensors with each convolution of two branches folded into its `eval_conv`, whose name is dropped.

    The branches are a 1x1 convolution, and a 3x3 convolution between two of 1x1 with twice the channels. They are
    folded in float64.
    """
    tensors = {key: tensor for key, tensor in state.items() if ".sk." not in key and ".conv." not in key}
    for layer in (key.removesuffix(".sk.weight") for key in state if key.endswith(".sk.weight")):
        parts = [f"{layer}.{part}" for part in ("conv.0", "conv.1", "conv.2", "sk")]
        first, middle, last, side = (state[f"{part}.weight"].double() for part in parts)
        biases = [state[f"{part}.bias"].double() for part in parts]
        outputs, inputs = side.shape[:2]
        first, last = first.reshape(2 * inputs, inputs), last.reshape(outputs, 2 * outputs)  # rejects forged shapes
        # A 1x1 convolution is a matrix for the channels, so the three kernels are multiplied as matrices.
        kernels = (last @ middle.flatten(1)).view(outputs, -1, *middle.shape[2:])
        weight = (first.T @ kernels.flatten(2)).view(outputs, inputs, *middle.shape[2:])
        weight[:, :, 1, 1] += side[:, :, 0, 0]
        # The image is padded before the first convolution, whose bias is therefore also added beyond the edges.
        bias = last @ (middle.sum((2, 3)) @ biases[0] + biases[1]) + biases[2] + biases[3]
        tensors |= {f"{layer}.eval_conv.weight": weight.float(), f"{layer}.eval_conv.bias": bias.float()}
    return {key.replace(".eval_conv", ""): tensor for key, tensor in tensors.items()}


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network."""
    tensors = _fold_branches(network.state_dict())
    tensors.pop("no_norm", None)
    if network.is_norm:
        tensors["mean_shift"] = tensors["conv_1.weight"].new_tensor([-mean * SPAN_RANGE for mean in SPAN_MEAN])
    features, scale = network.hyperparameters["feature_channels"], network.hyperparameters["upscale"]
    return span(features, scale, network.in_channels, network.out_channels, norm=network.is_norm), tensors
