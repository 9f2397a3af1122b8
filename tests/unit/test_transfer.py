"""The transfer of pixels to a device and back. On a GPU it runs on a stream of its own and is
awaited.

No GPU is needed: a mock of CUDA records in which order the streams wait, copy and use a tensor.
"""

from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from enhance.engine.device import Transfer
from enhance.errors import EnhanceError

CPU = torch.device("cpu")
BYTES = np.dtype("uint8")


def pixels(dtype):
    return np.random.default_rng(2).integers(0, np.iinfo(dtype).max, (6, 5, 3), dtype)


@pytest.mark.parametrize("dtype", [BYTES, np.dtype("uint16")], ids=str)
def test_pixels_are_unchanged_after_both_transfers(dtype):
    transfer = Transfer(CPU, dtype)
    image = pixels(dtype)
    rows = transfer.reader(image)(2, 5)
    assert rows.dtype == torch.float32
    assert np.array_equal(transfer.to_pixels(rows)(), image[2:5])


def test_rows_are_clipped_and_rounded():
    rows = torch.tensor([[[-0.2, 1.4, 99.6 / 255]]])
    assert Transfer(CPU, BYTES).to_pixels(rows)().tolist() == [[[0, 255, 100]]]


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_pixels_that_are_not_finite_are_an_error(odd):
    rows = torch.zeros(2, 2, 3)
    rows[1, 1, 1] = odd
    with pytest.raises(EnhanceError, match="infinite or undefined"):
        Transfer(CPU, BYTES).to_pixels(rows)()


@pytest.fixture
def cuda(monkeypatch):
    """A mock of `torch.cuda`, which also records the copies of tensors, and the streams that keep
    their memory."""
    cuda, copy, empty = MagicMock(), torch.Tensor.copy_, torch.empty

    def record_copy(target, source, **_):
        cuda.copy()
        return copy(target, source)

    monkeypatch.setattr(torch, "cuda", cuda)
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: empty(shape, dtype=dtype))
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: cuda.keep(stream))
    monkeypatch.setattr(torch.Tensor, "copy_", record_copy)
    return cuda


def test_streams_of_a_gpu_wait_for_each_other(cuda):
    transfer = Transfer(torch.device("cuda"), BYTES)
    transfer._device = CPU
    image = pixels(BYTES)
    own = cuda.Stream.return_value
    current = cuda.current_stream.return_value

    rows = transfer.reader(image)(0, 6)
    current.wait_stream.assert_called_once_with(own)
    cuda.keep.assert_called_once_with(current)

    cuda.reset_mock()
    arrival = transfer.to_pixels(rows)
    own.wait_stream.assert_called_once_with(current)
    cuda.keep.assert_called_with(own)
    assert np.array_equal(arrival(), image)
    steps = ("Stream().wait_stream", "copy", "Event().record", "keep", "Event().synchronize")
    found = [name for name, _, _ in cuda.mock_calls if name in steps]
    assert list(dict.fromkeys(found)) == list(steps)
