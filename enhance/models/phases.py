"""Phases: the parts of a network between its barriers, and the feature maps that are stored from
one to the next.

A barrier needs a statistic of a whole feature map. Everything before it is therefore streamed
first, as one phase. The feature maps that later phases read are stored in slots. A slot is written
again by the phase that reads it last, a few rows behind the reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from .graphs import Barrier, Conv, Graph, Input, Node, Scaled, Stored


@dataclass(frozen=True)
class Slot:
    """Storage for one feature map at a time.

    A `rounded` one has the precision of convolutions, otherwise float32.
    """

    channels: int
    scale: int
    rounded: bool
    extra: int = 0

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns for a grid of this size."""
        return height * self.scale + self.extra, width * self.scale + self.extra

    def bytes(self, height: int, width: int, bytes_each: int) -> int:
        """Return the size for a grid of this size, with convolutions of `bytes_each` bytes for each
        value."""
        value_bytes = bytes_each if self.rounded else 4
        return prod(self.size(height, width)) * self.channels * value_bytes


@dataclass(frozen=True)
class Phase:
    """One phase: its own `graph`, whose nodes are those at `places` of the whole graph.

    `loads` and `stores` are the slots of the nodes that are read from them and written to them, by
    index in `graph`. `measured` are the nodes whose statistics later phases need.
    """

    graph: Graph
    places: tuple[int, ...]
    loads: Mapping[int, int]
    stores: Mapping[int, int]
    measured: tuple[int, ...]


def is_rounded(node: Node) -> bool:
    """Return whether the output of a node has the precision of convolutions, and not always
    float32."""
    if isinstance(node, Stored):
        return node.rounded
    return isinstance(node, Conv) and not node.precise


def split(graph: Graph, *, settled: bool = False) -> tuple[list[Phase], list[Slot]]:
    """Return the phases of a graph in order, one if it has no barriers, and the slots that they
    share.

    If it is `settled`, the statistics are known, and their barriers begin no phase.
    """
    starts = _phase_starts(graph, settled)
    ends = [*starts[1:], len(graph.nodes)]
    readers = graph.readers()
    last_reader = [max(reading, default=-1) for reading in readers]
    phases: list[Phase] = []
    slots: list[Slot] = []
    stored: dict[int, int] = {}
    """The slot of each stored feature map that is still needed, by its place."""
    for start, end in zip(starts, ends, strict=True):
        part, places = _part_of(graph, start, end)
        loads = {places.index(place): slot for place, slot in stored.items() if place in places}
        free = {place: stored.pop(place) for place in [*stored] if last_reader[place] < end}
        normalised = {node.sources[0] for node in graph.nodes[end:] if isinstance(node, Scaled)}
        stores: dict[int, int] = {}
        measured: list[int] = []
        for index, place in enumerate(places):
            node = graph.nodes[place]
            # The image can be read again.
            if place < start or last_reader[place] < end or isinstance(node, Input):
                continue
            slot = Slot(node.channels, node.scale, is_rounded(node), node.extra)
            # Everything that reads the old feature map must be needed for the new one, and thus
            # run ahead of its rows.
            needed = _ancestors(graph, place, start)
            for old, number in free.items():
                remaining = [reader for reader in readers[old] if reader >= start]
                if slots[number] == slot and needed.issuperset(remaining):
                    stored[place] = free.pop(old)
                    break
            else:
                stored[place] = len(slots)
                slots.append(slot)
            stores[index] = stored[place]
            if place in normalised:
                measured.append(index)
        phases.append(Phase(part, places, loads, stores, tuple(measured)))
    return phases, slots


def _phase_starts(graph: Graph, settled: bool) -> list[int]:
    """Return the place where each phase begins."""
    starts = [0]
    for index, node in enumerate(graph.nodes):
        if isinstance(node, Barrier) and not (settled and isinstance(node, Scaled)):
            source = node.sources[0]
            # A source of an earlier phase is complete already. In the graph of a phase, it is a
            # stored feature map.
            if source >= starts[-1] and not isinstance(graph.nodes[source], Stored):
                starts.append(index)
    return starts


def _part_of(graph: Graph, start: int, end: int) -> tuple[Graph, tuple[int, ...]]:
    """Return the nodes from `start` to `end` as a graph, with what they read from earlier phases,
    and their places."""
    part = Graph()
    index: dict[int, int] = {}  # in the part, by place
    for place in range(start, end):
        node = graph.nodes[place]
        for source in node.sources:
            if source not in index:
                index[source] = len(part.nodes)
                part.nodes.append(_as_stored(graph.nodes[source]))
        index[place] = len(part.nodes)
        part.nodes.append(replace(node, sources=tuple(index[source] for source in node.sources)))
    return part, tuple(index)


def _as_stored(node: Node) -> Node:
    """Return the node of an earlier phase as a later one reads it. The image can be read again."""
    if isinstance(node, Input):
        return node
    return Stored((), node.channels, node.scale, extra=node.extra, rounded=is_rounded(node))


def _ancestors(graph: Graph, place: int, start: int) -> set[int]:
    """Return the nodes from `start` on that a node depends on, and the node itself."""
    found = {place}
    for index in range(place, start - 1, -1):
        if index in found:
            found.update(source for source in graph.nodes[index].sources if source >= start)
    return found
