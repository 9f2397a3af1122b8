"""The networks as row graphs, recognised from an official state dict.

RRDBNet: Wang et al., "ESRGAN", 2018, and "Real-ESRGAN", 2021. SRVGGNetCompact: the compact network that
Real-ESRGAN's authors published with their general and anime-video models. Layer names are those of the official files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import WeightsError
from .graph import Graph

if TYPE_CHECKING:
    import torch

_PRECISIONS = ("fp32", "bf16", "fp16")
_RRDB_SLOPE = 0.2
_RRDB_RESIDUAL = 0.2


def known_graph(name: str) -> Graph:
    """The row graph of the model called `name` in the manifest."""
    return _KNOWN[name]()


def build_graph(state: Mapping[str, torch.Tensor], name: str | None = None) -> Graph:
    """The row graph of the network that `state` holds the weights of; of the model `name`, where that is given.

    Raises WeightsError when the tensors' names or shapes are not those of that network, or of no known one.
    """
    graph = known_graph(name) if name else _recognised(state)
    expected = graph.shapes() if graph else {}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    if graph is None or found != expected:
        odd = min(key for key, _ in set(found.items()) ^ set(expected.items())) if graph else "—"
        raise WeightsError("other_network", model=name or "—", tensor=odd)
    return graph


def _recognised(state: Mapping[str, torch.Tensor]) -> Graph | None:
    if "conv_first.weight" in state:
        return rrdbnet(_count(state, "body.{}.rdb1.conv1.weight"))
    if "body.0.weight" in state and "body.1.weight" in state:
        return srvgg(sum(1 for key, tensor in state.items() if key.endswith(".weight") and tensor.ndim == 4) - 2)
    return None


def rrdbnet(blocks: int, features: int = 64, growth: int = 32) -> Graph:
    """RRDBNet for RGB, four times larger, as in RealESRGAN_x4plus (23 blocks) and its anime variant (6 blocks)."""
    graph = Graph(_PRECISIONS)
    first = graph.conv("conv_first", graph.input(3), channels=features, precise=True)
    trunk = first
    for block in range(blocks):
        entry = trunk
        for dense in (1, 2, 3):
            trunk = _dense_block(graph, f"body.{block}.rdb{dense}", trunk, features, growth)
        trunk = graph.add(trunk, entry, _RRDB_RESIDUAL)
    body = graph.conv("conv_body", trunk, channels=features)
    up = graph.add(body, first)
    for name in ("conv_up1", "conv_up2"):
        up = graph.conv(name, up, channels=features, enlarge=2, slope=_RRDB_SLOPE)
    fine = graph.conv("conv_hr", up, channels=features, slope=_RRDB_SLOPE)
    graph.conv("conv_last", fine, channels=3, precise=True)
    return graph


def _dense_block(graph: Graph, prefix: str, entry: int, features: int, growth: int) -> int:
    maps = [entry]
    for layer in (1, 2, 3, 4):
        maps.append(graph.conv(f"{prefix}.conv{layer}", *maps, channels=growth, slope=_RRDB_SLOPE))
    residual = graph.conv(f"{prefix}.conv5", *maps, channels=features)
    return graph.add(residual, entry, _RRDB_RESIDUAL)


def srvgg(convolutions: int, features: int = 64, factor: int = 4) -> Graph:
    """SRVGGNetCompact for RGB with PReLU, `convolutions` of them between the first and the last, `factor` x larger."""
    graph = Graph(_PRECISIONS)
    picture = trunk = graph.input(3)
    for index in range(convolutions + 1):
        trunk = graph.conv(
            f"body.{2 * index}", trunk, channels=features, prelu=f"body.{2 * index + 1}.weight", precise=index == 0
        )
    last = graph.conv(f"body.{2 * convolutions + 2}", trunk, channels=3 * factor**2, precise=True)
    graph.add(graph.shuffle(last, factor), graph.nearest(picture, factor))
    return graph


def _count(state: Mapping[str, torch.Tensor], pattern: str) -> int:
    count = 0
    while pattern.format(count) in state:
        count += 1
    return count


_KNOWN = {
    "realesrgan-x4plus": lambda: rrdbnet(23),
    "realesrgan-x4plus-anime": lambda: rrdbnet(6),
    "realesr-general-x4v3": lambda: srvgg(32),
    "realesr-general-wdn-x4v3": lambda: srvgg(32),
    "realesr-animevideov3": lambda: srvgg(16),
}
