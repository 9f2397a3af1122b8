"""SRVGG: the compact network that Real-ESRGAN's authors published with their general and
anime-video models."""

from __future__ import annotations

from typing import Any

from ..graphs import Activation, Graph, State

TITLE = "Compact"
ARCHITECTURE = "Compact"


def srvgg(convolutions: int, features: int = 64, factor: int = 4, channels: int = 3) -> Graph:
    """Return SRVGGNetCompact with PReLU and `convolutions` layers between the first and the last,
    at scale `factor`."""
    graph = Graph()
    image = graph.input(channels)
    trunk = image
    for index in range(convolutions + 1):
        slopes = Activation("prelu", slopes=f"body.{2 * index + 1}.weight")
        trunk = graph.conv(f"body.{2 * index}", trunk, channels=features, activation=slopes)
    last = graph.conv(f"body.{2 * convolutions + 2}", trunk, channels=channels * factor**2)
    graph.add_upscaled(last, image, factor)
    return graph.keep_ends_precise()


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network."""
    options = network.hyperparameters
    graph = srvgg(
        convolutions=options["num_conv"],
        features=options["num_feat"],
        factor=options["upscale"],
        channels=options["num_in_ch"],
    )
    return graph, network.state_dict()
