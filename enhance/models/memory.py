"""Estimates of the memory of a streamed network from its graph, and parts of an image that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import prod

from .graphs import Add, Conv, Gate, Graph, Multiply, Node
from .phases import is_rounded, split

Cut = tuple[int, int, int, int]
"""A part of an image: the `first` and `last` of its own rows, the `top` and `bottom` of the rows that it depends on."""

_FLOAT32 = 4
_LEAST_PART = 2
"""Height of the smallest part in receptive radii, so that at most half of the rows are computed twice."""


def stream_bytes(graph: Graph, width: int, rows: int, bytes_each: int, strips: int = 1) -> int:
    """Return the peak memory of streaming an image `width` pixels wide, with `strips` strips of `rows` rows at once.

    A row stays in its feature map until the last reader, which runs half a kernel behind, has passed it. The output of
    a node for a strip stays until its readers have run in the same step. One strip is at its peak, the others at their
    average over time. Of a network with barriers, this is the phase that needs most, without the stored feature maps.
    """
    phases, _ = split(graph)
    if len(phases) > 1:
        return max(stream_bytes(phase.graph, width, rows, bytes_each, strips) for phase in phases)
    # The bytes of a row of each feature map, and of the rows that a step computes.
    row = [(width * node.scale + node.extra) * node.channels * _bytes(node, bytes_each) for node in graph.nodes]
    strip = [rows * node.scale * size for node, size in zip(graph.nodes, row, strict=True)]
    between_steps = sum(
        size * _in_chunks(count, chunk_rows(node, rows))
        for count, size, node in zip(_window_rows(graph), row, graph.nodes, strict=True)
    )
    last_reader = {source: index for index, node in enumerate(graph.nodes) for source in node.sources}
    freed = [0] * len(row)
    for source, index in last_reader.items():
        freed[index] += strip[source]
    # A node's sources are needed until its output exists. Those that it reads last are freed one node later.
    live = list(accumulate(added - dropped for added, dropped in zip(strip, [0, *freed], strict=False)))
    times = [cost * node.scale**2 for cost, node in zip(graph.costs(), graph.nodes, strict=True)]
    average = sum(size * time for size, time in zip(live, times, strict=False)) / (sum(times) or 1)
    buffers = strips * _buffer_bytes(graph, width, rows, bytes_each)
    return int(between_steps + max(live) + (strips - 1) * average + buffers)


def cut(rows: int, count: int, graph: Graph) -> list[Cut]:
    """Divide an image of `rows` rows into at most `count` parts of similar height that begin on the network's grid."""
    fold, radius = graph.unshuffle, graph.receptive_radius
    grid = -(-rows // fold)
    count = min(count, grid)
    ends = [min(rows, fold * (grid * index // count)) for index in range(count + 1)]
    return [(first, last, max(0, first - radius), min(rows, last + radius)) for first, last in pairwise(ends)]


def divide_to_fit(graph: Graph, rows: int, across: int, bytes_of: Callable[[int], int], room: float) -> list[Cut]:
    """Return the fewest parts that fit into `room` bytes when they are streamed along the cuts.

    Return no parts if the whole image fits or dividing it does not help. `bytes_of(length)` is the memory of a stream
    with rows of that length.
    """
    if bytes_of(across) <= room:
        return []
    cuts: list[Cut] = []
    for count in range(1, max(1, rows // (_LEAST_PART * graph.receptive_radius)) + 1):
        cuts = cut(rows, count, graph)
        if bytes_of(longest_part(cuts)) <= room:
            break
    return cuts if longest_part(cuts) < across else []


def longest_part(cuts: Sequence[Cut]) -> int:
    """Return the most rows that a part depends on."""
    return max(bottom - top for *_, top, bottom in cuts)


def total_rows(cuts: Sequence[Cut]) -> int:
    """Return the number of rows that the parts depend on, counting shared rows twice."""
    return sum(bottom - top for *_, top, bottom in cuts)


def _in_chunks(count: float, chunk: int) -> float:
    """Return the rows in memory if the last `count` are needed. The oldest chunk is cut if at least half is unused."""
    whole, rest = divmod(count, chunk)
    return whole * chunk + (chunk if 2 * rest > chunk else rest)


def weight_bytes(graph: Graph, bytes_each: int) -> int:
    """Return the memory of the weights: as loaded in float32, and as prepared with `bytes_each` for each value."""
    return sum(prod(shape) for shape in graph.shapes().values()) * (_FLOAT32 + bytes_each)


def _window_rows(graph: Graph) -> list[float]:
    """Return how many rows of each node's output are in memory between two steps."""
    # The delay of a node is the number of its rows by which it is behind the image.
    delay, window, earlier = [0.0] * len(graph.nodes), [0.0] * len(graph.nodes), earlier_operands(graph)
    for index, node in enumerate(graph.nodes):
        needs = max((delay[source] for source in node.sources), default=0.0) + node.radius + node.skipped
        ratio = node.enlarge / node.reduction
        delay[index] = needs * ratio
        if earlier[index]:
            delay[index] = max(delay[index], min(delay[one] - ahead for one, ahead in earlier[index]))
        for source in node.sources:
            behind = delay[index] / ratio - delay[source]
            window[source] = max(window[source], behind + node.radius - node.skipped)
    return window


def _buffer_bytes(graph: Graph, width: int, rows: int, bytes_each: int) -> int:
    """Return the size of the buffers for the input of convolutions, one for each precision."""
    sizes: dict[int, int] = {}
    for node in graph.nodes:
        if isinstance(node, Conv):
            one = _bytes(node, bytes_each)
            across = (width * node.scale + node.extra) // node.enlarge
            size = (rows + 2 * node.radius) * across * graph.input_channels(node) * one
            sizes[one] = max(sizes.get(one, 0), size)
    return sum(sizes.values())


def _bytes(node: Node, bytes_each: int) -> int:
    return bytes_each if is_rounded(node) else _FLOAT32


def earlier_operands(graph: Graph) -> list[tuple[tuple[int, int], ...]]:
    """Return for each node the nodes that it can run behind, and by how many rows it must be ahead of them.

    Wherever its output is added or multiplied, directly or after other layers, these are the earlier operands. A
    feature map that is needed much later is then computed late, and the few channels of the image are kept instead.
    """
    found: list[tuple[tuple[int, int], ...]] = [()] * len(graph.nodes)
    readers = graph.readers()
    for index in reversed(range(len(graph.nodes))):
        limits: list[list[tuple[int, int]]] = []
        for reader in readers[index]:
            node = graph.nodes[reader]
            if isinstance(node, Add | Multiply | Gate):
                limits.append([(one, 0) for one in node.sources if one < index])
            else:
                later, least = found[reader] if node.enlarge == node.reduction else (), node.radius + node.skipped
                limits.append([(one, ahead + least) for one, ahead in later if one < index])
        if all(limits):  # A single reader without a limit needs the rows at once.
            found[index] = tuple(one for several in limits for one in several)
    return found


def chunk_rows(node: Node, rows: int) -> int:
    """Return the rows of a node's output computed at once in a step of `rows` rows: fewer if they are longer."""
    return node.enlarge * max(1, rows // node.scale // node.enlarge)
