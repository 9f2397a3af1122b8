"""CUDA graphs: a step of a stream that is recorded once and replayed for the steps after it.

In the middle of an image, every step advances each layer by the same number of rows, so the operations are the same and
only the numbers differ. With inputs and outputs at fixed places, a GPU can be given all operations of a step at once.
Otherwise a fast GPU finishes each operation before Python has launched the next.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence

import torch

from enhance.models.graphs import Graph

from .kernels import Kernel
from .stream import Stream, Window

Recorder = Callable[[Callable[[], object]], Callable[[], object]]
"""Records work on tensors at fixed places, with or without doing it, and returns what repeats it."""

_TOLERANCE = 2e-3
"""Half a level of 255, absolute and relative."""


def recorder(device: torch.device) -> Recorder | None:
    """Return the recorder of a device; only CUDA has one."""
    if device.type != "cuda":
        return None

    def record(work: Callable[[], object]) -> Callable[[], object]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            work()
        return graph.replay

    return record


def all_finite(windows: Sequence[Window], rows: torch.Tensor) -> torch.Tensor:
    """Return whether a step with this state and output was finite in every layer, as a tensor of one bool.

    Values that are not finite spread to everything computed from them (except by a sigmoid, whose limit is right), and
    those that nothing was computed from are still in the windows.
    """
    waiting = [chunk for window in windows for chunk in window.chunks]
    with torch.inference_mode():
        largest = [torch.linalg.vector_norm(one, math.inf, dtype=torch.float32) for one in (*waiting, rows) if len(one)]
        return torch.stack(largest).isfinite().all()


def is_full_step(graph: Graph, before: Sequence[Window], after: Sequence[Window], rows: int) -> bool:
    """Return whether a step of `rows` rows advanced each layer by that many rows."""
    pairs = zip(after, before, graph.nodes, strict=True)
    return all(new.end - old.end == rows * node.scale for new, old, node in pairs)


class StepRows:
    """The image rows of one step, at a fixed place."""

    def __init__(self, values: torch.Tensor):
        self.values = values

    def rows(self, first: int, last: int) -> torch.Tensor:
        """Return all rows. Raises RuntimeError for a part of them."""
        if last - first != len(self.values):
            raise RuntimeError("a step does not read all of its rows at once")
        return self.values


class Replay:
    """The next step of a stream, recorded, and replayed from wherever the stream is then.

    Raises RuntimeError if it cannot be recorded, or does not advance all layers by `rows`. The stream stays as it was.
    The output of a step is overwritten by the next one.
    """

    def __init__(self, stream: Stream, kernels: Mapping[int, Kernel], rows: int, record: Recorder):
        self.rows = rows
        self._stream = stream
        self._kernel = weakref.ref(next(iter(kernels.values())))
        self._moves = [rows * node.scale for node in stream.graph.nodes]
        start, image, scratch = stream.snapshot(), stream.image, stream.scratch
        with torch.inference_mode():
            self._input = StepRows(torch.zeros_like(image.rows(stream.fed, stream.fed + rows)))
            # The rows before a step stay, as it may have to be repeated.
            self._starts = stream.held()
            self._after = [[chunk.clone() for chunk in window.chunks] for window in self._starts]
            self._before = [[chunk.clone() for chunk in chunks] for chunks in self._after]
            stream.image, stream.scratch = self._input, []
            try:
                self._replay = record(lambda: self._step(kernels))
                self._scratch = stream.scratch  # every replay writes to this memory
            finally:
                stream.image, stream.scratch = image, scratch
                stream.restore(start)

    def uses(self, kernels: Mapping[int, Kernel] | None) -> bool:
        """Return whether the recording uses these kernels."""
        return bool(kernels) and self._kernel() is next(iter(kernels.values()))

    @property
    def is_finished(self) -> bool:
        """Whether the image has too few rows left."""
        return self._stream.fed + self.rows > self._stream.height

    @property
    def is_ready(self) -> bool:
        """Whether the rows of the stream have the recorded precision, after a step that was repeated in fp32."""
        pairs = zip(self._stream.snapshot(), self._after, strict=True)
        return all(
            chunk.dtype == placed.dtype for window, after in pairs for placed in after for chunk in window.chunks
        )

    def step(self) -> torch.Tensor:
        """Return the next output rows, as `Stream.step` with one strip, and set `all_finite`."""
        stream = self._stream
        self._starts = starts = stream.held()
        with torch.inference_mode():
            for window, after in zip(starts, self._after, strict=True):
                for chunk, placed in zip(window.chunks, after, strict=True):
                    if chunk is not placed:
                        placed.copy_(chunk)
            self._input.values.copy_(stream.image.rows(stream.fed, stream.fed + self.rows))
            self._replay()
        stream.restore(self._windows(self._after, 1))
        return self.output

    def undo(self) -> None:
        """Restore the stream to before the last step."""
        self._stream.restore(self._windows(self._before, 0))

    def matches(self, rows: torch.Tensor, windows: list[Window]) -> bool:
        """Return whether the last step had this output and this state after it, except for rounding."""
        mine, theirs = self._windows(self._after, 1), self._stream.held(windows)
        pairs = [(self.output, rows)]
        for one, other in zip(mine, theirs, strict=True):
            if (one.start, one.end) != (other.start, other.end):
                return False
            pairs += zip(one.chunks, other.chunks, strict=True)
        return all(_is_close(one, other) for one, other in pairs)

    def _step(self, kernels: Mapping[int, Kernel]) -> None:
        stream = self._stream
        for before, after in zip(self._before, self._after, strict=True):
            for place, source in zip(before, after, strict=True):
                place.copy_(source)
        stream.restore(self._windows(self._before, 0))
        starts = stream.snapshot()
        self.output = stream.step(kernels, self.rows)
        ends = stream.snapshot()
        self.all_finite = all_finite(ends, self.output)
        if not is_full_step(stream.graph, starts, ends, self.rows):
            raise RuntimeError("the layers do not advance by as many rows")
        for after, window in zip(self._after, stream.held(), strict=True):
            for place, source in zip(after, window.chunks, strict=True):
                place.copy_(source)

    def _windows(self, placed: list[list[torch.Tensor]], steps: int) -> list[Window]:
        """Return the windows `steps` after the last start, with rows at their fixed places."""
        return [
            Window(window.start + steps * move, window.end + steps * move, list(chunks))
            for window, move, chunks in zip(self._starts, self._moves, placed, strict=True)
        ]


def _is_close(one: torch.Tensor, other: torch.Tensor) -> bool:
    with torch.inference_mode():
        return one.shape == other.shape and torch.allclose(
            one.float(), other.float(), rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True
        )
