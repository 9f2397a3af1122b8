"""Phases: the parts of a network between its barriers, and the feature maps that are stored from
one to the next.

A barrier needs a statistic of a whole feature map. Everything before it is therefore streamed
first, as one phase. The feature maps that later phases read are stored in slots. A slot is written
again by the phase that reads it last, a few rows behind the reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from .graphs import Barrier, Graph, Input, Node, StoredMap, is_rounded


@dataclass(frozen=True)
class Phase:
    """One phase: its own `graph`, whose nodes are those at `places` of the whole graph.

    `loads` and `stores` are the slots of the nodes that are read from them and written to them, by
    index in `graph`.
    """

    graph: Graph
    places: tuple[int, ...]
    loads: Mapping[int, int]
    stores: Mapping[int, int]


def split(graph: Graph) -> tuple[list[Phase], list[StoredMap]]:
    """Return the phases of a graph in order, one if it has no barriers, and the slots that they
    share.

    A slot is the node of the feature maps that it stores, one at a time.
    """
    readers = graph.readers()
    last_reader = [max(indices, default=-1) for indices in readers]
    phases: list[Phase] = []
    slots: list[StoredMap] = []
    stored: dict[int, int] = {}
    """The slot of each stored feature map that is still needed, by its place."""
    for start, end in pairwise([*_phase_starts(graph), len(graph.nodes)]):
        part, places = _part_of(graph, start, end)
        loads = {places.index(place): slot for place, slot in stored.items() if place in places}
        # The slots of the feature maps that this phase reads last.
        free = {place: stored.pop(place) for place in [*stored] if last_reader[place] < end}
        stores: dict[int, int] = {}
        for index, place in enumerate(places):
            node = graph.nodes[place]
            # The image can be read again.
            if place < start or last_reader[place] < end or isinstance(node, Input):
                continue
            new_map = _as_stored(node)
            # Everything that reads the old feature map must have run in an earlier phase, or must
            # be needed for the new one and thus run ahead of its rows.
            needed = {*range(start), *_ancestors(graph, place, start)}
            reusable = [
                old
                for old, slot in free.items()
                if slots[slot] == new_map and needed.issuperset(readers[old])
            ]
            if reusable:
                stored[place] = free.pop(reusable[0])
            else:
                stored[place] = len(slots)
                slots.append(new_map)
            stores[index] = stored[place]
        phases.append(Phase(part, places, loads, stores))
    return phases, slots


def _phase_starts(graph: Graph) -> list[int]:
    """Return the place where each phase begins."""
    starts = [0]
    for index, node in enumerate(graph.nodes):
        # A source of an earlier phase is complete already.
        if isinstance(node, Barrier) and node.sources[0] >= starts[-1]:
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
                earlier = graph.nodes[source]
                if not isinstance(earlier, Input):  # The image can be read again.
                    earlier = _as_stored(earlier)
                part.nodes.append(earlier)
        index[place] = len(part.nodes)
        part.nodes.append(replace(node, sources=tuple(index[source] for source in node.sources)))
    return part, tuple(index)


def _as_stored(node: Node) -> StoredMap:
    """Return a node as later phases read it."""
    precise = not is_rounded(node)
    return StoredMap((), node.channels, node.scale, extra=node.extra, precise=precise)


def _ancestors(graph: Graph, place: int, start: int) -> set[int]:
    """Return the nodes from `start` on that a node depends on, and the node itself."""
    found = {place}
    for index in range(place, start - 1, -1):
        if index in found:
            found.update(source for source in graph.nodes[index].sources if source >= start)
    return found
