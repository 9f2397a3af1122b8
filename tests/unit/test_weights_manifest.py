"""The manifest pins the official files: a change of any size or checksum here is deliberate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from enhance.models import manifest

OFFICIAL = {
    "realesrgan-x4plus": (66_857_836, "37f9a931c215f040aa6d50f711f2cb115f713c46df1d0d6469a8bd7bfe9a60bb"),
    "realesrgan-x4plus-anime": (17_938_799, "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da"),
    "realesr-general-x4v3": (4_885_111, "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292"),
    "realesr-general-wdn-x4v3": (4_885_111, "1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca"),
    "realesr-animevideov3": (2_504_012, "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d"),
    "realesrgan-x2plus": (67_061_725, "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb"),
    "gfpgan-v1.4": (348_632_874, "e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad"),
    "span-x4": (854_788, "ca85ff72fbab3cfc244190b482d05b3abde8df7b661ed12db3c9dedd21e42d51"),
    "yunet": (229_738, "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"),
}
X4PLUS_RELEASE = (67_040_989, "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1")
PACKAGED = {
    "realesrgan-x4plus": "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
    "realesrgan-x4plus-anime": "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
    "realesr-animevideov3": "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
    "realesr-general-x4v3": "85ee266b632a765a725425ba6a5620c088c8aa2939a03063b2d83b3462724cc1",
    "span-x4": "ca85ff72fbab3cfc244190b482d05b3abde8df7b661ed12db3c9dedd21e42d51",
}


def test_the_manifest_pins_sizes_and_checksums():
    models = manifest().values()
    assert {model.name: (model.bytes, model.sha256) for model in models} == OFFICIAL
    packaged = {model.name: source.sha256 for model in models for source in model.packages}
    assert packaged == PACKAGED
    for model in models:
        for source in model.files:
            is_other = (model.name, source.site) == ("realesrgan-x4plus", "release")
            assert (source.bytes, source.sha256) == (X4PLUS_RELEASE if is_other else OFFICIAL[model.name])


def test_addresses_and_origins_of_an_official_file():
    hub, release = manifest()["realesrgan-x4plus"].files
    commit = "ea19b4cd14f85a5b914eee8aa7ff77bc371039a0"
    assert hub.url == (
        f"https://huggingface.co/Comfy-Org/Real-ESRGAN_repackaged/resolve/{commit}/RealESRGAN_x4plus.safetensors"
    )
    assert release.url == "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/RealESRGAN_x4plus.pth"
    assert str(hub) == "Hugging Face Comfy-Org/Real-ESRGAN_repackaged@ea19b4c"
    assert str(release) == "GitHub xinntao/Real-ESRGAN v0.1.0"


@pytest.mark.parametrize("model", manifest().values(), ids=manifest())
def test_each_model_has_a_licence_and_a_loadable_file(model):
    assert model.licence in {"BSD-3-Clause", "Apache-2.0", "MIT"}
    assert Path(model.file).suffix in {".safetensors", ".pth", ".onnx", ".bin"}
    assert Path(model.file).name == model.file
    assert all(source.file == model.file for source in model.files if source.site == "hub")


def test_import_does_not_load_heavy_packages():
    code = "import sys, enhance.models; print({'torch', 'huggingface_hub', 'numpy'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    assert subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True) == "set()\n"
