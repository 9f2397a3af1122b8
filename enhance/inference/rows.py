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

from weights.graphs import (
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
    enlargement_of,
    sources_of,
)

from ..errors import MemoryShortError, is_memory_short
from .kernels import Ready, RowNetwork, prepare

log = logging.getLogger(__name__)

_Rearranging = Input | Add | Multiply | Gate | Nearest | Shuffle
Feed = Callable[[int, int], torch.Tensor]
"""Gives the picture's rows [first, last), [last - first, W, 3], float32 in 0..1."""
Look = Callable[[], object]
"""Called before every piece of a layer; what it raises ends the step."""
SMALLEST_STRIP = 8
_PIXELS_OF_A_THREAD = 6_144
"""A strip's share for each thread: more would leave the cache, less would be ruled by what a call costs by itself."""
_WITH_TILES = 3
"""That many times more where bf16 has matrix tiles, which need larger convolutions to be kept busy."""
_FEW_ROWS = 16
"""In wide pictures strips are no lower than this, as each convolution takes two more rows than it gives."""
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, on which networks for grey pictures are trained


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
    layer on by at most `rows` rows of the network's grid and gives the output rows that became complete. A step that
    failed can be repeated, with fewer rows or with other kernels: nothing is lost and nothing done twice. `height` and
    `width` are then those of the grid. With `transposed` the picture's rows and columns are swapped.
    """

    def __init__(self, graph: Graph, height: int, width: int, feed: Feed, *, transposed: bool = False):
        self.graph = graph
        self.device = feed(0, 1).device
        self._picture = PictureRows(graph, height, width, feed, transposed)
        self.height, self.width = self._picture.grid
        self._transposed = transposed
        self._size = height * graph.scale, width * graph.scale
        self._peaks: list[torch.Tensor] = []
        self._costs = [cost * node.scale for cost, node in zip(graph.costs(), graph.nodes, strict=True)]
        self._all_costs = sum(c * n.scale for c, n in zip(self._costs, graph.nodes, strict=True)) * self.height
        self._windows = [Window() for _ in graph.nodes]
        self._sources = [sources_of(node) for node in graph.nodes]
        self._readers = graph.readers()
        self._leaders = leaders(graph)
        self._place = 0
        self._scratch: dict[torch.dtype, torch.Tensor] = {}

    @property
    def finished(self) -> bool:
        return self._windows[-1].end == self.height * self.graph.nodes[-1].scale

    def step(self, kernels: Mapping[int, Ready], rows: int, look: Look = lambda: None) -> torch.Tensor:
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
        return done / self._all_costs

    def snapshot(self) -> list[Window]:
        """The state between two steps; cheap, since rows are never changed in place."""
        return [Window(window.start, window.end, list(window.chunks)) for window in self._windows]

    def restore(self, windows: list[Window]) -> None:
        self._windows = [Window(window.start, window.end, list(window.chunks)) for window in windows]
        self._place = 0

    def release_scratch(self) -> None:
        self._scratch.clear()

    def _advance(self, place: int, kernels: Mapping[int, Ready], rows: int, look: Look) -> None:
        node, window = self.graph.nodes[place], self._windows[place]
        target = min(self._available(node), window.end + rows * node.scale)
        if self._leaders[place]:
            target = min(target, max(self._windows[leader].end for leader in self._leaders[place]))
        block = chunk_rows(node, rows)
        while window.end < target:
            look()
            first = window.end
            last = min(target, first + block)
            if isinstance(node, Conv):
                produced = self._convolve(node, kernels[place], first, last)
            elif isinstance(node, Affine | Activate):
                produced = kernels[place](self._windows[node.source].take(first, last))
            else:
                produced = self._rearrange(node, first, last)
            window.push(produced)
            if produced.dtype == torch.float16:
                self._peaks.append(torch.linalg.vector_norm(produced, float("inf")))  # []

    def _available(self, node: Node) -> int:
        """How many rows of the node's output its sources allow by now."""
        if isinstance(node, Input):
            return self.height
        ready = min(self._windows[source].end for source in sources_of(node))
        if isinstance(node, Conv):
            complete = ready == self.height * node.scale // node.enlarge
            return (ready if complete else max(ready - node.size // 2, 0)) * node.enlarge
        return ready * node.factor if isinstance(node, Nearest | Shuffle) else ready

    def _convolve(self, node: Conv, kernel: Ready, first: int, last: int) -> torch.Tensor:
        height, width = self.height * node.scale // node.enlarge, self.width * node.scale // node.enlarge
        above, below = first // node.enlarge - node.size // 2, -(-last // node.enlarge) + node.size // 2
        top, bottom = max(above, 0), min(below, height)
        rows = self._buffer(
            kernel.dtype, below - above, width, self.graph.taken(node)
        )  # [n + 2, W, in], [n, W, in] for 1x1
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

    def _rearrange(self, node: _Rearranging, first: int, last: int) -> torch.Tensor:
        if isinstance(node, Input):
            return self._picture.rows(first, last)  # [n, W, C]
        if isinstance(node, Add | Multiply | Gate):
            return self._combine(node, first, last)
        factor = node.factor
        low, high = first // factor, -(-last // factor)
        rows = self._windows[node.source].take(low, high)  # [n, W, C], or [n, W, C * f * f] to be shuffled
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
        source = self._windows[node.source].take(first, last).float()  # [n, W, C]
        trunk = self._windows[node.trunk].take(first, last).float()  # [n, W, C]
        if isinstance(node, Add):
            return torch.add(trunk, source, alpha=node.factor)
        if isinstance(node, Multiply):
            return trunk * source
        return source.sigmoid().sub_(0.5).mul_(trunk.add(source))

    def _forget(self, sources: Sequence[int]) -> None:
        """Let go of the rows that no reader needs any more, at once: a step's rows are many times a window's."""
        for source in sources:
            self._windows[source].drop_before(min(self._first_needed(reader) for reader in self._readers[source]))

    def _first_needed(self, reader: int) -> int:
        """The first source row that the reader's next output row looks at."""
        node, done = self.graph.nodes[reader], self._windows[reader].end
        if isinstance(node, Conv):
            return done // node.enlarge - node.size // 2
        return done // node.factor if isinstance(node, Nearest | Shuffle) else done

    def _collect(self) -> torch.Tensor:
        window = self._windows[-1]
        height, width = self._size
        first, last = window.start, min(window.end, height)
        rows = window.take(first, last)[:, :width] if first < last else torch.empty(0)  # [n, W * scale, C]
        window.start, window.chunks = window.end, []
        return rows.expand(-1, -1, 3) if rows.numel() and rows.shape[2] == 1 else rows  # [n, W * scale, 3]


class PictureRows:
    """The picture as a network takes it: grey where it knows only grey, several pixels as one where it unshuffles.

    Then the picture is first continued to a multiple of those, mirrored at its last one.
    """

    def __init__(self, graph: Graph, height: int, width: int, feed: Feed, transposed: bool):
        self._feed, self._height, self._width, self._transposed = feed, height, width, transposed
        self._grey, self._fold = graph.picture_channels == 1, graph.unshuffle
        self.grid = -(-height // self._fold), -(-width // self._fold)

    def rows(self, first: int, last: int) -> torch.Tensor:
        """The rows [first, last) of the network's grid, float32 [n, W, C]."""
        if self._fold == 1:
            return self._coloured(self._feed(first, last))
        fold = self._fold
        rows = self._coloured(self._continued(first * fold, last * fold))  # [n * f, W * f, C]
        rows = rows.unflatten(0, (-1, fold)).unflatten(2, (-1, fold))  # [n, row, W, column, C]
        row, column = (3, 1) if self._transposed else (1, 3)
        return rows.permute(0, 2, 4, row, column).flatten(2)  # [n, W, C * f * f]

    def _coloured(self, rows: torch.Tensor) -> torch.Tensor:
        return rows @ rows.new_tensor(_GREY).unsqueeze(1) if self._grey else rows

    def _continued(self, first: int, last: int) -> torch.Tensor:
        parts = [self._feed(first, min(last, self._height))] if first < self._height else []
        for row in range(max(first, self._height), last):
            mirrored = _mirrored(row, self._height)
            parts.append(self._feed(mirrored, mirrored + 1))
        rows = parts[0] if len(parts) == 1 else torch.cat(parts)  # [n, W, 3]
        beyond = [_mirrored(column, self._width) for column in range(self._width, self.grid[1] * self._fold)]
        return torch.cat([rows, rows[:, beyond]], 1) if beyond else rows


def _mirrored(place: int, length: int) -> int:
    """Which pixel stands for the one at `place` beyond the last; the first one where the picture is too short."""
    return max(0, 2 * (length - 1) - place)


def leaders(graph: Graph) -> list[tuple[int, ...]]:
    """For each node those that it need not be ahead of: what comes before it wherever it is added or multiplied.

    What is quickly made from the picture, far ahead of where it is used, then waits as the picture's few channels.
    """
    found: list[tuple[int, ...]] = []
    for place, reading in enumerate(graph.readers()):
        nodes = [graph.nodes[reader] for reader in reading]
        others = [[one for one in sources_of(node) if one < place] for node in nodes]
        paired = all(isinstance(node, Add | Multiply | Gate) for node in nodes) and all(others)
        found.append(tuple(one for several in others for one in several) if paired else ())
    return found


def chunk_rows(node: Node, rows: int) -> int:
    """How many rows of a node's output are made at once in a step of `rows` rows: fewer where they are longer."""
    unit = enlargement_of(node)
    return unit * max(1, rows // node.scale // unit)


@dataclass(frozen=True)
class Threads:
    """The cores that share each step, and whether they have matrix tiles (AMX) for its precision."""

    count: int
    tiles: bool = False

    @classmethod
    def here(cls, dtype: torch.dtype) -> Threads:
        """Those of this process; only to be asked on the device's thread."""
        probe = getattr(torch.cpu, "_is_amx_tile_supported", bool)
        return cls(torch.get_num_threads(), dtype == torch.bfloat16 and bool(probe()))


def strip_rows(width: int, tile: int, device: torch.device, threads: Threads) -> int:
    """How many rows a step of a picture `width` pixels wide takes, never of more than `tile` x `tile` pixels.

    A graphics card takes as much as that; processors as much as keeps every core busy within its cache.
    """
    most = tile * tile // width
    if device.type == "cpu":
        cached = _PIXELS_OF_A_THREAD * threads.count * (_WITH_TILES if threads.tiles else 1)
        most = min(most, max(cached // width, _FEW_ROWS))
    return max(SMALLEST_STRIP, most)


class Steps:
    """One picture's steps: how high they are, and what happens when one fails."""

    def __init__(self, stream: Stream, tile: int, dtype: torch.dtype):
        self.stream, self.dtype = stream, dtype
        self.rows = strip_rows(stream.width, tile, stream.device, Threads.here(dtype))

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
