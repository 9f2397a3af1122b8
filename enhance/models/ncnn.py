"""Read ncnn's .param and .bin files.

A .param file is text: a magic number, two counts, then one layer a line in execution order:
`type name inputs outputs blob... key=value...`. A .bin file has the weights of those layers in the same order, without
names or separators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

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

Tensors = dict[str, np.ndarray]
Blob = tuple[int, ...] | np.ndarray
"""The nodes of a blob, several for the result of a Concat, or a constant with one value for each channel."""


def read_shipped(graph: Graph, data: bytes) -> Tensors:
    """Return the float32 tensors in a .bin file of a shipped network by the names of its `graph`.

    Only for files whose checksum is known: their layers are in the order of the graph.
    """
    weights = _Weights(data)
    shapes = graph.shapes()
    tensors = {
        name: weights.take_tagged(shape) if len(shape) == 4 else weights.take(shape) for name, shape in shapes.items()
    }
    weights.check_end()
    if "mean_shift" in tensors:
        tensors["mean_shift"] *= -SPAN_RANGE  # ncnn subtracts SPAN's mean before it scales
    return tensors


def read_ncnn(param: str, data: bytes) -> tuple[Graph, Tensors]:
    """Return the graph of a .param file, and its float32 tensors by the names of the layers.

    Raises WeightsError, a clause, for a layer that cannot be streamed by rows, and for damaged files.
    """
    layers = _read_layers(param)
    reader = _Reader(_Weights(data), layers)
    for layer in layers:
        try:
            if layer.kind not in _OPERATORS:
                raise NotImplementedError
            blob = _OPERATORS[layer.kind](reader, layer)
        except NotImplementedError as error:
            raise WeightsError("ncnn_other_layer", kind=layer.kind, name=layer.name, line=layer.line) from error
        except (KeyError, ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError) as error:
            raise WeightsError("ncnn_odd_line", line=layer.line) from error
        reader.blobs |= dict.fromkeys(layer.outputs, blob)
    reader.weights.check_end()
    graph, last = reader.graph, len(reader.graph.nodes) - 1
    used = {source for node in graph.nodes for source in node.sources}
    result = reader.blobs[layers[-1].outputs[0]] if layers and layers[-1].outputs else ()
    if not used.issuperset(range(last)) or not isinstance(result, tuple) or result != (last,):
        raise WeightsError("ncnn_no_output")
    return graph.keep_ends_precise(), reader.tensors


@dataclass(frozen=True)
class _Layer:
    """One line of a .param file. `settings` are by number; an array has the key -23300 minus its number."""

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


def _read_layers(param: str) -> list[_Layer]:
    lines = param.splitlines()
    if not lines or lines[0].strip() != _MAGIC:
        raise WeightsError("ncnn_no_magic")
    layers = []
    for number, line in enumerate(lines[2:], start=3):
        if not (fields := line.split()):
            continue
        try:
            inputs, outputs = int(fields[2]), int(fields[3])
            blobs, settings = fields[4 : 4 + inputs + outputs], fields[4 + inputs + outputs :]
            if min(inputs, outputs) < 0 or len(blobs) != inputs + outputs:
                raise ValueError("missing blobs")
            pairs = dict(pair.split("=", 1) for pair in settings)
        except (ValueError, IndexError) as error:
            raise WeightsError("ncnn_odd_line", line=number) from error
        layers.append(_Layer(number, fields[0], fields[1], tuple(blobs[:inputs]), tuple(blobs[inputs:]), pairs))
    return layers


@dataclass
class _Weights:
    """Sequential reader of a .bin file."""

    data: bytes
    offset: int = 0

    def take(self, shape: tuple[int, ...], dtype: str = "<f4") -> np.ndarray:
        size = int(np.prod(shape))
        end = self.offset + size * np.dtype(dtype).itemsize
        if end > len(self.data):
            raise WeightsError("ncnn_too_short", size=len(self.data))
        values = np.frombuffer(self.data, dtype, size, self.offset).astype(np.float32)
        self.offset = end
        return values.reshape(shape)

    def take_tagged(self, shape: tuple[int, ...]) -> np.ndarray:
        """Read values that begin with a tag for their dtype."""
        tag = int.from_bytes(self.data[self.offset : self.offset + 4], "little")
        self.offset += 4
        if tag in _FP32_TAGS:
            return self.take(shape)
        if tag != _FP16_TAG:
            raise WeightsError("ncnn_odd_tag", tag=tag, at=self.offset - 4)
        values = self.take(shape, "<f2")
        self.offset += -self.offset % 4  # ncnn pads an odd number of fp16 values to 4 bytes.
        return values

    def check_end(self) -> None:
        if self.offset != len(self.data):
            raise WeightsError("ncnn_too_long", size=len(self.data), needed=self.offset)


@dataclass
class _Reader:
    """The graph, its tensors and the blobs of the layers that were read.

    Activations and 2x upscaling are merged into convolutions, which gives the same result faster and in less memory.
    `doubled` are the blobs that a convolution upscales itself.
    """

    weights: _Weights
    layers: list[_Layer]
    graph: Graph = field(default_factory=Graph)
    tensors: Tensors = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    doubled: set[str] = field(default_factory=set)

    def convolution_before(self, blob: str) -> Conv | None:
        """Return the convolution whose output is this blob, if only one layer reads it."""
        is_read_once = sum(blob in layer.inputs for layer in self.layers) == 1
        is_convolved = any(blob in layer.outputs and layer.kind == "Convolution" for layer in self.layers)
        node = self.graph.nodes[self.node(blob)]
        return node if isinstance(node, Conv) and is_read_once and is_convolved else None

    def nodes(self, blob: str) -> tuple[int, ...]:
        nodes = self.blobs[blob]
        if not isinstance(nodes, tuple):
            raise NotImplementedError
        return nodes

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

    def combine(self, operation: str, one: int, other: int, factor: float = 1.0) -> int:
        """Return the node of `one * other` or `one + factor * other`."""
        first, second = self.graph.nodes[one], self.graph.nodes[other]
        if (first.channels, first.scale) != (second.channels, second.scale):
            raise ValueError("two blobs of different sizes")
        if operation == "multiply":
            return self.graph.append(Multiply, one, other)
        return self.graph.add(other, one, factor)


# Each function returns the blob of a layer. NotImplementedError means that the layer is not supported.


def _input(reader: _Reader, layer: _Layer) -> Blob:
    first = next((one for one in reader.layers if one.kind == "Convolution"), None)
    if reader.graph.nodes or first is None:
        raise NotImplementedError
    _, inputs, _ = _convolution_shape(first)
    return (reader.graph.input(inputs),)


def _convolution_shape(layer: _Layer) -> tuple[int, int, int]:
    """Return the output channels, input channels and size of the kernel."""
    channels, size = int(layer.settings["0"]), int(layer.settings["1"])
    return channels, int(layer.settings["6"]) // (channels * size**2), size


def _convolution(reader: _Reader, layer: _Layer) -> Blob:
    """Read a convolution of 1x1 or 3x3 with stride 1, zero padding that keeps the size, and an optional activation."""
    channels, inputs, size = _convolution_shape(layer)
    pad, stride, down = layer.get(4), layer.get(2, "1"), layer.get(3, "1")
    layer.require(size in (1, 3) and layer.get(11, str(size)) == str(size))
    layer.require({stride, layer.get(12, stride), down, layer.get(13, down)} == {"1"})
    layer.require({pad, *(layer.get(number, pad) for number in (14, 15, 16))} in ({str(size // 2)}, {_SAME_PADDING}))
    layer.require(layer.get(8) == "0" and float(layer.get(18)) == 0 and layer.get(19) == "0")
    layer.require((kind := layer.get(9)) in ("0", "1", "2", "4"))
    slope = layer.array(10)[0] if kind == "2" else 0.0
    activation = {"0": None, "4": Activation("sigmoid")}.get(kind, Activation("leaky", slope))
    sources = reader.nodes(layer.inputs[0])
    if min(channels, inputs) < 1 or inputs != sum(reader.graph.nodes[index].channels for index in sources):
        raise ValueError("wrong number of channels")
    reader.store(f"{layer.name}.weight", reader.weights.take_tagged((channels, inputs, size, size)))
    if bias := layer.get(5) == "1":
        reader.store(f"{layer.name}.bias", reader.weights.take((channels,)))
    enlarge = 2 if layer.inputs[0] in reader.doubled else 1
    fields = {"channels": channels, "size": size, "bias": bias, "activation": activation, "enlarge": enlarge}
    return (reader.graph.conv(layer.name, *sources, **fields),)


def _activation(reader: _Reader, layer: _Layer) -> Blob:
    source = reader.node(layer.inputs[0])
    if layer.kind == "PReLU":
        slopes = reader.weights.take((int(layer.settings["0"]),))
        activation = Activation("prelu", slopes=reader.store_for(source, layer.name, slopes))
    elif layer.kind == "ReLU":
        activation = Activation("leaky", float(layer.get(0)))
    else:
        activation = Activation("silu" if layer.kind == "Swish" else "sigmoid")
    convolution = reader.convolution_before(layer.inputs[0])
    if convolution and not convolution.activation:
        reader.graph.nodes[source] = replace(convolution, activation=activation)
        return (source,)
    return (reader.graph.append(Activate, source, activation=activation),)


_ARITHMETIC = {"0": "add", "1": "subtract", "2": "multiply", "7": "subtract from"}
_SWAPPED = {"subtract": "subtract from", "subtract from": "subtract"}


def _binary(reader: _Reader, layer: _Layer) -> Blob:
    """Read an operation on a blob and another blob, a constant for each channel or a number."""
    layer.require((operation := _ARITHMETIC.get(layer.get(0), "")) != "")
    if layer.get(1) == "1":
        name, value = layer.inputs[0], float(layer.get(2))
    else:
        name, other = layer.inputs
        if not isinstance(reader.blobs[name], tuple):
            name, other, operation = other, name, _SWAPPED.get(operation, operation)
        value = reader.blobs[other]
        if isinstance(value, tuple):
            layer.require(operation != "subtract from")
            factor = -1.0 if operation == "subtract" else 1.0
            return (reader.combine(operation, reader.node(name), reader.node(other), factor),)
    source = reader.node(name)
    value = -value if operation == "subtract" else value
    operand = reader.store_for(source, layer.name, value) if isinstance(value, np.ndarray) else value
    if operation == "multiply":
        return (reader.graph.append(Affine, source, gain=operand),)
    gain = -1.0 if operation == "subtract from" else 1.0
    return (reader.graph.append(Affine, source, gain=gain, shift=operand),)


def _eltwise(reader: _Reader, layer: _Layer) -> Blob:
    """Read the product or the weighted sum of blobs."""
    one, *others = [reader.node(blob) for blob in layer.inputs]
    operation, factors = layer.get(0), layer.array(1) or [1.0] * len(layer.inputs)
    layer.require(bool(others) and operation in ("0", "1"))
    if operation == "0":
        for other in others:
            one = reader.combine("multiply", one, other)
        return (one,)
    # `combine` multiplies only its second operand, so the first one has the factor 1 or needs a node of its own.
    if factors[0] != 1 and factors[1] == 1:
        one, others[0], factors[:2] = others[0], one, [1, factors[0]]
    if factors[0] != 1:
        one = reader.graph.append(Affine, one, gain=factors[0])
    for other, factor in zip(others, factors[1:], strict=True):
        one = reader.combine("add", one, other, factor)
    return (one,)


def _interp(reader: _Reader, layer: _Layer) -> Blob:
    factor, other = float(layer.get(1, "1")), float(layer.get(2, "1"))
    layer.require(layer.get(0) == "1" and factor == other and factor in range(1, _LARGEST_FACTOR + 1))
    layer.require(all(layer.get(number) == "0" for number in (3, 4, 5)))  # no fixed size
    source, (output,) = reader.node(layer.inputs[0]), layer.outputs
    readers = [one for one in reader.layers if output in one.inputs]
    if factor == 2 and [(one.kind, one.get(1)) for one in readers] == [("Convolution", "3")]:
        reader.doubled.add(output)
        return (source,)
    return (reader.graph.append(Nearest, source, enlarge=int(factor)) if factor > 1 else source,)


def _shuffle(reader: _Reader, layer: _Layer) -> Blob:
    source, factor = reader.node(layer.inputs[0]), int(layer.get(0, "1"))
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
