"""Verified weight files become tensors, and the graph of the network that they belong to."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EnhanceError, WeightsError
from .detect import unwrapped
from .files import digest
from .graphs import Graph
from .manifest import Located
from .networks import SHIPPED
from .store import Store, locate

if TYPE_CHECKING:
    import torch

# What a file that was made up can bring torch's reader to raise; none of it is its caller's fault.
_UNREADABLE = (
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    ValueError,
)
GRAPH = "graph"
"""Where a safetensors file of one's own says what network it is."""
_LONGEST_HEADER = 100 << 20


def graph_of(name: str, store: Store | None = None) -> Graph:
    """The graph of the network called `name`: one that ships, or one's own as its file has it.

    Raises WeightsError for a name of none, and when the file of one's own is not there or has changed.
    """
    if name in SHIPPED:
        return _shipped(name)
    located = locate(name, store)
    if located is None:
        raise WeightsError("weights_own_gone", name=name)
    return _graph_in(located)


def check_state(state: Mapping[str, torch.Tensor], graph: Graph, name: str) -> None:
    """Raise WeightsError if the names or shapes of the tensors of model `name` are not those of its graph."""
    expected, found = graph.shapes(), {key: tuple(tensor.shape) for key, tensor in state.items()}
    if found != expected:
        odd = min(key for key, _ in set(found.items()) ^ set(expected.items()))
        raise WeightsError("other_network", model=name, tensor=odd)


@cache
def _shipped(name: str) -> Graph:
    return SHIPPED[name]()


@lru_cache(maxsize=64)
def _graph_in(located: Located) -> Graph:
    """The graph within a verified safetensors file, which begins with the length of a JSON text and that text."""
    try:
        with located.path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, _LONGEST_HEADER)))
        return Graph.from_json(header["__metadata__"][GRAPH])
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        values = {"path": located.path, "name": located.name, "reason": WeightsError("file_without_graph")}
        raise WeightsError("weights_unreadable", **values) from error


def read_state_dict(located: Located) -> dict[str, torch.Tensor]:
    """The tensors of a located weight file on the CPU, by official name, as stored (float32 for Real-ESRGAN).

    A .pth may hold them bare or wrapped as training leaves them; it is read without running any code in it. Raises
    WeightsError when the file has changed since it was verified, or is no .safetensors or .pth of tensors.
    """
    path = located.path
    file = {"path": path, "name": located.name}
    try:
        changed = digest(path) != located.sha256
        state = None if changed else unwrapped(read_tensors(path))
    except (OSError, ValueError, EnhanceError) as error:
        reason = error if isinstance(error, WeightsError) else str(error)
        raise WeightsError("weights_unreadable", reason=reason, **file) from error
    if changed:
        raise WeightsError("weights_changed", **file)
    if not isinstance(state, Mapping) or not state or not all(_is_tensor(value) for value in state.values()):
        raise WeightsError("weights_without_tensors", **file)
    return dict(state)


def read_tensors(path: Path) -> object:
    """What a .pth or .safetensors file holds, on the CPU; no code in it is run.

    Raises WeightsError, a clause, for what is neither or holds something else, ValueError, OSError.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(error) from error
    if path.suffix != ".pth":
        raise WeightsError("file_of_other_kind", suffix=path.suffix)
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        # Its message advises to read the file with weights_only=False, which would run whatever is in it.
        raise WeightsError("file_of_other_things") from error


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)
