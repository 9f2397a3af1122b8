"""RCAN: Zhang et al., "Image Super-Resolution Using Very Deep Residual Channel Attention Networks",
2018."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..graphs import Activation, Affine, ChannelGate, Graph, State, Unsupported

TITLE = "RCAN"
ARCHITECTURE = "RCAN"

_RELU = Activation("leaky", 0.0)


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network. Raises Unsupported.

    Each block ends in a channel gate, which needs means of the whole image.
    """
    options = network.hyperparameters
    blocks = options["n_resblocks"]
    groups = options["n_resgroups"]
    has_norm = options["norm"]
    value_range = float(network.rgb_range)
    fold = network.downscale_factor
    if has_norm and fold > 1:
        raise Unsupported("RCAN (norm and unshuffle_mod)")
    state = network.state_dict()
    hidden = len(state["body.0.body.0.body.3.conv_du.0.weight"])
    graph = Graph()
    conv = partial(graph.conv_of, state)
    image = graph.input(options["n_colors"] * fold**2, fold)
    if has_norm:
        image = graph.append(Affine, image, gain=value_range)
        image = conv("sub_mean", image)
    head = conv(f"head.{len(network.head) - 1}", image)
    trunk = head
    for group in range(groups):
        entry = trunk
        for block in range(blocks):
            name = f"body.{group}.body.{block}.body"
            body = conv(f"{name}.0", trunk, activation=_RELU)
            body = conv(f"{name}.2", body)
            gated = graph.append(ChannelGate, body, name=f"{name}.3.conv_du", hidden=hidden)
            trunk = graph.add(gated, trunk)
        body = conv(f"body.{group}.body.{blocks}", trunk)
        trunk = graph.add(body, entry)
    body = conv(f"body.{groups}", trunk)
    trunk = graph.add(body, head)
    for index, layer in enumerate(network.tail[0]):
        if hasattr(layer, "upscale_factor"):
            trunk = graph.shuffle(trunk, layer.upscale_factor)
        else:
            trunk = conv(f"tail.0.{index}", trunk)
    # Precise in any case, because `add_mean` can follow as the last convolution.
    trunk = conv("tail.1", trunk, precise=True)
    if has_norm:
        trunk = conv("add_mean", trunk)
        graph.append(Affine, trunk, gain=1 / value_range)
    return graph.keep_ends_precise(), state
