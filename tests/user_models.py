"""User models with random weights, and their results by spandrel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from spandrel import ModelLoader, SizeRequirements
from spandrel.__helpers.size_req import pad_tensor
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.MoSR import MoSR
from spandrel.architectures.PLKSR import PLKSR, RealPLKSR
from spandrel.architectures.RCAN import RCAN
from spandrel.architectures.SPAN import SPAN

from enhance import models
from enhance.models.user_models import add, remove

State = dict[str, torch.Tensor]


def esrgan(**options: object) -> Callable[[], torch.nn.Module]:
    return lambda: ESRGAN(**{"num_filters": 8, "num_blocks": 2, **options})  # type: ignore[arg-type]


def compact(upscale: int, channels: int = 3) -> Callable[[], torch.nn.Module]:
    return lambda: Compact(num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=2, upscale=upscale)


def span(upscale: int, **options: object) -> Callable[[], torch.nn.Module]:
    shape = {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": upscale}
    return lambda: SPAN(**{**shape, **options})  # type: ignore[arg-type]


def plksr(**options: object) -> Callable[[], torch.nn.Module]:
    shape = {"dim": 8, "n_blocks": 2, "kernel_size": 9}
    return lambda: PLKSR(**{**shape, **options})  # type: ignore[arg-type]


def real_plksr(**options: object) -> Callable[[], torch.nn.Module]:
    shape = {"dim": 8, "n_blocks": 2, "kernel_size": 9}
    return lambda: RealPLKSR(**{**shape, **options})  # type: ignore[arg-type]


def rcan(**options: object) -> Callable[[], torch.nn.Module]:
    shape = {"n_resgroups": 2, "n_resblocks": 2, "n_feats": 8, "reduction": 4}
    return lambda: RCAN(**{**shape, **options})  # type: ignore[arg-type]


def mosr(**options: object) -> Callable[[], torch.nn.Module]:
    return lambda: MoSR(**{"dim": 8, "n_block": 2, **options})  # type: ignore[arg-type]


NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    **{f"esrgan-{scale}x": esrgan(scale=scale) for scale in (1, 2, 4, 8, 16)},
    "esrgan-plus": esrgan(plus=True),
    "esrgan-grey": esrgan(in_nc=1, out_nc=1),
    "esrgan-grey-to-colour": esrgan(in_nc=1, out_nc=3, scale=1),
    "esrgan-wide": esrgan(num_filters=12, num_blocks=3),
    "esrgan-unshuffle-2": esrgan(in_nc=12, shuffle_factor=2),
    "esrgan-unshuffle-4": esrgan(in_nc=48, shuffle_factor=4),
    "esrgan-unshuffle-grey": esrgan(in_nc=4, out_nc=1, shuffle_factor=2, scale=8),
    **{f"compact-{scale}x": compact(scale) for scale in (1, 2, 3, 4)},
    "compact-grey": compact(2, channels=1),
    **{f"span-{scale}x": span(scale) for scale in (1, 2, 3, 4)},
    "span-no-norm": span(2, norm=False),
    "span-grey": span(2, norm=False, num_in_ch=1, num_out_ch=1),
    **{f"plksr-{kind.lower()}": plksr(ccm_type=kind, upscaling_factor=2) for kind in ("CCM", "ICCM", "DCCM")},
    "plksr-without-attention": plksr(use_ea=False, upscaling_factor=1),
    **{f"real-plksr-layers-{scale}x": real_plksr(layer_norm=True, upscaling_factor=scale) for scale in (1, 4)},
    **{f"real-plksr-{scale}x": real_plksr(upscaling_factor=scale) for scale in (1, 2, 3)},
    "real-plksr-dysample": real_plksr(dysample=True),
    "real-plksr-dysample-1x": real_plksr(dysample=True, upscaling_factor=1, layer_norm=True),
    "mosr-4x": mosr(),
    "mosr-dysample": mosr(upscale=2, upsampler="dys"),
    "mosr-1x-grey": mosr(in_ch=1, upscale=1),
    **{f"rcan-{scale}x": rcan(scale=scale, norm=False) for scale in (3, 4)},
    "rcan-norm": rcan(scale=2),
    "rcan-unshuffle": rcan(scale=2, unshuffle_mod=True, norm=False),
    "mosr-wide": mosr(upscale=2, expansion_ratio=1.5, conv_ratio=0.5, upsampler="gps"),
}


def random_state(network: torch.nn.Module, seed: int = 0) -> State:
    """Return random weights that keep the range of values, with an output in the middle of the range."""
    state = network.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items() if tensor.is_floating_point()}
    return {**state, **random_tensors(shapes, seed)}


def random_tensors(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> State:
    """Return random tensors with the given names and shapes."""
    generator = torch.Generator().manual_seed(seed)
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


@contextmanager
def add_models(*kinds: str) -> Iterator[None]:
    """Add user models of these kinds, named after the kind, to the weights folder of the program."""
    with TemporaryDirectory() as place:
        for kind in kinds:
            torch.save(random_state(NETWORKS[kind]()), file := Path(place) / f"{kind}.pth")
            add(file, kind, models.folder())
    try:
        yield
    finally:
        for kind in kinds:
            if kind in models.own_models(models.folder()):
                remove(kind, models.folder())


def spandrel_output(file: Path, rgb: np.ndarray) -> np.ndarray:
    """Return spandrel's result for uint8 [H, W, 3] with the model in a file, [s * H, s * W, 3] in levels."""
    model = ModelLoader("cpu").load_from_file(file)
    # The network alone with the padding that it needs, because spandrel pads some networks unnecessarily.
    fold = getattr(model.model, "shuffle_factor", None) or getattr(model.model, "downscale_factor", 1)
    return untiled_output(model.model, rgb, model.scale, model.input_channels, fold)


def untiled_output(network: torch.nn.Module, rgb: np.ndarray, scale: int, channels: int, fold: int) -> np.ndarray:
    """Return the result of a network for uint8 [H, W, 3], padded to multiples of `fold`, in levels.

    A network of one of its `channels` gets the image in grey.
    """
    batch = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None] / 255
    if channels == 1:
        batch = (batch * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    _, padded = pad_tensor(batch, SizeRequirements(multiple_of=fold))
    with torch.inference_mode():
        output = network.eval()(padded)[0].permute(1, 2, 0).clamp(0, 1) * 255
    output = output[: rgb.shape[0] * scale, : rgb.shape[1] * scale]
    return np.broadcast_to(output.numpy(), (*output.shape[:2], 3))
