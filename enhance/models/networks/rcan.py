"""RCAN: Zhang et al., "Image Super-Resolution Using Very Deep Residual Channel Attention Networks",
2018."""

from __future__ import annotations

import math
from typing import Any

from ..graphs import Activation, Affine, ChannelGate, Graph, State

TITLE = "RCAN"
ARCHITECTURE = "RCAN"

_RELU = Activation("leaky", 0.0)


def rcan(
    groups: int,
    blocks: int,
    features: int,
    factor: int,
    size: int,
    hidden: int,
    channels: int,
    fold: int,
    norm: float,
) -> Graph:
    """Return RCAN at `factor` times its grid.

    Each block ends in a channel gate, which needs means of the whole image.

    The image is pixel-unshuffled by `fold`. `norm` is the range of its values if the network
    subtracts their mean, otherwise 0.
    """
    graph = Graph()
    image = graph.input(channels * fold**2, fold)
    if norm:
        image = graph.append(Affine, image, gain=norm)
        image = graph.conv("sub_mean", image, size=1)
    head_name = "head.1" if fold > 1 else "head.0"
    head = graph.conv(head_name, image, channels=features, size=size)
    trunk = head
    for group in range(groups):
        entry = trunk
        for block in range(blocks):
            name = f"body.{group}.body.{block}.body"
            body = graph.conv(f"{name}.0", trunk, size=size, activation=_RELU)
            body = graph.conv(f"{name}.2", body, size=size)
            gated = graph.append(ChannelGate, body, name=f"{name}.3.conv_du", hidden=hidden)
            trunk = graph.add(gated, trunk)
        body = graph.conv(f"body.{group}.body.{blocks}", trunk, size=size)
        trunk = graph.add(body, entry)
    body = graph.conv(f"body.{groups}", trunk, size=size)
    trunk = graph.add(body, head)
    steps = [3] if factor == 3 else [2] * round(math.log2(factor))
    for index, step in enumerate(steps):
        wide = graph.conv(f"tail.0.{2 * index}", trunk, channels=features * step**2)
        trunk = graph.shuffle(wide, step)
    # Precise in any case, because `add_mean` can follow as the last convolution.
    trunk = graph.conv("tail.1", trunk, channels=channels, size=size, precise=True)
    if norm:
        trunk = graph.conv("add_mean", trunk, size=1)
        graph.append(Affine, trunk, gain=1 / norm)
    return graph.keep_ends_precise()


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network."""
    options = network.hyperparameters
    state = network.state_dict()
    fold = network.downscale_factor
    if "sub_mean.weight" in state and fold > 1:  # the image is unshuffled first here
        weight = state["sub_mean.weight"].flatten(1)
        unshuffled = weight.kron(weight.new_ones(fold**2).diag())
        state["sub_mean.weight"] = unshuffled[:, :, None, None]
        state["sub_mean.bias"] = state["sub_mean.bias"].repeat_interleave(fold**2)
    graph = rcan(
        groups=options["n_resgroups"],
        blocks=options["n_resblocks"],
        features=options["n_feats"],
        factor=options["scale"] * fold,
        size=options["kernel_size"],
        hidden=len(state["body.0.body.0.body.3.conv_du.0.weight"]),
        channels=options["n_colors"],
        fold=fold,
        norm=float(network.rgb_range) if options["norm"] else 0.0,
    )
    return graph, state
