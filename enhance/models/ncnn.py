"""Read ncnn's .param and .bin files.

A .param file is text: a magic number, two counts, then one layer a line in execution order:
`type name inputs outputs blob... key=value...`. A .bin file has the weights of those layers in the
same order, without names or separators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy import ndarray

from ..errors import WeightsError
from .graphs import Activate, Activation, Add, Affine, Conv, Graph, Multiply, Nearest, Node
from .networks.span import SPAN_RANGE

_MAGIC = "7767517"
_DTYPES = {0: "<f4", 0x0002C056: "<f4", 0x01306B47: "<f2"}
"""The dtypes of kernels by the tags of ncnn's modelbin.cpp. Quantised weights have other tags."""
_SAME_PADDING = -233
_LARGEST_FACTOR = 16

Arrays = dict[str, ndarray]
Blob = tuple[int, ...] | ndarray
"""The nodes of a blob, several for the result of a Concat, or a constant with one value for each
channel."""


def read_shipped(graph: Graph, data: bytes) -> Arrays:
    """Return the float32 tensors in a .bin file of a shipped network by the names of its `graph`.

    Only for files whose checksum is known: their layers are in the order of the graph.
    """
    weights = _Weights(data)
    tensors = {name: weights.take(shape) for name, shape in graph.shapes().items()}
    if "mean_shift" in tensors:
        tensors["mean_shift"] *= -SPAN_RANGE  # ncnn subtracts SPAN's mean before it scales
    return tensors


def read_ncnn(path: Path) -> tuple[Graph, Arrays]:
    """Return the graph of a .param file, and the float32 tensors in its .bin file by the names of
    the layers.

    Raises WeightsError for a layer that cannot be streamed by rows, and, a clause, for damaged
    files.
    """
    layers = _read_layers(path.read_text(encoding="utf-8"))
    reader = _Reader(_Weights(path.with_suffix(".bin").read_bytes()), layers)
    for layer in layers:
        try:
            layer.require(layer.kind in _OPERATORS)
            blob = _OPERATORS[layer.kind](reader, layer)
        except NotImplementedError as error:
            raise WeightsError(
                "weights_add_other_layer",
                file=path.name,
                kind=layer.kind,
                name=layer.name,
                line=layer.line,
            ) from error
        except (LookupError, ValueError, TypeError, ArithmeticError) as error:
            raise WeightsError("ncnn_odd_line", line=layer.line) from error
        reader.blobs |= dict.fromkeys(layer.outputs, blob)
    reader.weights.check_end()
    reader.check_output()
    return reader.graph.keep_ends_precise(), reader.tensors


@dataclass(frozen=True)
class _Layer:
    """One line of a .param file.

    `settings` are texts by number: one value, or an array, which has the number -23300 minus its
    own and begins with its length.
    """

    line: int
    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    settings: Mapping[int, list[str]]

    def get(self, number: int, default: float = 0.0) -> float:
        return float(self.settings.get(number, [default])[0])

    def count(self, number: int, default: int = 0) -> int:
        return int(self.get(number, default))

    def require(self, supported: bool) -> None:
        if not supported:
            raise NotImplementedError

    def require_values(self, values: Mapping[int, float]) -> None:
        """Raise NotImplementedError unless the settings have these values or are missing."""
        self.require(all(self.get(number, value) == value for number, value in values.items()))


def _read_layers(param: str) -> list[_Layer]:
    layers: list[_Layer] = []
    number = 1
    try:
        magic, _, *lines = param.splitlines()
        if magic.strip() != _MAGIC:
            raise ValueError("another magic number")
        for number, line in enumerate(lines, start=3):
            if line.strip():
                layers.append(_read_layer(number, line))
    except ValueError as error:
        raise WeightsError("ncnn_odd_line", line=number) from error
    return layers


def _read_layer(number: int, line: str) -> _Layer:
    """Return the layer of a line. Raises ValueError."""
    kind, name, inputs, outputs, *fields = line.split()
    first_output = int(inputs)
    first_setting = first_output + int(outputs)
    if not 0 <= first_output <= first_setting <= len(fields):
        raise ValueError("missing blobs")
    settings: dict[int, list[str]] = {}
    for pair in fields[first_setting:]:
        key, values = pair.split("=", 1)
        settings[int(key)] = values.split(",")
    return _Layer(
        number,
        kind,
        name,
        fields[:first_output],
        fields[first_output:first_setting],
        settings,
    )


@dataclass
class _Weights:
    """Sequential reader of a .bin file."""

    data: bytes
    offset: int = 0

    def take(self, shape: tuple[int, ...]) -> ndarray:
        """Read values. Those of kernels [out, in, rows, columns] begin with a tag for their dtype.

        Raises NotImplementedError for quantised values.
        """
        dtype = "<f4"
        if len(shape) == 4:
            tag = int.from_bytes(self.data[self.offset : self.offset + 4], "little")
            self.offset += 4
            if tag not in _DTYPES:
                raise NotImplementedError
            dtype = _DTYPES[tag]
        try:
            values = np.frombuffer(self.data, dtype, prod(shape), self.offset)
        except ValueError as error:
            raise WeightsError("ncnn_other_size", size=len(self.data)) from error
        self.offset += values.nbytes
        self.offset += -values.nbytes % 4  # ncnn pads an odd number of fp16 values to 4 bytes.
        return values.astype(np.float32).reshape(shape)

    def check_end(self) -> None:
        if self.offset != len(self.data):
            raise WeightsError("ncnn_other_size", size=len(self.data))


@dataclass
class _Reader:
    """The graph, its tensors and the blobs of the layers that were read.

    Activations and 2x upscaling are merged into convolutions, which gives the same result faster
    and in less memory. `doubled` are the blobs that a convolution upscales itself.
    """

    weights: _Weights
    layers: list[_Layer]
    graph: Graph = field(default_factory=Graph)
    tensors: Arrays = field(default_factory=dict)
    blobs: dict[str, Any] = field(default_factory=dict)
    doubled: set[str] = field(default_factory=set)

    def readers(self, blob: str) -> list[_Layer]:
        """Return the layers that read a blob."""
        return [layer for layer in self.layers if blob in layer.inputs]

    def is_convolved(self, blob: str) -> bool:
        """Return whether a blob is the output of a convolution."""
        kinds = [layer.kind for layer in self.layers if blob in layer.outputs]
        return kinds == ["Convolution"]

    def nodes(self, blob: str) -> tuple[int, ...]:
        """Return the nodes of a blob. Raises NotImplementedError for a constant."""
        nodes = self.blobs[blob]
        if isinstance(nodes, ndarray):
            raise NotImplementedError
        return nodes

    def node(self, blob: str) -> int:
        """Return the node of a blob. Only a convolution can read the several nodes of a Concat."""
        (index,) = self.nodes(blob)
        return index

    def store(self, name: str, values: ndarray) -> str:
        if name in self.tensors:
            raise ValueError("two layers with the same name")
        self.tensors[name] = np.ascontiguousarray(values)
        return name

    def store_for(self, node: int, name: str, values: ndarray) -> str:
        """Store one value for each channel of a node."""
        return self.store(name, np.broadcast_to(values, (self.graph.nodes[node].channels,)))

    def combine(self, kind: type[Node], first: int, second: int, **fields: Any) -> int:
        """Append a node of two nodes, which must have the same size. Raises ValueError."""
        one = self.graph.nodes[first]
        other = self.graph.nodes[second]
        if one.channels != other.channels or one.scale != other.scale:
            raise ValueError("two blobs of different sizes")
        return self.graph.append(kind, first, second, **fields)

    def weighted_sum(self, nodes: list[int], factors: list[float]) -> int:
        """Return the node of a sum of nodes, each times its factor."""
        # `Add` multiplies only its first source, so the sum begins with a node of the factor 1.
        terms = zip(nodes, factors, strict=True)
        (total, factor), *others = sorted(terms, key=lambda term: term[1] != 1)
        if factor != 1:
            total = self.graph.append(Affine, total, gain=factor)
        for other, factor in others:
            total = self.combine(Add, other, total, factor=factor)
        return total

    def check_output(self) -> None:
        """Raise WeightsError unless every node but the last, which is the output, is read."""
        *others, last = self.graph.readers() or [[0]]
        if last or not all(others):
            raise WeightsError("ncnn_no_output")


# Each function returns the blob of a layer. NotImplementedError means that the layer is not
# supported.


def _input(reader: _Reader, layer: _Layer) -> Blob:
    convolutions = [other for other in reader.layers if other.kind == "Convolution"]
    layer.require(convolutions != [] and not reader.graph.nodes)
    first = convolutions[0]
    channels = first.get(6) // (first.get(0) * first.get(1) ** 2)
    return (reader.graph.input(int(channels)),)


def _convolution(reader: _Reader, layer: _Layer) -> Blob:
    """Read a convolution of 1x1 or 3x3 with stride 1, zero padding that keeps the size, and an
    optional activation."""
    channels = layer.count(0)
    size = layer.count(1)
    padding = layer.get(4)
    layer.require(size in (1, 3) and padding in (size // 2, _SAME_PADDING))
    # The strides, dilations, the second size, the other sides, quantisation and kinds of padding.
    sides = {14: padding, 15: padding, 16: padding}
    layer.require_values({2: 1, 12: 1, 3: 1, 13: 1, 11: size, **sides, 8: 0, 18: 0, 19: 0})
    (source,) = layer.inputs
    bias = layer.get(5) == 1
    graph = reader.graph
    index = graph.conv(
        layer.name,
        *reader.nodes(source),
        channels=channels,
        size=size,
        bias=bias,
        activation=_merged_activation(layer),
        enlarge=2 if source in reader.doubled else 1,
    )
    shape = graph.kernel_shape(cast(Conv, graph.nodes[index]))
    if channels < 1 or prod(shape) != layer.get(6):
        raise ValueError("wrong number of channels")
    reader.store(f"{layer.name}.weight", reader.weights.take(shape))
    if bias:
        reader.store(f"{layer.name}.bias", reader.weights.take((channels,)))
    return (index,)


def _merged_activation(layer: _Layer) -> Activation | None:
    """Return the activation of a convolution."""
    match layer.get(9):
        case 0:
            return None
        case 1:
            return Activation("leaky")  # ReLU
        case 2:
            return Activation("leaky", float(layer.settings[-23310][1]))
        case 4:
            return Activation("sigmoid")
    raise NotImplementedError


_ACTIVATIONS: dict[str, Any] = {"ReLU": "leaky", "Swish": "silu", "Sigmoid": "sigmoid"}
"""The kinds of `Activation` by ncnn's names. Only ReLU has a setting, the slope."""


def _activation(reader: _Reader, layer: _Layer) -> Blob:
    (blob,) = layer.inputs
    source = reader.node(blob)
    if layer.kind == "PReLU":
        slopes = reader.weights.take((layer.count(0),))
        activation = Activation("prelu", slopes=reader.store_for(source, layer.name, slopes))
    else:
        activation = Activation(_ACTIVATIONS[layer.kind], layer.get(0))
    node = reader.graph.nodes[source]
    is_only_reader = reader.is_convolved(blob) and len(reader.readers(blob)) == 1
    if isinstance(node, Conv) and not node.activation and is_only_reader:
        reader.graph.nodes[source] = replace(node, activation=activation)
        return (source,)
    return (reader.graph.append(Activate, source, activation=activation),)


_PRODUCT = 2
_FACTORS = {0: (1.0, 1.0), 1: (1.0, -1.0), 7: (-1.0, 1.0), _PRODUCT: (1.0, 1.0)}
"""The factors of both operands of an addition, a subtraction, a reversed subtraction and a
product."""


def _binary(reader: _Reader, layer: _Layer) -> Blob:
    """Read an operation on a blob and another blob, a constant for each channel or a number."""
    operation = layer.get(0)
    layer.require(operation in _FACTORS)
    factor, other_factor = _FACTORS[int(operation)]
    operands = [reader.blobs[blob] for blob in layer.inputs]
    if layer.get(1) == 1:
        operands.append(layer.get(2))
    first, second = operands
    if isinstance(first, ndarray):
        first, second = second, first
        factor, other_factor = other_factor, factor
    (source,) = first
    if isinstance(second, tuple):
        (other,) = second
        if operation == _PRODUCT:
            return (reader.combine(Multiply, source, other),)
        return (reader.weighted_sum([source, other], [factor, other_factor]),)
    operand = other_factor * second
    if isinstance(operand, ndarray):
        operand = reader.store_for(source, layer.name, operand)
    if operation == _PRODUCT:
        return (reader.graph.append(Affine, source, gain=operand),)
    return (reader.graph.append(Affine, source, gain=factor, shift=operand),)


def _eltwise(reader: _Reader, layer: _Layer) -> Blob:
    """Read the product or the weighted sum of blobs."""
    nodes = [reader.node(blob) for blob in layer.inputs]
    operation = layer.get(0)
    layer.require(len(nodes) > 1 and operation in (0, 1))
    if operation == 0:
        return (reduce(partial(reader.combine, Multiply), nodes),)
    _, *factors = map(float, layer.settings.get(-23301, ["0"]))
    return (reader.weighted_sum(nodes, factors or [1.0] * len(nodes)),)


def _interp(reader: _Reader, layer: _Layer) -> Blob:
    factor = layer.get(1, 1.0)
    layer.require(layer.get(0) == 1 and factor == layer.get(2, 1))
    layer.require(factor in range(1, _LARGEST_FACTOR + 1))
    layer.require_values({3: 0, 4: 0, 5: 0})  # no fixed size
    (blob,) = layer.inputs
    (output,) = layer.outputs
    source = reader.node(blob)
    readers = [(other.kind, other.get(1)) for other in reader.readers(output)]
    if factor == 2 and readers == [("Convolution", 3)]:
        reader.doubled.add(output)
    elif factor > 1:
        source = reader.graph.append(Nearest, source, enlarge=int(factor))
    return (source,)


def _shuffle(reader: _Reader, layer: _Layer) -> Blob:
    (blob,) = layer.inputs
    source = reader.node(blob)
    factor = layer.count(0, 1)
    layer.require(layer.get(1) == 0 and factor >= 1)
    if reader.graph.nodes[source].channels % factor**2:
        raise ValueError("wrong number of channels")
    return (reader.graph.shuffle(source, factor),)


def _split(reader: _Reader, layer: _Layer) -> Blob:
    (blob,) = layer.inputs
    return reader.blobs[blob]


def _concat(reader: _Reader, layer: _Layer) -> Blob:
    layer.require(layer.get(0) == 0)
    return tuple(index for blob in layer.inputs for index in reader.nodes(blob))


def _memory_data(reader: _Reader, layer: _Layer) -> Blob:
    layer.require(layer.get(0) <= 1 and layer.get(1) <= 1 and layer.get(21, 1) == 1)
    return reader.weights.take((layer.count(2),))


_OPERATORS = {
    "Input": _input,
    "Convolution": _convolution,
    **dict.fromkeys(("PReLU", *_ACTIVATIONS), _activation),
    "BinaryOp": _binary,
    "Eltwise": _eltwise,
    "Concat": _concat,
    "Interp": _interp,
    "PixelShuffle": _shuffle,
    "Split": _split,
    "MemoryData": _memory_data,
}
