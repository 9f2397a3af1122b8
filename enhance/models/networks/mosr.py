"""MoSR by umzi2 (https://github.com/umzi2/MoSR), 2024: gated convolutions after MambaOut (Yu and Wang, 2024)."""

from __future__ import annotations

from typing import Any

from ..graphs import PRECISIONS, PRECISIONS_WITH_BARRIERS, Activation, Graph, State

TITLE, ARCHITECTURE = "MoSR", "MoSR"

_MISH = Activation("mish")
_SHIFT = -0.5
"""Added by each block to all channels, which a layer normalisation over the channels cancels."""


def mosr(
    blocks: int = 24,
    features: int = 64,
    factor: int = 4,
    kernel: int = 7,
    hidden: int = 96,
    part: int = 64,
    channels: int = 3,
    output: int = 3,
    *,
    dysample: bool = False,
) -> Graph:
    """Return MoSR at scale `factor`. Each block convolves `part` of its `hidden` channels by depth with a large kernel.

    `fc1` of the files is split into `gate` and `value`, whose convolved channels come first.
    """
    graph = Graph(PRECISIONS_WITH_BARRIERS if dysample else PRECISIONS)
    image = graph.input(channels)
    trunk = graph.conv("gblocks.0", image, channels=features)
    for block in range(1, blocks + 1):
        prefix = f"gblocks.{block}"
        entry = graph.channel_norm(trunk, f"{prefix}.norm")
        gate = graph.conv(f"{prefix}.gate", entry, channels=hidden, activation=_MISH)
        value = graph.conv(f"{prefix}.value", entry, channels=hidden)
        value = graph.conv(f"{prefix}.conv", value, channels=hidden, size=kernel, part=part, depthwise=True)
        body = graph.conv(f"{prefix}.fc2", graph.multiply(gate, value), channels=features, activation=_MISH)
        trunk = graph.add(body, trunk)
    body = graph.affine(trunk, 1.0, _SHIFT * blocks)
    end = [f"gblocks.{blocks + number}" for number in (1, 3, 5)]
    body = graph.conv(end[0], body, channels=2 * features, activation=_MISH)
    body = graph.conv(end[1], body, channels=features, activation=_MISH)
    body = graph.affine(graph.conv(end[2], body, channels=features, size=1), 1.0, _SHIFT)
    side = graph.conv("shortcut.block.0", image, channels=features, activation=_MISH)
    side = graph.conv("shortcut.block.2", side, channels=features, activation=_MISH)
    side = graph.add(graph.conv("shortcut.conv11", image, channels=features, size=1), side)
    body = graph.add(body, side)
    if dysample:
        graph.conv("upsampler.end_conv", graph.dysample(body, "upsampler", factor, 4), channels=output, size=1)
        return graph.keep_ends_precise()
    wide = graph.conv("upsampler.0", body, channels=output * factor**2)
    if factor > 1:
        graph.shuffle(wide, factor)
    return graph.keep_ends_precise()


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network."""
    options, tensors = network.hyperparameters, {}
    features, part, hidden = options["dim"], len(network.gblocks[1].conv.weight), network.gblocks[1].fc2.in_channels
    order = [*range(hidden - part, hidden), *range(hidden - part)]  # the convolved channels first
    for name, tensor in network.state_dict().items():
        prefix, _, kind = name.rpartition(".")
        block, _, layer = prefix.rpartition(".")
        if layer == "fc1":
            tensors[f"{block}.gate.{kind}"], tensors[f"{block}.value.{kind}"] = (
                tensor[:hidden][order],
                tensor[hidden:][order],
            )
        elif layer == "in_to_k":  # the mean of eight maps, which is a convolution with the mean kernel
            tensors[f"upsampler.0.{kind}"] = tensor.unflatten(0, (8, -1)).mean(0)
        else:
            tensors[name] = tensor[:, order] if layer == "fc2" and kind == "weight" else tensor
    dysample = options["upsampler"] == "dys"
    channels, output = options["in_ch"], options["out_ch"] if dysample else options["in_ch"]
    shape = options["n_block"], features, options["upscale"], options["kernel_size"], hidden, part, channels, output
    return mosr(*shape, dysample=dysample), tensors
