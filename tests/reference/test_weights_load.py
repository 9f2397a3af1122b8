"""The official networks load the weights of packages strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from enhance.models import Store, ensure, read_state_dict

rrdbnet_arch = pytest.importorskip("basicsr.archs.rrdbnet_arch", exc_type=ImportError)
srvgg_arch = pytest.importorskip("realesrgan.archs.srvgg_arch", exc_type=ImportError)

NETWORKS = {
    "realesrgan-x4plus": lambda: rrdbnet_arch.RRDBNet(3, 3, scale=4, num_feat=64, num_block=23, num_grow_ch=32),
    "realesrgan-x4plus-anime": lambda: rrdbnet_arch.RRDBNet(3, 3, scale=4, num_feat=64, num_block=6, num_grow_ch=32),
    "realesr-animevideov3": lambda: srvgg_arch.SRVGGNetCompact(3, 3, num_feat=64, num_conv=16, upscale=4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_weights_of_a_package_load(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    state = read_state_dict(ensure(name, store=Store(tmp_path)))
    NETWORKS[name]().load_state_dict(state, strict=True)
