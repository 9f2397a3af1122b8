"""Networks as graphs: a list of nodes in execution order, each of which refers to its sources by index.

The nodes are those of super-resolution networks with a local receptive field: convolutions, element-wise operations,
nearest-neighbour upscaling and pixel shuffle, and barriers, which need a statistic of the whole image. Weights stay in
a state dict and are named, so that one graph serves each precision and device. The `scale` of a node is relative to the
network's grid: the image, or coarser by `unshuffle`. Networks without padding read pixels around the image, and their
feature maps are larger than the grid by `extra` rows and columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import torch

State: TypeAlias = "Mapping[str, torch.Tensor]"
"""Tensors by name."""
Tensors: TypeAlias = "dict[str, torch.Tensor]"
"""Tensors by name, to be changed."""

PRECISIONS = ("fp32", "bf16", "fp16")
PRECISIONS_WITH_BARRIERS = ("fp32", "bf16")
"""Without fp16, because a step that overflows cannot be repeated. It overwrites its input."""
DYSAMPLE_GROUPS = 4
"""Groups of channels in DySample, except in PLKSR."""
_FORM = 2
"""Version of the JSON form of a graph."""


class Unsupported(ValueError):
    """A network has a part that is not a node; the message names the network and the part."""


@dataclass(frozen=True)
class Activation:
    """An element-wise function: `leaky` has one `slope` for negative values, `prelu` the tensor `slopes` [C]."""

    kind: Literal["leaky", "prelu", "silu", "sigmoid", "gelu", "mish"]
    slope: float = 0.0
    slopes: str | None = None


@dataclass(frozen=True)
class Node:
    """A node that reads the output of other nodes. Its output has `enlarge` rows for each row of input.

    It has `extra` rows and columns more than the grid times `scale`.
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
        """Rows at the upper edge of the input that have no row of output. As many follow at the lower edge."""
        return 0

    @property
    def reduction(self) -> int:
        """Rows of input for each row of output, for a node that downscales; otherwise 1."""
        return 1

    def source_rows(self, first: int, last: int) -> tuple[int, int]:
        """Return the rows of input that the rows [first, last) of output depend on, also beyond the edges."""
        low, high = first * self.reduction // self.enlarge, -(-last * self.reduction // self.enlarge)
        return low + self.skipped - self.radius, high + self.skipped + self.radius

    def rows_from(self, ready: int) -> int:
        """Return how many rows of output depend only on the first `ready` rows of input."""
        return max(ready - self.radius - self.skipped, 0) // self.reduction * self.enlarge


@dataclass(frozen=True)
class Input(Node):
    """The image: float rows in 0..1, RGB or grey. `unshuffle` f maps f x f pixels to the channels of one.

    Half of the `extra` rows are above the image. Pixels beyond its edges are reflections.
    """

    unshuffle: int = 1


@dataclass(frozen=True, kw_only=True)
class Conv(Node):
    """A convolution of odd `size` with zero padding, or without padding if `valid`, over its concatenated sources.

    With `enlarge` 2, the source is first upscaled by nearest neighbour (3x3 only). With `part`, only the first `part`
    channels of the one source are convolved, and the others follow unchanged. A `depthwise` convolution has one kernel
    for each channel. `precise` keeps weights, input and output in float32 whatever the precision of the other nodes.
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
        return self.radius if self.valid else 0


@dataclass(frozen=True)
class Add(Node):
    """`source * factor + trunk` in float32: the residual path. The sources have the same shape."""

    factor: float = 1.0


class Multiply(Node):
    """`source * trunk`, element-wise, in float32."""


class Gate(Node):
    """`(source + trunk) * (sigmoid(source) - 0.5)` in float32: SPAN's attention without parameters."""


@dataclass(frozen=True)
class Affine(Node):
    """`source * gain + shift` in float32. Each is a number, or the name of a tensor with one value for each channel."""

    gain: float | str = 1.0
    shift: float | str = 0.0


@dataclass(frozen=True, kw_only=True)
class Activate(Node):
    """An activation in float32 that cannot be part of a convolution."""

    activation: Activation


@dataclass(frozen=True, kw_only=True)
class ChannelNorm(Node):
    """Layer normalisation of each pixel over its channels in float32, with the tensors `name`.weight and .bias [C].

    With `rms`, the mean is not subtracted, and the values are divided by their root mean square plus `eps`.
    """

    name: str
    eps: float = 1e-6
    rms: bool = False


class Barrier(Node):
    """A node that needs all of its source, so that everything before it is streamed first."""


class Scaled(Barrier):
    """Each channel times a gain plus a shift, which follow from the channels' means and variances over the image."""


@dataclass(frozen=True, kw_only=True)
class GroupNorm(Scaled):
    """Group normalisation (Wu and He, 2018) in float32, with the tensors `name`.weight and .bias [C]."""

    name: str
    groups: int
    eps: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class ChannelGate(Scaled):
    """Squeeze and excitation (Hu et al., 2018) in float32: two 1x1 convolutions of the means, `name`.0 and `name`.2.

    A ReLU follows the first one, which has `hidden` channels, and a sigmoid the second one.
    """

    name: str
    hidden: int


class Complete(Barrier):
    """The unchanged source, once it is complete, so that a `Sample` can read any of its rows."""


@dataclass(frozen=True, kw_only=True)
class Sample(Node):
    """Bilinear samples of the first source, in float32: DySample (Liu et al., 2023).

    Each pixel has f x f samples, f = `enlarge`, for each of `groups` of channels. The second source has half of
    the channels [2 (x, y), groups, f, f] of their offsets; the tensor `positions` of the same shape is added.
    """

    groups: int
    positions: str


@dataclass(frozen=True, kw_only=True)
class Stored(Node):
    """A feature map that an earlier phase stored; only in the graphs of phases."""

    rounded: bool


class Nearest(Node):
    """Nearest-neighbour upscaling by `enlarge`."""


class Bilinear(Node):
    """Bilinear upscaling by `enlarge` of at least 2, in float32. Pixels at an edge are repeated beyond it."""

    @property
    def radius(self) -> int:
        return 1


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


_LOCAL = (Input, Conv, Add, Multiply, Gate, Affine, Activate, ChannelNorm, Nearest, Bilinear, Shuffle, Unshuffle, Crop)
_KINDS = {kind.__name__: kind for kind in (*_LOCAL, GroupNorm, ChannelGate, Complete, Sample)}


@dataclass
class Graph:
    """The nodes of one network. The methods that are named after nodes append one and return its index.

    `precisions` are those without visible rounding errors, always with fp32.
    """

    precisions: tuple[str, ...] = ("fp32",)
    nodes: list[Node] = field(default_factory=list)

    def input(self, channels: int, unshuffle: int = 1, extra: int = 0) -> int:
        return self._append(Input((), channels, 1, extra=extra, unshuffle=unshuffle))

    def conv(
        self, name: str, *sources: int, channels: int, size: int = 3, enlarge: int = 1, valid: bool = False, **rest: Any
    ) -> int:
        """Append a convolution. `rest` has the other fields of `Conv`."""
        _, scale, _, extra = self._shape(sources[0])
        extra = enlarge * (extra - (size - 1 if valid else 0))
        rest |= {"name": name, "size": size, "valid": valid}
        return self._append(Conv(sources, channels, scale * enlarge, enlarge, extra, **rest))

    def add(self, source: int, trunk: int, factor: float = 1.0) -> int:
        return self._append(Add((source, trunk), *self._shape(trunk), factor=factor))

    def multiply(self, source: int, trunk: int) -> int:
        return self._append(Multiply((source, trunk), *self._shape(trunk)))

    def gate(self, source: int, trunk: int) -> int:
        return self._append(Gate((source, trunk), *self._shape(trunk)))

    def affine(self, source: int, gain: float | str = 1.0, shift: float | str = 0.0) -> int:
        return self._append(Affine((source,), *self._shape(source), gain=gain, shift=shift))

    def activate(self, source: int, activation: Activation) -> int:
        return self._append(Activate((source,), *self._shape(source), activation=activation))

    def channel_norm(self, source: int, name: str, *, rms: bool = False) -> int:
        return self._append(ChannelNorm((source,), *self._shape(source), name=name, rms=rms))

    def group_norm(self, source: int, name: str, groups: int) -> int:
        return self._append(GroupNorm((source,), *self._shape(source), name=name, groups=groups))

    def channel_gate(self, source: int, name: str, hidden: int) -> int:
        return self._append(ChannelGate((source,), *self._shape(source), name=name, hidden=hidden))

    def dysample(self, source: int, name: str, factor: int, groups: int) -> int:
        """Append the layers of DySample up to its last convolution. Its offsets have no bound."""
        whole, channels = self._append(Complete((source,), *self._shape(source))), 2 * groups * factor**2
        scope = {"bias": False, "activation": Activation("sigmoid")}
        offset, share = (
            self.conv(f"{name}.{layer}", whole, channels=channels, size=1, **options)
            for layer, options in (("offset", {}), ("scope", scope))
        )
        sources, shape = (source, self.multiply(offset, share)), self._enlarged(source, factor)
        return self._append(Sample(sources, *shape, groups=groups, positions=f"{name}.init_pos"))

    def upsampler(self, source: int, factor: int, channels: int, *, dysample: bool = False) -> None:
        """Append the last layers of SPAN, SPANPlus and MoSR: a pixel shuffle by `factor`, or DySample."""
        if dysample:
            sampled = self.dysample(source, "upsampler", factor, DYSAMPLE_GROUPS)
            self.conv("upsampler.end_conv", sampled, channels=channels, size=1)
            return
        wide = self.conv("upsampler.0", source, channels=channels * factor**2)
        if factor > 1:
            self.shuffle(wide, factor)

    def nearest(self, source: int, factor: int) -> int:
        return self._append(Nearest((source,), *self._enlarged(source, factor)))

    def bilinear(self, source: int, factor: int) -> int:
        return self._append(Bilinear((source,), *self._enlarged(source, factor)))

    def shuffle(self, source: int, factor: int) -> int:
        channels, *size = self._enlarged(source, factor)
        return self._append(Shuffle((source,), channels // factor**2, *size))

    def unshuffle_by(self, source: int, factor: int) -> int:
        channels, scale, _, extra = self._shape(source)
        shape = channels * factor**2, scale // factor, 1, extra // factor
        return self._append(Unshuffle((source,), *shape, factor=factor))

    def crop(self, source: int, border: int) -> int:
        channels, scale, _, extra = self._shape(source)
        return self._append(Crop((source,), channels, scale, 1, extra - 2 * border, border=border))

    def keep_ends_precise(self) -> Graph:
        """Mark the first and last convolutions, whose rounding errors would be visible, as precise."""
        first, last = {0}, {len(self.nodes) - 1}
        for index, node in enumerate(self.nodes):
            if first.intersection(node.sources) and not self._make_precise(index):
                first.add(index)
        for index in reversed(range(len(self.nodes))):
            if index in last and not self._make_precise(index):
                last.update(self.nodes[index].sources)
        return self

    def _make_precise(self, index: int) -> bool:
        """Mark the node as precise if it is a convolution, and return whether it is one."""
        node = self.nodes[index]
        if isinstance(node, Conv):
            self.nodes[index] = replace(node, precise=True)
        return isinstance(node, Conv)

    @property
    def _input(self) -> Input:
        return next(node for node in self.nodes if isinstance(node, Input))

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
    def needs_statistics(self) -> bool:
        """Whether each output pixel depends on statistics of the whole image."""
        return any(isinstance(node, Scaled) for node in self.nodes)

    def readers(self) -> list[list[int]]:
        """Return for each node the indices of those that read it, twice for one that reads it twice."""
        readers: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in node.sources:
                readers[source].append(index)
        return readers

    @property
    def receptive_radius(self) -> int:
        """The number of image rows above and below that an output row depends on. The same applies to columns."""
        low, high = [0] * len(self.nodes), [node.scale for node in self.nodes]  # rows of each node needed for row 0
        for index, node in reversed([*enumerate(self.nodes)]):
            first, last = node.source_rows(low[index], high[index])
            for source in node.sources:
                low[source], high[source] = min(low[source], first), max(high[source], last)
        ends = [(index, node.extra // 2) for index, node in enumerate(self.nodes) if isinstance(node, Input)]
        return max(max(above - low[index], high[index] - above - 1) for index, above in ends) * self.unshuffle

    def costs(self) -> list[int]:
        """Return the multiply-adds of each node for one pixel of its own output."""
        convolutions = (node if isinstance(node, Conv) else None for node in self.nodes)
        return [prod(self.kernel_shape(node)) if node else 0 for node in convolutions]

    @property
    def work(self) -> float:
        """Multiply-adds for one image pixel."""
        total = sum(cost * node.scale**2 for cost, node in zip(self.costs(), self.nodes, strict=True))
        return total / self.unshuffle**2

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor of the state dict by name, in execution order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for node in self.nodes:
            if isinstance(node, Conv):
                shapes[f"{node.name}.weight"] = self.kernel_shape(node)
                if node.bias:
                    shapes[f"{node.name}.bias"] = (node.convolved,)
            if isinstance(node, ChannelNorm | GroupNorm):
                shapes |= {f"{node.name}.{kind}": (node.channels,) for kind in ("weight", "bias")}
            if isinstance(node, Conv | Activate) and node.activation and node.activation.slopes:
                shapes[node.activation.slopes] = (node.channels,)
            if isinstance(node, ChannelGate):
                for layer, outputs, inputs in ((0, node.hidden, node.channels), (2, node.channels, node.hidden)):
                    shapes[f"{node.name}.{layer}.weight"] = (outputs, inputs, 1, 1)
                    shapes[f"{node.name}.{layer}.bias"] = (outputs,)
            if isinstance(node, Sample):
                shapes[node.positions] = (1, 2 * node.groups * node.enlarge**2, 1, 1)
            if isinstance(node, Affine):
                shapes |= {name: (node.channels,) for name in (node.gain, node.shift) if isinstance(name, str)}
        return shapes

    def as_json(self) -> str:
        """Return the graph as JSON for `from_json`."""
        nodes = [{"kind": type(node).__name__, **asdict(node)} for node in self.nodes]
        return json.dumps({"form": _FORM, "precisions": self.precisions, "nodes": nodes}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """Return the graph that `as_json` wrote. Raises ValueError for any other text."""
        try:
            content = json.loads(text)
            if content["form"] != _FORM:
                raise ValueError(f"a graph of form {content['form']}")
            return cls(tuple(content["precisions"]), [_node(**fields) for fields in content["nodes"]])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a graph") from error

    def add_upscaled(self, source: int, image: int, factor: int) -> int:
        """Add a source, pixel-shuffled by `factor`, to the image, upscaled by nearest neighbour."""
        if factor == 1:
            return self.add(source, image)
        return self.add(self.shuffle(source, factor), self.nearest(image, factor))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the network's grid for an image of this size."""
        return -(-height // self.unshuffle), -(-width // self.unshuffle)

    def input_channels(self, node: Node) -> int:
        """Return the channels of all sources of a node together, or of the part that a convolution reads."""
        part = node.part if isinstance(node, Conv) else 0
        return part or sum(self.nodes[source].channels for source in node.sources)

    def kernel_shape(self, node: Conv) -> tuple[int, int, int, int]:
        """Return the shape of a convolution's kernels [out, in, rows, columns]."""
        return node.convolved, 1 if node.depthwise else self.input_channels(node), node.size, node.size

    def _shape(self, index: int) -> tuple[int, int, int, int]:
        """Return `channels`, `scale`, `enlarge` (1) and `extra` of a node that keeps the shape of the node `index`."""
        return self._enlarged(index, 1)

    def _enlarged(self, index: int, factor: int) -> tuple[int, int, int, int]:
        """Return these fields of a node that enlarges the output of the node `index` by `factor`."""
        node = self.nodes[index]
        return node.channels, node.scale * factor, factor, node.extra * factor

    def _append(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


def _node(kind: str, **fields: Any) -> Node:
    fields["sources"] = tuple(fields["sources"])
    if isinstance(fields.get("activation"), Mapping):
        fields["activation"] = Activation(**fields["activation"])
    return _KINDS[kind](**fields)
