"""PLKSR: Lee et al., "Partial Large Kernel CNNs for Efficient Super-Resolution", 2024.

RealPLKSR by musl and Philip Hofmann, 2024, with layer normalisation.
"""

from __future__ import annotations

from typing import Any

from ..graphs import Activation, ChannelNorm, Graph, GroupNorm, Multiply, State, Unsupported

TITLE = "PLKSR"
ARCHITECTURE = "PLKSR"

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
    """Return PLKSR at scale `factor`, or RealPLKSR if `real`.

    Each block convolves `part` channels with a large kernel.

    `mixer` are the sizes of the two convolutions at the start of a block. RealPLKSR normalises
    `groups` of channels at the end of a block, or without groups the channels of each pixel at its
    start. It can end in DySample.
    """
    graph = Graph()
    image = graph.input(3)
    mixer_name = _mixer_name(real)
    activation = Activation("mish" if real else "gelu")
    first, second = mixer
    trunk = graph.conv("feats.0", image, channels=features)
    for block in range(1, blocks + 1):
        prefix = f"feats.{block}"
        name = f"{prefix}.{mixer_name}"
        body = trunk
        if real and not groups:
            body = graph.append(ChannelNorm, body, name=f"{prefix}.layer_norm")
        body = graph.conv(
            f"{name}.0",
            body,
            channels=2 * features,
            size=first,
            activation=activation,
        )
        body = graph.conv(f"{name}.2", body, channels=features, size=second)
        body = graph.conv(f"{prefix}.lk.conv", body, size=kernel, part=part)
        if attention:
            weights = graph.conv(f"{prefix}.attn.f.0", body, activation=_SIGMOID)
            body = graph.append(Multiply, weights, body)
        body = graph.conv(f"{prefix}.refine", body, size=1)
        if groups:
            body = graph.append(GroupNorm, body, name=f"{prefix}.norm", groups=groups)
        trunk = graph.add(body, trunk)
    last = blocks + 1
    if real:
        last += 1  # There is a dropout layer before it.
    channels = 3 * factor**2
    wide = graph.conv(f"feats.{last}", trunk, channels=channels, precise=dysample)
    if dysample:
        repeated = graph.conv(_REPEAT, image, channels=channels, size=1, bias=False, precise=True)
        wide = graph.add(wide, repeated)
        # DySample's groups divide its channels, which for an odd factor are not a multiple of 4.
        sampled = graph.dysample(wide, "to_img", factor, groups=3 if factor % 2 else 4)
        if factor > 1:
            graph.conv("to_img.end_conv", sampled, channels=3, size=1)
    else:
        graph.add_upscaled(wide, image, factor)
    return graph.keep_ends_precise()


def _mixer_name(real: bool) -> str:
    """Return the name of a block's first layers in the files, which PLKSR misspells."""
    return "channel_mixer" if real else "channe_mixer"


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network. Raises Unsupported."""
    options = network.hyperparameters
    state = network.state_dict()
    real = "norm_groups" in options
    if not real and options["lk_type"] != "PLK":
        raise Unsupported(f"PLKSR ({options['lk_type']})")
    factor = options["upscaling_factor"]
    dysample = bool(options.get("dysample"))
    if dysample:
        identity = state["feats.0.weight"].new_ones(3).diag()
        repeated = identity.repeat_interleave(factor**2, 0)
        state[f"{_REPEAT}.weight"] = repeated[:, :, None, None]
    mixer = f"feats.1.{_mixer_name(real)}"
    graph = plksr(
        blocks=options["n_blocks"],
        features=options["dim"],
        factor=factor,
        kernel=options["kernel_size"],
        part=len(state["feats.1.lk.conv.weight"]),
        mixer=(state[f"{mixer}.0.weight"].shape[2], state[f"{mixer}.2.weight"].shape[2]),
        real=real,
        attention=options["use_ea"],
        groups=options["norm_groups"] if real and not options["layer_norm"] else 0,
        dysample=dysample,
    )
    return graph, state
