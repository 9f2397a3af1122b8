"""RRDBNet: Wang et al., "ESRGAN", 2018, and "Real-ESRGAN", 2021.

ESRGAN+: Rakotonirina and Rasoanaivo, 2020.
"""

from __future__ import annotations

import math
from typing import Any

from ..graphs import Activation, Graph, State

TITLE = "ESRGAN"
ARCHITECTURE = "ESRGAN"

_LEAKY = Activation("leaky", 0.2)
_RESIDUAL = 0.2


def rrdbnet(
    blocks: int,
    features: int = 64,
    growth: int = 32,
    *,
    ups: int = 2,
    channels: int = 3,
    output: int = 3,
    unshuffle: int = 1,
    plus: bool = False,
) -> Graph:
    """Return RRDBNet at 2^`ups` times its grid, as in RealESRGAN_x4plus (23 blocks) and its anime
    variant (6 blocks).

    `channels` and `output` are those of the image and the result. `plus` is ESRGAN+, with a 1x1
    convolution in each dense block.
    """
    graph = Graph()
    image = graph.input(channels * unshuffle**2, unshuffle)
    trunk = graph.conv("conv_first", image, channels=features)
    for block in range(blocks):
        entry = trunk
        for dense in (1, 2, 3):
            trunk = _dense_block(graph, f"body.{block}.rdb{dense}", trunk, growth, plus)
        trunk = graph.add(trunk, entry, _RESIDUAL)
    body = graph.conv("conv_body", trunk)
    # Computed a second time, because hundreds of its rows would be stored until here. Rows of the
    # image are 20 times smaller.
    first = graph.conv("conv_first", image, channels=features)
    up = graph.add(body, first)
    for number in range(1, ups + 1):
        up = graph.conv(f"conv_up{number}", up, enlarge=2, activation=_LEAKY)
    up = graph.conv("conv_hr", up, activation=_LEAKY)
    graph.conv("conv_last", up, channels=output)
    return graph.keep_ends_precise()


def _dense_block(graph: Graph, prefix: str, entry: int, growth: int, plus: bool) -> int:
    maps = [entry]
    shortcut = entry
    if plus:
        shortcut = graph.conv(f"{prefix}.conv1x1", entry, channels=growth, size=1, bias=False)
    for layer in (1, 2, 3, 4):
        output = graph.conv(f"{prefix}.conv{layer}", *maps, channels=growth, activation=_LEAKY)
        if plus and layer == 2:
            output = graph.add(shortcut, output)
        elif plus and layer == 4:
            output = graph.add(maps[2], output)
        maps.append(output)
    residual = graph.conv(f"{prefix}.conv5", *maps)
    return graph.add(residual, entry, _RESIDUAL)


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network."""
    options = network.hyperparameters
    unshuffle = options["shuffle_factor"] or 1
    graph = rrdbnet(
        options["num_blocks"],
        features=options["num_filters"],
        ups=int(math.log2(options["scale"])),
        channels=options["in_nc"] // unshuffle**2,
        output=options["out_nc"],
        unshuffle=unshuffle,
        plus=options["plus"],
    )
    # Spandrel names the tensors of all variants as the oldest ESRGAN does, but their order is that
    # of the graph.
    return graph, dict(zip(graph.shapes(), network.state_dict().values(), strict=True))
