"""MoSRv2 by umzi2, 2024, as published in neosr (https://github.com/neosr-project/neosr) and traiNNer-redux."""

from __future__ import annotations

import math
import re

from ..graphs import (
    DYSAMPLE_GROUPS,
    Activation,
    Affine,
    Bilinear,
    ChannelNorm,
    Graph,
    Nearest,
    State,
    Tensors,
    Unsupported,
)
from .mosr import add_body, add_end, split_blocks

TITLE, MARKS = "MoSRv2", {"gblocks.1.gamma", "gblocks.2.gamma"}

_KERNEL = 11
"""The size to which the 3x3, 1x11 and 11x1 kernels of a block are padded. Each convolves an eighth of the channels."""
_UNSHUFFLED_FACTOR = 4
"""The factor by which all networks that unshuffle the image enlarge their grid."""
_UPSAMPLERS = 5
"""How many upsamplers neosr has. Later ones of traiNNer-redux have higher numbers."""


def mosrv2(
    blocks: int,
    features: int,
    factor: int,
    hidden: int,
    channels: int,
    fold: int,
    upsampler: str,
    middle: int,
    rms: bool,
) -> Graph:
    """Return MoSRv2 at `factor` times its grid. The image is upscaled bilinearly and added.

    The image is pixel-unshuffled by `fold`. `middle` is the number of channels inside the upsampler. With `rms`, blocks
    begin with a root mean square normalisation.
    """
    graph = Graph()
    image, start = graph.input(channels * fold**2, fold), int(fold > 1)
    trunk = graph.conv(f"gblocks.{start}", image, channels=features)
    for block in range(1, blocks + 1):
        name = f"gblocks.{start + block}"
        entry = graph.append(ChannelNorm, trunk, name=f"{name}.norm", rms=rms)
        body = add_body(graph, name, entry, hidden, _convolved(features), _KERNEL)
        trunk = graph.add(graph.append(Affine, body, gain=f"{name}.gamma"), trunk)
    body = _add_upsampler(graph, add_end(graph, start + blocks + 1, trunk), factor, channels, upsampler, middle)
    whole = graph.shuffle(image, fold)
    graph.add(body, graph.append(Bilinear, whole, enlarge=factor // fold) if factor > fold else whole)
    return graph.keep_ends_precise()


def _add_upsampler(graph: Graph, body: int, factor: int, channels: int, kind: str, middle: int) -> int:
    features, steps = graph.nodes[body].channels, [3] if factor == 3 else [2] * round(math.log2(factor))
    slope = Activation("leaky", 0.2 if kind == "nearest+conv" else 0.01)
    place = 0
    if kind == "nearest+conv":
        body = graph.conv("to_img.0", body, activation=slope)
        for step in steps:
            place += 3
            body = graph.append(Nearest, body, enlarge=3) if step == 3 else body
            body = graph.conv(f"to_img.{place}", body, enlarge=2 if step == 2 else 1, activation=slope)
        return graph.conv(f"to_img.{place + 2}", body, channels=channels)
    if kind == "pixelshuffledirect":
        return graph.shuffle(graph.conv("to_img.0", body, channels=channels * factor**2), factor)
    if kind == "pixelshuffle" or middle != features:
        body, place = graph.conv("to_img.0", body, channels=middle, activation=slope), 2
    if kind == "dysample":
        sampled = graph.dysample(body, f"to_img.{place}", factor, DYSAMPLE_GROUPS)
        return graph.conv(f"to_img.{place}.end_conv", sampled, channels=channels, size=1)
    for step in steps:
        body = graph.shuffle(graph.conv(f"to_img.{place}", body, channels=middle * step**2), step)
        place += 2
    return graph.conv(f"to_img.{place}", body, channels=channels)


def convert(state: State) -> tuple[Graph, State]:
    """Return the graph and the tensors of a file. Raises Unsupported."""
    start = int("gblocks.0.weight" not in state)
    features, inputs = state[f"gblocks.{start}.weight"].shape[:2]
    kind, factor, channels, middle = _read_upsampler(state, 0 if start else inputs)
    first, blocks = f"gblocks.{start + 1}", sum(name.endswith(".gamma") for name in state)
    hidden, rms = state[f"{first}.fc2.weight"].shape[1], f"{first}.norm.scale" in state
    tensors = split_blocks(state, hidden, _convolved(features))
    tensors.pop("to_img.MetaUpsample", None)
    for name in (f"gblocks.{start + 1 + block}" for block in range(blocks)):
        tensors[f"{name}.gamma"] = tensors[f"{name}.gamma"].flatten()
        if rms:
            for old, new in (("scale", "weight"), ("offset", "bias")):
                tensors[f"{name}.norm.{new}"] = tensors.pop(f"{name}.norm.{old}").flatten()
        tensors |= {f"{name}.conv.{one}": tensor for one, tensor in _join_branches(tensors, f"{name}.conv").items()}
    fold = math.isqrt(inputs // channels)
    return mosrv2(blocks, features, factor, hidden, channels, fold, kind, middle, rms), tensors


def _convolved(features: int) -> int:
    """Return the number of channels of a block with a depthwise convolution: an eighth of them for each kernel."""
    return 3 * (features // 8)


def _join_branches(tensors: Tensors, name: str) -> State:
    """Remove the tensors of three convolutions, and return those of one convolution with the same result."""
    import torch

    weights, biases = (
        [tensors.pop(f"{name}.dwconv_{branch}.{kind}") for branch in ("hw", "w", "h")] for kind in ("weight", "bias")
    )
    kernels = []
    for weight in weights:
        kernels.append(weight.new_zeros(len(weight), 1, _KERNEL, _KERNEL))
        rows, columns = (slice((_KERNEL - size) // 2, (_KERNEL + size) // 2) for size in weight.shape[2:])
        kernels[-1][:, :, rows, columns] = weight
    return {"weight": torch.cat(kernels), "bias": torch.cat(biases)}


def _read_upsampler(state: State, channels: int) -> tuple[str, int, int, int]:
    """Return the upsampler of a file, its factor, and the channels of the image and inside the upsampler.

    `channels` is 0 if the image is unshuffled, so that only the last convolution shows its channels.
    """
    meta = state["to_img.MetaUpsample"].tolist() if "to_img.MetaUpsample" in state else []
    # The numbers are a version, the index of the upsampler, its factor and its channels.
    if meta and meta[1] >= _UPSAMPLERS:
        raise Unsupported(f"MoSRv2 (upsampler {meta[1]})")
    sizes = {int(one.split(".")[1]): state[one].shape for one in state if re.fullmatch(r"to_img\.\d+\.weight", one)}
    for place in (0, 2):
        if (name := f"to_img.{place}.offset.weight") in state:
            output, middle = state[f"to_img.{place}.end_conv.weight"].shape[:2]
            return "dysample", math.isqrt(len(state[name]) // (2 * DYSAMPLE_GROUPS)), output, middle
    last = sizes[max(sizes)][0]
    if len(sizes) == 1:  # an unshuffled image is enlarged to four times the grid
        channels = channels or last // _UNSHUFFLED_FACTOR**2
        return "pixelshuffledirect", math.isqrt(last // channels), channels, 0
    # Layers without tensors count, too: pixelshuffle has convolutions at 0 and 2, nearest+conv at 0 and 3.
    if 2 in sizes:
        middle = sizes[0][0]
        steps = [math.isqrt(sizes[place][0] // middle) for place in sorted(sizes)[1:-1]]
        return "pixelshuffle", math.prod(steps), last, middle
    factor = 2 ** (len(sizes) - 2)
    if factor == 2 and not meta:
        raise Unsupported("MoSRv2 (nearest+conv, 2x or 3x)")  # both have the same tensors
    return "nearest+conv", meta[2] if meta else factor, last, 0
