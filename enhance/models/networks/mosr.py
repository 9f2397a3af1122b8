"""MoSR by umzi2 (https://github.com/umzi2/MoSR), 2024: gated convolutions after MambaOut (Yu and
Wang, 2024)."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..graphs import Activation, Affine, ChannelNorm, Graph, Multiply, State, Tensors

TITLE = "MoSR"
ARCHITECTURE = "MoSR"

_MISH = Activation("mish")
_SHIFT = -0.5
"""Added by each block to all channels. The normalisation of the next block cancels it, so the end
adds all at once."""


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network.

    Each block convolves a part of its hidden channels with a large kernel.
    """
    options = network.hyperparameters
    blocks = options["n_block"]
    factor = options["upscale"]
    block = network.gblocks[1]
    part = len(block.conv.weight)
    tensors = _split_blocks(network.state_dict(), block.fc2.in_channels, part)
    graph = Graph()
    conv = partial(graph.conv_of, tensors)
    image = graph.input(options["in_ch"])
    trunk = conv("gblocks.0", image)
    for number in range(1, blocks + 1):
        name = f"gblocks.{number}"
        entry = graph.append(ChannelNorm, trunk, name=f"{name}.norm")
        gate = conv(f"{name}.gate", entry, activation=_MISH)
        value = conv(f"{name}.value", entry)
        size = options["kernel_size"]
        value = graph.conv(f"{name}.conv", value, size=size, part=part, depthwise=True)
        product = graph.append(Multiply, gate, value)
        residual = conv(f"{name}.fc2", product, activation=_MISH)
        trunk = graph.add(residual, trunk)
    body = graph.append(Affine, trunk, shift=_SHIFT * blocks)
    body = conv(f"gblocks.{blocks + 1}", body, activation=_MISH)
    body = conv(f"gblocks.{blocks + 3}", body, activation=_MISH)
    body = conv(f"gblocks.{blocks + 5}", body)
    body = graph.append(Affine, body, shift=_SHIFT)  # the shift of the sum with the shortcut
    side = conv("shortcut.block.0", image, activation=_MISH)
    side = conv("shortcut.block.2", side, activation=_MISH)
    shortcut = conv("shortcut.conv11", image)
    joined = graph.add(body, graph.add(shortcut, side))
    if options["upsampler"] == "dys":
        sampled = graph.dysample(tensors, "upsampler", joined, factor, groups=4)
        conv("upsampler.end_conv", sampled)
    else:
        graph.shuffle(conv("upsampler.0", joined), factor)
    return graph.keep_ends_precise(), tensors


def _split_blocks(state: State, hidden: int, part: int) -> Tensors:
    """Return the tensors with `fc1` of each block split into `gate` and `value`.

    The convolved channels, last in files, become first.
    """
    tensors: Tensors = {}
    for name, tensor in state.items():
        prefix, _, kind = name.rpartition(".")
        block, _, layer = prefix.rpartition(".")
        if layer == "fc1":
            tensors[f"{block}.gate.{kind}"] = tensor[:hidden].roll(part, 0)
            tensors[f"{block}.value.{kind}"] = tensor[hidden:].roll(part, 0)
        elif layer == "fc2" and kind == "weight":
            tensors[name] = tensor.roll(part, 1)
        elif layer == "in_to_k":
            # The mean of eight maps is a convolution with the mean kernel.
            tensors[f"{block}.0.{kind}"] = tensor.unflatten(0, (8, -1)).mean(0)
        else:
            tensors[name] = tensor
    return tensors
