"""The networks, one module for each: its graph, and how a network of this kind is converted to it.

A module defines `TITLE`, the common name. If models of its kind ship, a function with the name of
the module returns their graphs from the `options` in the manifest. If spandrel has this kind of
network, so that a user can add files: `ARCHITECTURE`, the name in spandrel, and `convert(network)`,
which returns the graph and the tensors of a spandrel network or raises Unsupported. All modules in
this folder are loaded. Layers have the names of the authors' files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from ..graphs import Graph
from ..manifest import manifest
from ..pairs import PAIRS, Pair, weighted_mean

NETWORKS: dict[str, ModuleType] = {
    module.name: import_module(f".{module.name}", __name__) for module in iter_modules(__path__)
}


def _shipped() -> dict[str, Callable[[], Graph]]:
    graphs: dict[str, Callable[[], Graph]] = {}
    for name, model in manifest().items():
        if model.network in NETWORKS:
            graph = getattr(NETWORKS[model.network], model.network)
            graphs[name] = cache(partial(graph, **model.options))
    for name, pair in PAIRS.items():
        graphs[name] = cache(partial(_pair_graph, pair))
    return graphs


def _pair_graph(pair: Pair) -> Graph:
    first, second = (SHIPPED[name]() for name in pair.models)
    return weighted_mean(first, second, pair.share)


SHIPPED: Mapping[str, Callable[[], Graph]] = _shipped()
"""Functions that return the graphs of the shipped models and of their pairs."""
