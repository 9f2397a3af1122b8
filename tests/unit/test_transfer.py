"""The transfer of pixels to a device and back. On a GPU it runs on a stream of its own and is awaited.

No GPU is needed: fake streams do their work only when something waits for them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from enhance.engine.device import Transfer
from enhance.errors import EnhanceError

CPU = torch.device("cpu")


class LateStream:
    """A fake CUDA stream. Its work starts when something waits for it, after the streams that it waits for."""

    def __init__(self, _device: Any = None):
        self.work: list[Callable[[], object]] = []

    def wait_stream(self, other: "LateStream") -> None:
        self.work.append(other.finish)

    def finish(self) -> None:
        while self.work:
            self.work.pop(0)()


class LateEvent:
    def record(self, stream: LateStream) -> None:
        self.synchronize = stream.finish


class FakeGpu:
    """A fake GPU with its default and its current stream. `recorded` are the streams that use a tensor's memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.default = self.current = LateStream()
        self.recorded: list[LateStream] = []
        monkeypatch.setattr(torch.cuda, "Stream", LateStream)
        monkeypatch.setattr(torch.cuda, "Event", LateEvent)
        monkeypatch.setattr(torch.cuda, "stream", self.on)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: self.current)
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
        monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: self.recorded.append(stream))
        monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: torch.full(shape, 77, dtype=dtype))
        monkeypatch.setattr(torch.Tensor, "to", self.to(torch.Tensor.to))
        monkeypatch.setattr(torch.Tensor, "copy_", self.copy(torch.Tensor.copy_))

    @contextmanager
    def on(self, stream: LateStream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def to(self, original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """Copy to the GPU without waiting. The values are undefined until the stream is finished."""

        def to(tensor: torch.Tensor, *wish: Any, non_blocking: bool = False) -> torch.Tensor:
            if not non_blocking:
                return original(tensor, *wish)
            target = torch.full_like(tensor, 77)
            self.current.work.append(lambda: target.data.copy_(tensor))
            return target

        return to

    def copy(self, original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def copy(tensor: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
            if not non_blocking:
                return original(tensor, source)
            self.current.work.append(lambda: original(tensor, source))
            return tensor

        return copy


@pytest.fixture
def gpu(monkeypatch) -> FakeGpu:
    return FakeGpu(monkeypatch)


def pixels(dtype: type) -> np.ndarray:
    return np.random.default_rng(2).integers(0, np.iinfo(dtype).max, (6, 5, 3), dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_are_unchanged_after_both_transfers(dtype):
    transfer, image = Transfer(CPU, np.dtype(dtype)), pixels(dtype)

    rows = transfer.reader(image)(2, 5)

    assert (rows.dtype, rows.shape) == (torch.float32, (3, 5, 3))
    assert np.array_equal(transfer.to_pixels(rows)(), image[2:5])


def test_rows_are_clipped_and_rounded():
    rows = torch.tensor([[-0.2, 1.4, 0.0], [99.4 / 255, 99.6 / 255, 1.0]]).unsqueeze(0)

    assert Transfer(CPU, np.dtype(np.uint8)).to_pixels(rows)().tolist() == [[[0, 255, 0], [99, 100, 255]]]


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_pixels_that_are_not_finite_are_an_error(odd):
    rows = torch.zeros(2, 2, 3)
    rows[1, 1, 1] = odd

    with pytest.raises(EnhanceError, match="infinite or undefined"):
        Transfer(CPU, np.dtype(np.uint8)).to_pixels(rows)()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_of_a_gpu_are_read_after_the_transfer(dtype, gpu):
    transfer, image = Transfer(torch.device("cuda"), np.dtype(dtype)), pixels(dtype)
    transfer._device = CPU

    part = transfer._to_device(torch.from_numpy(image.astype(np.float32)))
    gpu.default.finish()
    assert np.array_equal(part.numpy(), image)

    arrival = transfer.to_pixels(part / np.iinfo(dtype).max)
    assert np.array_equal(arrival(), image)


def test_gpu_memory_is_kept_until_both_streams_have_used_it(gpu):
    transfer = Transfer(torch.device("cuda"), np.dtype(np.uint8))
    transfer._device = CPU

    rows = transfer._to_device(torch.zeros(2, 2, 3))
    assert gpu.recorded == [gpu.default]

    transfer.to_pixels(rows)
    assert gpu.recorded[1:] == [transfer._stream] * 2
