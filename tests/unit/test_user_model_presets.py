"""A user model is a preset with its name and the scale of its network."""

import cv2
import numpy as np
import pytest
from PIL import Image

from enhance import Settings, SettingsError, WeightsError, enhance
from enhance.models import ensure, graph_of, use, user_models
from enhance.models.user_models import add
from enhance.settings import all_presets
from enhance.store import result_name
from enhance.web.params import settings_from_call
from tests.conftest import agreement
from tests.user_models import save_model

pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch, fresh_store):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def add_model(kind, folder, **facts):
    return add(save_model(kind, folder.with_name("model.pth")), kind, folder, **facts).name


@pytest.fixture
def image(photo, tmp_path):
    """A photo [20, 28] with transparency."""
    alpha = np.linspace(140, 255, 20 * 28, dtype=np.uint8).reshape(20, 28)
    Image.fromarray(np.dstack([photo[:20, :28], alpha])).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize(("kind", "scale"), [("esrgan-1x", 1), ("compact-3x", 3), ("esrgan-8x", 8)])
def test_the_result_and_a_preview_have_the_scale_of_the_network(
    kind, scale, own_folder, image, enhancer
):
    settings = Settings(add_model(kind, own_folder), strength=0.8, fidelity=0.5)

    preview = enhancer.preview(image, settings, size=12)
    result = enhancer.run(image, settings)

    assert preview.after.shape[:2] == preview.before.shape[:2] == (12 * scale, 12 * scale)
    assert agreement(preview, result) >= 50
    assert result.info["signature"] == preview.info["signature"]
    assert (result.info["model"]["name"], result.info["model"]["source"]) == (kind, "model.pth")
    assert result.array.shape == (20 * scale, 28 * scale, 4)


def test_tuning_uses_the_scale_of_the_network(own_folder, image, enhancer):
    """Without tuning the result is the network's. At strength 0 it is the resized photo."""
    name = add_model("esrgan-8x", own_folder)
    given = np.asarray(Image.open(image))[..., :3]

    photo_alone = enhancer.run(image, Settings(name, strength=0.0)).array[..., :3]
    network = enhancer.run(image, Settings(name)).array[..., :3]

    assert np.array_equal(network, enhancer.upscale(given, name))
    averaged = cv2.resize(photo_alone, (28, 20), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(averaged - given).mean() <= 6


def test_author_and_licence_are_stated(own_folder, image, enhancer):
    name = add_model("compact-3x", own_folder, licence="CC-BY-NC-4.0", author="A. Author")

    licences = {preset["name"]: preset["licence"] for preset in enhancer.presets()}
    chinese = enhancer.presets("zh-CN")[-1]["licence"]

    assert licences[name] == "Made by A. Author. Licence: CC-BY-NC-4.0, non-commercial use only."
    assert chinese == "作者：A. Author。许可证：CC-BY-NC-4.0，不可商用。"
    assert licences["face"] == "Licence: BSD-3-Clause · Apache-2.0 · MIT."
    assert enhancer.run(image, Settings(name)).info["model"]["licence"] == "CC-BY-NC-4.0"


def test_a_user_model_is_a_preset_until_it_is_removed_and_available_with_its_file(
    own_folder, image, enhancer
):
    name = add_model("compact-2x", own_folder)
    file = ensure(name).path
    file.write_bytes(b"changed")
    with pytest.raises(WeightsError, match="add it again"):
        graph_of(name)
    assert file.read_bytes() == b"changed", "it stays until it is needed"

    file.unlink()
    mine = enhancer.presets()[-1]

    assert f"enhance weights add FILE --name {name}" in mine["reason"]
    with pytest.raises(WeightsError, match="add it again"):
        enhancer.run(image, Settings(name))

    user_models.remove(name, own_folder)
    for call in (enhancer.run, enhancer.preview):
        with pytest.raises(SettingsError, match=f"“{name}”.*gentle"):
            call(image, Settings(name))


def test_the_result_of_a_removed_model_is_described_with_its_scale(own_folder, image, enhancer):
    name = add_model("esrgan-8x", own_folder)
    soft = enhancer.run(image, Settings(name, reduce=3)).info
    exact = enhancer.run(image, Settings(name)).info
    before = [result_name(info, ".png") for info in (soft, exact)]

    user_models.remove(name, own_folder)

    after = [result_name(info, ".png") for info in (soft, exact)]
    assert after == before == ["photo-2.67x.png", "photo-8x.png"]


@pytest.mark.parametrize("call", ["run", "preview"])
def test_a_scale_beyond_the_network_is_rejected_before_the_image_is_read(
    own_folder, tmp_path, enhancer, call
):
    settings = Settings(add_model("compact-2x", own_folder), scale=4)
    with pytest.raises(SettingsError, match="compact-2x supports a scale of up to 2"):
        getattr(enhancer, call)(tmp_path / "missing.png", settings)


@pytest.mark.parametrize("name", ["yunet", "gfpgan-v1.4"])
def test_a_model_without_a_graph_is_an_expected_error(name, own_folder, photo, enhancer):
    with pytest.raises(WeightsError):
        enhancer.upscale(photo[:8, :8], name)
    assert not own_folder.exists()


def test_a_model_of_one_call_equals_the_added_one_and_is_not_added(own_folder, image, enhancer):
    file = save_model("compact-2x", own_folder.with_name("My model.pth"))

    used = enhancer.run(image, Settings(scale=1.5), model=file)
    array = enhance(np.asarray(Image.open(image)), model=str(file), enhancer=enhancer)

    assert used.info["preset"].startswith("my-model.")
    assert used.info["preset"] not in all_presets()
    assert used.info["model"] | {"source": "My model.pth"} == used.info["model"]
    assert used.info["model"]["name"] == used.info["preset"]
    assert array.shape == (40, 56, 4)
    added = enhancer.run(image, Settings(add(file, None, own_folder).name, scale=1.5))
    assert used.info["signature"] == added.info["signature"]
    with pytest.raises(SettingsError, match="my-model"):
        enhancer.run(image, Settings(used.info["preset"]))
    with pytest.raises(SettingsError, match="supports a scale of up to 2"):
        enhancer.run(image, Settings(scale=4), model=file)
    with pytest.raises(SettingsError, match="Unknown preset"):
        settings_from_call(use(file))  # A client cannot name a folder of the server.
