"""The networks as row graphs, recognised from an official state dict, and what a row graph is.

A network is a short list of nodes in the order they run, and a node names its sources by their place in the list. Five
kinds are enough for the super-resolution networks in use: the picture, a 3x3 convolution (of one source or of several
concatenated along the channels), a scaled residual add, nearest-neighbour enlargement, and pixel shuffle. Writing a
network here is writing its graph; weights stay in the state dict and are named, so the same graph serves every
precision and device.

RRDBNet: Wang et al., "ESRGAN", 2018, and "Real-ESRGAN", 2021. SRVGGNetCompact: the compact network that
Real-ESRGAN's authors published with their general and anime-video models. Layer names are those of the official files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import WeightsError

if TYPE_CHECKING:
    import torch

_PRECISIONS = ("fp32", "bf16", "fp16")
_RRDB_SLOPE = 0.2
_RRDB_RESIDUAL = 0.2


@dataclass(frozen=True)
class Input:
    """The picture: float rows in 0..1, RGB."""

    channels: int
    scale: int = 1


@dataclass(frozen=True)
class Conv:
    """A 3x3 convolution with zero padding 1 over its concatenated sources.

    `enlarge` 2 means that the source is first doubled in both directions by nearest neighbour. `slope` is the leaky
    ReLU's factor below zero, 1.0 for none; `prelu` names a tensor with one slope a channel instead. `precise` keeps
    the weights, the input and the output in float32 whatever the precision of the others.
    """

    sources: tuple[int, ...]
    name: str
    channels: int
    scale: int
    enlarge: int = 1
    slope: float = 1.0
    prelu: str | None = None
    precise: bool = False


@dataclass(frozen=True)
class Add:
    """`source * factor + trunk`, kept in float32: the residual path that everything else only corrects."""

    source: int
    trunk: int
    factor: float
    channels: int
    scale: int


@dataclass(frozen=True)
class Nearest:
    """Every pixel repeated `factor` times in both directions."""

    source: int
    factor: int
    channels: int
    scale: int


@dataclass(frozen=True)
class Shuffle:
    """Pixel shuffle: channels [c * factor * factor] become `factor` x `factor` pixels of c channels."""

    source: int
    factor: int
    channels: int
    scale: int


Node = Input | Conv | Add | Nearest | Shuffle


def sources_of(node: Node) -> tuple[int, ...]:
    """The places of the nodes whose output this one reads."""
    if isinstance(node, Conv):
        return node.sources
    if isinstance(node, Add):
        return node.source, node.trunk
    return () if isinstance(node, Input) else (node.source,)


@dataclass
class Graph:
    """The nodes of one network; each method appends one and gives its place.

    `precisions` are those in which the network leaves no visible trace of rounding; fp32 is always one of them.
    """

    precisions: tuple[str, ...] = ("fp32",)
    nodes: list[Node] = field(default_factory=list)

    def input(self, channels: int) -> int:
        return self._append(Input(channels))

    def conv(
        self,
        name: str,
        *sources: int,
        channels: int,
        enlarge: int = 1,
        slope: float = 1.0,
        prelu: str | None = None,
        precise: bool = False,
    ) -> int:
        scale = self.nodes[sources[0]].scale * enlarge
        return self._append(Conv(sources, name, channels, scale, enlarge, slope, prelu, precise))

    def add(self, source: int, trunk: int, factor: float = 1.0) -> int:
        node = self.nodes[trunk]
        return self._append(Add(source, trunk, factor, node.channels, node.scale))

    def nearest(self, source: int, factor: int) -> int:
        node = self.nodes[source]
        return self._append(Nearest(source, factor, node.channels, node.scale * factor))

    def shuffle(self, source: int, factor: int) -> int:
        node = self.nodes[source]
        return self._append(Shuffle(source, factor, node.channels // factor**2, node.scale * factor))

    @property
    def scale(self) -> int:
        """How many times larger than the picture the output is."""
        return self.nodes[-1].scale

    def costs(self) -> list[int]:
        """The multiply-adds of each node for one pixel of its own output."""
        costs = []
        for node in self.nodes:
            taken = sum(self.nodes[source].channels for source in node.sources) if isinstance(node, Conv) else 0
            costs.append(9 * taken * node.channels)
        return costs

    @property
    def work(self) -> int:
        """The multiply-adds for one pixel of the picture."""
        return sum(cost * node.scale**2 for cost, node in zip(self.costs(), self.nodes, strict=True))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor that the graph takes from a state dict, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for node in self.nodes:
            if isinstance(node, Conv):
                taken = sum(self.nodes[source].channels for source in node.sources)
                shapes[f"{node.name}.weight"] = (node.channels, taken, 3, 3)
                shapes[f"{node.name}.bias"] = (node.channels,)
                if node.prelu:
                    shapes[node.prelu] = (node.channels,)
        return shapes

    def _append(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


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
