"""The transfer of pixels to a device and back."""

import numpy as np
import pytest
import torch

from enhance.engine.device import row_reader, to_pixels
from enhance.errors import EnhanceError

CPU = torch.device("cpu")
BYTES = np.dtype("uint8")


@pytest.mark.parametrize("dtype", [BYTES, np.dtype("uint16")], ids=str)
def test_pixels_are_unchanged_after_both_transfers(dtype):
    image = np.random.default_rng(2).integers(0, np.iinfo(dtype).max, (6, 5, 3), dtype)
    rows = row_reader(image, CPU)(2, 5)
    assert rows.dtype == torch.float32
    assert np.array_equal(to_pixels(rows, dtype), image[2:5])


def test_rows_are_clipped_and_rounded():
    rows = torch.tensor([[[-0.2, 1.4, 99.6 / 255]]])
    assert to_pixels(rows, BYTES).tolist() == [[[0, 255, 100]]]


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_pixels_that_are_not_finite_are_an_error(odd):
    rows = torch.zeros(2, 2, 3)
    rows[1, 1, 1] = odd
    with pytest.raises(EnhanceError, match="infinite or undefined"):
        to_pixels(rows, BYTES)
