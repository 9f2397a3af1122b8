"""Networks that spandrel does not have, for the whole image at once. Their tensors have the authors' names.

They have the published structure and compute each branch of a convolution separately.

- SPANPlus: `neosr/archs/spanplus_arch.py` in https://github.com/umzi2/SPANPlus
- MoSRv2: `neosr/archs/mosrv2_arch.py` in https://github.com/neosr-project/neosr, and `traiNNer/archs/mosrv2_arch.py` in
  https://github.com/the-database/traiNNer-redux, which adds layer normalisation and `MetaUpsample`
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from spandrel.architectures.__arch_helpers.dysample import DySample
from torch import Tensor, nn


def conv(inputs: int, outputs: int, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)


# --- SPANPlus


class BranchedConv(nn.Module):
    """A 3x3 convolution between two of 1x1, plus one of 1x1. `eval_conv` is what the authors fold them into."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.sk = conv(inputs, outputs, 1)
        wide = nn.Conv2d(2 * inputs, 2 * outputs, 3)
        self.conv = nn.Sequential(conv(inputs, 2 * inputs, 1), wide, conv(2 * outputs, outputs, 1))
        self.eval_conv = conv(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (1, 1, 1, 1))) + self.sk(x)


class GatedBlock(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (BranchedConv(features, features) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output, and the first feature map, which the authors activate in place."""
        first = F.mish(self.c1_r(x))
        last = self.c3_r(F.mish(self.c2_r(first)))
        return (last + x) * (last.sigmoid() - 0.5), first


class Group(nn.Module):
    def __init__(self, features: int, blocks: int):
        super().__init__()
        self.block_1 = GatedBlock(features)
        self.block_n = nn.Sequential(*(GatedBlock(features) for _ in range(blocks)))
        self.block_end = GatedBlock(features)
        self.conv_2 = BranchedConv(features, features)
        self.conv_cat = conv(4 * features, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        trunk = start = self.block_1(x)[0]
        for block in self.block_n:
            trunk = block(trunk)[0]
        trunk, first = self.block_end(trunk)
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
        self.scale, self.multiple, self.channels = scale, 1, channels
        self.feats = nn.Sequential(BranchedConv(channels, features), *(Group(features, count) for count in blocks))
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


class LayerNorm(nn.LayerNorm):
    def __init__(self, features: int):
        super().__init__(features, eps=1e-6)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


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


class GatedConv(nn.Module):
    def __init__(self, features: int, hidden: int, rms: bool):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, features, 1, 1))
        self.norm = (RmsNorm if rms else LayerNorm)(features)
        self.fc1, self.fc2 = conv(features, 2 * hidden), conv(hidden, features)
        self.conv, self.split = InceptionConv(features), [hidden, hidden - features, features]

    def forward(self, x: Tensor) -> Tensor:
        gate, same, convolved = self.fc1(self.norm(x)).split(self.split, 1)
        joined = torch.cat([same, self.conv(convolved)], 1)
        return F.mish(self.fc2(F.mish(gate) * joined)) * self.gamma + x


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
        self.scale, self.channels = scale, channels
        first = conv(channels * self.multiple**2, features)
        self.gblocks = nn.Sequential(
            *([nn.PixelUnshuffle(self.multiple)] if self.multiple > 1 else []),
            first,
            *(GatedConv(features, int(expansion * features), rms) for _ in range(blocks)),
            *(conv(features, 2 * features), nn.Mish(), conv(2 * features, features), nn.Mish()),
            conv(features, features, 1),
        )
        self.to_img = Upsampler(upsampler, scale * self.multiple, features, channels, middle, meta)

    def forward(self, x: Tensor) -> Tensor:
        return self.to_img(self.gblocks(x)) + F.interpolate(x, scale_factor=self.scale, mode="bilinear")
