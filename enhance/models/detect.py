"""Which network a state dict holds, by the names and shapes of its tensors, whoever named them.

The rules are those of spandrel, which reads the community's files: wrappers and prefixes first, then the oldest names
of ESRGAN, its authors' later ones and Real-ESRGAN's, Compact and SPAN. What comes out has the official names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import WeightsError
from .graphs import Graph
from .manifest import Network
from .networks import SPAN_MEAN, SPAN_RANGE, rrdbnet, span, srvgg

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]

_WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")
_PREFIXES = ("module.", "netG.")
_LARGEST_SCALE = 16

_RRDB_NAMES = (
    (r"model\.0", "conv_first"),
    (r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0", r"body.\1.rdb\2.conv\3"),
    (r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv1x1", r"body.\1.rdb\2.conv1x1"),
    (r"model\.1\.sub\.\d+", "conv_body"),
    (r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d|1x1)", r"body.\1.rdb\2.conv\3"),
    (r"trunk_conv", "conv_body"),
    (r"upconv(\d+)", r"conv_up\1"),
    (r"HRconv", "conv_hr"),
)

_FAR_SIGHTED = {
    "network_attends": (
        *("ATD", "CRAFT", "DAT", "DRCT", "FDAT", "FFTformer", "GRL", "HAT", "IPT", "OmniSR", "RestoreFormer"),
        *("RetinexFormer", "RGT", "SCUNet", "Swin2SR", "SwinIR", "Uformer"),
    ),
    "network_averages": ("KBNet", "MMRealSR", "NAFNet", "RCAN", "RealCUGAN", "SAFMN", "SAFMNBCIE"),
}
"""What looks at the whole picture, by spandrel's names."""


@dataclass(frozen=True)
class Recognised:
    """A network, its graph, and its tensors by the graph's names."""

    network: Network
    graph: Graph
    tensors: Mapping[str, Any]


def unwrapped(state: Any) -> Any:
    """The state dict itself, of what was saved around it, its names without a common prefix."""
    wrapper = next((key for key in _WRAPPERS if _is_dict(state) and _is_dict(state.get(key))), None)
    if wrapper is not None:
        state = state[wrapper]
    if _is_dict(state) and len(state) == 1 and _is_dict(single := next(iter(state.values()))):
        state = single
    for prefix in _PREFIXES:
        if _is_dict(state) and state and all(isinstance(key, str) and key.startswith(prefix) for key in state):
            state = {key[len(prefix) :]: value for key, value in state.items()}
    return state


def recognise(state: State, file: str) -> Recognised:
    """The network that `state` holds, read from `file`.

    Raises WeightsError where rows cannot stream it, by its name and the reason, and where it is unknown or damaged.
    """
    for detect, read in _READERS:
        if detect(state):
            return read(state, file)
    raise _refusal(state, file)


def _is_rrdb(state: State) -> bool:
    first = "model.0.weight" in state or "conv_first.weight" in state
    return first and any(re.search(r"\.(RDB1|rdb1)\.conv(1|1\.0|1x1)\.weight$", key) for key in state)


def _read_rrdb(state: State, file: str) -> Recognised:
    tensors = _named_officially(state)
    blocks = _count(tensors, "body.{}.rdb1.conv1.weight", 0)
    first, growth, last = (
        _shape(tensors, name, file) for name in ("conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight")
    )
    output, taken = last[0], first[1]
    unshuffle = {4 * output: 2, 16 * output: 4}.get(taken, 1)
    graph = rrdbnet(
        blocks,
        first[0],
        growth[0],
        ups=_count(tensors, "conv_up{}.weight", 1),
        channels=taken // unshuffle**2,
        output=output,
        unshuffle=unshuffle,
        plus="body.0.rdb1.conv1x1.weight" in tensors,
    )
    return _checked("rrdbnet", graph, tensors, file)


def _named_officially(state: State) -> dict[str, torch.Tensor]:
    indices = [int(found[1]) for key in state if (found := re.match(r"model\.(\d+)\.", key))]
    ups = (max(indices, default=4) - 4) // 3
    late = {3 * ups + 2: "conv_hr", 3 * ups + 4: "conv_last", **{3 * up: f"conv_up{up}" for up in range(1, ups + 1)}}
    tensors = {}
    for key, tensor in state.items():
        layer, _, kind = key.rpartition(".")
        for old, official in _RRDB_NAMES:
            if found := re.fullmatch(old, layer):
                layer = found.expand(official)
                break
        else:
            found = re.fullmatch(r"model\.(\d+)", layer)
            layer = late.get(int(found[1]), layer) if found else layer
        tensors[f"{layer}.{kind}"] = tensor
    return tensors


def _is_compact(state: State) -> bool:
    return {"body.0.weight", "body.1.weight"} <= state.keys()


def _read_compact(state: State, file: str) -> Recognised:
    end = max(int(found[1]) for key in state if (found := re.match(r"body\.(\d+)\.", key)))
    features, channels, *_ = _shape(state, "body.0.weight", file)
    last = _shape(state, f"body.{end}.weight", file)
    factor, output = _enlargement(last[0], channels, file)
    if output != channels or end % 2:
        raise WeightsError("weights_add_odd_tensor", file=file, tensor=f"body.{end}.weight")
    return _checked("srvgg", srvgg((end - 2) // 2, features, factor, channels), state, file)


def _is_span(state: State) -> bool:
    return {"conv_1.sk.weight", "block_1.c1_r.sk.weight", "conv_cat.weight", "upsampler.0.weight"} <= state.keys()


def _read_span(state: State, file: str) -> Recognised:
    import torch

    features, channels, *_ = _shape(state, "conv_1.sk.weight", file)
    factor, output = _enlargement(_shape(state, "upsampler.0.weight", file)[0], channels, file)
    norm = "no_norm" not in state
    if norm and channels != len(SPAN_MEAN):
        raise WeightsError("weights_add_channels", file=file, channels=channels)
    branched = sorted({key.removesuffix(".sk.weight") for key in state if key.endswith(".sk.weight")})
    tensors = {key: tensor for key, tensor in state.items() if key.startswith(("conv_cat.", "upsampler.0."))}
    for name in branched:
        tensors |= _folded(state, name, file)
    if norm:
        tensors["mean_shift"] = torch.tensor([-mean * SPAN_RANGE for mean in SPAN_MEAN])
    return _checked("span", span(features, factor, channels, output, norm=norm), tensors, file)


def _folded(state: State, name: str, file: str) -> dict[str, torch.Tensor]:
    """The one 3x3 convolution that a 1x1, 3x3 and 1x1 in a row and a 1x1 beside them amount to."""
    import torch

    parts = (*(f"{name}.conv.{place}" for place in (0, 1, 2)), f"{name}.sk")
    if missing := [key for part in parts for key in (f"{part}.weight", f"{part}.bias") if key not in state]:
        raise WeightsError("weights_add_odd_tensor", file=file, tensor=missing[0])
    (first, a), (middle, b), (last, c), (beside, d) = (
        (state[f"{part}.weight"].double(), state[f"{part}.bias"].double()) for part in parts
    )
    try:
        first, last = first[:, :, 0, 0], last[:, :, 0, 0]
        weight = torch.einsum("on,nmyx,mi->oiyx", last, middle, first)
        weight[:, :, 1, 1] += beside[:, :, 0, 0]
        bias = last @ (torch.einsum("nmyx,m->n", middle, a) + b) + c + d
    except (RuntimeError, IndexError) as error:
        raise WeightsError("weights_add_odd_tensor", file=file, tensor=f"{name}.conv") from error
    return {f"{name}.weight": weight.float(), f"{name}.bias": bias.float()}


def _enlargement(made: int, channels: int, file: str) -> tuple[int, int]:
    """By how much a pixel shuffle of `made` channels enlarges, and the channels that it leaves."""
    for output in (channels, 3, 1):
        factor = math.isqrt(made // output) if output and made % output == 0 else 0
        if factor and factor**2 * output == made:
            return factor, output
    raise WeightsError("weights_add_channels", file=file, channels=made)


def _checked(network: Network, graph: Graph, tensors: State, file: str) -> Recognised:
    expected, found = graph.shapes(), {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    if found != expected:
        odd = min(key for key, _ in set(found.items()) ^ set(expected.items()))
        raise WeightsError("weights_add_odd_tensor", file=file, tensor=odd)
    made = Recognised(network, graph, {name: tensors[name] for name in expected})
    check_form(made, file)
    return made


def check_form(made: Recognised, file: str) -> None:
    """Raises WeightsError unless the network takes and gives colour or grey, 1 to 16 times as large."""
    graph = made.graph
    odd = next((one for one in (graph.picture_channels, graph.nodes[-1].channels) if one not in (1, 3)), None)
    if odd is not None:
        raise WeightsError("weights_add_channels", file=file, channels=odd)
    if graph.nodes[-1].scale % graph.unshuffle or not 1 <= graph.scale <= _LARGEST_SCALE:
        scale = graph.nodes[-1].scale / graph.unshuffle
        raise WeightsError("weights_add_scale", file=file, scale=f"{scale:g}", most=_LARGEST_SCALE)


def _refusal(state: State, file: str) -> WeightsError:
    """What is wrong with a state dict of none of the networks: its name where spandrel knows it."""
    from spandrel import MAIN_REGISTRY

    for support in MAIN_REGISTRY.architectures("detection"):
        if support.detect(dict(state)):
            name = str(support.architecture.id)
            reason = next((key for key, names in _FAR_SIGHTED.items() if name in names), "network_of_other_parts")
            return WeightsError("weights_add_not_local", file=file, network=name, reason=WeightsError(reason))
    return WeightsError("weights_add_unknown", file=file)


def _shape(state: State, name: str, file: str) -> tuple[int, ...]:
    tensor = state.get(name)
    if tensor is None or tensor.ndim != 4 or 0 in tensor.shape:
        raise WeightsError("weights_add_odd_tensor", file=file, tensor=name)
    return tuple(tensor.shape)


def _count(state: Mapping[str, object], pattern: str, first: int) -> int:
    count = 0
    while pattern.format(first + count) in state:
        count += 1
    return count


def _is_dict(value: object) -> bool:
    return isinstance(value, Mapping)


_READERS: tuple[tuple[Callable[[State], bool], Callable[[State, str], Recognised]], ...] = (
    (_is_rrdb, _read_rrdb),
    (_is_compact, _read_compact),
    (_is_span, _read_span),
)
