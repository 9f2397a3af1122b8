"""What a network is here: a short list of nodes in the order they run, each naming its sources by their place.

The nodes are those of super-resolution networks that look at a neighbourhood only: convolutions, element-wise steps,
nearest-neighbour enlargement and pixel shuffle. Weights stay in a state dict and are named, so one graph serves every
precision and device. A node's `scale` counts from the network's own grid: the picture's, or coarser by `unshuffle`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

PRECISIONS = ("fp32", "bf16", "fp16")
_FORM = 1
"""Raised when a graph that was written down means something else than before."""


@dataclass(frozen=True)
class Activation:
    """What follows a step, value by value: `leaky` has one `slope` below zero, `prelu` the tensor `slopes` [C]."""

    kind: Literal["leaky", "prelu", "silu", "sigmoid"]
    slope: float = 0.0
    slopes: str | None = None


@dataclass(frozen=True)
class Input:
    """The picture: float rows in 0..1, RGB or grey; with `unshuffle` f each f x f pixels are one, of f * f channels."""

    channels: int
    unshuffle: int = 1
    scale: int = 1


@dataclass(frozen=True)
class Conv:
    """A convolution, 3x3 with zero padding 1 or 1x1, over its concatenated sources.

    `enlarge` 2 means that the source is first doubled in both directions by nearest neighbour (3x3 only). `precise`
    keeps the weights, the input and the output in float32 whatever the precision of the others.
    """

    sources: tuple[int, ...]
    name: str
    channels: int
    scale: int
    size: int = 3
    bias: bool = True
    enlarge: int = 1
    activation: Activation | None = None
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
class Multiply:
    """`source * trunk`, value by value, in float32."""

    source: int
    trunk: int
    channels: int
    scale: int


@dataclass(frozen=True)
class Gate:
    """`(source + trunk) * (sigmoid(source) - 0.5)`, in float32: SPAN's attention without parameters."""

    source: int
    trunk: int
    channels: int
    scale: int


@dataclass(frozen=True)
class Affine:
    """`source * gain + shift`, in float32; each is a number, or the name of a tensor with one value a channel."""

    source: int
    gain: float | str
    shift: float | str
    channels: int
    scale: int


@dataclass(frozen=True)
class Activate:
    """An activation by itself, in float32, where it cannot be part of a convolution."""

    source: int
    activation: Activation
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


Node = Input | Conv | Add | Multiply | Gate | Affine | Activate | Nearest | Shuffle
_KINDS = {kind.__name__: kind for kind in (Input, Conv, Add, Multiply, Gate, Affine, Activate, Nearest, Shuffle)}


def sources_of(node: Node) -> tuple[int, ...]:
    """The places of the nodes whose output this one reads."""
    if isinstance(node, Conv):
        return node.sources
    if isinstance(node, Add | Multiply | Gate):
        return node.source, node.trunk
    return () if isinstance(node, Input) else (node.source,)


def enlargement_of(node: Node) -> int:
    """How many times more rows and columns the node gives than it takes."""
    if isinstance(node, Conv):
        return node.enlarge
    return node.factor if isinstance(node, Nearest | Shuffle) else 1


@dataclass
class Graph:
    """The nodes of one network; each method appends one and gives its place.

    `precisions` are those in which the network leaves no visible trace of rounding; fp32 is always one of them.
    """

    precisions: tuple[str, ...] = ("fp32",)
    nodes: list[Node] = field(default_factory=list)

    def input(self, channels: int, unshuffle: int = 1) -> int:
        return self._append(Input(channels, unshuffle))

    def conv(
        self,
        name: str,
        *sources: int,
        channels: int,
        size: int = 3,
        bias: bool = True,
        enlarge: int = 1,
        activation: Activation | None = None,
    ) -> int:
        scale = self.nodes[sources[0]].scale * enlarge
        return self._append(Conv(sources, name, channels, scale, size, bias, enlarge, activation))

    def add(self, source: int, trunk: int, factor: float = 1.0) -> int:
        return self._append(Add(source, trunk, factor, *self._form(trunk)))

    def multiply(self, source: int, trunk: int) -> int:
        return self._append(Multiply(source, trunk, *self._form(trunk)))

    def gate(self, source: int, trunk: int) -> int:
        return self._append(Gate(source, trunk, *self._form(trunk)))

    def affine(self, source: int, gain: float | str = 1.0, shift: float | str = 0.0) -> int:
        return self._append(Affine(source, gain, shift, *self._form(source)))

    def activate(self, source: int, activation: Activation) -> int:
        return self._append(Activate(source, activation, *self._form(source)))

    def nearest(self, source: int, factor: int) -> int:
        channels, scale = self._form(source)
        return self._append(Nearest(source, factor, channels, scale * factor))

    def shuffle(self, source: int, factor: int) -> int:
        channels, scale = self._form(source)
        return self._append(Shuffle(source, factor, channels // factor**2, scale * factor))

    def keep_ends_precise(self) -> Graph:
        """Mark the convolutions that meet the picture and those that give the output, whose rounding would be seen."""
        meeting, giving = {0}, {len(self.nodes) - 1}
        for place, node in enumerate(self.nodes):
            if meeting.intersection(sources_of(node)) and not self._made_precise(place):
                meeting.add(place)
        for place in reversed(range(len(self.nodes))):
            if place in giving and not self._made_precise(place):
                giving.update(sources_of(self.nodes[place]))
        return self

    def _made_precise(self, place: int) -> bool:
        node = self.nodes[place]
        if isinstance(node, Conv):
            self.nodes[place] = replace(node, precise=True)
        return isinstance(node, Conv)

    @property
    def unshuffle(self) -> int:
        """How many pixels of the picture, in both directions, are one of the network's own grid."""
        return next(node.unshuffle for node in self.nodes if isinstance(node, Input))

    @property
    def picture_channels(self) -> int:
        """3 for a network that takes RGB, 1 for one that takes grey."""
        return next(node.channels // node.unshuffle**2 for node in self.nodes if isinstance(node, Input))

    @property
    def scale(self) -> int:
        """How many times larger than the picture the output is."""
        return self.nodes[-1].scale // self.unshuffle

    def readers(self) -> list[list[int]]:
        """For each node the places of those that read it; twice where one reads it twice."""
        readers: list[list[int]] = [[] for _ in self.nodes]
        for place, node in enumerate(self.nodes):
            for source in sources_of(node):
                readers[source].append(place)
        return readers

    @property
    def sight(self) -> int:
        """How many rows of the picture above and below its own a row of the output depends on; columns likewise."""
        low, high = [0] * len(self.nodes), [node.scale for node in self.nodes]  # what is needed of each for row 0
        for place, node in reversed([*enumerate(self.nodes)]):
            factor, half = enlargement_of(node), node.size // 2 if isinstance(node, Conv) else 0
            for source in sources_of(node):
                low[source] = min(low[source], (low[place] - half) // factor)
                high[source] = max(high[source], -((-high[place] - half) // factor))
        ends = [(low[place], high[place]) for place, node in enumerate(self.nodes) if isinstance(node, Input)]
        return max(max(-first, last - 1) for first, last in ends) * self.unshuffle

    def costs(self) -> list[int]:
        """The multiply-adds of each node for one pixel of its own output."""
        return [node.size**2 * self.taken(node) * node.channels if isinstance(node, Conv) else 0 for node in self.nodes]

    @property
    def work(self) -> float:
        """The multiply-adds for one pixel of the picture."""
        whole = sum(cost * node.scale**2 for cost, node in zip(self.costs(), self.nodes, strict=True))
        return whole / self.unshuffle**2

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor that the graph takes from a state dict, by name, in the order in which it does."""
        shapes: dict[str, tuple[int, ...]] = {}
        for node in self.nodes:
            if isinstance(node, Conv):
                shapes[f"{node.name}.weight"] = (node.channels, self.taken(node), node.size, node.size)
                if node.bias:
                    shapes[f"{node.name}.bias"] = (node.channels,)
            if isinstance(node, Conv | Activate) and node.activation and node.activation.slopes:
                shapes[node.activation.slopes] = (node.channels,)
            if isinstance(node, Affine):
                shapes |= {name: (node.channels,) for name in (node.gain, node.shift) if isinstance(name, str)}
        return shapes

    def as_json(self) -> str:
        """The graph written down, for `from_json`."""
        nodes = [{"kind": type(node).__name__, **asdict(node)} for node in self.nodes]
        return json.dumps({"form": _FORM, "precisions": self.precisions, "nodes": nodes}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """The graph that `as_json` wrote down; ValueError where it is none."""
        try:
            read = json.loads(text)
            if read["form"] != _FORM:
                raise ValueError(f"a graph of form {read['form']}")
            return cls(tuple(read["precisions"]), [_node(**fields) for fields in read["nodes"]])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("no graph") from error

    def taken(self, node: Conv) -> int:
        """The channels that a convolution takes, of all its sources together."""
        return sum(self.nodes[source].channels for source in node.sources)

    def _form(self, place: int) -> tuple[int, int]:
        return self.nodes[place].channels, self.nodes[place].scale

    def _append(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


def _node(kind: str, **fields: Any) -> Node:
    if "sources" in fields:
        fields["sources"] = tuple(fields["sources"])
    if isinstance(fields.get("activation"), Mapping):
        fields["activation"] = Activation(**fields["activation"])
    return _KINDS[kind](**fields)
