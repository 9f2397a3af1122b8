"""Read ncnn's .param and .bin files: as the tensors of a known network, or as a graph with its tensors.

A .param file is text: a magic number, two counts, then one layer a line in execution order:
`type name inputs outputs blob... key=value...`. A .bin file has the weights of those layers in the same order, without
names or separators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..errors import WeightsError
from .fusion import fuse
from .graphs import PRECISIONS, Activation, Graph, sources_of
from .networks import SPAN_RANGE

_MAGIC = "7767517"
_FP16_TAG = 0x01306B47
_FP32_TAGS = (0, 0x0002C056)

_ADD, _SUBTRACT, _MULTIPLY, _REVERSE_SUBTRACT = "0", "1", "2", "7"
_SAME_PADDING = "-233"
_LARGEST_FACTOR = 16

Tensors = dict[str, np.ndarray]
Indices = tuple[int, ...]


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


def official_tensors(graph: Graph, param: str, data: bytes) -> Tensors:
    """Return the tensors of a shipped network in float32 by the names of its `graph`, which has the same order.

    Only for files whose checksum is known.
    """
    weights = _Weights(data)
    arrays = []
    for layer in _read_layers(param):
        if layer.kind == "MemoryData":
            arrays.append(-SPAN_RANGE * weights.constant(layer))  # ncnn subtracts SPAN's mean before it scales
        elif layer.kind in ("Convolution", "PReLU"):
            arrays += weights.of(layer)
    weights.check_end()
    return {name: array.reshape(shape) for (name, shape), array in zip(graph.shapes().items(), arrays, strict=True)}


def read_ncnn(param: str, data: bytes) -> tuple[Graph, Tensors]:
    """Return the graph of a .param file, and its float32 tensors by the names of the layers.

    Raises WeightsError, a clause, for a layer that cannot be streamed by rows, and for damaged files.
    """
    return _GraphReader(_read_layers(param), _Weights(data)).read()


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


class _Weights:
    """Sequential reader of a .bin file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def of(self, layer: _Layer) -> Iterator[np.ndarray]:
        """Yield the weight [out, in, k, k] and bias [out] of a Convolution, or the slopes of a PReLU."""
        channels = int(layer.settings["0"])
        if layer.kind == "PReLU":
            yield self._take("<f4", (channels,))
            return
        size = int(layer.settings["1"])
        shape = channels, int(layer.settings["6"]) // (channels * size**2), size, size
        if min(shape) < 1 or size not in (1, 3):
            raise ValueError("not a convolution of size 1 or 3")
        yield self._take_tagged(shape)
        if layer.get(5) == "1":
            yield self._take("<f4", (channels,))

    def constant(self, layer: _Layer) -> np.ndarray:
        """Return the values of a MemoryData layer, one for each channel."""
        return self._take("<f4", (int(layer.settings["2"]),))

    def check_end(self) -> None:
        if self._offset != len(self._data):
            raise WeightsError("ncnn_too_long", size=len(self._data), needed=self._offset)

    def _take(self, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape))
        end = self._offset + size * np.dtype(dtype).itemsize
        if end > len(self._data):
            raise WeightsError("ncnn_too_short", size=len(self._data))
        values = np.frombuffer(self._data, dtype, size, self._offset).astype(np.float32)
        self._offset = end
        return values.reshape(shape)

    def _take_tagged(self, shape: tuple[int, ...]) -> np.ndarray:
        """Read values that begin with a tag for their dtype."""
        tag = int.from_bytes(self._data[self._offset : self._offset + 4], "little")
        self._offset += 4
        if tag in _FP32_TAGS:
            return self._take("<f4", shape)
        if tag != _FP16_TAG:
            raise WeightsError("ncnn_odd_tag", tag=tag, at=self._offset - 4)
        values = self._take("<f2", shape)
        self._offset += -self._offset % 4
        return values


@dataclass
class _GraphReader:
    """Converts layers to nodes. `blobs` has the nodes of each blob by index: several for the result of a Concat."""

    layers: list[_Layer]
    weights: _Weights
    graph: Graph = field(default_factory=lambda: Graph(PRECISIONS))
    tensors: Tensors = field(default_factory=dict)
    blobs: dict[str, Indices] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def read(self) -> tuple[Graph, Tensors]:
        for layer in self.layers:
            try:
                read = _READERS.get(layer.kind)
                indices = read(self, layer) if read else None
            except (KeyError, ValueError, IndexError, ZeroDivisionError, OverflowError) as error:
                raise WeightsError("ncnn_odd_line", line=layer.line) from error
            if indices is None:
                raise WeightsError("ncnn_other_layer", kind=layer.kind, name=layer.name, line=layer.line)
            self.blobs |= dict.fromkeys(layer.outputs, indices)
        self.weights.check_end()
        read_nodes = {source for node in self.graph.nodes for source in sources_of(node)}
        last = len(self.graph.nodes) - 1
        if not read_nodes.issuperset(range(last)) or self.blobs[self.layers[-1].outputs[0]] != (last,):
            raise WeightsError("ncnn_no_output")
        return fuse(self.graph).keep_ends_precise(), self.tensors

    # Each method returns the indices of the layer's result, or None if the layer is not supported.

    def input(self, layer: _Layer) -> Indices | None:
        first = next((one for one in self.layers if one.kind == "Convolution"), None)
        if self.graph.nodes or first is None:
            return None
        channels = int(first.settings["6"]) // int(first.settings["0"]) // int(first.settings["1"]) ** 2
        return (self.graph.input(channels),)

    def convolution(self, layer: _Layer) -> Indices | None:
        size, kind = int(layer.settings["1"]), layer.get(9)
        activations = {"0": None, "1": Activation("leaky", 0.0), "4": Activation("sigmoid")}
        if kind == "2":
            activations["2"] = Activation("leaky", layer.array(10)[0])
        if not _is_plain(layer, size) or kind not in activations:
            return None
        sources = self.blobs[layer.inputs[0]]
        weight, *bias = self.weights.of(layer)
        if weight.shape[1] != sum(self.graph.nodes[index].channels for index in sources):
            raise ValueError("wrong number of channels")
        for name, tensor in zip(("weight", "bias"), (weight, *bias), strict=False):
            self._store(f"{layer.name}.{name}", tensor)
        index = self.graph.conv(
            layer.name,
            *sources,
            channels=weight.shape[0],
            size=size,
            bias=bool(bias),
            activation=activations[kind],
        )
        return (index,)

    def activation(self, layer: _Layer) -> Indices | None:
        source = self._single(layer.inputs[0])
        if layer.kind == "PReLU":
            (slopes,) = self.weights.of(layer)
            self._store(layer.name, np.broadcast_to(slopes, (self.graph.nodes[source].channels,)))
            activation = Activation("prelu", slopes=layer.name)
        elif layer.kind == "ReLU":
            activation = Activation("leaky", float(layer.get(0)))
        else:
            activation = Activation("silu" if layer.kind == "Swish" else "sigmoid")
        return (self.graph.activate(source, activation),)

    def binary(self, layer: _Layer) -> Indices | None:
        operation = layer.get(0)
        if layer.get(1) == "1":
            return self._with_value(layer, self._single(layer.inputs[0]), operation, float(layer.get(2)))
        first, second = layer.inputs
        if second in self.constants:
            return self._with_value(layer, self._single(first), operation, self.constants[second])
        if first in self.constants:
            swapped = {_SUBTRACT: _REVERSE_SUBTRACT, _REVERSE_SUBTRACT: _SUBTRACT}.get(operation, operation)
            return self._with_value(layer, self._single(second), swapped, self.constants[first])
        one, other = self._single(first), self._single(second)
        if operation == _MULTIPLY:
            return (self._multiply(one, other),)
        if operation not in (_ADD, _SUBTRACT):
            return None
        return (self._add(other, one, 1.0 if operation == _ADD else -1.0),)

    def eltwise(self, layer: _Layer) -> Indices | None:
        one, *others = [self._single(blob) for blob in layer.inputs]
        operation, factors = layer.get(0), layer.array(1) or [1.0] * len(layer.inputs)
        if not others or operation not in ("0", "1"):
            return None
        if operation == "0":
            for other in others:
                one = self._multiply(one, other)
            return (one,)
        if factors[0] != 1 and factors[1] == 1:
            one, others[0], factors[:2] = others[0], one, [1, factors[0]]
        if factors[0] != 1:
            one = self.graph.affine(one, factors[0])
        for other, factor in zip(others, factors[1:], strict=True):
            one = self._add(other, one, factor)
        return (one,)

    def interp(self, layer: _Layer) -> Indices | None:
        factor, other = float(layer.get(1, "1")), float(layer.get(2, "1"))
        fixed_size = any(layer.get(number) != "0" for number in (3, 4, 5))
        if layer.get(0) != "1" or fixed_size or factor != other or factor not in range(1, _LARGEST_FACTOR + 1):
            return None
        source = self._single(layer.inputs[0])
        return (self.graph.nearest(source, int(factor)) if factor > 1 else source,)

    def shuffle(self, layer: _Layer) -> Indices | None:
        source, factor = self._single(layer.inputs[0]), int(layer.get(0, "1"))
        if layer.get(1) != "0" or not 1 <= factor <= _LARGEST_FACTOR:
            return None
        if self.graph.nodes[source].channels % factor**2:
            raise ValueError("wrong number of channels")
        return (self.graph.shuffle(source, factor),)

    def split(self, layer: _Layer) -> Indices | None:
        (blob,) = layer.inputs
        if blob in self.constants:
            self.constants |= dict.fromkeys(layer.outputs, self.constants[blob])
            return ()
        return self.blobs[blob]

    def concat(self, layer: _Layer) -> Indices | None:
        if layer.get(0) != "0" or self.constants.keys() & layer.inputs:
            return None
        return tuple(index for blob in layer.inputs for index in self.blobs[blob])

    def constant(self, layer: _Layer) -> Indices | None:
        width, height, channels = (int(layer.get(number)) for number in (0, 1, 2))
        if height > 1 or width > 1 or not channels or layer.get(21, "1") != "1":
            return None
        self.constants |= dict.fromkeys(layer.outputs, self.weights.constant(layer))
        return ()

    def _with_value(self, layer: _Layer, source: int, operation: str, value: float | np.ndarray) -> Indices | None:
        """Combine a node with a number, or with an array of one value for each channel."""
        if operation == _MULTIPLY:
            return (self.graph.affine(source, self._store_array(layer, source, value)),)
        signs = {_ADD: (1.0, 1), _SUBTRACT: (1.0, -1), _REVERSE_SUBTRACT: (-1.0, 1)}
        if operation not in signs:
            return None
        gain, sign = signs[operation]
        return (self.graph.affine(source, gain, self._store_array(layer, source, sign * value)),)

    def _store_array(self, layer: _Layer, source: int, value: float | np.ndarray) -> float | str:
        """Return a number as it is. Store an array and return its name."""
        if not isinstance(value, np.ndarray):
            return value
        self._store(layer.name, np.broadcast_to(value, (self.graph.nodes[source].channels,)))
        return layer.name

    def _store(self, name: str, values: np.ndarray) -> None:
        if name in self.tensors:
            raise ValueError("two layers with the same name")
        self.tensors[name] = np.ascontiguousarray(values)

    def _add(self, source: int, trunk: int, factor: float) -> int:
        self._check_sizes(source, trunk)
        return self.graph.add(source, trunk, factor)

    def _multiply(self, one: int, other: int) -> int:
        self._check_sizes(one, other)
        return self.graph.multiply(one, other)

    def _check_sizes(self, one: int, other: int) -> None:
        first, second = self.graph.nodes[one], self.graph.nodes[other]
        if (first.channels, first.scale) != (second.channels, second.scale):
            raise ValueError("two blobs of different sizes")

    def _single(self, blob: str) -> int:
        """Return the node of a blob. Only a convolution can read the several nodes of a Concat."""
        (index,) = self.blobs[blob]
        return index


def _is_plain(layer: _Layer, size: int) -> bool:
    """Return whether a convolution is 1x1 or 3x3 with stride 1 and zero padding that keeps the size."""
    pad = layer.get(4)
    pads = {pad, *(layer.get(number, pad) for number in (14, 15, 16))}
    strides = {layer.get(2, "1"), layer.get(12, layer.get(2, "1")), layer.get(3, "1"), layer.get(13, layer.get(3, "1"))}
    square = size in (1, 3) and layer.get(11, str(size)) == str(size)
    rest = layer.get(8) == "0" and float(layer.get(18)) == 0 and layer.get(19) == "0"
    return square and strides == {"1"} and pads in ({str(size // 2)}, {_SAME_PADDING}) and rest


_READERS: dict[str, Callable[[_GraphReader, _Layer], Indices | None]] = {
    "Input": _GraphReader.input,
    "Convolution": _GraphReader.convolution,
    "PReLU": _GraphReader.activation,
    "ReLU": _GraphReader.activation,
    "Swish": _GraphReader.activation,
    "Sigmoid": _GraphReader.activation,
    "BinaryOp": _GraphReader.binary,
    "Eltwise": _GraphReader.eltwise,
    "Concat": _GraphReader.concat,
    "Interp": _GraphReader.interp,
    "PixelShuffle": _GraphReader.shuffle,
    "Split": _GraphReader.split,
    "MemoryData": _GraphReader.constant,
}
