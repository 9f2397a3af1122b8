"""Networks as graphs: a list of nodes in execution order, each of which refers to its sources by
index.

The nodes are those of super-resolution networks with a local receptive field: convolutions,
element-wise operations, nearest-neighbour upscaling and pixel shuffle, and barriers, which need a
statistic of the whole image. Weights stay in a state dict and are named, so that one graph serves
each precision and device. The `scale` of a node is relative to the network's grid: the image, or
coarser by `unshuffle`. Networks without padding read pixels around the image, and their feature
maps are larger than the grid by `extra` rows and columns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import ceil, prod
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

if TYPE_CHECKING:
    import torch

State: TypeAlias = "Mapping[str, torch.Tensor]"
"""Tensors by name."""
Tensors: TypeAlias = "dict[str, torch.Tensor]"
"""Tensors by name, to be changed."""

_FORM = 2
"""Version of the JSON form of a graph."""


class Unsupported(ValueError):
    """A network has a part that is not a node; the message names the network and the part."""


@dataclass(frozen=True)
class Activation:
    """An element-wise function: `leaky` has one `slope` for negative values, `prelu` the tensor
    `slopes` [C]."""

    kind: Literal["leaky", "prelu", "silu", "sigmoid", "gelu", "mish"]
    slope: float = 0.0
    slopes: str | None = None


@dataclass(frozen=True)
class Node:
    """A node that reads the output of other nodes, its `sources`.

    Its output has `enlarge` rows for each row of input, and `extra` rows and columns more than the
    grid times `scale`.
    """

    sources: tuple[int, ...]
    channels: int
    scale: int
    enlarge: int = 1
    extra: int = 0

    @property
    def radius(self) -> int:
        """Rows of input above and below a row that its output depends on."""
        return 0

    @property
    def skipped(self) -> int:
        """Rows at the upper edge of the input, and as many at the lower edge, that have no row of
        output."""
        return 0

    @property
    def reduction(self) -> int:
        """Rows of input for each row of output, for a node that downscales; otherwise 1."""
        return 1

    def length(self, count: int) -> int:
        """Return the rows or columns of output for a grid of `count` rows or columns."""
        return count * self.scale + self.extra

    def source_rows(self, first: int, last: int) -> tuple[int, int]:
        """Return the rows of input that the rows [first, last) of output depend on, also beyond the
        edges."""
        low = first * self.reduction // self.enlarge
        high = -(-last * self.reduction // self.enlarge)
        return low + self.skipped - self.radius, high + self.skipped + self.radius

    def rows_from(self, ready: int) -> int:
        """Return how many rows of output depend only on the first `ready` rows of input."""
        return max(ready - self.radius - self.skipped, 0) // self.reduction * self.enlarge


@dataclass(frozen=True)
class Input(Node):
    """The image: float rows in 0..1, RGB or grey.

    `unshuffle` f maps f x f pixels to the channels of one. Half of the `extra` rows are above the
    image. Pixels beyond its edges are reflections.
    """

    unshuffle: int = 1


@dataclass(frozen=True, kw_only=True)
class Conv(Node):
    """A convolution of odd `size` with zero padding, or without padding if `valid`, over its
    concatenated sources.

    With `enlarge` 2, the source is first upscaled by nearest neighbour (3x3 only). With `part`,
    only the first `part` channels of the one source are convolved, and the others follow unchanged.
    A `depthwise` convolution has one kernel for each channel. `precise` keeps weights, input and
    output in float32 whatever the precision of the other nodes.
    """

    name: str
    size: int = 3
    bias: bool = True
    activation: Activation | None = None
    precise: bool = False
    part: int = 0
    depthwise: bool = False
    valid: bool = False

    @property
    def convolved(self) -> int:
        """The channels that the kernels produce."""
        return self.part or self.channels

    @property
    def radius(self) -> int:
        return self.size // 2

    @property
    def skipped(self) -> int:
        if self.valid:
            return self.radius
        return 0


@dataclass(frozen=True)
class Add(Node):
    """`source * factor + trunk` in float32: the residual path. The sources have the same shape."""

    factor: float = 1.0


class Multiply(Node):
    """`source * trunk`, element-wise, in float32."""


class Gate(Node):
    """`(source + trunk) * (sigmoid(source) - 0.5)` in float32: SPAN's attention without
    parameters."""


@dataclass(frozen=True)
class Affine(Node):
    """`source * gain + shift` in float32; each is a number, or the name of a tensor with one value
    for each channel."""

    gain: float | str = 1.0
    shift: float | str = 0.0


@dataclass(frozen=True, kw_only=True)
class Activate(Node):
    """An activation in float32 that cannot be part of a convolution."""

    activation: Activation


@dataclass(frozen=True, kw_only=True)
class ChannelNorm(Node):
    """Layer normalisation of each pixel over its channels in float32, with the tensors
    `name`.weight and .bias [C]."""

    name: str
    eps: float = 1e-6


class Barrier(Node):
    """A node that needs all of its source, so that everything before it is streamed first."""


class Scaled(Barrier):
    """Each channel times a gain plus a shift, which follow from the channels' means and variances
    over the image."""


@dataclass(frozen=True, kw_only=True)
class GroupNorm(Scaled):
    """Group normalisation (Wu and He, 2018) in float32, with the tensors `name`.weight and .bias
    [C]."""

    name: str
    groups: int
    eps: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class ChannelGate(Scaled):
    """Squeeze and excitation (Hu et al., 2018) in float32: two 1x1 convolutions of the means,
    `name`.0 and `name`.2.

    A ReLU follows the first one, which has `hidden` channels, and a sigmoid the second one.
    """

    name: str
    hidden: int


class Complete(Barrier):
    """The unchanged source, once it is complete, so that a `Sample` can read any of its rows."""


@dataclass(frozen=True, kw_only=True)
class Sample(Node):
    """Bilinear samples of the first source, in float32: DySample (Liu et al., 2023).

    Each pixel has f x f samples, f = `enlarge`, for each of `groups` of channels. The second source
    has half of the channels [2 (x, y), groups, f, f] of their offsets; the tensor `positions` of
    the same shape is added.
    """

    groups: int
    positions: str


@dataclass(frozen=True, kw_only=True)
class StoredMap(Node):
    """A feature map that an earlier phase stored; only in the graphs of phases.

    `precise` is that of the node that computed it.
    """

    precise: bool

    def bytes(self, height: int, width: int, bytes_each: int) -> int:
        """Return the size for a grid of this size, with `bytes_each` for each rounded value."""
        values = self.length(height) * self.length(width) * self.channels
        return values * value_bytes(self, bytes_each)


class Nearest(Node):
    """Nearest-neighbour upscaling by `enlarge`."""


class Shuffle(Node):
    """Pixel shuffle by f = `enlarge`: channels [c * f * f] become f x f pixels of c channels."""


@dataclass(frozen=True, kw_only=True)
class Unshuffle(Node):
    """The inverse of a pixel shuffle by `factor`.

    By a factor of 2 and before a 1x1 convolution, it replaces a 2x2 convolution of stride 2.
    """

    factor: int

    @property
    def reduction(self) -> int:
        return self.factor


@dataclass(frozen=True, kw_only=True)
class Crop(Node):
    """The source without the `border` outermost rows and columns on each side."""

    border: int

    @property
    def skipped(self) -> int:
        return self.border


def is_rounded(node: Node) -> bool:
    """Return whether the output has the precision of convolutions, and not always float32."""
    return isinstance(node, Conv | StoredMap) and not node.precise


def value_bytes(node: Node, bytes_each: int) -> int:
    """Return the bytes of one value of the output, with `bytes_each` for a rounded one."""
    if is_rounded(node):
        return bytes_each
    return 4


_KINDS: dict[str, type[Node]] = {
    kind.__name__: kind for base in (Node, Barrier, Scaled) for kind in base.__subclasses__()
}
"""The nodes in the JSON form of a graph, by the name of their class."""


@dataclass
class Graph:
    """The nodes of one network, of which the input is the first.

    The methods `input` to `dysample` append nodes and return the index of the last one.
    """

    nodes: list[Node] = field(default_factory=list)

    def input(self, channels: int, unshuffle: int = 1, extra: int = 0) -> int:
        self.nodes.append(Input((), channels, 1, extra=extra, unshuffle=unshuffle))
        return len(self.nodes) - 1

    def append(
        self,
        kind: Callable[..., Node],
        *sources: int,
        channels: int = 0,
        **fields: Any,
    ) -> int:
        """Append a node of the class `kind` with these `fields`.

        The first source determines its size, and its number of channels unless `channels` is given.
        """
        source = self.nodes[sources[0]]
        node = kind(sources, channels or source.channels, source.scale, **fields)
        scale = node.scale * node.enlarge // node.reduction
        extra = (source.extra - 2 * node.skipped) * node.enlarge // node.reduction
        self.nodes.append(replace(node, scale=scale, extra=extra))
        return len(self.nodes) - 1

    def conv(self, name: str, *sources: int, **fields: Any) -> int:
        return self.append(Conv, *sources, name=name, **fields)

    def conv_of(self, state: State, name: str, *sources: int, **fields: Any) -> int:
        """Append a convolution with the channels and the size of its tensor in `state`."""
        weight = state[f"{name}.weight"]
        return self.conv(name, *sources, channels=len(weight), size=weight.shape[2], **fields)

    def add(self, source: int, trunk: int, factor: float = 1.0) -> int:
        return self.append(Add, source, trunk, factor=factor)

    def shuffle(self, source: int, factor: int) -> int:
        """Append a pixel shuffle. A `factor` of 1 needs none, and returns the source."""
        if factor == 1:
            return source
        channels = self.nodes[source].channels // factor**2
        return self.append(Shuffle, source, channels=channels, enlarge=factor)

    def add_upscaled(self, source: int, image: int, factor: int) -> int:
        """Add a source, pixel-shuffled by `factor`, to the image, upscaled by nearest neighbour."""
        shuffled = self.shuffle(source, factor)
        if factor > 1:
            image = self.append(Nearest, image, enlarge=factor)
        return self.add(shuffled, image)

    def dysample(self, state: State, name: str, source: int, factor: int, groups: int) -> int:
        """Append the layers of DySample up to its last convolution. Its offsets have no bound."""
        whole = self.append(Complete, source)
        sigmoid = Activation("sigmoid")
        offset = self.conv_of(state, f"{name}.offset", whole)
        scope = self.conv_of(state, f"{name}.scope", whole, bias=False, activation=sigmoid)
        offset = self.append(Multiply, offset, scope)
        return self.append(
            Sample,
            source,
            offset,
            enlarge=factor,
            groups=groups,
            positions=f"{name}.init_pos",
        )

    def keep_ends_precise(self) -> Graph:
        """Mark the first and last convolutions, whose rounding errors would be visible, as
        precise."""
        sources = [node.sources for node in self.nodes]
        last = len(self.nodes) - 1
        for index in self._first_convs(0, self.readers()) | self._first_convs(last, sources):
            self.nodes[index] = replace(self.nodes[index], precise=True)
        return self

    def _first_convs(self, start: int, neighbours: Sequence[Sequence[int]]) -> set[int]:
        """Return the first convolution on each path from the node `start`.

        `neighbours` are the next nodes for each node: its readers, or its sources.
        """
        found = set()
        reached = [start]
        for index in reached:  # It grows in the loop.
            if isinstance(self.nodes[index], Conv):
                found.add(index)
            else:
                reached += set(neighbours[index]).difference(reached)
        return found

    @property
    def _input(self) -> Input:
        return cast(Input, self.nodes[0])

    @property
    def unshuffle(self) -> int:
        """Image pixels for each pixel of the network's grid, in both directions."""
        return self._input.unshuffle

    @property
    def margin(self) -> int:
        """Pixels around the image, on each side, that the network reads."""
        return self._input.extra // 2 * self.unshuffle

    @property
    def image_channels(self) -> int:
        """3 for a network of RGB images, 1 for grey."""
        return self._input.channels // self.unshuffle**2

    @property
    def scale(self) -> int:
        """Ratio of the output size to the image size."""
        return self.nodes[-1].scale // self.unshuffle

    @property
    def has_barriers(self) -> bool:
        """Whether it is streamed in several phases."""
        return any(isinstance(node, Barrier) for node in self.nodes)

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions without visible rounding errors."""
        # A step that overflows in fp16 is repeated in fp32. With barriers, it cannot be
        # repeated, because it can have overwritten the rows that it has read.
        if self.has_barriers:
            return "fp32", "bf16"
        return "fp32", "bf16", "fp16"

    @property
    def needs_statistics(self) -> bool:
        """Whether each output pixel depends on statistics of the whole image."""
        return any(isinstance(node, Scaled) for node in self.nodes)

    def readers(self) -> list[list[int]]:
        """Return for each node the indices of those that read it, twice for one that reads it
        twice."""
        readers = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in node.sources:
                readers[source].append(index)
        return readers

    @property
    def receptive_radius(self) -> int:
        """The number of image rows above and below that an output row of a network without barriers
        depends on, and equally of columns."""
        reach: list[float] = []  # the rows of the grid above and below that each node depends on
        # Without barriers, the input of a node has `scale / enlarge` rows for each row of the grid.
        for node in self.nodes:
            before = max((reach[source] for source in node.sources), default=0.0)
            reach.append(before + node.radius * node.enlarge / node.scale)
        return ceil(reach[-1]) * self.unshuffle

    def node_work(self) -> list[int]:
        """Return the multiply-adds of each node for one pixel of the grid."""
        work = [0] * len(self.nodes)
        for index, node in enumerate(self.nodes):
            if isinstance(node, Conv):
                work[index] = prod(self.kernel_shape(node)) * node.scale**2
        return work

    @property
    def work(self) -> float:
        """Multiply-adds for one image pixel."""
        return sum(self.node_work()) / self.unshuffle**2

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor of the state dict by name, in execution order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for node in self.nodes:
            match node:
                case Conv():
                    shapes |= _weight_and_bias(node.name, *self.kernel_shape(node))
                    if not node.bias:
                        del shapes[f"{node.name}.bias"]
                case ChannelNorm() | GroupNorm():
                    shapes |= _weight_and_bias(node.name, node.channels)
                case ChannelGate():
                    shapes |= _weight_and_bias(f"{node.name}.0", node.hidden, node.channels, 1, 1)
                    shapes |= _weight_and_bias(f"{node.name}.2", node.channels, node.hidden, 1, 1)
                case Sample():
                    shapes[node.positions] = (1, 2 * node.groups * node.enlarge**2, 1, 1)
                case Affine():
                    named = [one for one in (node.gain, node.shift) if isinstance(one, str)]
                    shapes |= dict.fromkeys(named, (node.channels,))
            if isinstance(node, Conv | Activate) and node.activation and node.activation.slopes:
                shapes[node.activation.slopes] = (node.channels,)
        return shapes

    def as_json(self) -> str:
        """Return the graph as JSON for `from_json`."""
        nodes = [{"kind": type(node).__name__, **asdict(node)} for node in self.nodes]
        return json.dumps({"form": _FORM, "nodes": nodes}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """Return the graph that `as_json` wrote."""
        content = json.loads(text)
        if content["form"] != _FORM:
            raise ValueError(f"a graph of form {content['form']}")
        return cls([_node(**fields) for fields in content["nodes"]])

    def grid_length(self, length: int) -> int:
        """Return the length of the network's grid for `length` rows or columns of an image."""
        return -(-length // self.unshuffle)

    def input_channels(self, node: Node) -> int:
        """Return the channels of all sources of a node together, or of the part that a convolution
        reads."""
        if isinstance(node, Conv) and node.part:
            return node.part
        return sum(self.nodes[source].channels for source in node.sources)

    def kernel_shape(self, node: Conv) -> tuple[int, int, int, int]:
        """Return the shape of a convolution's kernels [out, in, rows, columns]."""
        inputs = 1 if node.depthwise else self.input_channels(node)
        return node.convolved, inputs, node.size, node.size


def _weight_and_bias(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _node(kind: str, **fields: Any) -> Node:
    fields["sources"] = tuple(fields["sources"])
    if fields.pop("rms", False):  # in the files of earlier versions
        raise ValueError("a graph with root mean square normalisation")
    if isinstance(fields.get("activation"), Mapping):
        fields["activation"] = Activation(**fields["activation"])
    return _KINDS[kind](**fields)
