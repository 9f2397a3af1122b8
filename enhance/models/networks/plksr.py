"""PLKSR: Lee et al., "Partial Large Kernel CNNs for Efficient Super-Resolution", 2024.

RealPLKSR by musl and Philip Hofmann, 2024, with layer normalisation.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..graphs import Activation, ChannelNorm, Graph, GroupNorm, Multiply, State, Unsupported

TITLE = "PLKSR"
ARCHITECTURE = "PLKSR"

_REPEAT = "repeat"
"""A convolution that repeats the channels of the image. Its weights are not in the files."""
_SIGMOID = Activation("sigmoid")


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network. Raises Unsupported.

    Each block convolves a part of its channels with a large kernel. RealPLKSR normalises groups of
    channels at the end of a block, or the channels of each pixel at its start.
    """
    options = network.hyperparameters
    state = network.state_dict()
    is_real = "norm_groups" in options
    if options.get("lk_type", "PLK") != "PLK":
        raise Unsupported(f"PLKSR ({options['lk_type']})")
    activation = Activation("gelu")
    mixer = "channe_mixer"  # misspelt in the files of PLKSR
    if is_real:
        activation = Activation("mish")
        mixer = "channel_mixer"
    blocks = options["n_blocks"]
    graph = Graph()
    conv = partial(graph.conv_of, state)
    image = graph.input(3)
    trunk = conv("feats.0", image)
    for block in range(1, blocks + 1):
        name = f"feats.{block}"
        body = trunk
        if options.get("layer_norm"):
            body = graph.append(ChannelNorm, body, name=f"{name}.layer_norm")
        body = conv(f"{name}.{mixer}.0", body, activation=activation)
        body = conv(f"{name}.{mixer}.2", body)
        part = len(state[f"{name}.lk.conv.weight"])
        body = graph.conv(f"{name}.lk.conv", body, size=options["kernel_size"], part=part)
        if options["use_ea"]:
            weights = conv(f"{name}.attn.f.0", body, activation=_SIGMOID)
            body = graph.append(Multiply, weights, body)
        body = conv(f"{name}.refine", body)
        if is_real and not options["layer_norm"]:
            groups = options["norm_groups"]
            body = graph.append(GroupNorm, body, name=f"{name}.norm", groups=groups)
        trunk = graph.add(body, trunk)
    last = f"feats.{len(network.feats) - 1}"
    factor = options["upscaling_factor"]
    if options.get("dysample"):
        wide = conv(last, trunk, precise=True)
        identity = state["feats.0.weight"].new_ones(3).diag()
        state[f"{_REPEAT}.weight"] = identity.repeat_interleave(factor**2, 0)[:, :, None, None]
        repeated = conv(_REPEAT, image, bias=False, precise=True)
        # DySample's groups divide its channels, which for an odd factor are not a multiple of 4.
        groups = 3 if factor % 2 else 4
        wide = graph.add(wide, repeated)
        sampled = graph.dysample(state, "to_img", wide, factor, groups)
        if factor > 1:
            conv("to_img.end_conv", sampled)
    else:
        graph.add_upscaled(conv(last, trunk), image, factor)
    return graph.keep_ends_precise(), state
