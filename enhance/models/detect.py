"""Detect the network of a user model with spandrel, and convert its tensors to the names of this program's graphs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from spandrel import MAIN_REGISTRY, canonicalize_state_dict

from ..errors import WeightsError
from .graphs import Graph
from .manifest import Network
from .networks import SPAN_MEAN, SPAN_RANGE, rrdbnet, span, srvgg
from .tensors import check_state

State = Mapping[str, torch.Tensor]

_BAD_STATE = (RuntimeError, LookupError, ValueError, TypeError, AttributeError)
"""What spandrel raises for a state dict with unexpected keys or shapes."""


@dataclass(frozen=True)
class Detected:
    """A network, its graph, and its tensors by the graph's names."""

    network: Network
    graph: Graph
    tensors: Mapping[str, Any]


def unwrap(content: object, file: str) -> dict[str, torch.Tensor]:
    """Return the tensors in what a file holds, without wrappers and common prefixes. Raises WeightsError."""
    try:
        state = canonicalize_state_dict(dict(content))  # type: ignore[call-overload]
    except _BAD_STATE as error:
        raise WeightsError("weights_add_unknown", file=file) from error
    return {key: one for key, one in state.items() if isinstance(key, str) and isinstance(one, torch.Tensor)}


def detect(state: State, file: str) -> Detected:
    """Return the network of the tensors in `file`.

    Raises WeightsError if the network is unknown, damaged, or of an architecture that cannot be streamed by rows.
    """
    try:
        supports = (one for one in MAIN_REGISTRY.architectures("detection") if one.detect(dict(state)))
        architecture = next(supports).architecture
    except (StopIteration, *_BAD_STATE) as error:
        raise WeightsError("weights_add_unknown", file=file) from error
    if architecture.id not in _CONVERTERS:
        raise WeightsError("weights_add_unsupported", file=file, network=architecture.name)
    network, convert = _CONVERTERS[architecture.id]
    try:
        with torch.device("meta"):  # checks names and shapes before memory is allocated for a forged size
            architecture.load({key: tensor.to("meta") for key, tensor in state.items()})
        graph, tensors = convert(architecture.load(dict(state)).model)
        check_state(tensors, graph, file)
    except (*_BAD_STATE, WeightsError) as error:
        raise WeightsError("weights_add_damaged", file=file, network=architecture.name) from error
    return Detected(network, graph, tensors)


def _convert_esrgan(network: Any) -> tuple[Graph, State]:
    """Convert the names of the oldest ESRGAN, which spandrel uses for all variants, to those of Real-ESRGAN."""
    options = network.hyperparameters
    blocks, unshuffle, ups = options["num_blocks"], options["shuffle_factor"] or 1, int(math.log2(options["scale"]))
    graph = rrdbnet(
        blocks,
        options["num_filters"],
        ups=ups,
        channels=options["in_nc"] // unshuffle**2,
        output=options["out_nc"],
        unshuffle=unshuffle,
        plus=options["plus"],
    )
    names = {
        "model.0": "conv_first",
        f"model.1.sub.{blocks}": "conv_body",
        **{f"model.{3 * up}": f"conv_up{up}" for up in range(1, ups + 1)},
        f"model.{3 * ups + 2}": "conv_hr",
        f"model.{3 * ups + 4}": "conv_last",
    }
    dense, tensors = re.compile(r"model\.1\.sub\.(\d+)\.RDB(\d)\.(conv\w+)(\.0)?"), {}
    for key, tensor in network.state_dict().items():
        layer, _, kind = key.rpartition(".")
        found = dense.fullmatch(layer)
        name = found.expand(r"body.\1.rdb\2.\3") if found else names[layer]
        tensors[f"{name}.{kind}"] = tensor
    return graph, tensors


def _convert_compact(network: Any) -> tuple[Graph, State]:
    options = network.hyperparameters
    graph = srvgg(options["num_conv"], options["num_feat"], options["upscale"], options["num_in_ch"])
    return graph, network.state_dict()


def _convert_span(network: Any) -> tuple[Graph, State]:
    """Fold the branches of each convolution into its `eval_conv`, as spandrel does, but in float64."""
    network.double()
    for module in network.modules():
        if hasattr(module, "update_params"):
            module.update_params()
    tensors = {
        key.replace(".eval_conv", ""): tensor.float()
        for key, tensor in network.state_dict().items()
        if key != "no_norm" and ".sk." not in key and ".conv." not in key
    }
    if network.is_norm:
        tensors["mean_shift"] = torch.tensor([-mean * SPAN_RANGE for mean in SPAN_MEAN])
    features, scale = network.hyperparameters["feature_channels"], network.hyperparameters["upscale"]
    return span(features, scale, network.in_channels, network.out_channels, norm=network.is_norm), tensors


_CONVERTERS: Mapping[str, tuple[Network, Callable[[Any], tuple[Graph, State]]]] = {
    "ESRGAN": ("rrdbnet", _convert_esrgan),
    "Compact": ("srvgg", _convert_compact),
    "SPAN": ("span", _convert_span),
}
