"""SPAN: Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution",
2024."""

from __future__ import annotations

from typing import Any

from ..graphs import Activation, Affine, Gate, Graph, State

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
    trunks = [graph.conv("conv_1", image, channels=features)]
    inner = 0  # the first layer of the current block
    for block in range(1, 7):
        name = f"block_{block}"
        inner = graph.conv(f"{name}.c1_r", trunks[-1], activation=_SILU)
        body = graph.conv(f"{name}.c2_r", inner, activation=_SILU)
        body = graph.conv(f"{name}.c3_r", body)
        trunks.append(graph.append(Gate, body, trunks[-1]))
    last = graph.conv("conv_2", trunks[-1])
    joined = graph.conv("conv_cat", trunks[0], last, trunks[1], inner, size=1)
    wide = graph.conv("upsampler.0", joined, channels=output * factor**2)
    graph.shuffle(wide, factor)
    return graph.keep_ends_precise()


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network."""
    for module in network.modules():
        if hasattr(module, "update_params"):
            module.update_params()  # folds the three branches into `eval_conv`
    tensors = {
        name.replace(".eval_conv", ""): tensor
        for name, tensor in network.state_dict().items()
        if ".sk." not in name and ".conv." not in name and name != "no_norm"
    }
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
