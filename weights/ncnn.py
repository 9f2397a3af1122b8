"""Reads ncnn's .param and .bin files of the Real-ESRGAN networks into a state dict with the official tensor names.

A .param file is text: a magic number, the counts, then one layer a line in the order in which they run:
`type name inputs outputs blob... key=value...`. A .bin file is the weights of those layers in the same order, without
names or separators. Only numpy is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import ModelFileError

_MAGIC = "7767517"
_FP16_TAG = 0x01306B47
_FP32_TAG = 0
_WEIGHTLESS = {"Input", "Split", "Concat", "BinaryOp", "Eltwise", "Interp", "PixelShuffle"}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A layer that carries weights: a convolution [out, in, k, k] with bias, or PReLU slopes [channels]."""

    line: int
    shape: Shape


def read_ncnn(network: str, param: str, data: bytes) -> dict[str, np.ndarray]:
    """The float32 tensors of an `rrdbnet` or `srvgg`, by official name, in the order of the layers.

    Convolution weights are [out, in, 3, 3], biases and PReLU slopes [channels]; fp16 values are widened. Raises
    ModelFileError when the layers are not those of the network, or `data` is shorter or longer than they need.
    """
    layers = read_layers(param)
    names = _rrdbnet(len(layers)) if network == "rrdbnet" else _srvgg(len(layers))
    for layer, (name, shape) in zip(layers, names, strict=True):
        if layer.shape != shape:
            found, right = str(list(layer.shape)), str(list(shape))
            raise ModelFileError("ncnn_odd_shape", line=layer.line, found=found, tensor=name, right=right)
    reader = _Reader(data)
    tensors: dict[str, np.ndarray] = {}
    for name, shape in names:
        if len(shape) == 1:
            tensors[f"{name}.weight"] = reader.take("<f4", shape)
        else:
            tensors[f"{name}.weight"] = reader.take_tagged(shape)
            tensors[f"{name}.bias"] = reader.take("<f4", shape[:1])
    reader.finish()
    return tensors


def read_layers(param: str) -> list[Layer]:
    """The layers with weights that a .param text describes, in order; ModelFileError when it cannot be understood."""
    lines = param.splitlines()
    if not lines or lines[0].strip() != _MAGIC:
        raise ModelFileError("ncnn_no_magic")
    layers = []
    for number, line in enumerate(lines[2:], start=3):
        if not (fields := line.split()):
            continue
        try:
            shape = _shape(fields)
        except (KeyError, ValueError, IndexError) as error:
            raise ModelFileError("ncnn_odd_line", line=number) from error
        if shape:
            layers.append(Layer(number, shape))
    return layers


def _shape(fields: list[str]) -> Shape:
    kind, inputs, outputs = fields[0], int(fields[2]), int(fields[3])
    if kind in _WEIGHTLESS:
        return ()
    settings = dict(pair.split("=", 1) for pair in fields[4 + inputs + outputs :])
    channels = int(settings["0"])
    if kind == "PReLU":
        return (channels,)
    if kind != "Convolution" or settings.get("5") != "1":
        raise ValueError("neither PReLU nor a convolution with bias")
    size = int(settings["1"])
    return (channels, int(settings["6"]) // (channels * size * size), size, size)


def _rrdbnet(layers: int) -> list[tuple[str, Shape]]:
    wide, growth, outside, per_block = 64, 32, 6, 15
    names: list[tuple[str, Shape]] = [("conv_first", (wide, 3, 3, 3))]
    for block in range(_whole(layers - outside, per_block)):
        for dense in (1, 2, 3):
            for conv in (1, 2, 3, 4, 5):
                shape = (growth if conv < 5 else wide, wide + growth * (conv - 1), 3, 3)
                names.append((f"body.{block}.rdb{dense}.conv{conv}", shape))
    names += [(name, (wide, wide, 3, 3)) for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr")]
    return [*names, ("conv_last", (3, wide, 3, 3))]


def _srvgg(layers: int) -> list[tuple[str, Shape]]:
    wide, factor = 64, 4
    names: list[tuple[str, Shape]] = []
    for pair in range(_whole(layers - 1, 2)):
        names.append((f"body.{2 * pair}", (wide, wide if pair else 3, 3, 3)))
        names.append((f"body.{2 * pair + 1}", (wide,)))
    return [*names, (f"body.{layers - 1}", (3 * factor**2, wide, 3, 3))]


def _whole(layers: int, per_group: int) -> int:
    if layers < per_group or layers % per_group:
        raise ModelFileError("ncnn_layer_count")
    return layers // per_group


class _Reader:
    """A position in the bytes of a .bin file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, dtype: str, shape: Shape) -> np.ndarray:
        size = int(np.prod(shape))
        end = self._at + size * np.dtype(dtype).itemsize
        if end > len(self._data):
            raise ModelFileError("ncnn_too_short", size=len(self._data))
        values = np.frombuffer(self._data, dtype, size, self._at).astype(np.float32)
        self._at = end
        return values.reshape(shape)

    def take_tagged(self, shape: Shape) -> np.ndarray:
        tag = int.from_bytes(self._data[self._at : self._at + 4], "little")
        self._at += 4
        if tag == _FP32_TAG:
            return self.take("<f4", shape)
        if tag != _FP16_TAG:
            raise ModelFileError("ncnn_odd_tag", tag=tag, at=self._at - 4)
        values = self.take("<f2", shape)
        self._at += -self._at % 4
        return values

    def finish(self) -> None:
        if self._at != len(self._data):
            raise ModelFileError("ncnn_too_long", size=len(self._data), needed=self._at)
