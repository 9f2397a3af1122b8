"""Reads ncnn's .param and .bin files: the layers of a network, and its tensors.

A .param file is text: a magic number, the counts, then one layer a line in the order in which they run:
`type name inputs outputs blob... key=value...`. A .bin file is the weights of those layers in the same order, without
names or separators. Only numpy is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import WeightsError
from .graphs import Graph
from .networks import SPAN_RANGE, rrdbnet, span, srvgg

_MAGIC = "7767517"
_FP16_TAG = 0x01306B47
_FP32_TAGS = (0, 0x0002C056)

Shape = tuple[int, ...]
Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Layer:
    """One line of a .param file; `settings` are by their number, an array's by its number under zero."""

    line: int
    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: Mapping[str, str]

    def get(self, number: int, default: str = "0") -> str:
        return self.settings.get(str(number), default)

    def numbers(self, number: int) -> list[float]:
        """An array: its length, then its values."""
        return [float(value) for value in self.settings.get(str(-23300 - number), "0").split(",")[1:]]


def read_ncnn(network: str, param: str, data: bytes) -> Tensors:
    """The float32 tensors of an `rrdbnet`, `srvgg` or `span`, by official name, in the order of the layers.

    Convolution weights are [out, in, 3, 3], biases and PReLU slopes [channels]; fp16 values are widened. Raises
    WeightsError when the layers are not those of the network, or `data` is shorter or longer than they need.
    """
    layers = [layer for layer in read_layers(param) if layer.kind in ("Convolution", "PReLU", "MemoryData")]
    reader = BinReader(data)
    names = iter(_official_graph(network, len(layers)).shapes().items())
    tensors: Tensors = {}
    for layer in layers:
        for values in weights_of(layer, reader):
            name, shape = next(names, ("nothing", ()))
            if values.shape != shape:
                found, right = str(list(values.shape)), str(list(shape))
                raise WeightsError("ncnn_odd_shape", line=layer.line, found=found, tensor=name, right=right)
            tensors[name] = values if layer.kind != "MemoryData" else -SPAN_RANGE * values  # a mean, to be subtracted
    if next(names, None):
        raise WeightsError("ncnn_layer_count")
    reader.finish()
    return tensors


def _official_graph(network: str, layers: int) -> Graph:
    """The graph of an official network that has so many layers with weights."""
    if network == "span":
        return span()
    outside, in_each = (6, 15) if network == "rrdbnet" else (3, 2)
    if layers < outside + in_each or (layers - outside) % in_each:
        raise WeightsError("ncnn_layer_count")
    repeated = (layers - outside) // in_each
    return rrdbnet(repeated) if network == "rrdbnet" else srvgg(repeated)


def read_layers(param: str) -> list[Layer]:
    """The layers that a .param text describes, in order; WeightsError when it cannot be understood."""
    lines = param.splitlines()
    if not lines or lines[0].strip() != _MAGIC:
        raise WeightsError("ncnn_no_magic")
    layers = []
    for number, line in enumerate(lines[2:], start=3):
        if not (fields := line.split()):
            continue
        try:
            layers.append(_layer(number, fields))
        except (ValueError, IndexError) as error:
            raise WeightsError("ncnn_odd_line", line=number) from error
    return layers


def _layer(number: int, fields: list[str]) -> Layer:
    kind, name, inputs, outputs = fields[0], fields[1], int(fields[2]), int(fields[3])
    blobs, settings = fields[4 : 4 + inputs + outputs], fields[4 + inputs + outputs :]
    if min(inputs, outputs) < 0 or len(blobs) != inputs + outputs:
        raise ValueError("blobs are missing")
    pairs = (pair.split("=", 1) for pair in settings)
    return Layer(number, kind, name, tuple(blobs[:inputs]), tuple(blobs[inputs:]), dict(pairs))


def weights_of(layer: Layer, reader: BinReader) -> Iterator[np.ndarray]:
    """The tensors of a Convolution [out, in, k, k] and its bias, a PReLU's slopes, or a MemoryData's values."""
    try:
        channels = int(layer.settings["2" if layer.kind == "MemoryData" else "0"])
        if layer.kind != "Convolution":
            yield reader.take("<f4", (channels,))
            return
        size = int(layer.settings["1"])
        shape = (channels, int(layer.settings["6"]) // (channels * size * size), size, size)
        biased = layer.get(5) == "1"
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise WeightsError("ncnn_odd_line", line=layer.line) from error
    if min(shape) < 1 or size not in (1, 3):
        raise WeightsError("ncnn_odd_line", line=layer.line)
    yield reader.take_tagged(shape)
    if biased:
        yield reader.take("<f4", shape[:1])


class BinReader:
    """A position in the bytes of a .bin file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, dtype: str, shape: Shape) -> np.ndarray:
        size = int(np.prod(shape))
        end = self._at + size * np.dtype(dtype).itemsize
        if end > len(self._data):
            raise WeightsError("ncnn_too_short", size=len(self._data))
        values = np.frombuffer(self._data, dtype, size, self._at).astype(np.float32)
        self._at = end
        return values.reshape(shape)

    def take_tagged(self, shape: Shape) -> np.ndarray:
        tag = int.from_bytes(self._data[self._at : self._at + 4], "little")
        self._at += 4
        if tag in _FP32_TAGS:
            return self.take("<f4", shape)
        if tag != _FP16_TAG:
            raise WeightsError("ncnn_odd_tag", tag=tag, at=self._at - 4)
        values = self.take("<f2", shape)
        self._at += -self._at % 4
        return values

    def finish(self) -> None:
        if self._at != len(self._data):
            raise WeightsError("ncnn_too_long", size=len(self._data), needed=self._at)
