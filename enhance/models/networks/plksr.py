"""PLKSR: Lee et al., "Partial Large Kernel CNNs for Efficient Super-Resolution", 2024; RealPLKSR by musl and Philip
Hofmann, 2024, with layer normalisation.
"""

from __future__ import annotations

from typing import Any

from ..graphs import PRECISIONS, Activation, Graph, State, Unsupported

TITLE, ARCHITECTURE = "PLKSR", "PLKSR"

_WITH_GROUPS = ("fp32", "bf16")
"""The precisions with group normalisation. A pass that overflowed at fp16 could not be repeated."""
_SIGMOID = Activation("sigmoid")


def plksr(
    blocks: int = 28,
    features: int = 64,
    factor: int = 4,
    kernel: int = 17,
    part: int = 16,
    *,
    mixer: tuple[int, int] = (3, 1),
    attention: bool = True,
    real: bool = False,
    groups: int = 0,
) -> Graph:
    """Return PLKSR at scale `factor`, or RealPLKSR if `real`. Each block convolves `part` channels with a large kernel.

    `mixer` are the sizes of the two convolutions at the start of a block. RealPLKSR normalises `groups` of channels at
    the end of a block, or without groups the channels of each pixel at its start.
    """
    graph = Graph(_WITH_GROUPS if groups else PRECISIONS)
    image = graph.input(3)
    name, activation = ("channel_mixer", Activation("mish")) if real else ("channe_mixer", Activation("gelu"))
    trunk = graph.conv("feats.0", image, channels=features)
    for block in range(1, blocks + 1):
        prefix = f"feats.{block}"
        entry = graph.channel_norm(trunk, f"{prefix}.layer_norm") if real and not groups else trunk
        first, second = mixer
        wide = graph.conv(f"{prefix}.{name}.0", entry, channels=2 * features, size=first, activation=activation)
        mixed = graph.conv(f"{prefix}.{name}.2", wide, channels=features, size=second)
        body = graph.conv(f"{prefix}.lk.conv", mixed, channels=features, size=kernel, part=part)
        if attention:
            body = graph.multiply(graph.conv(f"{prefix}.attn.f.0", body, channels=features, activation=_SIGMOID), body)
        body = graph.conv(f"{prefix}.refine", body, channels=features, size=1)
        if groups:
            body = graph.group_norm(body, f"{prefix}.norm", groups)
        trunk = graph.add(body, trunk)
    last = graph.conv(f"feats.{blocks + (2 if real else 1)}", trunk, channels=3 * factor**2)
    if factor == 1:
        graph.add(last, image)
    else:
        graph.add(graph.shuffle(last, factor), graph.nearest(image, factor))
    return graph.keep_ends_precise()


def convert(network: Any) -> tuple[Graph, State]:
    """Return the graph and the tensors of spandrel's network. Raises Unsupported."""
    options, state = network.hyperparameters, network.state_dict()
    real = "norm_groups" in options
    if not real and options["lk_type"] != "PLK":
        raise Unsupported(f"PLKSR ({options['lk_type']})")
    if options.get("dysample"):
        raise Unsupported("RealPLKSR (DySample)")
    name = "channel_mixer" if real else "channe_mixer"
    graph = plksr(
        options["n_blocks"],
        options["dim"],
        options["upscaling_factor"],
        options["kernel_size"],
        state["feats.1.lk.conv.weight"].shape[0],
        mixer=(state[f"feats.1.{name}.0.weight"].shape[2], state[f"feats.1.{name}.2.weight"].shape[2]),
        attention=options["use_ea"],
        real=real,
        groups=options["norm_groups"] if real and not options["layer_norm"] else 0,
    )
    return graph, state
