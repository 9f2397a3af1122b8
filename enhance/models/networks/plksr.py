"""PLKSR: Lee et al., "Partial Large Kernel CNNs for Efficient Super-Resolution", 2024; RealPLKSR by musl and Philip
Hofmann, 2024, with layer normalisation.
"""

from __future__ import annotations

from typing import Any

from ..graphs import Activation, ChannelNorm, Graph, GroupNorm, Multiply, State, Unsupported

TITLE, ARCHITECTURE = "PLKSR", "PLKSR"

_REPEAT = "repeat"
"""A convolution that repeats the channels of the image. Its weights are not in the files."""
_SIGMOID = Activation("sigmoid")


def plksr(
    blocks: int,
    features: int,
    factor: int,
    kernel: int,
    part: int,
    *,
    mixer: tuple[int, int],
    real: bool,
    attention: bool = True,
    groups: int = 0,
    dysample: bool = False,
) -> Graph:
    """Return PLKSR at scale `factor`, or RealPLKSR if `real`. Each block convolves `part` channels with a large kernel.

    `mixer` are the sizes of the two convolutions at the start of a block. RealPLKSR normalises `groups` of channels at
    the end of a block, or without groups the channels of each pixel at its start. It can end in DySample.
    """
    graph = Graph()
    image = graph.input(3)
    name, activation = ("channel_mixer", Activation("mish")) if real else ("channe_mixer", Activation("gelu"))
    trunk = graph.conv("feats.0", image, channels=features)
    for block in range(1, blocks + 1):
        prefix = f"feats.{block}"
        entry = graph.append(ChannelNorm, trunk, name=f"{prefix}.layer_norm") if real and not groups else trunk
        first, second = mixer
        wide = graph.conv(f"{prefix}.{name}.0", entry, channels=2 * features, size=first, activation=activation)
        mixed = graph.conv(f"{prefix}.{name}.2", wide, channels=features, size=second)
        body = graph.conv(f"{prefix}.lk.conv", mixed, size=kernel, part=part)
        if attention:
            body = graph.append(Multiply, graph.conv(f"{prefix}.attn.f.0", body, activation=_SIGMOID), body)
        body = graph.conv(f"{prefix}.refine", body, size=1)
        if groups:
            body = graph.append(GroupNorm, body, name=f"{prefix}.norm", groups=groups)
        trunk = graph.add(body, trunk)
    last = blocks + (2 if real else 1)  # RealPLKSR has a dropout layer before it
    wide = graph.conv(f"feats.{last}", trunk, channels=3 * factor**2, precise=dysample)
    if dysample:
        wide = graph.add(wide, graph.conv(_REPEAT, image, channels=3 * factor**2, size=1, bias=False, precise=True))
        # DySample's groups divide its channels, and 3 * factor**2 of an odd factor is not a multiple of 4.
        sampled = graph.dysample(wide, "to_img", factor, groups=3 if factor % 2 else 4)
        if factor > 1:
            graph.conv("to_img.end_conv", sampled, channels=3, size=1)
    else:
        graph.add_upscaled(wide, image, factor)
    return graph.keep_ends_precise()


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network. Raises Unsupported."""
    options, state = network.hyperparameters, network.state_dict()
    real = "norm_groups" in options
    if not real and options["lk_type"] != "PLK":
        raise Unsupported(f"PLKSR ({options['lk_type']})")
    factor, dysample = options["upscaling_factor"], bool(options.get("dysample"))
    if dysample:
        identity = state["feats.0.weight"].new_ones(3).diag()
        state[f"{_REPEAT}.weight"] = identity.repeat_interleave(factor**2, 0)[:, :, None, None]
    name, part = "channel_mixer" if real else "channe_mixer", len(state["feats.1.lk.conv.weight"])
    mixer = state[f"feats.1.{name}.0.weight"].shape[2], state[f"feats.1.{name}.2.weight"].shape[2]
    groups = options["norm_groups"] if real and not options["layer_norm"] else 0
    shape = options["n_blocks"], options["dim"], factor, options["kernel_size"], part
    attention = options["use_ea"]
    return plksr(*shape, mixer=mixer, real=real, attention=attention, groups=groups, dysample=dysample), state
