"""The preset that makes pictures twice as large, by a network of its own: nothing in it is four times."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import Enhancer, Settings, SettingsError, WeightsError
from enhance.cli import main
from enhance.models.networks import SHIPPED
from enhance.output.resample import result_size
from enhance.settings import scales
from tests.own_models import spandrels

NAME, MODEL = "gentle-2x", "realesrgan-x2plus"

pytestmark = pytest.mark.usefixtures("with_x2plus", "fresh_store")


@pytest.fixture
def odd_photo(photo: np.ndarray, tmp_path: Path) -> Path:
    """A photo [21, 27]: the network, which folds pictures by two, has to pad it."""
    Image.fromarray(photo[:21, :27]).save(path := tmp_path / "odd.png")
    return path


def test_its_sliders_are_gentles():
    gentle, twice = Settings(), Settings.from_preset(NAME)
    assert twice.as_dict() == {**gentle.as_dict(), "preset": NAME}
    assert (twice.model, twice.factor) == (MODEL, 2)


def test_no_size_beyond_twice_can_be_asked_for():
    twice = Settings.from_preset(NAME)
    assert scales(twice) == [1, 2]
    with pytest.raises(SettingsError, match="Use a number from 1 to 2"):
        twice.changed(scale=3)
    assert result_size(twice, 21, 27) == (42, 54)
    with pytest.raises(SettingsError, match="54"):
        result_size(twice.changed(long_side=55), 21, 27)
    assert scales(twice.changed(reduce=2)) == [1]
    assert result_size(twice.changed(reduce=4), 40, 60) == (20, 30)


def test_its_file_is_larger_than_that_of_four_times_by_what_unshuffling_needs():
    """The authors' two files differ by nothing but the first convolution: 12 channels of the picture, not 3."""
    twice, four = (SHIPPED[name]().shapes() for name in (MODEL, "realesrgan-x4plus"))
    assert {name for name in twice if twice[name] != four[name]} == {"conv_first.weight"}
    assert 4 * (math.prod(twice["conv_first.weight"]) - math.prod(four["conv_first.weight"])) == 67_061_725 - 67_040_989


def test_the_network_is_the_authors(photo: np.ndarray, odd_photo: Path, with_x2plus: Path, enhancer: Enhancer):
    made = enhancer.upscale(photo[:21, :27], model=MODEL)
    expected = spandrels(with_x2plus, photo[:21, :27])
    assert made.shape == (42, 54, 3)
    assert np.abs(made - expected).max() <= 1
    assert made.std() > 5, "a flat picture proves nothing"


def test_a_result_is_twice_as_large_and_a_preview_is_a_part_of_it(odd_photo: Path, enhancer: Enhancer):
    settings = Settings.from_preset(NAME)

    preview = enhancer.preview(odd_photo, settings, size=12)
    result = enhancer.run(odd_photo, settings, preview=preview)

    assert Image.open(result.path).size == (54, 42)
    assert preview.after.shape == (24, 24, 3)
    assert preview.info["signature"] == result.info["signature"]
    model = result.info["model"]
    assert (model["name"], model["source"]) == (MODEL, "official file (origin not recorded)")
    assert enhancer.run(odd_photo, settings.changed(scale=1.5)).info["output"]["width"] == 40


def test_it_stands_beside_presets_that_make_more_on_one_sheet(odd_photo: Path, enhancer: Enhancer):
    made = enhancer.compare(odd_photo, size=12, wanted=[Settings.from_preset(name) for name in ("anime-fast", NAME)])
    assert [cell.preview.after.shape for cell in made.cells if cell.preview] == [(48, 48, 3), (24, 24, 3)]


def test_the_presets_tell_its_scale_and_its_time(enhancer: Enhancer):
    described = next(one for one in enhancer.presets() if one["name"] == NAME)
    assert (described["available"], described["scale"], described["model"]) == (True, 2, MODEL)
    assert described["relative_time"] == 0.25


def test_without_its_file_it_cannot_be_chosen_and_with_another_under_its_name_neither(enhancer, with_x2plus, odd_photo):
    content = with_x2plus.read_bytes()
    with_x2plus.unlink()
    assert not available(enhancer)
    with_x2plus.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not available(enhancer)
    enhancer.engine.release()
    with pytest.raises(WeightsError, match="GitHub release: not tried"):
        enhancer.run(odd_photo, NAME)
    assert with_x2plus.with_name(f"{with_x2plus.name}.corrupt").exists()
    with_x2plus.write_bytes(content)
    assert available(enhancer)


def available(enhancer: Enhancer) -> bool:
    return next(one["available"] for one in enhancer.presets() if one["name"] == NAME)


def test_the_command_line_runs_it(odd_photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    given = ["run", str(odd_photo), "-o", str(tmp_path / "out.png"), "--preset", NAME, "--precision", "fp32", "--json"]
    assert main(given) == 0
    info = json.loads(capsys.readouterr().out)
    assert (info["preset"], info["output"]["width"], info["output"]["height"]) == (NAME, 54, 42)
    assert main([*given, "--scale", "3"]) == 2
    assert "Use a number from 1 to 2" in capsys.readouterr().err
