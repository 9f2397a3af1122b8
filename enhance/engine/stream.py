"""The row-streamed executor: a network's untiled output in memory that grows with the width, not with the height.

The picture is pushed in by strips of rows, full width. A 3x3 convolution that has rows [0, e) of its input can give
rows [0, e - 1) of its output, and the last one once the input is complete: so each layer runs one row behind its
source. Every feature map is a rolling window; rows that no consumer needs any more are dropped. No row is computed
twice and none sees less than its whole neighbourhood, so the strips' height never shows in the output.

On a processor each core takes a strip of its own through the layers, right behind the strip before it: no core waits
for another within a layer, however many there are.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from enhance.models.graphs import (
    Activate,
    Add,
    Affine,
    Conv,
    Gate,
    Graph,
    Input,
    Multiply,
    Nearest,
    Node,
    Shuffle,
    sources_of,
)
from enhance.models.memory import chunk_rows, leaders

from ..scheduler import together
from .kernels import Feed, PictureRows, Ready

Look = Callable[[], object]
"""Called before every piece of a layer, by whichever thread makes it; what it raises ends the step."""
_Rearranging = Input | Add | Multiply | Gate | Nearest | Shuffle
_Scratch = dict[torch.dtype, torch.Tensor]


class RowSource(Protocol):
    """Where the picture's rows come from, as `PictureRows` has them."""

    def rows(self, first: int, last: int) -> torch.Tensor: ...


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
                yield chunk if high - low == chunk.shape[0] else chunk[low:high]
            row += chunk.shape[0]

    def drop_before(self, row: int) -> None:
        """Forget the rows above `row`; what is left of a chunk is copied where that frees most of it."""
        while self.chunks and self.start + self.chunks[0].shape[0] <= row:
            self.start += self.chunks.pop(0).shape[0]
        if self.chunks and row > self.start:
            kept = self.chunks[0][row - self.start :]  # [n, W, C]
            if 2 * kept.shape[0] <= self.chunks[0].shape[0]:
                self.chunks[0] = kept.clone()
                self.start = row


@dataclass(eq=False)
class Strip:
    """One strip on its way through the layers, behind another: where each layer that it has passed ends with it."""

    before: Strip | None
    moved: threading.Condition
    ends: list[int] = field(default_factory=list)

    @property
    def place(self) -> int:
        """The layer that it has come to."""
        return len(self.ends)


@dataclass(eq=False)
class _Shift:
    """What the threads do in one step: bring so many strips through the last layer, and on those behind meanwhile."""

    kernels: Mapping[int, Ready]
    rows: int
    look: Look
    left: int
    taken: list[Strip] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.left <= 0


class Stream:
    """One picture on its way through one network.

    `feed(first, last)` gives the picture's rows [last - first, W, 3], float32 in 0..1 on the device. `step` moves every
    layer on by at most `rows` rows of the network's grid for each of its strips, and gives the output rows that became
    complete. A step that failed can be repeated, with fewer rows or with other kernels: nothing is lost and nothing
    done twice. `height` and `width` are then those of the grid. With `transposed` the picture's rows and columns are
    swapped.
    """

    def __init__(self, graph: Graph, height: int, width: int, feed: Feed, *, transposed: bool = False):
        self.graph = graph
        self.device = feed(0, 1).device
        picture = PictureRows(graph, height, width, feed, transposed)
        self.picture: RowSource = picture
        self.height, self.width = picture.grid
        self._transposed = transposed
        self._size = height * graph.scale, width * graph.scale
        self._costs = [cost * node.scale for cost, node in zip(graph.costs(), graph.nodes, strict=True)]
        self._all_costs = sum(c * n.scale for c, n in zip(self._costs, graph.nodes, strict=True)) * self.height
        self._windows = [Window() for _ in graph.nodes]
        self._input = next(place for place, node in enumerate(graph.nodes) if isinstance(node, Input))
        self._sources = [sources_of(node) for node in graph.nodes]
        self._readers = graph.readers()
        self._leaders = leaders(graph)
        self._underway: list[Strip] = []
        self._lock = threading.RLock()  # of the windows and the strips
        self.scratch: list[_Scratch] = []
        """The threads' assembly buffers."""

    @property
    def finished(self) -> bool:
        return self._windows[-1].end == self.height * self.graph.nodes[-1].scale

    def step(
        self, kernels: Mapping[int, Ready], rows: int, look: Look = lambda: None, strips: int = 1, rounds: int = 1
    ) -> torch.Tensor:
        """The next output rows, float32 [n, W * scale, 3] (n is 0 while the layers still fill).

        So many strips are underway at once, and so many times as many are brought to the end.
        """
        shift = _Shift(kernels, rows, look, strips * rounds)
        together(strips, lambda: self._work(shift))
        return self._collect()

    def work_done(self) -> float:
        """The share of all multiply-adds that is done, 0..1."""
        done = sum(cost * window.end for cost, window in zip(self._costs, self._windows, strict=True))
        return done / self._all_costs

    @property
    def fed(self) -> int:
        """How many rows of the picture were taken so far."""
        return self._windows[self._input].end

    def held(self, windows: Sequence[Window] | None = None) -> list[Window]:
        """The state, or that of a snapshot, as the rows that are still needed and no others: one chunk a layer."""
        windows, held = self._windows if windows is None else windows, list[Window]()
        for place, window in enumerate(windows):
            parts = list(window.parts(self._first_needed(place, windows), window.end))
            chunks = [torch.cat(parts)] if len(parts) > 1 else parts
            held.append(Window(window.end - sum(map(len, chunks)), window.end, chunks))
        return held

    def snapshot(self) -> list[Window]:
        """The state between two steps of one thread; cheap, since rows are never changed in place."""
        return [Window(window.start, window.end, list(window.chunks)) for window in self._windows]

    def restore(self, windows: list[Window]) -> None:
        self._windows = [Window(window.start, window.end, list(window.chunks)) for window in windows]
        self._underway.clear()

    def release_scratch(self) -> None:
        self.scratch.clear()

    def _work(self, shift: _Shift) -> None:
        """What each thread does: take strips through the layers until the shift is over."""
        with self._lock:
            scratch = self.scratch.pop() if self.scratch else {}
        try:
            with torch.inference_mode():
                while (strip := self._next(shift)) is not None:
                    self._carry(strip, shift, scratch)
        except BaseException:
            self._end(shift)
            raise
        finally:
            self.scratch.append(scratch)

    def _next(self, shift: _Shift) -> Strip | None:
        """The foremost strip that nobody has taken, or a new one."""
        with self._lock:
            if shift.over or self.finished:
                return None
            strip = next((one for one in self._underway if one not in shift.taken), None)
            if strip is None:
                strip = Strip(self._underway[-1] if self._underway else None, threading.Condition(self._lock))
                self._underway.append(strip)
            shift.taken.append(strip)
            return strip

    def _carry(self, strip: Strip, shift: _Shift, scratch: _Scratch) -> None:
        while strip.place < len(self._windows):
            if not self._may_go_on(strip, shift):
                return
            place = strip.place
            self._advance(place, strip, shift, scratch)
            with self._lock:
                strip.ends.append(self._windows[place].end)
                self._forget(self._sources[place])
                if strip.place == len(self._windows):
                    self._underway.remove(strip)
                    strip.before = None
                    shift.left -= 1
                    if shift.over:
                        self._wake()
                strip.moved.notify()

    def _may_go_on(self, strip: Strip, shift: _Shift) -> bool:
        """Waits until the strip before has left the layer; False where the shift is over."""
        before = strip.before
        if before is not None and before.place <= strip.place:
            with self._lock:
                before.moved.wait_for(lambda: shift.over or before.place > strip.place)
        return not shift.over

    def _end(self, shift: _Shift) -> None:
        with self._lock:
            shift.left = 0
            self._wake()

    def _wake(self) -> None:
        for strip in self._underway:
            strip.moved.notify()

    def _advance(self, place: int, strip: Strip, shift: _Shift, scratch: _Scratch) -> None:
        node, window = self.graph.nodes[place], self._windows[place]
        target = min(self._available(node, strip), window.end + shift.rows * node.scale)
        if self._leaders[place]:
            target = min(target, max(strip.ends[leader] for leader in self._leaders[place]))
        block = chunk_rows(node, shift.rows)
        while window.end < target:
            shift.look()
            first = window.end
            last = min(target, first + block)
            if isinstance(node, Conv):
                produced = self._convolve(node, shift.kernels[place], first, last, scratch)
            elif isinstance(node, Affine | Activate):
                produced = shift.kernels[place](self._take(node.source, first, last))
            else:
                produced = self._rearrange(node, first, last)
            with self._lock:
                window.push(produced)

    def _available(self, node: Node, strip: Strip) -> int:
        """How many rows of the node's output its sources allow with this strip; those behind it have no say."""
        if isinstance(node, Input):
            return self.height
        ready = min(strip.ends[source] for source in sources_of(node))
        if isinstance(node, Conv):
            complete = ready == self.height * node.scale // node.enlarge
            return (ready if complete else max(ready - node.size // 2, 0)) * node.enlarge
        return ready * node.factor if isinstance(node, Nearest | Shuffle) else ready

    def _convolve(self, node: Conv, kernel: Ready, first: int, last: int, scratch: _Scratch) -> torch.Tensor:
        height, width = self.height * node.scale // node.enlarge, self.width * node.scale // node.enlarge
        above, below = first // node.enlarge - node.size // 2, -(-last // node.enlarge) + node.size // 2
        top, bottom = max(above, 0), min(below, height)
        # [n + 2, W, in], [n, W, in] for 1x1
        rows = self._buffer(scratch, kernel.dtype, below - above, width, self.graph.taken(node))
        if above < 0:
            rows[0].zero_()
        if below > height:
            rows[-1].zero_()
        channel = 0
        for source in node.sources:
            row = top - above
            for part in self._parts(source, top, bottom):
                rows[row : row + part.shape[0], :, channel : channel + part.shape[2]].copy_(part)  # [m, W, c]
                row += part.shape[0]
            channel += self.graph.nodes[source].channels
        return kernel(rows)  # [n * enlarge, W * enlarge, out]

    def _parts(self, source: int, first: int, last: int) -> list[torch.Tensor]:
        with self._lock:
            return list(self._windows[source].parts(first, last))

    def _take(self, source: int, first: int, last: int) -> torch.Tensor:
        """A feature map's rows [first, last) as one tensor [last - first, W, C]; a view where they lie in one chunk."""
        parts = self._parts(source, first, last)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _buffer(self, scratch: _Scratch, dtype: torch.dtype, *shape: int) -> torch.Tensor:
        """A view of a thread's one assembly buffer of this precision; the same memory every time stays in the cache."""
        size = math.prod(shape)
        kept = scratch.get(dtype)
        if kept is None or kept.numel() < size:
            kept = scratch[dtype] = torch.empty(size, dtype=dtype, device=self.device)
        return kept[:size].view(shape)  # [n, W, C]

    def _rearrange(self, node: _Rearranging, first: int, last: int) -> torch.Tensor:
        if isinstance(node, Input):
            return self.picture.rows(first, last)  # [n, W, C]
        if isinstance(node, Add | Multiply | Gate):
            return self._combine(node, first, last)
        factor = node.factor
        low, high = first // factor, -(-last // factor)
        rows = self._take(node.source, low, high)  # [n, W, C], or [n, W, C * f * f] to be shuffled
        if isinstance(node, Nearest):
            rows = rows.repeat_interleave(factor, 0).repeat_interleave(factor, 1)  # [n * f, W * f, C]
        else:
            count, width, _ = rows.shape
            rows = rows.reshape(count, width, node.channels, factor, factor)  # [n, W, C, row, column]
            row, column = (4, 3) if self._transposed else (3, 4)
            rows = rows.permute(0, row, 1, column, 2)  # [n, row, W, column, C]
            rows = rows.reshape(count * factor, width * factor, node.channels)  # [n * f, W * f, C]
        return rows[first - low * factor : last - low * factor]

    def _combine(self, node: Add | Multiply | Gate, first: int, last: int) -> torch.Tensor:
        # Converted first: two precisions in one call are many times slower on a processor.
        source = self._take(node.source, first, last).float()  # [n, W, C]
        trunk = self._take(node.trunk, first, last).float()  # [n, W, C]
        if isinstance(node, Add):
            return torch.add(trunk, source, alpha=node.factor)
        if isinstance(node, Multiply):
            return trunk * source
        return source.sigmoid().sub_(0.5).mul_(trunk.add(source))

    def _forget(self, sources: Sequence[int]) -> None:
        """Let go of the rows that no reader needs any more, at once: a step's rows are many times a window's."""
        for source in sources:
            self._windows[source].drop_before(self._first_needed(source, self._windows))

    def _first_needed(self, source: int, windows: Sequence[Window]) -> int:
        """The first row of a layer that its readers' next rows look at, where the windows are these."""
        first = windows[source].end
        for reader in self._readers[source]:
            node, done = self.graph.nodes[reader], windows[reader].end
            if isinstance(node, Conv):
                done = done // node.enlarge - node.size // 2
            elif isinstance(node, Nearest | Shuffle):
                done //= node.factor
            first = min(first, done)
        return max(first, 0)

    def _collect(self) -> torch.Tensor:
        window = self._windows[-1]
        height, width = self._size
        first, last = window.start, min(window.end, height)
        rows = (
            self._take(len(self._windows) - 1, first, last)[:, :width] if first < last else torch.empty(0)
        )  # [n, W * scale, C]
        window.start, window.chunks = window.end, []
        return rows.expand(-1, -1, 3) if rows.numel() and rows.shape[2] == 1 else rows  # [n, W * scale, 3]
