"""Weight files as tensors, and the graph of the network that they belong to."""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WeightsError
from .graphs import Graph
from .manifest import Located
from .networks import shipped_graph
from .weights_folder import digest

if TYPE_CHECKING:
    import torch

GRAPH = "graph"
"""The metadata key of the graph in the safetensors file of a user model."""


@lru_cache(maxsize=64)  # For the process, because the checksum in `located` names the content.
def stored_graph(located: Located) -> Graph:
    """Return the graph in the metadata of a user model's file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(located.path, framework="numpy") as file:
            return Graph.from_json(file.metadata()[GRAPH])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = WeightsError("file_without_graph")
        raise WeightsError(
            "weights_unreadable",
            path=located.path,
            name=located.name,
            reason=reason,
        ) from error


def read_state_dict(located: Located) -> dict[str, torch.Tensor]:
    """Return the tensors of a verified weight file on the CPU, by official name, with their stored
    dtype.

    Raises WeightsError if the file has changed since it was verified, or cannot be read.
    """
    import torch

    from .ncnn import read_shipped

    path = located.path
    try:
        if digest(path) == located.sha256:
            if path.suffix == ".bin":
                tensors = read_shipped(shipped_graph(located.name), path.read_bytes())
                return {name: torch.from_numpy(values) for name, values in tensors.items()}
            content = read_tensors(path)
            return dict(content.get("params_ema", content.get("params", content)))
    except (OSError, WeightsError) as error:
        raise WeightsError(
            "weights_unreadable",
            path=path,
            name=located.name,
            reason=error,
        ) from error
    raise WeightsError("weights_changed", path=path, name=located.name)


def read_tensors(path: Path) -> Any:
    """Return the content of a .pth or .safetensors file on the CPU.

    Code in the file is not executed.

    Raises WeightsError, a clause, if it is neither or holds something else, and OSError.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        return torch.load(path, "cpu", weights_only=True)
    # Its message suggests weights_only=False, which would execute code.
    except pickle.UnpicklingError as error:
        raise WeightsError("file_of_other_things") from error
    except (
        SafetensorError,
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
    ) as error:
        raise WeightsError("file_damaged") from error
