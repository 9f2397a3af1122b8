"""SPAN: Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", 2024."""

from __future__ import annotations

from typing import Any

from ..graphs import PRECISIONS, Activation, Graph, State

TITLE, ARCHITECTURE = "SPAN", "SPAN"

SPAN_MEAN = (0.4488, 0.4371, 0.4040)
SPAN_RANGE = 255.0
"""Constants of SPAN that its files do not contain. It subtracts the mean from the image and multiplies by the range."""

_SILU = Activation("silu")


def span(features: int = 48, factor: int = 4, channels: int = 3, output: int = 3, *, norm: bool = True) -> Graph:
    """Return SPAN at scale `factor`, with each three-branch convolution folded into one.

    With `norm`, it first subtracts the mean of its training images, by the tensor `mean_shift`.
    """
    graph = Graph(PRECISIONS)
    image = graph.input(channels)
    if norm:
        image = graph.affine(image, SPAN_RANGE, "mean_shift")
    first = trunk = graph.conv("conv_1", image, channels=features)
    ends: list[int] = []
    inner = first
    for block in range(1, 7):
        inner = graph.conv(f"block_{block}.c1_r", trunk, channels=features, activation=_SILU)
        middle = graph.conv(f"block_{block}.c2_r", inner, channels=features, activation=_SILU)
        trunk = graph.gate(graph.conv(f"block_{block}.c3_r", middle, channels=features), trunk)
        ends.append(trunk)
    last = graph.conv("conv_2", ends[5], channels=features)
    joined = graph.conv("conv_cat", first, last, ends[0], inner, channels=features, size=1)
    wide = graph.conv("upsampler.0", joined, channels=output * factor**2)
    if factor > 1:
        graph.shuffle(wide, factor)
    return graph.keep_ends_precise()


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network.

    The branches of each convolution are folded into its `eval_conv`, as spandrel does, but in float64.
    """
    network.double()
    for module in network.modules():
        if hasattr(module, "update_params"):
            module.update_params()
    tensors = {
        key.replace(".eval_conv", ""): tensor.float()
        for key, tensor in network.state_dict().items()
        if key != "no_norm" and ".sk." not in key and ".conv." not in key
    }
    if network.is_norm:
        tensors["mean_shift"] = tensors["conv_1.weight"].new_tensor([-mean * SPAN_RANGE for mean in SPAN_MEAN])
    features, scale = network.hyperparameters["feature_channels"], network.hyperparameters["upscale"]
    return span(features, scale, network.in_channels, network.out_channels, norm=network.is_norm), tensors
