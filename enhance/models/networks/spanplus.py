"""SPANPlus by umzi2 (https://github.com/umzi2/SPANPlus), 2024: groups of SPAN's blocks with Mish."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..graphs import DYSAMPLE_GROUPS, Activation, Graph, State
from .span import add_block, fold_branches

TITLE, MARKS = "SPANPlus", {"feats.1.conv_cat.weight"}

_MISH = Activation("mish")


def spanplus(blocks: Sequence[int], features: int, factor: int, channels: int, output: int, *, dysample: bool) -> Graph:
    """Return SPANPlus at scale `factor`. Each group has two blocks more than `blocks`."""
    graph = Graph()
    trunk = graph.conv("feats.0", graph.input(channels), channels=features)
    for group, count in enumerate(blocks, 1):
        name, entry = f"feats.{group}", trunk
        _, first = add_block(graph, f"{name}.block_1", entry, _MISH)
        trunk = first
        for block in range(count):
            _, trunk = add_block(graph, f"{name}.block_n.{block}", trunk, _MISH)
        inner, trunk = add_block(graph, f"{name}.block_end", trunk, _MISH)
        last = graph.conv(f"{name}.conv_2", trunk)
        trunk = graph.conv(f"{name}.conv_cat", entry, last, first, inner, size=1)
    graph.upsampler(trunk, factor, output, dysample=dysample)
    return graph.keep_ends_precise()


def convert(state: State) -> tuple[Graph, State]:
    """Return the graph and the tensors of a file, with or without the branches of its convolutions."""
    tensors = fold_branches(state)
    features, channels = tensors["feats.0.weight"].shape[:2]
    blocks: list[int] = []
    while (name := f"feats.{len(blocks) + 1}") + ".conv_cat.weight" in tensors:
        blocks.append(sum(key.startswith(f"{name}.block_n.") and key.endswith(".c1_r.weight") for key in tensors))
    dysample = "upsampler.offset.weight" in tensors
    if dysample:
        output = len(tensors["upsampler.end_conv.weight"])
        factor = math.isqrt(len(tensors["upsampler.offset.weight"]) // (2 * DYSAMPLE_GROUPS))
    else:
        for kind in ("weight", "bias"):
            if f"upsampler.{kind}" in tensors:  # a network that does not enlarge ends in a convolution of this name
                tensors[f"upsampler.0.{kind}"] = tensors.pop(f"upsampler.{kind}")
        output, factor = channels, math.isqrt(len(tensors["upsampler.0.weight"]) // channels)
    return spanplus(blocks, features, factor, channels, output, dysample=dysample), tensors
