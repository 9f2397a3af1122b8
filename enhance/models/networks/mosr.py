"""MoSR by umzi2 (https://github.com/umzi2/MoSR), 2024: gated convolutions after MambaOut (Yu and
Wang, 2024)."""

from __future__ import annotations

from typing import Any

from ..graphs import Activation, Affine, ChannelNorm, Graph, Multiply, State, Tensors

TITLE = "MoSR"
ARCHITECTURE = "MoSR"

_MISH = Activation("mish")
_SHIFT = -0.5
"""Added by each block to all channels. The normalisation of the next block cancels it, so the end
adds all at once."""


def mosr(
    blocks: int,
    features: int,
    factor: int,
    kernel: int,
    hidden: int,
    part: int,
    channels: int,
    output: int,
    dysample: bool,
) -> Graph:
    """Return MoSR at scale `factor`.

    Each block convolves `part` of its `hidden` channels with a large kernel.
    """
    graph = Graph()
    image = graph.input(channels)
    trunk = graph.conv("gblocks.0", image, channels=features)
    for block in range(1, blocks + 1):
        # `fc1` of the files is split into `gate` and `value`, whose convolved channels come first.
        name = f"gblocks.{block}"
        entry = graph.append(ChannelNorm, trunk, name=f"{name}.norm")
        gate = graph.conv(f"{name}.gate", entry, channels=hidden, activation=_MISH)
        value = graph.conv(f"{name}.value", entry, channels=hidden)
        value = graph.conv(f"{name}.conv", value, size=kernel, part=part, depthwise=True)
        product = graph.append(Multiply, gate, value)
        residual = graph.conv(f"{name}.fc2", product, channels=features, activation=_MISH)
        trunk = graph.add(residual, trunk)
    body = graph.append(Affine, trunk, shift=_SHIFT * blocks)
    body = graph.conv(f"gblocks.{blocks + 1}", body, channels=2 * features, activation=_MISH)
    body = graph.conv(f"gblocks.{blocks + 3}", body, channels=features, activation=_MISH)
    body = graph.conv(f"gblocks.{blocks + 5}", body, size=1)
    body = graph.append(Affine, body, shift=_SHIFT)  # the shift of the sum with the shortcut
    side = graph.conv("shortcut.block.0", image, channels=features, activation=_MISH)
    side = graph.conv("shortcut.block.2", side, activation=_MISH)
    shortcut = graph.conv("shortcut.conv11", image, channels=features, size=1)
    joined = graph.add(body, graph.add(shortcut, side))
    if dysample:
        sampled = graph.dysample(joined, "upsampler", factor, groups=4)
        graph.conv("upsampler.end_conv", sampled, channels=output, size=1)
    else:
        wide = graph.conv("upsampler.0", joined, channels=output * factor**2)
        graph.shuffle(wide, factor)
    return graph.keep_ends_precise()


def _split_blocks(state: State, hidden: int, part: int) -> Tensors:
    """Return the tensors with `fc1` of each block split.

    The convolved channels, last in files, become first.
    """
    order = [*range(hidden - part, hidden), *range(hidden - part)]
    tensors: Tensors = {}
    for name, tensor in state.items():
        prefix, _, kind = name.rpartition(".")
        block, _, layer = prefix.rpartition(".")
        if layer == "fc1":
            tensors[f"{block}.gate.{kind}"] = tensor[:hidden][order]
            tensors[f"{block}.value.{kind}"] = tensor[hidden:][order]
        elif layer == "fc2" and kind == "weight":
            tensors[name] = tensor[:, order]
        else:
            tensors[name] = tensor
    return tensors


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network."""
    options = network.hyperparameters
    block = network.gblocks[1]
    hidden = block.fc2.in_channels
    part = len(block.conv.weight)
    tensors = _split_blocks(network.state_dict(), hidden, part)
    for name in list(tensors):
        if ".in_to_k." in name:
            # the mean of eight maps, which is a convolution with the mean kernel
            maps = tensors.pop(name).unflatten(0, (8, -1))
            tensors[name.replace("in_to_k", "0")] = maps.mean(0)
    dysample = options["upsampler"] == "dys"
    graph = mosr(
        blocks=options["n_block"],
        features=options["dim"],
        factor=options["upscale"],
        kernel=options["kernel_size"],
        hidden=hidden,
        part=part,
        channels=options["in_ch"],
        output=options["out_ch"] if dysample else options["in_ch"],
        dysample=dysample,
    )
    return graph, tensors
