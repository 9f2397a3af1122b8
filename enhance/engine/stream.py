"""The row-streamed executor: a network's untiled output, in memory that grows with the width only.

The image enters by strips of rows over its full width. A 3x3 convolution that has the rows [0, e)
of its input can produce the rows [0, e - 1) of its output, and the last row once the input is
complete: each layer runs half a kernel behind its source. Every feature map is a rolling window,
whose rows are dropped when no layer needs them any more. No row is computed twice, and each sees
its whole neighbourhood, so the height of the strips changes no pixel.

On a CPU, each core computes its own strip layer by layer, behind the strip of another core. No core
waits for another within a layer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from enhance.models.graphs import Conv, Graph, Sample
from enhance.models.memory import chunk_rows, earlier_operands

from .kernels import ImageRows, Kernel, RowConvolution

Check = Callable[[], object]
"""Called on every thread before each piece of a layer; what it raises ends the step."""
Sink = Callable[[int, Tensor], object]
"""Receives the rows [n, W, C] of a feature map in order, with the number of the first; on any
thread."""
_Buffers = dict[tuple[int, torch.dtype], Tensor]
"""The memory for the input of convolutions, by the identifier of the thread and the precision."""


@dataclass
class Window:
    """The rows [start, end) of a feature map that are still needed, as consecutive chunks
    [n, W, C]."""

    start: int = 0
    end: int = 0
    chunks: list[Tensor] = field(default_factory=list)

    def push(self, rows: Tensor) -> None:
        self.chunks.append(rows)
        self.end += len(rows)

    def parts(self, first: int, last: int) -> Iterator[Tensor]:
        """Yield views that together are the rows [first, last)."""
        row = self.start
        for chunk in self.chunks:
            part = chunk[max(first - row, 0) : max(last - row, 0)]
            if len(part):
                yield part
            row += len(chunk)

    def drop_before(self, row: int) -> None:
        """Drop the rows above `row`.

        The rest of a chunk is copied if that frees most of the chunk.
        """
        while self.chunks and self.start + len(self.chunks[0]) <= row:
            self.start += len(self.chunks.pop(0))
        if self.chunks and row > self.start:
            oldest = self.chunks[0]
            rest = oldest[row - self.start :]  # [n, W, C]
            if 2 * len(rest) <= len(oldest):
                self.chunks[0] = rest.clone()
                self.start = row


@dataclass(eq=False)
class Strip:
    """A strip that is computed layer by layer, behind the strip before it."""

    ends: list[int] = field(default_factory=list)
    """Where each layer that the strip has passed ends with it."""

    @property
    def layer(self) -> int:
        """The layer that comes next."""
        return len(self.ends)


@dataclass(eq=False)
class _Step:
    """A step that threads share.

    It ends as soon as `remaining` more strips have passed the last layer. The strips behind them
    then stop between two layers, and the threads of the next step continue them.
    """

    kernels: Mapping[int, Kernel]
    rows: int
    check: Check
    remaining: int
    strips: list[Strip] = field(default_factory=list)
    """The strips that the threads of this step compute or have computed."""
    buffers: _Buffers = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.remaining <= 0


class Stream:
    """The computation of one image by one network without barriers, or by one phase of a network.

    `step` advances every layer by at most `rows` rows of the network's grid for each of its strips,
    and returns the output rows that are complete. A failed step can be repeated with fewer rows or
    other kernels: nothing is lost or computed twice.

    `maps` are the feature maps of earlier phases by the index of the nodes that read them, and
    `sinks` receive the rows of those that are computed for later phases.
    """

    def __init__(
        self,
        graph: Graph,
        image: ImageRows,
        maps: Mapping[int, Tensor],
        sinks: Mapping[int, Sequence[Sink]],
    ):
        self.graph = graph
        self._image = image
        self._maps = maps
        self._sinks = sinks
        self._heights = [node.length(image.height) for node in graph.nodes]
        self._node_work = graph.node_work()
        self._windows = [Window() for _ in graph.nodes]
        self._readers = graph.readers()
        self._earlier_operands = earlier_operands(graph)
        self._strips: list[Strip] = []
        self._changed = threading.Condition()  # guards the windows and the strips

    @property
    def finished(self) -> bool:
        ends = {len(self._windows) - 1, *self._sinks}
        return all(self._windows[index].end == self._heights[index] for index in ends)

    def step(
        self,
        kernels: Mapping[int, Kernel],
        rows: int,
        check: Check,
        strips: int,
        rounds: int,
    ) -> Tensor:
        """Return the next output rows, float32 [n, W * scale, 3]; n is 0 until the first ones are
        complete.

        `strips` threads each compute one strip at a time and complete `rounds` strips. `check` is
        called on every thread, and what it raises ends the step.
        """
        step = _Step(kernels, rows, check, strips * rounds)
        run_in_threads(strips, lambda: self._run(step))
        return self._collect()

    def work_done(self) -> float:
        """Return the share of all multiply-adds that is done, 0..1."""
        layers = zip(self._node_work, self._windows, self._heights, strict=True)
        done = sum(work * window.end / height for work, window, height in layers)
        return done / sum(self._node_work)

    def snapshot(self) -> list[Window]:
        """Return the state between two steps of one thread.

        This is cheap, since rows are never changed in place.
        """
        return [Window(window.start, window.end, list(window.chunks)) for window in self._windows]

    def restore(self, snapshot: list[Window]) -> None:
        """Return to the state of a snapshot, which cannot be used again."""
        self._windows = snapshot
        self._strips.clear()

    def _run(self, step: _Step) -> None:
        """Compute strips until the step is finished. Each thread calls this."""
        try:
            with torch.inference_mode():
                while (strip := self._next_strip(step)) is not None:
                    self._compute_strip(strip, step)
        except BaseException:
            with self._changed:
                # The other threads would wait forever for the strip that failed.
                step.remaining = 0
                self._changed.notify_all()
            raise

    def _next_strip(self, step: _Step) -> Strip | None:
        """Return the foremost strip that no thread computes, else a new one.

        The result is None at the end of the step or of the image.
        """
        with self._changed:
            if step.finished or self.finished:
                return None
            for strip in self._strips:
                if strip not in step.strips:
                    break
            else:
                strip = Strip()
                self._strips.append(strip)
            step.strips.append(strip)
            return strip

    def _can_advance(self, strip: Strip) -> bool:
        """Return whether the strip before has passed the layer that comes next."""
        place = self._strips.index(strip)
        return place == 0 or self._strips[place - 1].layer > strip.layer

    def _compute_strip(self, strip: Strip, step: _Step) -> None:
        """Compute the next layers of a strip, up to the last one or the end of the step."""
        while strip.layer < len(self._windows):
            with self._changed:
                self._changed.wait_for(lambda: step.finished or self._can_advance(strip))
            if step.finished:
                return
            layer = strip.layer
            self._advance(layer, strip, step)
            with self._changed:
                strip.ends.append(self._windows[layer].end)
                # Rows are dropped before the end of the step, because a step has many times the
                # rows of a window.
                for source in self.graph.nodes[layer].sources:
                    self._windows[source].drop_before(self._first_needed(source))
                if strip.layer == len(self._windows):
                    self._strips.remove(strip)
                    step.remaining -= 1
                self._changed.notify_all()

    def _advance(self, layer: int, strip: Strip, step: _Step) -> None:
        """Compute the rows of a layer that belong to a strip."""
        # No other strip is in this layer, so only this thread changes the end of its window.
        node = self.graph.nodes[layer]
        window = self._windows[layer]
        target = min(self._available(layer, strip), window.end + step.rows * node.scale)
        operands = self._earlier_operands[layer]
        if operands:
            # Rows that are needed much later are computed late, and not kept until then.
            needed = max(strip.ends[operand.node] + operand.ahead for operand in operands)
            target = min(target, needed)
        block = chunk_rows(node, step.rows)
        while window.end < target:
            step.check()
            first = window.end
            last = min(target, first + block)
            produced = self._compute(layer, first, last, step)
            for sink in self._sinks.get(layer, ()):
                sink(first, produced)
            with self._changed:
                window.push(produced)
                if layer in self._sinks and not self._readers[layer]:
                    window.drop_before(window.end)  # Only later phases read these rows.

    def _available(self, layer: int, strip: Strip) -> int:
        """Return how many rows of output can be computed from the sources up to this strip, without
        later strips."""
        node = self.graph.nodes[layer]
        height = self._heights[layer]
        if not node.sources:
            return height
        ready = min(strip.ends[source] for source in node.sources)
        if ready == self._heights[node.sources[0]]:  # The rows beyond the lower edge are zeros.
            return height
        return min(node.rows_from(ready), height)

    def _compute(self, layer: int, first: int, last: int, step: _Step) -> Tensor:
        """Return the rows [first, last) of a layer, [n, W, C]."""
        node = self.graph.nodes[layer]
        if layer in self._maps:
            return self._maps[layer][first:last].to(self._image.device)
        if not node.sources:
            return self._image.rows(first, last)
        kernel = step.kernels[layer]
        if isinstance(node, Conv):
            return self._convolve(node, cast(RowConvolution, kernel), first, last, step.buffers)
        if isinstance(node, Sample):
            return self._sample(node, kernel, first, last)
        low, high = node.source_rows(first, last)
        rows = kernel(*[self._rows(source, low, high) for source in node.sources])
        start = first % node.enlarge  # `first` can lie between two rows of the source.
        return rows[start : start + last - first]

    def _convolve(
        self,
        node: Conv,
        kernel: RowConvolution,
        first: int,
        last: int,
        buffers: _Buffers,
    ) -> Tensor:
        source = self.graph.nodes[node.sources[0]]
        height = self._heights[node.sources[0]]
        width = source.length(self._image.width)
        low, high = node.source_rows(first, last)
        top = max(low, 0)
        bottom = min(high, height)
        # [n + k - 1, W, in], with the padding above and below. The kernel pads the columns.
        shape = high - low, width, self.graph.input_channels(node)
        # A thread uses the same memory for all layers, because it stays in the cache of its core.
        key = threading.get_ident(), kernel.dtype
        if key not in buffers:
            buffers[key] = torch.empty(0, dtype=kernel.dtype, device=self._image.device)
        rows = buffers[key].resize_(shape)  # It keeps the memory of larger shapes.
        rows[: top - low].zero_()
        rows[bottom - low :].zero_()
        channel = 0
        for index in node.sources:
            count = node.part or self.graph.nodes[index].channels
            parts = [part[..., :count] for part in self._parts(index, top, bottom)]
            torch.cat(parts, out=rows[top - low : bottom - low, :, channel : channel + count])
            channel += count
        convolved = kernel(rows)  # [n * enlarge, W * enlarge, out]
        if not node.part:
            return convolved
        others = self._rows(node.sources[0], first, last)[..., node.part :]
        return torch.cat([convolved, others.to(kernel.dtype)], 2)

    def _parts(self, source: int, first: int, last: int) -> list[Tensor]:
        with self._changed:
            return list(self._windows[source].parts(first, last))

    def _rows(self, source: int, first: int, last: int) -> Tensor:
        """Return the rows [first, last) of a feature map as one tensor [n, W, C].

        It is a view if they lie in one chunk.
        """
        parts = self._parts(source, first, last)
        if len(parts) == 1:
            return parts[0]
        return torch.cat(parts)

    def _sample(self, node: Sample, kernel: Kernel, first: int, last: int) -> Tensor:
        """Return samples of a stored feature map [H, W, C] at the positions of the second source.

        Only the rows that contain the samples are read.
        """
        values, offsets = node.sources
        source = self._maps[values]
        height, width, _ = source.shape
        low, high = node.source_rows(first, last)
        # Offsets from each pixel, [g, n, f, W, f] each.
        x, y = kernel(self._rows(offsets, low, high))
        x = x + torch.arange(width, device=x.device).view(-1, 1)
        x = x.clamp(0, width - 1)
        y = y + torch.arange(low, high, device=y.device).view(-1, 1, 1, 1)
        y = y.clamp(0, height - 1)
        top = int(y.min())
        bottom = min(int(y.max()) + 2, height)  # A sample lies between a row and the next.
        part = source[top:bottom].to(x.device).float()  # [n, W, C]
        part = part.unflatten(2, (node.groups, -1)).permute(2, 3, 0, 1)  # [g, C / g, n, W]
        # The coordinates of `grid_sample` are -1 and 1 at the outer edges of the part.
        x = (2 * x + 1) / width - 1
        y = (2 * (y - top) + 1) / (bottom - top) - 1
        grid = torch.stack([x, y], -1).view(node.groups, -1, width * node.enlarge, 2)
        sampled = F.grid_sample(part, grid, padding_mode="border", align_corners=False)
        rows = sampled.flatten(0, 1).permute(1, 2, 0)  # [n * f, W * f, C]
        start = first % node.enlarge
        return rows[start : start + last - first]

    def _first_needed(self, source: int) -> int:
        """Return the first row of a layer that the next rows of its readers depend on."""
        needed = self._windows[source].end
        for reader in self._readers[source]:
            end = self._windows[reader].end
            row, _ = self.graph.nodes[reader].source_rows(end, end)
            needed = min(needed, row)
        return max(needed, 0)

    def _collect(self) -> Tensor:
        window = self._windows[-1]
        width, height = self._image.output_size
        first = window.start
        last = min(window.end, height)  # The grid can extend beyond the image.
        rows = torch.empty(0, width, 3)
        if first < last:
            rows = self._rows(len(self._windows) - 1, first, last)[:, :width]
        window.drop_before(window.end)
        return rows.expand(-1, -1, 3)  # grey to RGB; [n, W * scale, 3]


def run_in_threads(count: int, work: Callable[[], object]) -> None:
    """Run `work` in this thread and `count` - 1 others, each with its share of PyTorch's cores.

    Raises the exception of any thread.
    """
    cores = torch.get_num_threads()
    others: list[Future] = []

    def run() -> None:
        torch.set_num_threads(max(1, cores // count))
        work()

    try:
        with ThreadPoolExecutor(count, "enhance-core") as pool:
            with suppress(RuntimeError):  # the system has no more threads: fewer do the work
                for _ in range(count - 1):
                    others.append(pool.submit(run))
            run()
    finally:
        torch.set_num_threads(cores)  # A thread that sets it also sets it for its caller.
    for future in others:
        future.result()
