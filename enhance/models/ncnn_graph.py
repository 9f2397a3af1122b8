"""A network that is known by nothing but its ncnn files: the layers of the .param become the nodes of a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..errors import WeightsError
from .fusion import fused
from .graphs import PRECISIONS, Activation, Graph, sources_of
from .ncnn import BinReader, Layer, Tensors, read_layers, weights_of

_SUM, _DIFFERENCE, _PRODUCT, _REVERSED_DIFFERENCE = "0", "1", "2", "7"
_SAME = "-233"

Places = tuple[int, ...]


def read_ncnn_graph(param: str, data: bytes) -> tuple[Graph, Tensors]:
    """The graph that a .param file describes, and its float32 tensors by the names of the layers.

    Raises WeightsError for a layer that rows cannot stream, by its kind, and for `data` of another length.
    """
    return _GraphReader(read_layers(param), BinReader(data)).read()


@dataclass
class _GraphReader:
    """Goes through the layers once; `places` are the nodes that a blob stands for, several where it is a Concat's."""

    layers: list[Layer]
    weights: BinReader
    graph: Graph = field(default_factory=lambda: Graph(PRECISIONS))
    tensors: Tensors = field(default_factory=dict)
    places: dict[str, Places] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def read(self) -> tuple[Graph, Tensors]:
        for layer in self.layers:
            try:
                read = _READERS.get(layer.kind)
                made = read(self, layer) if read else None
            except (KeyError, ValueError, IndexError, ZeroDivisionError, OverflowError) as error:
                raise WeightsError("ncnn_odd_line", line=layer.line) from error
            if made is None:
                raise self._refusal(layer)
            self.places |= dict.fromkeys(layer.outputs, made)
        self.weights.finish()
        self._check_ends()
        return fused(self.graph).keep_ends_precise(), self.tensors

    def input(self, layer: Layer) -> Places | None:
        first = next((one for one in self.layers if one.kind == "Convolution"), None)
        if self.graph.nodes or first is None:
            return None
        channels = int(first.settings["6"]) // int(first.settings["0"]) // int(first.settings["1"]) ** 2
        return (self.graph.input(channels),)

    def convolution(self, layer: Layer) -> Places | None:
        size = int(layer.settings["1"])
        activation = _activation_in(layer)
        if not _is_plain(layer, size) or activation is None:
            return None
        sources = self.places[layer.inputs[0]]
        values = list(weights_of(layer, self.weights))
        if values[0].shape[1] != sum(self.graph.nodes[place].channels for place in sources):
            raise WeightsError("ncnn_odd_line", line=layer.line)
        for kind, tensor in zip(("weight", "bias"), values, strict=False):
            self._keep(f"{layer.name}.{kind}", tensor)
        return (
            self.graph.conv(
                layer.name,
                *sources,
                channels=values[0].shape[0],
                size=size,
                bias=len(values) > 1,
                activation=activation or None,
            ),
        )

    def activation(self, layer: Layer) -> Places | None:
        source = self._one(layer.inputs[0])
        if layer.kind == "PReLU":
            (slopes,) = weights_of(layer, self.weights)
            self._keep(layer.name, np.broadcast_to(slopes, (self.graph.nodes[source].channels,)))
            made = Activation("prelu", slopes=layer.name)
        elif layer.kind == "ReLU":
            made = Activation("leaky", float(layer.get(0)))
        else:
            made = Activation("silu" if layer.kind == "Swish" else "sigmoid")
        return (self.graph.activate(source, made),)

    def binary(self, layer: Layer) -> Places | None:
        operation = layer.get(0)
        if layer.get(1) == "1":
            return self._with_number(self._one(layer.inputs[0]), operation, float(layer.get(2)))
        first, second = layer.inputs
        if second in self.constants:
            return self._with_constant(layer, self._one(first), operation, self.constants[second])
        if first in self.constants:
            turned = {_DIFFERENCE: _REVERSED_DIFFERENCE, _REVERSED_DIFFERENCE: _DIFFERENCE}.get(operation, operation)
            return self._with_constant(layer, self._one(second), turned, self.constants[first])
        one, other = self._one(first), self._one(second)
        if operation == _PRODUCT:
            self._check_alike(one, other)
            return (self.graph.multiply(one, other),)
        if operation not in (_SUM, _DIFFERENCE):
            return None
        return (self._added(other, one, 1.0 if operation == _SUM else -1.0),)

    def eltwise(self, layer: Layer) -> Places | None:
        one, *others = [self._one(blob) for blob in layer.inputs]
        operation, factors = layer.get(0), layer.numbers(1) or [1.0] * len(layer.inputs)
        if not others or operation not in ("0", "1"):
            return None
        if operation == "0":
            for other in others:
                one = self.graph.multiply(one, other)
            return (one,)
        if len(factors) != len(layer.inputs):
            raise ValueError("a factor for each input")
        if factors[0] != 1 and factors[1] == 1:
            one, others[0], factors[:2] = others[0], one, [1, factors[0]]
        if factors[0] != 1:
            one = self.graph.affine(one, factors[0])
        for other, factor in zip(others, factors[1:], strict=True):
            one = self._added(other, one, factor)
        return (one,)

    def interp(self, layer: Layer) -> Places | None:
        factor, other = float(layer.get(1, "1")), float(layer.get(2, "1"))
        sized = any(layer.get(number) != "0" for number in (3, 4, 5))
        if layer.get(0) != "1" or sized or factor != other or factor != int(factor) or not 1 <= factor <= 16:
            return None
        source = self._one(layer.inputs[0])
        return (self.graph.nearest(source, int(factor)) if factor > 1 else source,)

    def shuffle(self, layer: Layer) -> Places | None:
        source, factor = self._one(layer.inputs[0]), int(layer.get(0, "1"))
        if layer.get(1) != "0" or not 1 <= factor <= 16:
            return None
        if self.graph.nodes[source].channels % factor**2:
            raise ValueError("channels that are no squares")
        return (self.graph.shuffle(source, factor),)

    def split(self, layer: Layer) -> Places | None:
        (blob,) = layer.inputs
        if blob in self.constants:
            self.constants |= dict.fromkeys(layer.outputs, self.constants[blob])
            return ()
        return self.places[blob]

    def concat(self, layer: Layer) -> Places | None:
        if layer.get(0) != "0":
            return None
        if self.constants.keys() & layer.inputs:
            return None
        return tuple(place for blob in layer.inputs for place in self.places[blob])

    def constant(self, layer: Layer) -> Places | None:
        width, height, channels = (int(layer.get(number)) for number in (0, 1, 2))
        if height > 1 or width > 1 or not channels:
            return None
        values = self.weights.take("<f4", (channels,)) if layer.get(21, "1") == "1" else None
        if values is None:
            return None
        self.constants |= dict.fromkeys(layer.outputs, values)
        return ()

    def _with_number(self, source: int, operation: str, number: float) -> Places | None:
        gain, shift = {
            _SUM: (1.0, number),
            _DIFFERENCE: (1.0, -number),
            _PRODUCT: (number, 0.0),
            _REVERSED_DIFFERENCE: (-1.0, number),
        }.get(operation, (None, 0.0))
        return None if gain is None else (self.graph.affine(source, gain, shift),)

    def _with_constant(self, layer: Layer, source: int, operation: str, values: np.ndarray) -> Places | None:
        values = np.broadcast_to(values, (self.graph.nodes[source].channels,))
        if operation == _PRODUCT:
            self._keep(layer.name, values)
            return (self.graph.affine(source, layer.name),)
        sign = {_SUM: (1.0, 1), _DIFFERENCE: (1.0, -1), _REVERSED_DIFFERENCE: (-1.0, 1)}.get(operation)
        if sign is None:
            return None
        self._keep(layer.name, values * np.float32(sign[1]))
        return (self.graph.affine(source, sign[0], layer.name),)

    def _keep(self, name: str, values: np.ndarray) -> None:
        if name in self.tensors:
            raise ValueError("two layers of one name")
        self.tensors[name] = np.ascontiguousarray(values)

    def _added(self, source: int, trunk: int, factor: float) -> int:
        self._check_alike(source, trunk)
        return self.graph.add(source, trunk, factor)

    def _one(self, blob: str) -> int:
        """The node that a blob stands for; a Concat's blob is several, which only a convolution takes."""
        places = self.places[blob]
        if len(places) != 1:
            raise ValueError("several blobs where there is to be one")
        return places[0]

    def _check_alike(self, one: int, other: int) -> None:
        first, second = self.graph.nodes[one], self.graph.nodes[other]
        if (first.channels, first.scale) != (second.channels, second.scale):
            raise ValueError("two blobs of different sizes")

    def _check_ends(self) -> None:
        """The last layer gives the output, and every other node is read; else it is no network for pictures."""
        read = {source for node in self.graph.nodes for source in sources_of(node)}
        last = len(self.graph.nodes) - 1
        if not read.issuperset(range(last)) or self.places[self.layers[-1].outputs[0]] != (last,):
            raise WeightsError("ncnn_no_output")

    def _refusal(self, layer: Layer) -> WeightsError:
        return WeightsError("ncnn_other_layer", kind=layer.kind, name=layer.name, line=layer.line)


def _is_plain(layer: Layer, size: int) -> bool:
    """Whether a convolution is 1x1 or 3x3, square, with a stride of one, and padded with zeros to keep the size."""
    pad = layer.get(4)
    pads = {pad, *(layer.get(number, pad) for number in (14, 15, 16))}
    ones = (layer.get(2, "1"), layer.get(12, layer.get(2, "1")), layer.get(3, "1"), layer.get(13, layer.get(3, "1")))
    square = size in (1, 3) and layer.get(11, str(size)) == str(size)
    rest = layer.get(8) == "0" and float(layer.get(18)) == 0 and layer.get(19) == "0"
    return square and set(ones) == {"1"} and pads in ({str(size // 2)}, {_SAME}) and rest


def _activation_in(layer: Layer) -> Activation | tuple[()] | None:
    """The activation within a convolution: () for none, None for one that is not known here."""
    kind = layer.get(9)
    if kind == "2":
        return Activation("leaky", layer.numbers(10)[0])
    return {"0": (), "1": Activation("leaky", 0.0), "4": Activation("sigmoid")}.get(kind)


_READERS: dict[str, Callable[[_GraphReader, Layer], Places | None]] = {
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
