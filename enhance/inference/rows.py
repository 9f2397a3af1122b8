"""The row-streamed executor: a network's untiled output in memory that grows with the width, not with the height.

The picture is pushed in by strips of rows, full width. A 3x3 convolution that has rows [0, e) of its input can give
rows [0, e - 1) of its output, and the last one once the input is complete: so each layer runs one row behind its
source. Every feature map is a rolling window; rows that no consumer needs any more are dropped. No row is computed
twice and none sees less than its whole neighbourhood, so the strips' height never shows in the output.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ..errors import MemoryShortError, is_memory_short
from .kernels import Kernel, RowNetwork, prepare
from .networks import Add, Conv, Graph, Input, Nearest, Node, Shuffle, sources_of

log = logging.getLogger(__name__)

Look = Callable[[], object]
"""Called before every piece of a layer; what it raises ends the step."""
SMALLEST_STRIP = 8
# A strip of this many pixels keeps a convolution's input in a processor's cache: larger ones are slower there.
_CACHED_PIXELS = 12_288


@dataclass
class Window:
    """The rows [start, end) of one feature map that are still needed, as consecutive chunks [n, W, C]."""

    start: int = 0
    end: int = 0
    chunks: list[torch.Tensor] = field(default_factory=list)

    def push(self, rows: torch.Tensor) -> None:
        self.chunks.append(rows)
        self.end += rows.shape[0]

    def parts(self, first: int, last: int) -> Iterator[torch.Tensor]:
        """Views that together are the rows [first, last)."""
        row = self.start
        for chunk in self.chunks:
            low, high = max(first - row, 0), min(last - row, chunk.shape[0])
            if low < high:
                yield chunk[low:high]
            row += chunk.shape[0]

    def take(self, first: int, last: int) -> torch.Tensor:
        """The rows [first, last) as one tensor; a view where they lie in one chunk."""
        parts = list(self.parts(first, last))
        return parts[0] if len(parts) == 1 else torch.cat(parts)  # [last - first, W, C]

    def drop_before(self, row: int) -> None:
        """Forget the rows above `row`; what is left of a chunk is copied where that frees most of it."""
        while self.chunks and self.start + self.chunks[0].shape[0] <= row:
            self.start += self.chunks.pop(0).shape[0]
        if self.chunks and row > self.start:
            kept = self.chunks[0][row - self.start :]  # [n, W, C]
            if 2 * kept.shape[0] <= self.chunks[0].shape[0]:
                self.chunks[0] = kept.clone()
                self.start = row


class Stream:
    """One picture on its way through one network.

    `feed(first, last)` gives the picture's rows [last - first, W, 3], float32 in 0..1 on the device. `step` moves every
    layer on by at most `rows` rows of the picture and gives the output rows that became complete. A step that failed
    can be repeated, with fewer rows or with other kernels: nothing is lost and nothing done twice.
    """

    def __init__(self, graph: Graph, height: int, width: int, feed: Callable[[int, int], torch.Tensor]):
        self.graph, self.height, self.width = graph, height, width
        self.device = feed(0, 1).device
        self._peaks: list[torch.Tensor] = []
        self._feed = feed
        self._costs = [cost * node.scale for cost, node in zip(graph.costs(), graph.nodes, strict=True)]
        self._windows = [Window() for _ in graph.nodes]
        self._sources = [sources_of(node) for node in graph.nodes]
        self._readers: list[list[int]] = [[] for _ in graph.nodes]
        for place, sources in enumerate(self._sources):
            for source in sources:
                self._readers[source].append(place)
        self._place = 0
        self._scratch: dict[torch.dtype, torch.Tensor] = {}

    @property
    def finished(self) -> bool:
        return self._windows[-1].end == self.height * self.graph.scale

    def step(self, kernels: Mapping[int, Kernel], rows: int, look: Look = lambda: None) -> torch.Tensor:
        """The next output rows, float32 [n, W * scale, 3] (n is 0 while the layers still fill)."""
        if self._place == 0:
            self._peaks = []
        while self._place < len(self._windows):
            self._advance(self._place, kernels, rows, look)
            self._forget(self._sources[self._place])
            self._place += 1
        self._place = 0
        return self._collect()

    def overflowed(self) -> bool:
        """Whether the last step left the range of fp16 somewhere; other precisions cannot."""
        return bool(self._peaks) and not torch.stack(self._peaks).isfinite().all()

    def work_done(self) -> float:
        """The share of all multiply-adds that is done, 0..1."""
        done = sum(cost * window.end for cost, window in zip(self._costs, self._windows, strict=True))
        return done / (self.graph.work * self.height)

    def snapshot(self) -> list[Window]:
        """The state between two steps; cheap, since rows are never changed in place."""
        return [Window(window.start, window.end, list(window.chunks)) for window in self._windows]

    def restore(self, windows: list[Window]) -> None:
        self._windows = [Window(window.start, window.end, list(window.chunks)) for window in windows]
        self._place = 0

    def release_scratch(self) -> None:
        self._scratch.clear()

    def _advance(self, place: int, kernels: Mapping[int, Kernel], rows: int, look: Look) -> None:
        node, window = self.graph.nodes[place], self._windows[place]
        target = min(self._available(node), window.end + rows * node.scale)
        block = max(node.enlarge if isinstance(node, Conv) else 1, rows // node.scale)
        while window.end < target:
            look()
            first = window.end
            last = min(target, first + block)
            if isinstance(node, Conv):
                produced = self._convolve(node, kernels[place], first, last)
            else:
                produced = self._rearrange(node, first, last)
            window.push(produced)
            if produced.dtype == torch.float16:
                self._peaks.append(torch.linalg.vector_norm(produced, float("inf")))  # []

    def _available(self, node: Node) -> int:
        """How many rows of the node's output its sources allow by now."""
        if isinstance(node, Input):
            return self.height
        if isinstance(node, Add):
            return min(self._windows[node.source].end, self._windows[node.trunk].end)
        if isinstance(node, Conv):
            ready = min(self._windows[source].end for source in node.sources)
            complete = ready == self.height * node.scale // node.enlarge
            return (ready if complete else max(ready - 1, 0)) * node.enlarge
        return self._windows[node.source].end * node.factor

    def _convolve(self, node: Conv, kernel: Kernel, first: int, last: int) -> torch.Tensor:
        height, width = self.height * node.scale // node.enlarge, self.width * node.scale // node.enlarge
        above, below = first // node.enlarge - 1, -(-last // node.enlarge) + 1
        top, bottom = max(above, 0), min(below, height)
        rows = self._buffer(kernel.weight.dtype, below - above, width, kernel.weight.shape[1])  # [n + 2, W, in]
        if above < 0:
            rows[0].zero_()
        if below > height:
            rows[-1].zero_()
        channel = 0
        for source in node.sources:
            row = top - above
            for part in self._windows[source].parts(top, bottom):
                rows[row : row + part.shape[0], :, channel : channel + part.shape[2]].copy_(part)  # [m, W, c]
                row += part.shape[0]
            channel += self.graph.nodes[source].channels
        return kernel(rows)  # [n * enlarge, W * enlarge, out]

    def _buffer(self, dtype: torch.dtype, *shape: int) -> torch.Tensor:
        """A view of the one assembly buffer of this precision; the same memory every time stays in the cache."""
        size = math.prod(shape)
        scratch = self._scratch.get(dtype)
        if scratch is None or scratch.numel() < size:
            scratch = self._scratch[dtype] = torch.empty(size, dtype=dtype, device=self.device)
        return scratch[:size].view(shape)  # [n, W, C]

    def _rearrange(self, node: Input | Add | Nearest | Shuffle, first: int, last: int) -> torch.Tensor:
        if isinstance(node, Input):
            return self._feed(first, last)  # [n, W, 3]
        if isinstance(node, Add):
            # Converted first: adding two precisions in one call is many times slower on a processor.
            correction = self._windows[node.source].take(first, last).float()  # [n, W, C]
            return torch.add(self._windows[node.trunk].take(first, last), correction, alpha=node.factor)  # [n, W, C]
        factor = node.factor
        low, high = first // factor, -(-last // factor)
        rows = self._windows[node.source].take(low, high)  # [n, W, C], or [n, W, C * f * f] to be shuffled
        if isinstance(node, Nearest):
            rows = rows.repeat_interleave(factor, 0).repeat_interleave(factor, 1)  # [n * f, W * f, C]
        else:
            count, width, _ = rows.shape
            rows = rows.view(count, width, node.channels, factor, factor)  # [n, W, C, row, column]
            rows = rows.permute(0, 3, 1, 4, 2)  # [n, row, W, column, C]
            rows = rows.reshape(count * factor, width * factor, node.channels)  # [n * f, W * f, C]
        return rows[first - low * factor : last - low * factor]

    def _forget(self, sources: Sequence[int]) -> None:
        """Let go of the rows that no reader needs any more, at once: a step's rows are many times a window's."""
        for source in sources:
            self._windows[source].drop_before(min(self._first_needed(reader) for reader in self._readers[source]))

    def _first_needed(self, reader: int) -> int:
        """The first source row that the reader's next output row looks at."""
        node, done = self.graph.nodes[reader], self._windows[reader].end
        if isinstance(node, Conv):
            return done // node.enlarge - 1
        return done // node.factor if isinstance(node, Nearest | Shuffle) else done

    def _collect(self) -> torch.Tensor:
        window = self._windows[-1]
        rows = window.take(window.start, window.end) if window.chunks else torch.empty(0)  # [n, W * scale, 3]
        window.start, window.chunks = window.end, []
        return rows


class Steps:
    """One picture's steps: how high they are, and what happens when one fails."""

    def __init__(self, stream: Stream, tile: int, dtype: torch.dtype):
        self.stream, self.dtype = stream, dtype
        self.rows = max(SMALLEST_STRIP, tile * tile // stream.width)
        if stream.device.type == "cpu":
            self.rows = min(self.rows, max(SMALLEST_STRIP, _CACHED_PIXELS // stream.width))

    def step(self, model: RowNetwork, look: Look = lambda: None) -> torch.Tensor:
        """The next output rows; halves the strip when memory is short, and repeats in fp32 what overflowed in fp16."""
        if self.dtype != torch.float16:
            return self._fitting_step(model, self.dtype, look)
        before = self.stream.snapshot()
        rows = self._fitting_step(model, torch.float16, look)
        if not self.stream.overflowed():
            return rows
        log.info("A step overflowed in fp16 and is repeated in fp32")
        self.stream.restore(before)
        return self._fitting_step(model, torch.float32, look)

    def _fitting_step(self, model: RowNetwork, dtype: torch.dtype, look: Look) -> torch.Tensor:
        while True:
            try:
                if dtype not in model.kernels:
                    model.kernels[dtype] = prepare(
                        model.graph, model.state, self.stream.device, dtype, transposed=model.transposed
                    )
                with torch.inference_mode():
                    return self.stream.step(model.kernels[dtype], self.rows, look)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._take_less(error)

    def _take_less(self, error: Exception) -> None:
        self.stream.release_scratch()
        if self.stream.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.rows <= SMALLEST_STRIP:
            raise MemoryShortError("memory_short") from error
        self.rows = max(SMALLEST_STRIP, self.rows // 2)
        log.info("Memory is short: going on with strips of %d rows", self.rows)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device's error says that memory is short."""
    return isinstance(error, torch.OutOfMemoryError) or is_memory_short(error)
