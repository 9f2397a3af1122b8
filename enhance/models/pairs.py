"""Models made of two shipped networks, which read the same image. The result is the weighted mean
of their outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .graphs import Affine, Graph


@dataclass(frozen=True)
class Pair:
    """Two models, and the share of the first one in the result."""

    models: tuple[str, str]
    share: float


PAIRS: Mapping[str, Pair] = {"balanced": Pair(("span-x4", "realesr-general-x4v3"), 0.7)}
"""The pairs by name, which are presets."""


def parts_of(name: str) -> tuple[str, ...]:
    """Return the models whose weight files a model needs: the models of a pair, otherwise only
    itself."""
    if name in PAIRS:
        return PAIRS[name].models
    return (name,)


def weighted_mean(first: Graph, second: Graph, share: float) -> Graph:
    """Return the network whose output is the weighted mean of two outputs; `share` is the weight of
    the first.

    The networks have the same input and scale, and no tensors of the same name.
    """
    joined = Graph(list(first.nodes))
    one = joined.append(Affine, len(first.nodes) - 1, gain=share)
    moved = len(joined.nodes) - 1  # The second network reads the input of the first.
    for node in second.nodes[1:]:
        sources = tuple(source and source + moved for source in node.sources)
        joined.nodes.append(replace(node, sources=sources))
    joined.add(len(joined.nodes) - 1, one, 1 - share)
    return joined
