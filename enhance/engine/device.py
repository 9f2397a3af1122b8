"""A device: which one, its precision, and what it needs beside the network.

That is pixels to it and back, how much of its memory is free, and steps that are replayed.

In the middle of a picture every layer moves on by as many rows in each step, so that a step does the same to other
numbers. What it takes and what it leaves can lie at fixed places then, and a graphics card be told all of it at once: a
quick one is otherwise done with each operator before Python has named the next.
"""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from enhance.models.graphs import Graph

from ..errors import EnhanceError, SettingsError
from ..scheduler import SCHEDULER
from .kernels import Feed, Ready
from .stream import Stream, Window

log = logging.getLogger(__name__)

Arrival = Callable[[], np.ndarray]
"""Waits for pixels that are on their way; on any thread."""
Again = Callable[[], object]
Record = Callable[[Callable[[], object]], Again]
"""Takes work on tensors of fixed places, whether it does it or not, and gives what does it again."""

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_TYPES = ("cpu", "cuda", "mps")
_WORTH_ROUNDING = 1.2
"""So many times as quick bf16 has to be. Made for it, a processor is twice as quick, with matrix tiles six times."""
_TRIED_BATCH, _TRIED_WEIGHT, _TRIED_TIMES = (1, 66, 130, 64), (32, 3, 3, 64), 25
_AS_GOOD_AS = 2e-3
"""Half a level of 255: of values about 1, and as a share of larger ones."""
_SHARE_OF_FREE_MEMORY = 0.8
"""Of a card's: what is counted is not all that its libraries take."""


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` takes CUDA, then Apple's MPS, then the processor.

    Raises SettingsError for a device that this machine or this build of PyTorch does not have.
    """
    return SCHEDULER.call(lambda: _find_device(name))


def _find_device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in _TYPES:
            raise ValueError(f"{name} computes nothing")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise SettingsError("device_missing", device=name) from error
    return device


def check_precision(name: str) -> None:
    """Raises SettingsError unless `name` is auto or a precision."""
    if name not in (*PRECISIONS, "auto"):
        raise SettingsError("precision_unknown", precision=name, known=", ".join(PRECISIONS))


def pick_precision(name: str, device: torch.device, bits: int = 8, supported: Collection[str] = PRECISIONS) -> str:
    """`fp32`, `bf16` or `fp16`: the fastest that leaves no visible trace on a picture of `bits` bits a channel.

    `supported` are those that the network declares: another one gives way to fp32.
    """
    if bits > 8:
        return "fp32"
    if name == "auto":
        fast = {"cuda": "fp16", "cpu": "bf16"}.get(device.type, "fp32")
        name = "fp32" if device.type == "cpu" and not _bf16_pays() else fast
    return name if name in supported else "fp32"


@cache
def _bf16_pays() -> bool:
    """Whether the processor multiplies bfloat16 by itself, and so much sooner than float32 that it is worth rounding.

    Some have an instruction for it that takes twice as long: Xeons on which the matrix tiles are out of reach.
    """
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")

    def pays() -> bool:
        if not any(getattr(torch.cpu, probe, bool)() for probe in probes):
            return False
        single, short = _convolution_seconds(torch.float32, torch.bfloat16)
        log.info("A convolution takes %.2f ms at fp32 and %.2f ms at bf16", 1e3 * single, 1e3 * short)
        return single > _WORTH_ROUNDING * short

    return SCHEDULER.call(pays)


def _convolution_seconds(*dtypes: torch.dtype) -> list[float]:
    """How long one takes that is usual for these networks, by turns in each precision: the quickest time of each."""
    batches = {dtype: torch.zeros(_TRIED_BATCH, dtype=dtype).permute(0, 3, 1, 2) for dtype in dtypes}
    weights = {dtype: torch.zeros(_TRIED_WEIGHT, dtype=dtype).permute(0, 3, 1, 2) for dtype in dtypes}
    took = dict.fromkeys(dtypes, math.inf)
    with torch.inference_mode():
        for dtype in dtypes * _TRIED_TIMES:
            started = time.perf_counter()
            F.conv2d(batches[dtype], weights[dtype])
            took[dtype] = min(took[dtype], time.perf_counter() - started)
    return [took[dtype] for dtype in dtypes]


class Transfer:
    """The pixels of one picture of 8 or 16 bits to the device and back; only to be used on its thread.

    Those of a graphics card go by memory that stays in its place, on a stream of their own: it computes meanwhile.
    """

    def __init__(self, device: torch.device, dtype: np.dtype):
        self._device, self._dtype, self._levels = device, dtype, np.iinfo(dtype).max
        self._stream: Any = torch.cuda.Stream(device) if device.type == "cuda" else None

    def feed(self, picture: np.ndarray) -> Feed:
        """What gives the rows of the picture [H, W, 3] to the network."""

        def rows(first: int, last: int) -> torch.Tensor:
            small = np.uint8 if self._levels == 255 else np.float32  # not every device knows uint16
            part = torch.from_numpy(np.array(picture[first:last], dtype=small, order="C"))
            return self._to_device(part).to(torch.float32).div_(self._levels)

        return rows

    def to_pixels(self, rows: torch.Tensor) -> Arrival:
        """Rows in 0..1, each rounded to the nearest level, on their way; the rows may be overwritten then.

        Where one is not finite, the arrival raises EnhanceError.
        """
        scaled = rows.clamp(0, 1).mul_(self._levels).round_()
        whole = scaled.to(torch.uint8 if self._levels == 255 else torch.int32)
        arrived = self._to_host(whole, torch.isfinite(rows).all())

        def arrive() -> np.ndarray:
            pixels, finite = arrived()
            if not finite:
                raise EnhanceError("not_finite")
            return pixels.astype(self._dtype, copy=self._stream is not None)  # memory in its place is scarce

        return arrive

    def _to_device(self, part: torch.Tensor) -> torch.Tensor:
        if self._stream is None:
            return part.to(self._device)
        with torch.cuda.stream(self._stream):
            there = part.pin_memory().to(self._device, non_blocking=True)
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        there.record_stream(current)
        return there

    def _to_host(self, *made: torch.Tensor) -> Callable[[], Sequence[np.ndarray]]:
        if self._stream is None:
            here = [one.cpu().numpy() for one in made]
            return lambda: here
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            placed = [_in_place(one).copy_(one, non_blocking=True) for one in made]
            arrived = torch.cuda.Event()
            arrived.record(self._stream)
        for one in made:
            one.record_stream(self._stream)

        def arrive() -> Sequence[np.ndarray]:
            arrived.synchronize()
            return [one.numpy() for one in placed]

        return arrive


def _in_place(like: torch.Tensor) -> torch.Tensor:
    """Memory of the host that the system leaves in its place, which a card copies to by itself."""
    return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)


def free_memory(device: torch.device) -> float:
    """The bytes that a strip may take on a graphics card; without limit elsewhere, where one only learns by trying."""
    if device.type != "cuda":
        return math.inf
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by PyTorch, for the next tensors
    return _SHARE_OF_FREE_MEMORY * (torch.cuda.mem_get_info(device)[0] + kept)


def recorder(device: torch.device) -> Record | None:
    """What records work on this device, None where nothing can."""
    if device.type != "cuda":
        return None

    def record(work: Callable[[], object]) -> Again:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            work()
        return graph.replay

    return record


def all_finite(windows: Sequence[Window], rows: torch.Tensor) -> torch.Tensor:
    """Whether a step that left these windows and gave `rows` was finite in every layer, bool [].

    What is not finite makes all that is made of it so too (but for a sigmoid, whose limit is right), and what nothing
    has been made of yet waits.
    """
    waiting = [chunk for window in windows for chunk in window.chunks]
    with torch.inference_mode():
        largest = [torch.linalg.vector_norm(one, math.inf, dtype=torch.float32) for one in (*waiting, rows) if len(one)]
        return torch.stack(largest).isfinite().all()


def moved_evenly(graph: Graph, before: Sequence[Window], after: Sequence[Window], rows: int) -> bool:
    """Whether each layer has as many rows more as a step of `rows` rows brings at most."""
    pairs = zip(after, before, graph.nodes, strict=True)
    return all(new.end - old.end == rows * node.scale for new, old, node in pairs)


class OrderedRows:
    """The picture's rows of one step, at a fixed place; whatever they are."""

    def __init__(self, values: torch.Tensor):
        self.values = values

    def rows(self, first: int, last: int) -> torch.Tensor:
        """As `PictureRows.rows`; raises RuntimeError for other than all of them."""
        if last - first != len(self.values):
            raise RuntimeError("a step does not take all of its rows at once")
        return self.values


class Replay:
    """The next step of a stream, recorded, and done again from wherever the stream is.

    Raises RuntimeError where it cannot be recorded, or where the layers do not all move on by `rows`. The stream is
    left as it was. What a step gives is overwritten by the next one.
    """

    def __init__(self, stream: Stream, kernels: Mapping[int, Ready], rows: int, record: Record):
        self.rows = rows
        self._stream = stream
        self._kernel = weakref.ref(next(iter(kernels.values())))
        self._moves = [rows * node.scale for node in stream.graph.nodes]
        start, picture, scratch = stream.snapshot(), stream.picture, stream.scratch
        with torch.inference_mode():
            self._placed = OrderedRows(torch.zeros_like(picture.rows(stream.fed, stream.fed + rows)))
            # where a step begins, and where it ends: the rows before it are still there when it has to be repeated
            self._starts = stream.held()
            self._after = [[chunk.clone() for chunk in window.chunks] for window in self._starts]
            self._before = [[chunk.clone() for chunk in chunks] for chunks in self._after]
            stream.picture, stream.scratch = self._placed, []
            try:
                self._again = record(lambda: self._step(kernels))
                self._scratch = stream.scratch  # its memory is written to again with each step
            finally:
                stream.picture, stream.scratch = picture, scratch
                stream.restore(start)

    def is_of(self, kernels: Mapping[int, Ready] | None) -> bool:
        """Whether it runs these very kernels."""
        return bool(kernels) and self._kernel() is next(iter(kernels.values()))

    @property
    def is_over(self) -> bool:
        """Whether the picture has not enough rows left, and will not have."""
        return self._stream.fed + self.rows > self._stream.height

    @property
    def serves(self) -> bool:
        """Whether it does the next step, if it is not over: rows of another precision have to be gone."""
        pairs = zip(self._stream.snapshot(), self._after, strict=True)
        return all(
            chunk.dtype == placed.dtype for window, after in pairs for placed in after for chunk in window.chunks
        )

    def step(self) -> torch.Tensor:
        """The next output rows, as `Stream.step` gives them with one strip; `all_finite` is then of that step."""
        stream = self._stream
        self._starts = starts = stream.held()
        with torch.inference_mode():
            for window, after in zip(starts, self._after, strict=True):
                for chunk, placed in zip(window.chunks, after, strict=True):
                    if chunk is not placed:
                        placed.copy_(chunk)
            self._placed.values.copy_(stream.picture.rows(stream.fed, stream.fed + self.rows))
            self._again()
        stream.restore(self._windows(self._after, 1))
        return self.output

    def undo(self) -> None:
        """Have the stream as it was before the last step."""
        self._stream.restore(self._windows(self._before, 0))

    def gave(self, rows: torch.Tensor, windows: list[Window]) -> bool:
        """Whether the last step gave these rows, and left these windows, but for rounding."""
        mine, theirs = self._windows(self._after, 1), self._stream.held(windows)
        pairs = [(self.output, rows)]
        for one, other in zip(mine, theirs, strict=True):
            if (one.start, one.end) != (other.start, other.end):
                return False
            pairs += zip(one.chunks, other.chunks, strict=True)
        return all(_as_good_as(one, other) for one, other in pairs)

    def _step(self, kernels: Mapping[int, Ready]) -> None:
        stream = self._stream
        for before, after in zip(self._before, self._after, strict=True):
            for place, source in zip(before, after, strict=True):
                place.copy_(source)
        stream.restore(self._windows(self._before, 0))
        starts = stream.snapshot()
        self.output = stream.step(kernels, self.rows)
        ends = stream.snapshot()
        self.all_finite = all_finite(ends, self.output)
        if not moved_evenly(stream.graph, starts, ends, self.rows):
            raise RuntimeError("the layers do not move on by as many rows")
        for after, window in zip(self._after, stream.held(), strict=True):
            for place, source in zip(after, window.chunks, strict=True):
                place.copy_(source)

    def _windows(self, placed: list[list[torch.Tensor]], steps: int) -> list[Window]:
        """The windows `steps` after the last start, whose rows lie where they are placed."""
        return [
            Window(window.start + steps * move, window.end + steps * move, list(chunks))
            for window, move, chunks in zip(self._starts, self._moves, placed, strict=True)
        ]


def _as_good_as(one: torch.Tensor, other: torch.Tensor) -> bool:
    with torch.inference_mode():
        return one.shape == other.shape and torch.allclose(
            one.float(), other.float(), rtol=_AS_GOOD_AS, atol=_AS_GOOD_AS, equal_nan=True
        )
