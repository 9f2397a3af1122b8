"""What a network takes in memory while a picture streams through it by rows, and how it takes less; from its graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import prod

from .graphs import Add, Conv, Gate, Graph, Multiply, Node, enlargement_of, sources_of

Cut = tuple[int, int, int, int]
"""Of a part of a picture the `first` and `last` of its own rows, the `top` and `bottom` of those that count for it."""

_FLOAT32 = 4
_LEAST_PART = 2
"""Height of the smallest part, in receptive radii: at most as many rows are computed twice as once."""


def stream_bytes(graph: Graph, width: int, rows: int, bytes_each: int, strips: int = 1) -> int:
    """The most that a stream holds at once of a picture `width` pixels wide, `strips` at once of `rows` rows.

    A row waits in its feature map until the last reader has passed it, which runs half a kernel behind; what a strip
    brings waits for its readers within the step. One strip is where that is most, the others wherever they are.
    """
    row = [width * node.scale * node.channels * _bytes(node, bytes_each) for node in graph.nodes]  # of each feature map
    strip = [rows * node.scale * size for node, size in zip(graph.nodes, row, strict=True)]
    waiting = sum(
        size * _in_chunks(count, chunk_rows(node, rows))
        for count, size, node in zip(_rows_kept(graph), row, graph.nodes, strict=True)
    )
    last_reader = {source: place for place, node in enumerate(graph.nodes) for source in sources_of(node)}
    let_go = [sum(strip[source] for source in last_reader if last_reader[source] == place) for place in range(len(row))]
    held = list(accumulate(new - gone for new, gone in zip(strip, [0, *let_go], strict=False)))
    times = [cost * node.scale**2 for cost, node in zip(graph.costs(), graph.nodes, strict=True)]
    usual = sum(size * time for size, time in zip(held, times, strict=False)) / (sum(times) or 1)
    buffers = strips * _buffer_bytes(graph, width, rows, bytes_each)
    return int(waiting + max(held) + (strips - 1) * usual + buffers)


def cut(rows: int, count: int, graph: Graph) -> list[Cut]:
    """Parts of about one height, which begin at whole rows of the grid."""
    fold, sight = graph.unshuffle, graph.sight
    grid = -(-rows // fold)
    count = min(count, grid)
    ends = [min(rows, fold * (grid * place // count)) for place in range(count + 1)]
    return [(first, last, max(0, first - sight), min(rows, last + sight)) for first, last in pairwise(ends)]


def cut_to_fit(graph: Graph, rows: int, across: int, bytes_of: Callable[[int], int], room: float) -> list[Cut]:
    """As few parts as have room when they are streamed along the cuts; none where the whole has, or where it is no use.

    `bytes_of` tells what a stream takes whose rows are so long.
    """
    if bytes_of(across) <= room:
        return []
    cuts: list[Cut] = []
    for count in range(1, max(1, rows // (_LEAST_PART * graph.sight)) + 1):
        cuts = cut(rows, count, graph)
        if bytes_of(tallest(cuts)) <= room:
            break
    return cuts if tallest(cuts) < across else []


def tallest(cuts: Sequence[Cut]) -> int:
    """The most rows that count for a part."""
    return max(bottom - top for *_, top, bottom in cuts)


def rows_seen(cuts: Sequence[Cut]) -> int:
    """All rows that count for the parts, those that count for two of them twice."""
    return sum(bottom - top for *_, top, bottom in cuts)


def _in_chunks(count: float, chunk: int) -> float:
    """The rows that are kept where the last `count` are needed: the oldest chunk is cut only where half of it goes."""
    whole, rest = divmod(count, chunk)
    return whole * chunk + (chunk if 2 * rest > chunk else rest)


def weight_bytes(graph: Graph, bytes_each: int) -> int:
    """The size of a network in memory: its weights as they came, and those made ready to run."""
    return sum(prod(shape) for shape in graph.shapes().values()) * (_FLOAT32 + bytes_each)


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


def _buffer_bytes(graph: Graph, width: int, rows: int, bytes_each: int) -> int:
    """The size of the buffers that the convolutions' input is assembled in, one for each precision."""
    sizes: dict[int, int] = {}
    for node in graph.nodes:
        if isinstance(node, Conv):
            size = (rows + 2) * width * (node.scale // node.enlarge) * graph.taken(node) * _bytes(node, bytes_each)
            sizes[_bytes(node, bytes_each)] = max(sizes.get(_bytes(node, bytes_each), 0), size)
    return sum(sizes.values())


def _bytes(node: Node, bytes_each: int) -> int:
    return bytes_each if isinstance(node, Conv) and not node.precise else _FLOAT32


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
