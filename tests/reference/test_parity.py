"""The streamed engine gives the output of the untiled reference networks with the same real
weights."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from skimage import data

from enhance import Enhancer, Settings, models
from enhance.engine.engine import Engine
from tests.conftest import agreement, apart, psnr
from tests.user_models import use_file

PHOTOS = {
    "astronaut": data.astronaut()[80:109, 180:209],  # square, of a prime size
    "chelsea": data.chelsea()[100:123, 110:141],  # landscape
    "coffee": data.coffee()[60:97, 250:271],  # portrait
    "pixel": data.astronaut()[100:101, 200:201],
    "row": data.astronaut()[100:101, 200:237],
    "columns": data.astronaut()[100:141, 200:202],
}
TILES = (16, 192)
"""The first one, which is smaller than settings allow, makes the strips of these photos lower on
any computer."""


@cache
def reference_network(name):
    """Return the authors' network with the weights of the engine."""
    rrdbnet = pytest.importorskip("basicsr.archs.rrdbnet_arch").RRDBNet
    srvgg = pytest.importorskip("realesrgan.archs.srvgg_arch").SRVGGNetCompact
    network = {
        "realesrgan-x4plus": lambda: rrdbnet(3, 3, num_block=23),
        "realesrgan-x4plus-anime": lambda: rrdbnet(3, 3, num_block=6),
        "realesr-animevideov3": lambda: srvgg(num_conv=16),
    }[name]()
    network.load_state_dict(models.read_state_dict(models.ensure(name)), strict=True)
    return network.eval()


def run_untiled(network, rgb):
    batch = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        result = network(batch)[0].clamp(0, 1)
    return (result * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


SMALL = ["realesrgan-x4plus-anime", "realesr-animevideov3"]


@pytest.mark.parametrize(
    ("name", "photo"), [("realesrgan-x4plus", "astronaut"), *product(SMALL, PHOTOS)]
)
def test_fp32_equals_the_untiled_reference_for_every_tile(name, photo):
    rgb = np.ascontiguousarray(PHOTOS[photo])

    expected = run_untiled(reference_network(name), rgb)

    for tile in TILES:
        result = Engine("cpu", "fp32").enlarge(rgb, name, tile=tile)
        assert apart(result, expected) <= 1


def test_the_fast_network_and_its_denoise_equal_their_reference(photo, tmp_path, monkeypatch):
    """The weights are random but in the official file format, because only Hugging Face has the
    real ones."""
    srvgg = pytest.importorskip("realesrgan.archs.srvgg_arch").SRVGGNetCompact
    upscaler = pytest.importorskip("realesrgan").RealESRGANer
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path))
    torch.manual_seed(0)
    files = []
    for name in ("realesr-general-x4v3", "realesr-general-wdn-x4v3"):
        file = tmp_path / f"{name}.pth"
        torch.save({"params": srvgg(num_conv=32).state_dict()}, file)
        use_file(monkeypatch, name, file)
        files.append(str(file))

    ours = Engine("cpu", "fp32").enlarge(photo, Settings("fast", denoise=0.3).weights)

    reference = upscaler(4, files, dni_weight=[0.3, 0.7], model=srvgg(num_conv=32))
    assert apart(ours, run_untiled(reference.model, photo)) <= 1


def test_bf16_is_visually_lossless():
    rgb = np.ascontiguousarray(PHOTOS["astronaut"])

    rounded = Engine("cpu", "bf16").enlarge(rgb, "realesrgan-x4plus")
    exact = Engine("cpu", "fp32").enlarge(rgb, "realesrgan-x4plus")

    assert psnr(rounded, exact) >= 51
    assert apart(rounded, exact) <= 16


def test_a_preview_agrees_with_the_result():
    """The network sees less at the right of the preview."""
    rgb = data.coffee()[110:150, 260:326]
    enhancer = Enhancer("cpu", "fp32")

    preview = enhancer.preview(rgb, "gentle", x=0, y=0, size=16)

    assert preview.region.rows.grid.cut.box.width == 64
    assert agreement(preview, enhancer.run(rgb, "gentle")) >= 55
