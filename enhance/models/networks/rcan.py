"""RCAN: Zhang et al., "Image Super-Resolution Using Very Deep Residual Channel Attention Networks", 2018."""

from __future__ import annotations

import math
from typing import Any

from ..graphs import Activation, Affine, ChannelGate, Graph, State

TITLE, ARCHITECTURE = "RCAN", "RCAN"

_RELU = Activation("leaky", 0.0)


def rcan(
    groups: int, blocks: int, features: int, factor: int, size: int, hidden: int, channels: int, fold: int, norm: float
) -> Graph:
    """Return RCAN at `factor` times its grid. Each block ends in a channel gate, which needs means of the whole image.

    The image is pixel-unshuffled by `fold`. `norm` is the range of its values if the network subtracts their mean,
    otherwise 0.
    """
    graph = Graph()
    image = graph.input(channels * fold**2, fold)
    if norm:
        image = graph.conv("sub_mean", graph.append(Affine, image, gain=norm), size=1)
    head = trunk = graph.conv("head.1" if fold > 1 else "head.0", image, channels=features, size=size)
    for group in range(groups):
        entry = trunk
        for block in range(blocks):
            name = f"body.{group}.body.{block}.body"
            body = graph.conv(f"{name}.0", trunk, size=size, activation=_RELU)
            body = graph.conv(f"{name}.2", body, size=size)
            gated = graph.append(ChannelGate, body, name=f"{name}.3.conv_du", hidden=hidden)
            trunk = graph.add(gated, trunk)
        trunk = graph.add(graph.conv(f"body.{group}.body.{blocks}", trunk, size=size), entry)
    trunk = graph.add(graph.conv(f"body.{groups}", trunk, size=size), head)
    for index, step in enumerate([3] if factor == 3 else [2] * round(math.log2(factor))):
        trunk = graph.shuffle(graph.conv(f"tail.0.{2 * index}", trunk, channels=features * step**2), step)
    # Precise in any case, because `add_mean` can follow as the last convolution.
    trunk = graph.conv("tail.1", trunk, channels=channels, size=size, precise=True)
    if norm:
        graph.append(Affine, graph.conv("add_mean", trunk, size=1), gain=1 / norm)
    return graph.keep_ends_precise()


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network."""
    options, state, fold = network.hyperparameters, network.state_dict(), network.downscale_factor
    factor = options["scale"] * fold
    if "sub_mean.weight" in state and fold > 1:  # the image is unshuffled first here
        weight, bias = state["sub_mean.weight"], state["sub_mean.bias"]
        unshuffled = weight.flatten(1).kron(weight.new_ones(fold**2).diag())
        state |= {"sub_mean.weight": unshuffled[:, :, None, None], "sub_mean.bias": bias.repeat_interleave(fold**2)}
    hidden = len(state["body.0.body.0.body.3.conv_du.0.weight"])
    norm = float(network.rgb_range) if options["norm"] else 0.0
    shape = options["n_resgroups"], options["n_resblocks"], options["n_feats"], factor, options["kernel_size"]
    return rcan(*shape, hidden, options["n_colors"], fold, norm), state
