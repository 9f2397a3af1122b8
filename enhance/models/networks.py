"""The networks of the shipped models as graphs. Layers have the names of the official files.

RRDBNet: Wang et al., "ESRGAN", 2018, and "Real-ESRGAN", 2021; ESRGAN+: Rakotonirina and Rasoanaivo, 2020. SRVGG: the
compact network that Real-ESRGAN's authors published with their general and anime-video models. SPAN: Wan et al., "Swift
Parameter-free Attention Network for Efficient Super-Resolution", 2024.
"""

from __future__ import annotations

from collections.abc import Callable

from .graphs import PRECISIONS, Activation, Graph

_LEAKY = Activation("leaky", 0.2)
_SILU = Activation("silu")
_RESIDUAL = 0.2

SPAN_MEAN = (0.4488, 0.4371, 0.4040)
SPAN_RANGE = 255.0
"""Constants of SPAN that its files do not contain. It subtracts the mean from the image and multiplies by the range."""


def rrdbnet(
    blocks: int,
    features: int = 64,
    growth: int = 32,
    *,
    ups: int = 2,
    channels: int = 3,
    output: int = 3,
    unshuffle: int = 1,
    plus: bool = False,
) -> Graph:
    """Return RRDBNet at 2^`ups` times its grid, as in RealESRGAN_x4plus (23 blocks) and its anime variant (6 blocks).

    `channels` and `output` are those of the image and the result. `plus` is ESRGAN+, with a 1x1 convolution in each
    dense block.
    """
    graph = Graph(PRECISIONS)
    image = graph.input(channels * unshuffle**2, unshuffle)
    trunk = graph.conv("conv_first", image, channels=features)
    for block in range(blocks):
        entry = trunk
        for dense in (1, 2, 3):
            trunk = _dense_block(graph, f"body.{block}.rdb{dense}", trunk, features, growth, plus)
        trunk = graph.add(trunk, entry, _RESIDUAL)
    body = graph.conv("conv_body", trunk, channels=features)
    # Computed a second time, because hundreds of its rows would be stored until here. Rows of the image are 20 times
    # smaller.
    up = graph.add(body, graph.conv("conv_first", image, channels=features))
    for number in range(1, ups + 1):
        up = graph.conv(f"conv_up{number}", up, channels=features, enlarge=2, activation=_LEAKY)
    fine = graph.conv("conv_hr", up, channels=features, activation=_LEAKY)
    graph.conv("conv_last", fine, channels=output)
    return graph.keep_ends_precise()


def _dense_block(graph: Graph, prefix: str, entry: int, features: int, growth: int, plus: bool) -> int:
    maps = [entry]
    for layer in (1, 2, 3, 4):
        output = graph.conv(f"{prefix}.conv{layer}", *maps, channels=growth, activation=_LEAKY)
        if plus and layer == 2:
            output = graph.add(graph.conv(f"{prefix}.conv1x1", entry, channels=growth, size=1, bias=False), output)
        elif plus and layer == 4:
            output = graph.add(maps[2], output)
        maps.append(output)
    residual = graph.conv(f"{prefix}.conv5", *maps, channels=features)
    return graph.add(residual, entry, _RESIDUAL)


def srvgg(convolutions: int, features: int = 64, factor: int = 4, channels: int = 3) -> Graph:
    """Return SRVGGNetCompact with PReLU and `convolutions` layers between the first and the last, at scale `factor`."""
    graph = Graph(PRECISIONS)
    image = trunk = graph.input(channels)
    for index in range(convolutions + 1):
        slopes = Activation("prelu", slopes=f"body.{2 * index + 1}.weight")
        trunk = graph.conv(f"body.{2 * index}", trunk, channels=features, activation=slopes)
    last = graph.conv(f"body.{2 * convolutions + 2}", trunk, channels=channels * factor**2)
    if factor == 1:
        graph.add(last, image)
    else:
        graph.add(graph.shuffle(last, factor), graph.nearest(image, factor))
    return graph.keep_ends_precise()


def span(features: int = 48, factor: int = 4, channels: int = 3, output: int = 3, *, norm: bool = True) -> Graph:
    """Return SPAN at scale `factor`, with each three-branch convolution folded into one.

    With `norm`, it first subtracts the mean of its training images, by the tensor `mean_shift`.
    """
    graph = Graph(PRECISIONS)
    image = graph.input(channels)
    if norm:
        image = graph.affine(image, SPAN_RANGE, "mean_shift")
    first = trunk = graph.conv("conv_1", image, channels=features)
    ends: list[int] = []
    inner = first
    for block in range(1, 7):
        inner = graph.conv(f"block_{block}.c1_r", trunk, channels=features, activation=_SILU)
        middle = graph.conv(f"block_{block}.c2_r", inner, channels=features, activation=_SILU)
        trunk = graph.gate(graph.conv(f"block_{block}.c3_r", middle, channels=features), trunk)
        ends.append(trunk)
    last = graph.conv("conv_2", ends[5], channels=features)
    joined = graph.conv("conv_cat", first, last, ends[0], inner, channels=features, size=1)
    wide = graph.conv("upsampler.0", joined, channels=output * factor**2)
    if factor > 1:
        graph.shuffle(wide, factor)
    return graph.keep_ends_precise()


SHIPPED: dict[str, Callable[[], Graph]] = {
    "realesrgan-x4plus": lambda: rrdbnet(23),
    "realesrgan-x4plus-anime": lambda: rrdbnet(6),
    "realesrgan-x2plus": lambda: rrdbnet(23, unshuffle=2),
    "realesr-general-x4v3": lambda: srvgg(32),
    "realesr-general-wdn-x4v3": lambda: srvgg(32),
    "realesr-animevideov3": lambda: srvgg(16),
    "span-x4": span,
}
