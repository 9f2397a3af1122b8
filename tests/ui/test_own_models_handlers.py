"""Models of one's own on the page, without a browser: whatever their scale, the page knows it and nothing says 4."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from enhance import Settings, models
from enhance.models import user_models
from enhance.models.user_models import add
from enhance.settings import largest_scale
from enhance.web.batch import BatchHandlers
from enhance.web.compare import CompareHandlers
from enhance.web.controls import ControlHandlers
from enhance.web.history import show_history
from enhance.web.params import CONTROLS, SIZED
from enhance.web.run import ResultHandlers, RunHandlers
from enhance.web.session import Visitor
from enhance.web.upload import FilesHandlers, UploadHandlers

from ..own_models import NETWORKS, random_state
from .test_handlers import REQUEST, page, services, session, visitor

__all__ = ["page", "services", "visitor"]

SCALES = {"esrgan-1x": 1, "compact-2x": 2, "esrgan-8x": 8, "esrgan-grey": 4, "compact-grey": 2}


@pytest.fixture(scope="module")
def small_models(tmp_path_factory) -> Path:
    """A weights folder with small models of one's own, each called by its kind."""
    folder = tmp_path_factory.mktemp("own")
    for kind in SCALES:
        torch.save(random_state(NETWORKS[kind]()), file := folder / "a <b>model.pth")
        add(file, kind, folder / "weights")
    return folder / "weights"


@pytest.fixture(autouse=True)
def own_folder(small_models, monkeypatch) -> Path:
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(small_models))
    return small_models


@pytest.fixture
def controls(page, services) -> ControlHandlers:
    return ControlHandlers(page, services)


def shown(visitor: Visitor, **changed: object) -> list[object]:
    """The values that the page's controls have for what is chosen, or with some changed by the person."""
    settings = visitor.controls
    values: dict[str, Any] = settings.as_dict() | {"scale": settings.scale or largest_scale(settings)}
    values |= {"size": visitor.sized_by, "paper": visitor.paper or "a4", "format": "png", "quality": 92}
    values |= {"metadata": "keep", **changed}
    return [values[name] for name in CONTROLS]


def choose(controls: ControlHandlers, visitor: Visitor, name: str, **changed: object) -> dict[str, Any]:
    """What choosing a preset tells the page, by the names of its controls, and what is said below them."""
    told = controls.preset(REQUEST, *shown(visitor, **{**changed, "preset": name}))
    card = controls._page.controls
    return {control: told[part] for control, part in card.controls.items() if part in told} | {
        "said": told[card.problem]
    }


@pytest.mark.parametrize("kind", SCALES)
def test_every_step_knows_the_networks_scale(page, services, visitor, controls, kind):
    scale, (height, width) = SCALES[kind], visitor.shape
    told = choose(controls, visitor, kind)
    assert [value for _, value in told["scale"].choices] == list(range(1, scale + 1))
    assert told["strength"].value == 1.0

    estimated = UploadHandlers(page, services).estimate(REQUEST, *shown(visitor))
    assert f"{scale * width:,} × {scale * height:,} px" in estimated[page.run.why]
    assert "about" in estimated[page.upload.estimate]

    previewed = list(controls.preview(REQUEST, *shown(visitor)))[-1]
    before, after = (np.asarray(Image.open(path)) for path in previewed[page.preview.slider])
    assert before.shape == after.shape == (scale * height, scale * width, 3)

    runs = RunHandlers(page, services)
    ended = [runs.ask(REQUEST, *shown(visitor)), *runs.follow(REQUEST)][-1]
    assert "finished" in ended[page.run.progress]
    assert visitor.finished.download.name == f"photo-{scale}x.png"
    assert f"{scale * width:,} × {scale * height:,} px" in ended[page.result.facts]

    closely = ResultHandlers(page, services).place(REQUEST)
    assert Image.open(closely[page.result.closely][1]).size == (scale * width, scale * height)
    report = ResultHandlers(page, services).report(REQUEST)
    assert Path(report[page.result.report_file].value["path"]).read_bytes().startswith(b"%PDF")

    batch, files = BatchHandlers(page, services), FilesHandlers(page, services, BatchHandlers(page, services))
    files.add(REQUEST, [str(visitor.upload.path)])
    batch.ask(REQUEST, *shown(visitor))
    packed = list(batch.follow(REQUEST))[-1][page.batch.download].value["path"]
    with zipfile.ZipFile(packed) as archive:
        pictures = [name for name in archive.namelist() if name.endswith(".png")]
        made = Image.open(io.BytesIO(archive.read(pictures[0])))
    assert made.size == (scale * width, scale * height)


def test_the_comparison_has_them_all_each_at_its_own_size(page, services, visitor, controls, monkeypatch):
    monkeypatch.setattr(type(services), "available", lambda _: {"esrgan-1x", "compact-2x", "esrgan-8x"})
    compare = CompareHandlers(page, services, controls)

    told = list(compare.toggle(REQUEST, *shown(visitor)))[-1]

    assert told[page.preview.cells].count('<button type="button" class="cell"') == 3
    widths = {name: Image.open(path).width for name, path in visitor.comparing.pictures.items() if name}
    assert widths == {"esrgan-1x": 56, "compact-2x": 2 * 56, "esrgan-8x": 8 * 56}


def test_the_largest_size_stays_the_largest_and_that_it_is_less_is_said(controls, visitor):
    told = choose(controls, visitor, "compact-2x")
    assert (told["scale"].value, visitor.controls.scale) == (2, None)
    assert "supports up to 2×" in told["said"]

    assert "without enlarging" in choose(controls, visitor, "esrgan-1x")["said"]

    told = choose(controls, visitor, "original")
    assert (told["scale"].value, told["said"]) == (4, "")


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        ({"size": "scale", "scale": 3}, {"scale": 3, "long_side": None}),
        ({"size": "long_side", "long_side": 200}, {"scale": None, "long_side": 200}),
        ({"size": "megapixels", "megapixels": 0.03}, {"scale": None, "megapixels": 0.03}),
    ],
)
def test_a_size_that_a_network_cannot_make_comes_back_with_one_that_can(controls, visitor, size, kept):
    """The picture is 56 x 40 px: 200 px and 0.03 megapixels are more than twice of it."""
    told = choose(controls, visitor, "compact-2x", **size)
    assert (told["size"], told["scale"].value) == ("scale", 2)
    assert "supports up to 2×" in told["said"]

    choose(controls, visitor, "esrgan-1x")
    assert choose(controls, visitor, "original")["said"] == ""

    assert {name: getattr(visitor.controls, name) for name in kept} == kept


def test_a_size_that_it_can_make_stays_and_so_does_one_that_is_too_small(controls, visitor):
    choose(controls, visitor, "compact-2x", size="long_side", long_side=100)
    assert visitor.controls.long_side == 100
    told = choose(controls, visitor, "esrgan-8x", size="long_side", long_side=2)
    assert (visitor.controls.long_side, told["said"]) == (2, "")
    told = choose(controls, visitor, "compact-2x", size="scale", scale=1)
    assert (told["scale"].value, told["said"]) == (1, "")


def test_a_preset_that_is_chosen_while_the_picture_is_read_stays_with_its_size(
    page, services, visitor, controls, monkeypatch
):
    path, read, values = visitor.upload.path, services.previews.picture, shown(visitor)

    def read_and_choose(path):
        choose(controls, visitor, "compact-2x")
        return read(path)

    monkeypatch.setattr(services.previews, "picture", read_and_choose)

    told = UploadHandlers(page, services).upload(REQUEST, str(path), *values)

    assert visitor.controls.preset == "compact-2x"
    assert told[page.controls.controls["scale"]].value == 2


@pytest.mark.parametrize("kind", ["esrgan-1x", "esrgan-8x"])
def test_every_way_to_say_the_size_begins_with_what_the_network_makes(controls, page, visitor, kind):
    choose(controls, visitor, kind)
    scale, (height, width) = SCALES[kind], visitor.shape
    for way in SIZED[1:3]:
        told = controls.size(REQUEST, *shown(visitor, size=way))
        value = told[page.controls.controls[way]].value
        wanted = scale * width if way == "long_side" else scale**2 * height * width / 1e6
        assert value == pytest.approx(wanted, abs=0.005)


def test_a_page_that_opens_has_them_by_name_scale_and_network(page, controls, visitor):
    opened = controls.open(session("opens"))

    choices = opened[page.controls.controls["preset"]].choices
    assert ("compact-2x · 2× Compact", "compact-2x") in choices
    assert ("esrgan-grey · 4× ESRGAN", "esrgan-grey") in choices
    about = opened[page.controls.about]
    assert "Compact, 2×." in about
    assert "ESRGAN, 1×." in about
    assert about.count('data-group="Your models"') == len(SCALES)
    assert "<b>" not in about
    assert "a &lt;b&gt;model.pth" in about


@pytest.fixture
def removed(own_folder, tmp_path, monkeypatch):
    """Lets a model be removed, or its file be changed, in a copy of the weights folder."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in own_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(folder))
    return lambda name: user_models.remove(name, folder)


def test_one_that_is_removed_while_the_page_shows_it_is_said_at_every_touch(page, services, visitor, controls, removed):
    choose(controls, visitor, "compact-2x")
    values = shown(visitor)
    removed("compact-2x")

    assert "“compact-2x”" in list(controls.tune(REQUEST, *values))[-1][page.preview.problem]
    assert "“compact-2x”" in RunHandlers(page, services).ask(REQUEST, *values)[page.run.progress]
    assert "“compact-2x”" in UploadHandlers(page, services).estimate(REQUEST, *values)[page.upload.size_problem]
    told = controls.preset(REQUEST, *values)
    assert "“compact-2x”" in told[page.controls.problem]
    preset = told[page.controls.controls["preset"]]
    assert preset.value == "gentle"
    assert "compact-2x" not in [name for _, name in preset.choices]


@pytest.mark.parametrize("way", ["the same tab", "what the browser kept", "a link"])
def test_a_page_that_opens_without_the_model_that_was_chosen_says_so(page, services, visitor, controls, removed, way):
    visitor.tab = "tab"
    choose(controls, visitor, "compact-2x")
    kept = dict(zip(CONTROLS, shown(visitor), strict=True))
    removed("compact-2x")
    again = session("again")
    if way == "a link":
        again.query_params = {"preset": "compact-2x", "scale": "2"}  # type: ignore[misc]

    opened = controls.open(again, "tab" if way == "the same tab" else "", "", "", kept)

    assert "“compact-2x”" in opened[page.controls.problem]
    assert opened[page.controls.controls["preset"]].value == "gentle"


def test_one_whose_file_changed_cannot_be_chosen_and_the_page_says_why(page, services, visitor, controls, removed):
    choose(controls, visitor, "compact-2x")
    kept = dict(zip(CONTROLS, shown(visitor), strict=True))
    located = models.locate("compact-2x")
    assert located
    located.path.write_bytes(b"changed")

    opened = controls.open(session("again"), "", "", "", kept)

    assert "enhance weights add FILE --name compact-2x" in opened[page.controls.problem]
    assert 'data-preset="compact-2x" data-here="false"' in opened[page.controls.about]
    assert "has changed" in list(controls.preview(REQUEST, *shown(visitor)))[-1][page.preview.problem]


def test_a_result_stays_on_its_list_and_can_be_taken_when_its_model_is_removed(
    page, services, visitor, controls, removed
):
    visitor.listed = "a" * 64
    choose(controls, visitor, "compact-2x")
    runs = RunHandlers(page, services)
    runs.ask(REQUEST, *shown(visitor))
    list(runs.follow(REQUEST))
    info = visitor.finished.info
    removed("compact-2x")

    listed = show_history(page, services.enhancer.tasks, visitor, "en")[page.result.listed]
    assert "compact-2x" in listed
    assert 'data-act="download"' in listed
    assert ResultHandlers(page, services).report(REQUEST)[page.result.report_problem] == ""
    assert "photo-2x-report.pdf" in str(ResultHandlers(page, services).report(REQUEST)[page.result.report_file].value)
    assert ResultHandlers(page, services).place(REQUEST)[page.result.problem] == ""
    assert services.enhancer.tasks.finished(info["task_id"])["preset"] == "compact-2x"


def test_another_model_of_the_same_name_is_begun_with_anew(services, visitor, controls, removed, tmp_path):
    choose(controls, visitor, "esrgan-8x")
    removed("esrgan-8x")
    torch.save(random_state(NETWORKS["compact-2x"]()), tmp_path / "other.pth")
    add(tmp_path / "other.pth", "esrgan-8x", models.folder())

    controls.preset(REQUEST, *shown(visitor))

    assert visitor.controls == Settings.from_preset("esrgan-8x")
    assert visitor.controls.factor == 2
