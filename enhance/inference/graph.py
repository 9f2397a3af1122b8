"""What a network is to the row executor: a short list of nodes in the order they run.

A node names its sources by their place in the list. Five kinds are enough for the super-resolution networks in use:
the picture, a 3x3 convolution (of one source or of several concatenated along the channels), a scaled residual add,
nearest-neighbour enlargement, and pixel shuffle. Writing a network here is writing its graph; weights stay in the
state dict and are named, so the same graph serves every precision and device.
"""

from __future__ import annotations

from dataclasses import dataclass, field


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
