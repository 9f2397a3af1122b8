"""Detection of the network of a user model, whose tensors are renamed as in the graphs of this
program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy import ndarray

from ..errors import WeightsError, optional_packages
from .graphs import Graph, State, Unsupported
from .ncnn import read_ncnn
from .networks import NETWORKS
from .tensors import read_tensors

if TYPE_CHECKING:
    from spandrel import Architecture

LARGEST_FILE = 1 << 30
"""The maximum bytes of a file. The largest models in use have a quarter of that."""
_LARGEST_SCALE = 16

_UNDETECTED = {
    "MoSRv2": {"gblocks.1.gamma", "gblocks.2.gamma"},
    "SPANPlus": {"feats.1.conv_cat.weight"},
}
"""Networks that are not supported and that spandrel does not detect. Only their files have these
tensors."""

_BAD_STATE = (RuntimeError, LookupError, ValueError, TypeError, AttributeError)
"""The errors of spandrel for a state dict with unexpected keys or shapes."""


@dataclass(frozen=True)
class Detected:
    """A network, its graph, and its tensors by the graph's names."""

    network: str
    graph: Graph
    tensors: Mapping[str, ndarray]


def read_network(path: Path) -> Detected:
    """Return the network in a .pth, .safetensors or .param file (with its .bin), for images in grey
    or colour.

    Raises WeightsError if the network is unknown, damaged, or of an architecture that cannot be
    streamed by rows, and SettingsError if the file is no .param file and spandrel is not installed.
    """
    file = path.name
    suffix = path.suffix.lower()
    if suffix not in (".pth", ".safetensors", ".param"):
        raise WeightsError("weights_add_other_ending", file=file)
    _check_file(path)
    if suffix == ".param":
        weights = path.with_suffix(".bin")
        if not weights.is_file():
            raise WeightsError("weights_add_no_bin", file=file, bin=weights.name)
        _check_file(weights)
    try:
        if suffix == ".param":
            detected = Detected("ncnn", *read_ncnn(path))
        else:
            detected = _read_pytorch(path)
    except WeightsError as error:
        if error.key.startswith("weights_add_"):
            raise
        raise WeightsError("weights_add_unreadable", file=file, reason=error) from error
    except (OSError, ValueError, MemoryError) as error:
        reason = WeightsError("file_damaged")
        raise WeightsError("weights_add_unreadable", file=file, reason=reason) from error
    _check_result(detected, file)
    return detected


def _check_result(detected: Detected, file: str) -> None:
    graph = detected.graph
    for channels in (graph.image_channels, graph.nodes[-1].channels):
        if channels not in (1, 3):
            raise WeightsError("weights_add_channels", file=file, channels=channels)
    scale = graph.nodes[-1].scale / graph.unshuffle  # It can be a fraction.
    if scale not in range(1, _LARGEST_SCALE + 1):
        raise WeightsError("weights_add_scale", file=file, scale=f"{scale:g}", most=_LARGEST_SCALE)
    for name, values in detected.tensors.items():
        if not np.isfinite(values).all():
            raise WeightsError("weights_add_not_finite", file=file, tensor=name)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors in a file without wrappers and common prefixes.

    Raises WeightsError and SettingsError.
    """
    with optional_packages("models"):
        from spandrel import canonicalize_state_dict

    content: Any = read_tensors(path)
    try:
        state = canonicalize_state_dict(dict(content))
    except _BAD_STATE as error:
        raise WeightsError("weights_add_unknown", file=path.name) from error
    return {
        key: value
        for key, value in state.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise WeightsError("weights_add_no_file", file=path, reason=error) from error
    if size > LARGEST_FILE:
        most = LARGEST_FILE / 1e6
        raise WeightsError("weights_add_large", file=path.name, size=size / 1e6, most=most)


def _read_pytorch(path: Path) -> Detected:
    file = path.name
    state = _read_state(path)
    for network, marks in _UNDETECTED.items():
        if not state.keys().isdisjoint(marks):
            raise WeightsError("weights_add_unsupported", file=file, network=network)
    architecture = _architecture(state, file)
    names = {module.ARCHITECTURE: name for name, module in NETWORKS.items()}
    network = names.get(architecture.id)
    if network is None:
        raise WeightsError("weights_add_unsupported", file=file, network=architecture.name)
    module = NETWORKS[network]
    try:
        graph, tensors = module.convert(architecture.load(dict(state)).model)
        if {name: tensor.shape for name, tensor in tensors.items()} != graph.shapes():
            raise ValueError("other tensors than those of the graph")
    except Unsupported as error:
        raise WeightsError("weights_add_unsupported", file=file, network=str(error)) from error
    except _BAD_STATE as error:
        raise WeightsError("weights_add_damaged", file=file, network=module.TITLE) from error
    arrays = {name: tensor.contiguous().numpy() for name, tensor in tensors.items()}
    return Detected(network, graph, arrays)


def _architecture(state: State, file: str) -> Architecture[Any]:
    """Return spandrel's architecture of a state dict. Raises WeightsError if there is none."""
    from spandrel import MAIN_REGISTRY

    try:
        for support in MAIN_REGISTRY.architectures("detection"):
            if support.detect(dict(state)):
                return support.architecture
    except _BAD_STATE as error:
        raise WeightsError("weights_add_unknown", file=file) from error
    raise WeightsError("weights_add_unknown", file=file)
