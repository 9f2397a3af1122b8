"""How long a network takes on this machine, before it ran and while it does, and how much memory."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod

import torch

from weights.graphs import Conv, Graph, Input, Node, enlargement_of, sources_of

from ..settings import Recipe
from . import known_graph
from .kernels import RowNetwork
from .rows import Steps, Stream, chunk_rows, leaders
from .turns import DEVICE_THREAD, Turn

_TRIAL_SIZE = 96, 256
"""Height and width of a trial, in pixels of what the node takes: a few of the strips that a run is made of."""
_TRIAL_TIMES = 3
_REMEMBERED_SECONDS = 60.0
"""How much earlier work speaks for a speed: a machine that gets busy is believed within a minute of work."""
_EXPECTED_SECONDS = 3.0
"""How many seconds of work what was expected of a run counts for while it goes on."""


@dataclass(frozen=True)
class Pace:
    """How long a network took: the seconds a pixel of the picture, and the seconds of work that speak for them."""

    graph: Graph
    pixel: float
    known: float = 0.0


class Speedometer:
    """How long networks take on one device: as long as they took, or as their nodes take, tried one by one.

    The trials have the device to themselves, so what never ran is expected to take as much longer than its nodes as
    what ran did.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._paces: dict[tuple[str, torch.dtype], Pace] = {}
        self._trials: dict[tuple[Node, int, torch.dtype], float] = {}
        self._lock = threading.Lock()

    def record(self, model: str, dtype: torch.dtype, pixels: float, seconds: float) -> None:
        """Remember that `pixels` pixels of a picture took `seconds`; each second counts, the last minute's most."""
        if seconds <= 0 or pixels <= 0:
            return
        now = Pace(known_graph(model), seconds / pixels)
        with self._lock:
            before = self._paces.get((model, dtype), now)
            known = before.known + seconds
            pixel = known / (before.known / before.pixel + pixels)
            self._paces[model, dtype] = replace(now, pixel=pixel, known=min(known, _REMEMBERED_SECONDS))

    def seconds(self, model: str, dtype: torch.dtype, pixels: float) -> float:
        """How long a picture of `pixels` pixels takes the network called `model`."""
        with self._lock:
            own = self._paces.get((model, dtype))
            others = [pace for (_, kind), pace in self._paces.items() if kind == dtype]
        if own is not None:
            return own.pixel * pixels
        took = sum(pace.known for pace in others)
        tried = sum(pace.known / pace.pixel * self._by_nodes(pace.graph, dtype) for pace in others)
        return self._by_nodes(known_graph(model), dtype) * pixels * (took / tried if others else 1.0)

    def _by_nodes(self, graph: Graph, dtype: torch.dtype) -> float:
        """The seconds a pixel of the picture, as the sum of what the network's nodes take by themselves."""
        alone = Counter((*_alone(graph, node), node.scale) for node in graph.nodes if not isinstance(node, Input))
        for node, taken, _ in alone:
            if (node, taken, dtype) not in self._trials:
                seconds = DEVICE_THREAD.do(
                    lambda node=node, taken=taken: self._try(node, taken, dtype), Turn(urgent=True)
                )
                self._trials[node, taken, dtype] = seconds
        every = sum(
            count * scale**2 * self._trials[node, taken, dtype] for (node, taken, scale), count in alone.items()
        )
        return every / graph.unshuffle**2

    def _try(self, node: Node, taken: int, dtype: torch.dtype) -> float:
        """The seconds for a pixel that the node gives, as the executor runs it over `taken` channels."""
        graph = Graph(nodes=[Input(taken), node])
        weights = {name: torch.zeros(shape) for name, shape in graph.shapes().items()}
        network = RowNetwork(Recipe("trial"), False, graph, weights, {})
        height, width = _TRIAL_SIZE
        kept = dtype if isinstance(node, Conv) and not node.precise else torch.float32
        rows = torch.zeros(height, width, taken if taken > 1 else 3, dtype=kept, device=self._device)

        def feed(first: int, last: int) -> torch.Tensor:
            return rows[first:last]

        def run() -> float:
            started, steps = time.perf_counter(), Steps(Stream(graph, height, width, feed), 192, dtype)
            while not steps.stream.finished:
                steps.step(network).flatten()[:1].tolist()  # a graphics card has only been asked until it is read
            return time.perf_counter() - started

        return min(run() for _ in range(_TRIAL_TIMES)) / (height * width * node.scale**2)


class Clock:
    """Turns the share of the work that is done into rows and seconds left.

    What was expected counts like some seconds of work, so that the first steps, slow or quick, do not rule the rest.
    """

    def __init__(self, rows: int, expected: float):
        self._rows, self._expected = rows, max(expected, 1e-3)
        self._weight = min(_EXPECTED_SECONDS, self._expected / 3)
        self._started = time.perf_counter()

    def read(self, share: float) -> tuple[int, int, float | None]:
        elapsed = time.perf_counter() - self._started
        whole = (elapsed + self._weight) / (share + self._weight / self._expected)
        return min(self._rows, int(share * self._rows + 1e-6)), self._rows, whole * (1 - share)


def stream_bytes(graph: Graph, width: int, rows: int, dtype: torch.dtype) -> int:
    """The most that a stream holds at once of a picture `width` pixels wide, by strips of `rows` rows.

    A row waits in its feature map until the last reader has passed it, which runs half a kernel behind; what a strip
    brings waits for its readers within the step.
    """
    row = [width * node.scale * node.channels * _bytes(node, dtype) for node in graph.nodes]  # of each feature map
    strip = [rows * node.scale * size for node, size in zip(graph.nodes, row, strict=True)]
    waiting = sum(
        size * _in_chunks(count, chunk_rows(node, rows))
        for count, size, node in zip(_rows_kept(graph), row, graph.nodes, strict=True)
    )
    last_reader = {source: place for place, node in enumerate(graph.nodes) for source in sources_of(node)}
    let_go = [sum(strip[source] for source in last_reader if last_reader[source] == place) for place in range(len(row))]
    held = accumulate(new - gone for new, gone in zip(strip, [0, *let_go], strict=False))
    return int(waiting + max(held)) + _buffer_bytes(graph, width, rows, dtype)


def _in_chunks(count: float, chunk: int) -> float:
    """The rows that are kept where the last `count` are needed: the oldest chunk is cut only where half of it goes."""
    whole, rest = divmod(count, chunk)
    return whole * chunk + (chunk if 2 * rest > chunk else rest)


def weight_bytes(graph: Graph, dtype: torch.dtype) -> int:
    """The size of a network in memory: its weights as they came, and those made ready to run."""
    return sum(prod(shape) for shape in graph.shapes().values()) * (torch.float32.itemsize + dtype.itemsize)


def _rows_kept(graph: Graph) -> list[float]:
    """How many rows of each node's output wait between two steps for a reader."""
    behind, kept, led = [0.0] * len(graph.nodes), [0.0] * len(graph.nodes), leaders(graph)
    for place, node in enumerate(graph.nodes):
        factor = enlargement_of(node)
        half = node.size // 2 if isinstance(node, Conv) else 0
        needs = max((behind[source] for source in sources_of(node)), default=0.0) + half
        behind[place] = max([needs * factor, *([min(behind[one] for one in led[place])] if led[place] else [])])
        for source in sources_of(node):
            kept[source] = max(kept[source], behind[place] / factor + half - behind[source])
    return kept


def _buffer_bytes(graph: Graph, width: int, rows: int, dtype: torch.dtype) -> int:
    """The size of the buffers that the convolutions' input is assembled in, one for each precision."""
    sizes: dict[int, int] = {}
    for node in graph.nodes:
        if isinstance(node, Conv):
            size = (rows + 2) * width * (node.scale // node.enlarge) * graph.taken(node) * _bytes(node, dtype)
            sizes[_bytes(node, dtype)] = max(sizes.get(_bytes(node, dtype), 0), size)
    return sum(sizes.values())


def _bytes(node: Node, dtype: torch.dtype) -> int:
    return dtype.itemsize if isinstance(node, Conv) and not node.precise else torch.float32.itemsize


def _alone(graph: Graph, node: Node) -> tuple[Node, int]:
    """The node as it is when all that it takes comes from one source, and the channels of that source."""
    if isinstance(node, Conv):
        slopes = node.activation and replace(node.activation, slopes=node.activation.slopes and "slopes")
        return replace(node, sources=(0,), name="trial", scale=node.enlarge, activation=slopes), graph.taken(node)
    blank = {name: 0 for name in ("source", "trunk") if hasattr(node, name)}
    blank |= {name: name for name in ("gain", "shift") if isinstance(getattr(node, name, None), str)}
    return replace(node, scale=enlargement_of(node), **blank), graph.nodes[sources_of(node)[0]].channels
