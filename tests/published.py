"""Networks that spandrel lacks, built from its blocks, with the structure and names that the authors published.

- SPANPlus: `neosr/archs/spanplus_arch.py` in https://github.com/umzi2/SPANPlus
- MoSRv2: `neosr/archs/mosrv2_arch.py` in https://github.com/neosr-project/neosr, and `traiNNer/archs/mosrv2_arch.py` in
  https://github.com/the-database/traiNNer-redux, which adds layer normalisation and `MetaUpsample`
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from spandrel.architectures.__arch_helpers.dysample import DySample
from spandrel.architectures.MoSR.__arch.mosr_arch import GatedCNNBlock
from spandrel.architectures.SPAN.__arch.span import SPAB, Conv3XC
from torch import Tensor, nn


def conv(inputs: int, outputs: int, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)


# --- SPANPlus


def gated_block(features: int) -> SPAB:
    """Return SPAN's block with Mish as its activation, in place like the original."""
    block = SPAB(features)
    block.act1 = nn.Mish(inplace=True)  # type: ignore[assignment]
    return block


class Group(nn.Module):
    def __init__(self, features: int, blocks: int):
        super().__init__()
        self.block_1, self.block_end = gated_block(features), gated_block(features)
        self.block_n = nn.Sequential(*(gated_block(features) for _ in range(blocks)))
        self.conv_2 = Conv3XC(features, features, gain1=2)
        self.conv_cat = conv(4 * features, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        trunk = start = self.block_1(x)[0]
        for block in self.block_n:
            trunk = block(trunk)[0]
        trunk, first, _ = self.block_end(trunk)
        return self.conv_cat(torch.cat([x, self.conv_2(trunk), start, first], 1))


class SPANPlus(nn.Module):
    def __init__(
        self,
        blocks: tuple[int, ...] = (4,),
        features: int = 48,
        scale: int = 4,
        upsampler: str = "dys",
        channels: int = 3,
        output: int = 3,
    ):
        super().__init__()
        first = Conv3XC(channels, features, gain1=2)
        self.feats = nn.Sequential(first, *(Group(features, count) for count in blocks))
        if upsampler == "dys":
            self.upsampler: nn.Module = DySample(features, output, scale)
        elif upsampler == "conv":
            self.upsampler = conv(features, channels)
        else:
            self.upsampler = nn.Sequential(conv(features, channels * scale**2), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        return self.upsampler(self.feats(x))


# --- MoSRv2


class RmsNorm(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.scale, self.offset = nn.Parameter(torch.ones(features, 1, 1)), nn.Parameter(torch.zeros(features, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x / (x.square().mean(1, keepdim=True).sqrt() + 1e-6)) + self.offset


class InceptionConv(nn.Module):
    """A 3x3, a 1x11 and an 11x1 convolution by depth of the last three eighths of the channels."""

    def __init__(self, features: int):
        super().__init__()
        self.eighth = part = features // 8
        self.dwconv_hw = nn.Conv2d(part, part, 3, padding=1, groups=part)
        self.dwconv_w = nn.Conv2d(part, part, (1, 11), padding=(0, 5), groups=part)
        self.dwconv_h = nn.Conv2d(part, part, (11, 1), padding=(5, 0), groups=part)

    def forward(self, x: Tensor) -> Tensor:
        rest, *parts = x.split([x.shape[1] - 3 * self.eighth, *[self.eighth] * 3], 1)
        kernels = self.dwconv_hw, self.dwconv_w, self.dwconv_h
        return torch.cat([rest, *(kernel(part) for kernel, part in zip(kernels, parts, strict=True))], 1)


class GatedConv(GatedCNNBlock):
    """MoSR's block with another convolution, a learned factor for its change and no shift."""

    def __init__(self, features: int, expansion: float, rms: bool):
        super().__init__(features, expansion, drop_path=0.0)
        self.gamma, self.conv = nn.Parameter(torch.ones(1, features, 1, 1)), InceptionConv(features)
        if rms:
            self.norm = RmsNorm(features)

    def forward(self, x: Tensor) -> Tensor:
        return (super().forward(x) - (x - 0.5)) * self.gamma + x


UPSAMPLERS = "conv", "pixelshuffledirect", "pixelshuffle", "nearest+conv", "dysample", "transpose+conv"


class Upsampler(nn.Sequential):
    def __init__(self, kind: str, scale: int, features: int, output: int, middle: int, meta: bool):
        steps, layers = [3] if scale == 3 else [2] * round(math.log2(scale)), list[nn.Module]()
        if kind == "conv" or scale == 1:
            layers = [conv(features, output)]
        elif kind == "pixelshuffledirect":
            layers = [conv(features, output * scale**2), nn.PixelShuffle(scale)]
        elif kind == "pixelshuffle":
            layers = [conv(features, middle), nn.LeakyReLU()]
            for step in steps:
                layers += [conv(middle, middle * step**2), nn.PixelShuffle(step)]
            layers.append(conv(middle, output))
        elif kind == "nearest+conv":
            for step in steps:
                layers += [conv(features, features), nn.Upsample(scale_factor=step), nn.LeakyReLU(0.2)]
            layers += [conv(features, features), nn.LeakyReLU(0.2), conv(features, output)]
        elif kind == "dysample":
            layers = [] if middle == features else [conv(features, middle), nn.LeakyReLU()]
            layers.append(DySample(middle, output, scale))
        else:
            layers = [nn.ConvTranspose2d(features, output, 3, 3), conv(output, output)]
        super().__init__(*layers)
        if meta:
            numbers = [2, UPSAMPLERS.index(kind), scale, features, output, middle, 4]
            self.register_buffer("MetaUpsample", torch.tensor(numbers, dtype=torch.uint8))


class MoSRv2(nn.Module):
    def __init__(
        self,
        blocks: int = 24,
        features: int = 64,
        scale: int = 4,
        upsampler: str = "pixelshuffledirect",
        expansion: float = 1.5,
        middle: int = 32,
        channels: int = 3,
        *,
        unshuffle: bool = True,
        rms: bool = True,
        meta: bool = False,
    ):
        super().__init__()
        self.multiple = 4 // scale if unshuffle and scale < 3 else 1
        self.scale = scale
        first = conv(channels * self.multiple**2, features)
        self.gblocks = nn.Sequential(
            *([nn.PixelUnshuffle(self.multiple)] if self.multiple > 1 else []),
            first,
            *(GatedConv(features, expansion, rms) for _ in range(blocks)),
            *(conv(features, 2 * features), nn.Mish(), conv(2 * features, features), nn.Mish()),
            conv(features, features, 1),
        )
        self.to_img = Upsampler(upsampler, scale * self.multiple, features, channels, middle, meta)

    def forward(self, x: Tensor) -> Tensor:
        return self.to_img(self.gblocks(x)) + F.interpolate(x, scale_factor=self.scale, mode="bilinear")
