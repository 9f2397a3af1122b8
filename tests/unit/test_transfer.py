"""Pixels reach a device and come back whole; a card's go on a stream of their own, and nobody reads them too early.

No card is needed for it: streams stand in that do what they are asked only when somebody waits for them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from enhance.engine import device as device_module
from enhance.engine.device import Transfer
from enhance.errors import EnhanceError

CPU = torch.device("cpu")


class LateStream:
    """A card's stream: work on it is begun when one waits for it, and never before that of the streams it waits for."""

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


class Card:
    """Its usual stream and the one that is current; `kept` are the streams that a tensor's memory is kept for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.usual = self.current = LateStream()
        self.kept: list[LateStream] = []
        monkeypatch.setattr(torch.cuda, "Stream", LateStream)
        monkeypatch.setattr(torch.cuda, "Event", LateEvent)
        monkeypatch.setattr(torch.cuda, "stream", self.on)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: self.current)
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
        monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: self.kept.append(stream))
        monkeypatch.setattr(device_module, "_pinned_like", lambda like: torch.full_like(like, 77))
        monkeypatch.setattr(torch.Tensor, "to", self.to(torch.Tensor.to))
        monkeypatch.setattr(torch.Tensor, "copy_", self.copy(torch.Tensor.copy_))

    @contextmanager
    def on(self, stream: LateStream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def to(self, really: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """To the card without waiting: what is there is nothing until the stream is finished."""

        def to(tensor: torch.Tensor, *wish: Any, non_blocking: bool = False) -> torch.Tensor:
            if not non_blocking:
                return really(tensor, *wish)
            there = torch.full_like(tensor, 77)
            self.current.work.append(lambda: there.data.copy_(tensor))
            return there

        return to

    def copy(self, really: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def copy(tensor: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
            if not non_blocking:
                return really(tensor, source)
            self.current.work.append(lambda: really(tensor, source))
            return tensor

        return copy


@pytest.fixture
def card(monkeypatch) -> Card:
    return Card(monkeypatch)


def pixels(dtype: type) -> np.ndarray:
    return np.random.default_rng(2).integers(0, np.iinfo(dtype).max, (6, 5, 3), dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_come_back_as_they_went(dtype):
    transfer, picture = Transfer(CPU, np.dtype(dtype)), pixels(dtype)

    rows = transfer.reader(picture)(2, 5)

    assert (rows.dtype, rows.shape) == (torch.float32, (3, 5, 3))
    assert np.array_equal(transfer.to_pixels(rows)(), picture[2:5])


def test_rows_beyond_the_levels_end_at_them_and_are_rounded_to_the_nearest():
    rows = torch.tensor([[-0.2, 1.4, 0.0], [99.4 / 255, 99.6 / 255, 1.0]]).unsqueeze(0)

    assert Transfer(CPU, np.dtype(np.uint8)).to_pixels(rows)().tolist() == [[[0, 255, 0], [99, 100, 255]]]


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_pixels_that_are_not_finite_are_an_error(odd):
    rows = torch.zeros(2, 2, 3)
    rows[1, 1, 1] = odd

    with pytest.raises(EnhanceError, match="infinite or undefined"):
        Transfer(CPU, np.dtype(np.uint8)).to_pixels(rows)()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_cards_pixels_are_read_when_they_have_come_and_not_before(dtype, card):
    transfer, picture = Transfer(torch.device("cuda"), np.dtype(dtype)), pixels(dtype)
    transfer._device = CPU

    part = transfer._to_device(torch.from_numpy(picture.astype(np.float32)))
    card.usual.finish()
    assert np.array_equal(part.numpy(), picture)

    arrival = transfer.to_pixels(part / np.iinfo(dtype).max)
    assert np.array_equal(arrival(), picture)


def test_a_cards_memory_is_kept_until_both_streams_are_done_with_it(card):
    transfer = Transfer(torch.device("cuda"), np.dtype(np.uint8))
    transfer._device = CPU

    rows = transfer._to_device(torch.zeros(2, 2, 3))
    assert card.kept == [card.usual]

    transfer.to_pixels(rows)
    assert card.kept[1:] == [transfer._stream] * 2


def test_what_came_from_a_card_lies_in_memory_that_the_system_may_move(card, monkeypatch):
    placed = []
    monkeypatch.setattr(device_module, "_pinned_like", lambda like: placed.append(torch.empty_like(like)) or placed[-1])
    transfer = Transfer(torch.device("cuda"), np.dtype(np.uint8))
    transfer._device = CPU

    result = transfer.to_pixels(torch.zeros(2, 2, 3))()

    assert len(placed) == 2
    assert not any(np.shares_memory(result, one.numpy()) for one in placed)
