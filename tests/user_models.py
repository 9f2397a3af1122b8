"""User models with random weights, and the expected results from the networks of spandrel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from spandrel import SizeRequirements
from spandrel.__helpers.size_req import pad_tensor
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.MoSR import MoSR
from spandrel.architectures.PLKSR import PLKSR, RealPLKSR
from spandrel.architectures.RCAN import RCAN
from spandrel.architectures.RealCUGAN import UpCunet2x, UpCunet3x, UpCunet4x
from spandrel.architectures.SPAN import SPAN

from enhance import models
from enhance.models.manifest import WeightSource
from enhance.models.user_models import add, remove
from enhance.models.weights_folder import digest


def small(network, **defaults) -> Callable[..., Callable[[], torch.nn.Module]]:
    """Return a function that accepts further options and returns a constructor of the network
    without parameters."""
    return lambda **options: lambda: network(**defaults | options)


esrgan = small(ESRGAN, num_filters=8, num_blocks=2)
compact = small(Compact, num_feat=8, num_conv=2)
span = small(SPAN, num_in_ch=3, num_out_ch=3, feature_channels=8)
plksr = small(PLKSR, dim=8, n_blocks=2, kernel_size=9)
real_plksr = small(RealPLKSR, dim=8, n_blocks=2, kernel_size=9)
rcan = small(RCAN, n_resgroups=2, n_resblocks=2, n_feats=8, reduction=4)
mosr = small(MoSR, dim=8, n_block=2)

NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    **{f"esrgan-{scale}x": esrgan(scale=scale) for scale in (1, 4, 8)},
    "esrgan-plus": esrgan(plus=True),
    "esrgan-grey-to-colour": esrgan(in_nc=1, out_nc=3, scale=1),
    "esrgan-unshuffle-2": esrgan(in_nc=12, shuffle_factor=2),
    "esrgan-unshuffle-4": esrgan(in_nc=48, shuffle_factor=4),
    "esrgan-unshuffle-grey": esrgan(in_nc=4, out_nc=1, shuffle_factor=2, scale=8),
    **{f"compact-{scale}x": compact(upscale=scale) for scale in (1, 2, 3, 4)},
    "compact-grey": compact(upscale=2, num_in_ch=1, num_out_ch=1),
    "span-4x": span(upscale=4),
    "span-grey": span(upscale=2, norm=False, num_in_ch=1, num_out_ch=1),
    "plksr-ccm": plksr(ccm_type="CCM", upscaling_factor=2),
    "plksr-dccm": plksr(ccm_type="DCCM", upscaling_factor=2),
    "plksr-without-attention": plksr(use_ea=False, upscaling_factor=1, kernel_size=17),
    "real-plksr-layers": real_plksr(layer_norm=True, upscaling_factor=1),
    "real-plksr-2x": real_plksr(upscaling_factor=2),
    "real-plksr-dysample": real_plksr(dysample=True),
    "real-plksr-dysample-1x": real_plksr(dysample=True, upscaling_factor=1, layer_norm=True),
    "mosr-4x": mosr(),
    "mosr-dysample": mosr(upscale=2, upsampler="dys"),
    "mosr-1x-grey": mosr(in_ch=1, upscale=1),
    "mosr-wide": mosr(upscale=2, expansion_ratio=1.5, conv_ratio=0.5, upsampler="gps"),
    "rcan-3x": rcan(scale=3, norm=False),
    "rcan-norm": rcan(scale=4),
    "rcan-unshuffle": rcan(scale=2, unshuffle_mod=True, norm=False),
    "real-cugan-2x": UpCunet2x,
    "real-cugan-3x": UpCunet3x,
    "real-cugan-4x": UpCunet4x,
    "real-cugan-pro": small(UpCunet4x, pro=True)(),
}


def random_state(network):
    """Return random weights that keep the range of values, with an output in the middle of the
    range."""
    state = network.state_dict()
    shapes = {name: tensor.shape for name, tensor in state.items() if tensor.is_floating_point()}
    return {**state, **random_tensors(shapes)}


def random_tensors(shapes):
    """Return random tensors with the given names and shapes."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        fan = math.prod(shape[1:]) if len(shape) == 4 else 16
        spread = 0.2 if "upsampler" in name or "conv_bottom" in name else 1.0
        state[name] = torch.randn(shape, generator=generator) * spread / fan**0.5
    if "conv_1.sk.weight" in state and "no_norm" not in state:
        for name in ("conv_1.sk", "conv_1.conv.0"):
            state[f"{name}.weight"] /= 255
    last = [name for name in state if name.endswith(".bias")][-1]
    state[last] = torch.full_like(state[last], 0.5)
    return state


def random_network(kind: str) -> torch.nn.Module:
    """Return the network of this kind with random weights."""
    network = NETWORKS[kind]()
    network.load_state_dict(random_state(network))
    return network.eval()


def save_model(kind: str, file: Path) -> Path:
    """Save the weights of `random_network` to a .pth file, and return its path."""
    torch.save(random_network(kind).state_dict(), file)
    return file


@contextmanager
def add_models(*kinds: str) -> Iterator[None]:
    """Add user models of these kinds, named after the kind, to the weights folder of the
    program."""
    folder = models.folder()
    with TemporaryDirectory() as place:
        for kind in kinds:
            add(save_model(kind, Path(place, f"{kind}.pth")), kind, folder)
    try:
        yield
    finally:
        for kind in models.own_models(folder).keys() & kinds:
            remove(kind, folder)


def use_file(monkeypatch, name, file) -> None:
    """Make this file the weights of a shipped model, which no server has."""
    manifest = cast(dict[str, models.Model], models.manifest())
    facts: Any = {"file": str(file), "bytes": file.stat().st_size, "sha256": digest(file)}
    source = WeightSource("release", "nobody/nothing", "v1", file.name, **facts)
    monkeypatch.setitem(manifest, name, replace(manifest[name], **facts, sources=(source,)))


def reference_output(network, rgb):
    """Return the result of a network for uint8 [H, W, 3] in one piece, [s * H, s * W, 3] in levels.

    The image is padded to the multiple that the network needs. A network of one channel gets the
    image in grey.
    """
    height, width, _ = rgb.shape
    fold = getattr(network, "shuffle_factor", None) or getattr(network, "downscale_factor", None)
    fold = fold or 1
    batch = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None] / 255
    if next(one for one in network.parameters() if one.ndim == 4).shape[1] == fold**2:
        batch = (batch * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    _, padded = pad_tensor(batch, SizeRequirements(multiple_of=fold))
    with torch.inference_mode():
        output = network(padded)[0].permute(1, 2, 0).clamp(0, 1) * 255
    scale = len(output) // padded.shape[2]
    cropped = output[: height * scale, : width * scale].numpy()
    return np.broadcast_to(cropped, (*cropped.shape[:2], 3))
