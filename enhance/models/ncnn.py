"""Read ncnn's .param and .bin files.

A .param file is text: a magic number, two counts, then one layer a line in execution order:
`type name inputs outputs blob... key=value...`. A .bin file has the weights of those layers in the
same order, without names or separators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from math import prod

import numpy as np

from ..errors import WeightsError
from .graphs import Activate, Activation, Affine, Conv, Graph, Multiply, Nearest
from .networks.span import SPAN_RANGE

_MAGIC = "7767517"
# The tags of ncnn's modelbin.cpp. Quantised weights have others.
_FP16_TAG = 0x01306B47
_FP32_TAGS = (0, 0x0002C056)
_SAME_PADDING = "-233"
_LARGEST_FACTOR = 16

Arrays = dict[str, np.ndarray]
Blob = tuple[int, ...] | np.ndarray
"""The nodes of a blob, several for the result of a Concat, or a constant with one value for each
channel."""


def read_shipped(graph: Graph, data: bytes) -> Arrays:
    """Return the float32 tensors in a .bin file of a shipped network by the names of its `graph`.

    Only for files whose checksum is known: their layers are in the order of the graph.
    """
    weights = _Weights(data)
    tensors: Arrays = {}
    for name, shape in graph.shapes().items():
        if len(shape) == 4:  # the kernels of a convolution
            tensors[name] = weights.take_tagged(shape)
        else:
            tensors[name] = weights.take(shape)
    weights.check_end()
    if "mean_shift" in tensors:
        tensors["mean_shift"] *= -SPAN_RANGE  # ncnn subtracts SPAN's mean before it scales
    return tensors


def read_ncnn(param: str, data: bytes) -> tuple[Graph, Arrays]:
    """Return the graph of a .param file, and its float32 tensors by the names of the layers.

    Raises WeightsError, a clause, for a layer that cannot be streamed by rows, and for damaged
    files.
    """
    layers = _read_layers(param)
    reader = _Reader(_Weights(data), layers)
    for layer in layers:
        try:
            if layer.kind not in _OPERATORS:
                raise NotImplementedError
            blob = _OPERATORS[layer.kind](reader, layer)
        except NotImplementedError as error:
            raise WeightsError(
                "ncnn_other_layer",
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

    `settings` are by number; an array has the key -23300 minus its number.
    """

    line: int
    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: Mapping[str, str]

    def get(self, number: int, default: str = "0") -> str:
        return self.settings.get(str(number), default)

    def array(self, number: int) -> list[float]:
        return [float(value) for value in self.get(-23300 - number).split(",")[1:]]

    def require(self, supported: bool) -> None:
        if not supported:
            raise NotImplementedError

    def require_values(self, values: Mapping[int, int]) -> None:
        """Raise NotImplementedError unless the settings have these values or are missing."""
        for number, value in values.items():
            self.require(float(self.get(number, str(value))) == value)


def _read_layers(param: str) -> list[_Layer]:
    magic, *lines = param.splitlines() or [""]
    if magic.strip() != _MAGIC:
        raise WeightsError("ncnn_odd_line", line=1)
    layers = []
    for number, line in enumerate(lines[1:], start=3):
        if line.strip():
            try:
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
    settings = dict(pair.split("=", 1) for pair in fields[first_setting:])
    return _Layer(
        number,
        kind,
        name,
        tuple(fields[:first_output]),
        tuple(fields[first_output:first_setting]),
        settings,
    )


@dataclass
class _Weights:
    """Sequential reader of a .bin file."""

    data: bytes
    offset: int = 0

    def take(self, shape: tuple[int, ...], dtype: str = "<f4") -> np.ndarray:
        size = prod(shape)
        end = self.offset + size * np.dtype(dtype).itemsize
        if end > len(self.data):
            raise WeightsError("ncnn_other_size", size=len(self.data))
        values = np.frombuffer(self.data, dtype, size, self.offset).astype(np.float32)
        self.offset = end
        return values.reshape(shape)

    def take_tagged(self, shape: tuple[int, ...]) -> np.ndarray:
        """Read values that begin with a tag for their dtype.

        Raises NotImplementedError for quantised values.
        """
        tag = int.from_bytes(self.data[self.offset : self.offset + 4], "little")
        self.offset += 4
        if tag in _FP32_TAGS:
            return self.take(shape)
        if tag != _FP16_TAG:
            raise NotImplementedError
        values = self.take(shape, "<f2")
        self.offset += -self.offset % 4  # ncnn pads an odd number of fp16 values to 4 bytes.
        return values

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
    blobs: dict[str, Blob] = field(default_factory=dict)
    doubled: set[str] = field(default_factory=set)

    def readers(self, blob: str) -> list[_Layer]:
        """Return the layers that read a blob."""
        return [layer for layer in self.layers if blob in layer.inputs]

    def is_convolved(self, blob: str) -> bool:
        """Return whether a blob is the output of a convolution."""
        convolutions = [layer for layer in self.layers if layer.kind == "Convolution"]
        return any(blob in layer.outputs for layer in convolutions)

    def nodes(self, blob: str) -> tuple[int, ...]:
        return _nodes(self.blobs[blob])

    def node(self, blob: str) -> int:
        """Return the node of a blob. Only a convolution can read the several nodes of a Concat."""
        (index,) = self.nodes(blob)
        return index

    def store(self, name: str, values: np.ndarray) -> str:
        if name in self.tensors:
            raise ValueError("two layers with the same name")
        self.tensors[name] = np.ascontiguousarray(values)
        return name

    def store_for(self, node: int, name: str, values: np.ndarray) -> str:
        """Store one value for each channel of a node."""
        return self.store(name, np.broadcast_to(values, (self.graph.nodes[node].channels,)))

    def multiply(self, first: int, second: int) -> int:
        self._check_sizes(first, second)
        return self.graph.append(Multiply, first, second)

    def weighted_sum(self, nodes: list[int], factors: list[float]) -> int:
        """Return the node of a sum of nodes, each times its factor."""
        # `add` multiplies only its first operand, so the sum begins with a node of the factor 1.
        terms = sorted(zip(nodes, factors, strict=True), key=lambda term: term[1] != 1)
        total, factor = terms[0]
        if factor != 1:
            total = self.graph.append(Affine, total, gain=factor)
        for other, factor in terms[1:]:
            self._check_sizes(total, other)
            total = self.graph.add(other, total, factor)
        return total

    def check_output(self) -> None:
        """Raise WeightsError unless every node but the last, which is the output, is read."""
        *others, last = self.graph.readers() or [[0]]
        if last or not all(others):
            raise WeightsError("ncnn_no_output")

    def _check_sizes(self, first: int, second: int) -> None:
        one = self.graph.nodes[first]
        other = self.graph.nodes[second]
        if one.channels != other.channels or one.scale != other.scale:
            raise ValueError("two blobs of different sizes")


def _nodes(blob: Blob | float) -> tuple[int, ...]:
    if not isinstance(blob, tuple):
        raise NotImplementedError
    return blob


# Each function returns the blob of a layer. NotImplementedError means that the layer is not
# supported.


def _input(reader: _Reader, layer: _Layer) -> Blob:
    first = next((layer for layer in reader.layers if layer.kind == "Convolution"), None)
    if reader.graph.nodes or first is None:
        raise NotImplementedError
    _, inputs, _ = _convolution_shape(first)
    return (reader.graph.input(inputs),)


def _convolution_shape(layer: _Layer) -> tuple[int, int, int]:
    """Return the output channels, input channels and size of the kernel."""
    channels = int(layer.settings["0"])
    size = int(layer.settings["1"])
    inputs = int(layer.settings["6"]) // (channels * size**2)
    return channels, inputs, size


def _merged_activation(layer: _Layer) -> Activation | None:
    """Return the activation of a convolution."""
    match layer.get(9):
        case "0":
            return None
        case "1":
            return Activation("leaky")  # ReLU
        case "2":
            return Activation("leaky", layer.array(10)[0])
        case "4":
            return Activation("sigmoid")
    raise NotImplementedError


def _convolution(reader: _Reader, layer: _Layer) -> Blob:
    """Read a convolution of 1x1 or 3x3 with stride 1, zero padding that keeps the size, and an
    optional activation."""
    channels, inputs, size = _convolution_shape(layer)
    # The strides, dilations, the second size, quantisation and other kinds of padding.
    layer.require_values({2: 1, 12: 1, 3: 1, 13: 1, 11: size, 8: 0, 18: 0, 19: 0})
    padding = layer.get(4)
    paddings = {layer.get(number, padding) for number in (4, 14, 15, 16)}
    layer.require(size in (1, 3) and paddings in ({str(size // 2)}, {_SAME_PADDING}))
    activation = _merged_activation(layer)
    source = layer.inputs[0]
    nodes = reader.nodes(source)
    source_channels = sum(reader.graph.nodes[index].channels for index in nodes)
    if min(channels, inputs) < 1 or inputs != source_channels:
        raise ValueError("wrong number of channels")
    kernels = reader.weights.take_tagged((channels, inputs, size, size))
    reader.store(f"{layer.name}.weight", kernels)
    bias = layer.get(5) == "1"
    if bias:
        reader.store(f"{layer.name}.bias", reader.weights.take((channels,)))
    enlarge = 2 if source in reader.doubled else 1
    node = reader.graph.conv(
        layer.name,
        *nodes,
        channels=channels,
        size=size,
        bias=bias,
        activation=activation,
        enlarge=enlarge,
    )
    return (node,)


def _activation(reader: _Reader, layer: _Layer) -> Blob:
    source = reader.node(layer.inputs[0])
    match layer.kind:
        case "PReLU":
            slopes = reader.weights.take((int(layer.settings["0"]),))
            activation = Activation("prelu", slopes=reader.store_for(source, layer.name, slopes))
        case "ReLU":
            activation = Activation("leaky", float(layer.get(0)))
        case "Swish":
            activation = Activation("silu")
        case _:
            activation = Activation("sigmoid")
    blob = layer.inputs[0]
    node = reader.graph.nodes[source]
    is_only_reader = reader.is_convolved(blob) and len(reader.readers(blob)) == 1
    if isinstance(node, Conv) and not node.activation and is_only_reader:
        reader.graph.nodes[source] = replace(node, activation=activation)
        return (source,)
    return (reader.graph.append(Activate, source, activation=activation),)


_PRODUCT = "2"
_SUMS = {"0": (1.0, 1.0), "1": (1.0, -1.0), "7": (-1.0, 1.0)}
"""The factors of both operands of an addition, a subtraction and a reversed subtraction."""


def _binary(reader: _Reader, layer: _Layer) -> Blob:
    """Read an operation on a blob and another blob, a constant for each channel or a number."""
    operation = layer.get(0)
    layer.require(operation == _PRODUCT or operation in _SUMS)
    factor, other_factor = _SUMS.get(operation, (1.0, 1.0))
    operands: list[Blob | float] = [reader.blobs[blob] for blob in layer.inputs]
    if layer.get(1) == "1":
        operands.append(float(layer.get(2)))
    first, second = operands
    if isinstance(first, np.ndarray):
        first, second = second, first
        factor, other_factor = other_factor, factor
    (source,) = _nodes(first)
    if isinstance(second, tuple):
        (other,) = second
        if operation == _PRODUCT:
            return (reader.multiply(source, other),)
        return (reader.weighted_sum([source, other], [factor, other_factor]),)
    operand = other_factor * second
    if isinstance(operand, np.ndarray):
        operand = reader.store_for(source, layer.name, operand)
    if operation == _PRODUCT:
        return (reader.graph.append(Affine, source, gain=operand),)
    return (reader.graph.append(Affine, source, gain=factor, shift=operand),)


def _eltwise(reader: _Reader, layer: _Layer) -> Blob:
    """Read the product or the weighted sum of blobs."""
    nodes = [reader.node(blob) for blob in layer.inputs]
    operation = layer.get(0)
    layer.require(len(nodes) > 1 and operation in ("0", "1"))
    if operation == "0":
        return (reduce(reader.multiply, nodes),)
    factors = layer.array(1) or [1.0] * len(nodes)
    return (reader.weighted_sum(nodes, factors),)


def _interp(reader: _Reader, layer: _Layer) -> Blob:
    factor = float(layer.get(1, "1"))
    layer.require(layer.get(0) == "1" and factor == float(layer.get(2, "1")))
    layer.require(factor in range(1, _LARGEST_FACTOR + 1))
    layer.require_values({3: 0, 4: 0, 5: 0})  # no fixed size
    source = reader.node(layer.inputs[0])
    (output,) = layer.outputs
    readers = [(other.kind, other.get(1)) for other in reader.readers(output)]
    if factor == 2 and readers == [("Convolution", "3")]:
        reader.doubled.add(output)
    elif factor > 1:
        source = reader.graph.append(Nearest, source, enlarge=int(factor))
    return (source,)


def _shuffle(reader: _Reader, layer: _Layer) -> Blob:
    source = reader.node(layer.inputs[0])
    factor = int(layer.get(0, "1"))
    layer.require(layer.get(1) == "0" and 1 <= factor <= _LARGEST_FACTOR)
    if reader.graph.nodes[source].channels % factor**2:
        raise ValueError("wrong number of channels")
    return (reader.graph.shuffle(source, factor),)


def _split(reader: _Reader, layer: _Layer) -> Blob:
    (blob,) = layer.inputs
    return reader.blobs[blob]


def _concat(reader: _Reader, layer: _Layer) -> Blob:
    layer.require(layer.get(0) == "0")
    return tuple(index for blob in layer.inputs for index in reader.nodes(blob))


def _memory_data(reader: _Reader, layer: _Layer) -> Blob:
    width, height, channels = (int(layer.get(number)) for number in (0, 1, 2))
    layer.require(height <= 1 and width <= 1 and channels > 0 and layer.get(21, "1") == "1")
    return reader.weights.take((channels,))


_OPERATORS: dict[str, Callable[[_Reader, _Layer], Blob]] = {
    "Input": _input,
    "Convolution": _convolution,
    **dict.fromkeys(("PReLU", "ReLU", "Swish", "Sigmoid"), _activation),
    "BinaryOp": _binary,
    "Eltwise": _eltwise,
    "Concat": _concat,
    "Interp": _interp,
    "PixelShuffle": _shuffle,
    "Split": _split,
    "MemoryData": _memory_data,
}
