"""Estimates of the memory of a streamed network from its graph, and parts of an image that fit into
memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from math import prod
from operator import mul

from .graphs import Add, Conv, Gate, Graph, Multiply, Node, value_bytes
from .phases import split

_LEAST_PART = 2
"""Height of the smallest part in receptive radii, so that at most half of the rows are computed
twice."""


@dataclass(frozen=True)
class ImagePart:
    """A part of an image: its own rows [first, last), and the rows [top, bottom) that they depend
    on."""

    first: int
    last: int
    top: int
    bottom: int

    @property
    def height(self) -> int:
        """The number of rows that the part depends on."""
        return self.bottom - self.top


@dataclass(frozen=True)
class EarlierOperand:
    """A node, and by how many rows another node can be `ahead` of it at most."""

    node: int
    ahead: int


def stream_bytes(graph: Graph, width: int, rows: int, bytes_each: int, strips: int = 1) -> int:
    """Return the peak memory of streaming an image `width` pixels wide, with `strips` strips of
    `rows` rows at once.

    A row stays in its feature map until the last reader, which runs half a kernel behind, has
    passed it. The output of a node for a strip stays until its readers have run in the same step.
    One strip is at its peak, the others at their average over time. Of a network with barriers,
    this is the phase that needs most, without the stored feature maps.
    """
    phases, _ = split(graph)
    return max(_phase_bytes(phase.graph, width, rows, bytes_each, strips) for phase in phases)


def _phase_bytes(graph: Graph, width: int, rows: int, bytes_each: int, strips: int) -> int:
    """Return the peak memory of a network without barriers, as `stream_bytes` describes it."""
    readers = graph.readers()
    between_steps = 0.0
    produced: list[int] = []  # the bytes that a step computes of each feature map
    unread = 0
    in_step: list[int] = []  # the bytes that are not read yet while each node runs
    windows = zip(graph.nodes, _window_rows(graph), strict=True)
    for index, (node, window_rows) in enumerate(windows):
        row_bytes = node.length(width) * node.channels * value_bytes(node, bytes_each)
        between_steps += row_bytes * _rows_in_memory(window_rows, chunk_rows(node, rows))
        produced.append(rows * node.scale * row_bytes)
        unread += produced[index]
        in_step.append(unread)
        # A source is needed until the output of its last reader exists.
        for source in set(node.sources):
            if max(readers[source]) == index:
                unread -= produced[source]
    times = graph.node_work()
    average = sum(map(mul, in_step, times)) / (sum(times) or 1)
    buffers = strips * _buffer_bytes(graph, width, rows, bytes_each)
    return int(between_steps + max(in_step) + (strips - 1) * average + buffers)


def _window_rows(graph: Graph) -> list[float]:
    """Return how many rows of each node's output are needed between two steps."""
    windows = [0.0] * len(graph.nodes)
    delays: list[float] = []  # how many of its rows each node is behind the image
    for node, operands in zip(graph.nodes, earlier_operands(graph), strict=True):
        source_delay = max((delays[source] for source in node.sources), default=0.0)
        ratio = node.enlarge / node.reduction  # the rows of output for each row of the sources
        delay = (source_delay + node.radius + node.skipped) * ratio
        if operands:
            allowed = min(delays[operand.node] - operand.ahead for operand in operands)
            delay = max(delay, allowed)
        delays.append(delay)
        for source in node.sources:
            behind = delay / ratio - delays[source]
            windows[source] = max(windows[source], behind + node.radius - node.skipped)
    return windows


def _rows_in_memory(needed: float, chunk: int) -> float:
    """Return how many rows are in memory, in chunks of `chunk` rows, if the last `needed` are
    needed.

    The oldest chunk is whole until at most half of it is needed, and then only the needed rows are
    copied.
    """
    of_oldest = needed % chunk
    complete = needed // chunk * chunk
    if of_oldest > chunk / 2:
        return complete + chunk
    return complete + of_oldest


def _buffer_bytes(graph: Graph, width: int, rows: int, bytes_each: int) -> int:
    """Return the size of the buffers for the input of convolutions, one for each precision."""
    sizes: dict[int, int] = {}
    for node in graph.nodes:
        if isinstance(node, Conv):
            each = value_bytes(node, bytes_each)
            columns = node.length(width) // node.enlarge
            values = (rows + 2 * node.radius) * columns * graph.input_channels(node)
            sizes[each] = max(sizes.get(each, 0), values * each)
    return sum(sizes.values())


def weight_bytes(graph: Graph, bytes_each: int) -> int:
    """Return the memory of the weights: as loaded in float32, and as prepared with `bytes_each` for
    each value."""
    return sum(prod(shape) for shape in graph.shapes().values()) * (4 + bytes_each)


def divide_to_fit(
    graph: Graph,
    rows: int,
    across: int,
    bytes_of: Callable[[int], int],
    room: float,
) -> list[ImagePart]:
    """Return the fewest parts of an image of `rows` rows that fit into `room` bytes when they are
    streamed along their borders.

    Return no parts if the whole image fits when it is streamed along its rows, `across` pixels
    each, or if too small parts would be necessary. `bytes_of(length)` is the memory of a stream
    with rows of that length.
    """
    if bytes_of(across) <= room:
        return []
    most = rows // (_LEAST_PART * graph.receptive_radius)
    for count in range(2, most + 1):
        parts = _divide(graph, rows, count)
        if bytes_of(max(part.height for part in parts)) <= room:
            return parts
    return []


def _divide(graph: Graph, rows: int, count: int) -> list[ImagePart]:
    """Divide an image of `rows` rows into `count` parts of similar height that begin on the
    network's grid."""
    grid_rows = graph.grid_length(rows)
    starts = [graph.unshuffle * (grid_rows * index // count) for index in range(count)]
    radius = graph.receptive_radius
    return [
        ImagePart(first, last, top=max(0, first - radius), bottom=min(rows, last + radius))
        for first, last in pairwise([*starts, rows])
    ]


def earlier_operands(graph: Graph) -> list[list[EarlierOperand]]:
    """Return for each node the earlier nodes that it can run behind, because its output, directly
    or after other layers, is added to or multiplied with theirs.

    A feature map that is needed much later is then computed late, and the few channels of the image
    are kept instead. The list is empty if another node needs the output at once.
    """
    found = [[] for _ in graph.nodes]
    readers = graph.readers()
    for index in reversed(range(len(graph.nodes))):
        by_reader: list[list[EarlierOperand]] = []
        for reader in readers[index]:
            operands = _operands_of(graph.nodes[reader], found[reader])
            by_reader.append([operand for operand in operands if operand.node < index])
        if all(by_reader):  # A reader without an earlier operand needs the rows at once.
            found[index] = list(chain.from_iterable(by_reader))
    return found


def _operands_of(node: Node, later: Sequence[EarlierOperand]) -> list[EarlierOperand]:
    """Return the operands that the sources of a node can run behind; `later` are those of the node
    itself."""
    if isinstance(node, Add | Multiply | Gate):
        return [EarlierOperand(source, 0) for source in node.sources]
    if node.enlarge != node.reduction:
        return []
    behind = node.radius + node.skipped
    return [EarlierOperand(operand.node, operand.ahead + behind) for operand in later]


def chunk_rows(node: Node, rows: int) -> int:
    """Return how many rows of a node's output are computed at once in a step of `rows` rows of the
    grid: fewer if the node enlarges them."""
    return node.enlarge * max(1, rows // (node.scale * node.enlarge))
