"""The networks, one module for each: its graph, and how a network of this kind is converted to it.

A module defines `TITLE`, the common name, `ARCHITECTURE`, the name in spandrel, and
`convert(network)`, which returns the graph and the tensors of a spandrel network or raises
Unsupported. If models of its kind ship, a function with the name of the module returns their graphs
from the `options` in the manifest. All modules in this folder are loaded. Layers have the names of
the authors' files.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from ..graphs import Graph
from ..manifest import manifest
from ..pairs import PAIRS, weighted_mean

NETWORKS: dict[str, ModuleType] = {
    module.name: import_module(f".{module.name}", __name__) for module in iter_modules(__path__)
}


@cache
def shipped_graph(name: str) -> Graph:
    """Return the graph of a shipped model, or of a pair of them.

    Raises KeyError for a user model and for a model without a graph.
    """
    if name in PAIRS:
        pair = PAIRS[name]
        first, second = map(shipped_graph, pair.models)
        return weighted_mean(first, second, pair.share)
    model = manifest()[name]
    return getattr(NETWORKS[model.network], model.network)(**model.options)
