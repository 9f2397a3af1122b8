"""Comparisons: each preset and each network once, previews first, and failures stay in their cell."""

import threading

import numpy as np
import pytest
from PIL import Image

from enhance import Cancelled, Settings, WeightsError
from enhance.engine.steps import RowNetwork
from enhance.scheduler import SCHEDULER, Scheduler, Ticket

FAST, ANIME = Settings.from_preset("anime-fast"), Settings.from_preset("anime")
LIGHT = [FAST, FAST.changed(saturation=0)]
"""Two settings that share a fast network."""

pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.fixture
def loads(monkeypatch, enhancer) -> list[str]:
    """The models that are loaded, in order."""
    loaded, load = [], RowNetwork.load

    def counting(recipe, **options):
        loaded.append(recipe.model)
        return load(recipe, **options)

    enhancer.engine.release()
    monkeypatch.setattr(RowNetwork, "load", counting)
    return loaded


@pytest.fixture
def passes(monkeypatch, enhancer) -> list[str]:
    """The networks that are run, in order."""
    ran, stream = [], enhancer.engine.stream

    def counting(rgb, recipe, **options):
        ran.append(recipe.model)
        return stream(rgb, recipe, **options)

    monkeypatch.setattr(enhancer.engine, "stream", counting)
    return ran


def test_each_installed_preset_is_compared_once_and_each_model_is_loaded_once(
    enhancer, photo, photo_file, loads, passes
):
    arrived = []
    Image.fromarray(photo[:12, :16]).save(photo_file)

    comparison = enhancer.compare(photo_file, size=8, on_cell=arrived.append)

    here = [one["name"] for one in enhancer.presets() if one["available"] and one["name"] != "auto"]
    assert (
        [cell.settings.preset for cell in comparison.cells]
        == [one["name"] for one in comparison.info["presets"]]
        == here
    )
    assert sorted(map(id, arrived)) == sorted(map(id, comparison.cells))
    assert {"gentle", "original", "anime", "anime-fast", "dehaze"} <= set(here)
    assert len(loads) == len(set(loads))
    # The network runs again for dehaze, which changes its input.
    assert passes.count("realesrgan-x4plus") == 2
    assert passes.count("realesrgan-x4plus-anime") == passes.count("realesr-animevideov3") == 1


def test_a_cell_equals_the_preview_and_has_the_fidelity_of_the_run(enhancer, photo_file):
    comparison = enhancer.compare(photo_file, settings=LIGHT)

    for cell in comparison.cells:
        assert np.array_equal(cell.preview.after, enhancer.preview(photo_file, cell.settings).after)
        assert cell.preview.info["fidelity_db"] == cell.fidelity_db
        assert cell.fidelity_db == pytest.approx(enhancer.run(photo_file, cell.settings).info["fidelity_db"], abs=0.01)
        assert cell.facts("en")["signature"] == enhancer.run(photo_file, cell.settings).info["signature"]


def test_cancel_works_between_strips_and_leaves_nothing(enhancer, photo, tmp_path, passes):
    path = tmp_path / "tall.png"
    Image.fromarray(np.tile(photo, (8, 1, 1))).save(path)
    stop, before = threading.Event(), sorted(tmp_path.rglob("*"))

    def stopping(*_) -> None:
        stop.set()

    with pytest.raises(Cancelled):
        enhancer.compare(path, size=320, settings=[FAST.changed(tile=64), ANIME], progress=stopping, stop=stop)

    assert passes == [FAST.model]
    assert sorted(tmp_path.rglob("*")) == before
    assert SCHEDULER.count_steps() == 0
    assert SCHEDULER.count() == 0


def test_a_preview_runs_before_the_steps_of_a_comparison(enhancer, photo_file, monkeypatch):
    order, do, go_on, held = [], Scheduler.call, threading.Event(), threading.Event()

    def recording(device, work, ticket=None):
        def step():
            order.append(getattr(ticket, "caller", None))
            return work()

        return do(device, step, ticket)

    def hold():
        held.set()
        go_on.wait(60)

    comparison, preview = Ticket("comparison", "ada"), Ticket("preview", "bob")
    enhancer.compare(photo_file, size=8, settings=[FAST])  # loads everything that is loaded only once
    monkeypatch.setattr(Scheduler, "call", recording)
    asking = [
        threading.Thread(target=lambda: do(SCHEDULER, hold)),
        threading.Thread(target=lambda: enhancer.compare(photo_file, settings=[FAST], ticket=comparison)),
        threading.Thread(target=lambda: enhancer.preview(photo_file, FAST, ticket=preview)),
    ]
    for waiting, thread in enumerate(asking):
        thread.start()
        while not held.is_set() or SCHEDULER.count_steps() < waiting:
            threading.Event().wait(0.005)
    go_on.set()
    for thread in asking:
        thread.join(60)

    steps = [caller for caller in order if caller]
    assert steps[0] == "bob", "the preview runs first, although it was requested later"
    assert steps.index("ada") <= 2, "previews have at most two steps in a row"


def fail_to_load(monkeypatch, error: Exception, *models: str) -> list[str]:
    """Let loading of these models fail; return the models that are tried."""
    tried, load = [], RowNetwork.load

    def failing(recipe, **options):
        tried.append(recipe.model)
        if recipe.model in models:
            raise error
        return load(recipe, **options)

    monkeypatch.setattr(RowNetwork, "load", failing)
    return tried


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "Not enough memory"),
        (WeightsError("weights_missing", names="x"), "weights"),
        (RuntimeError("odd"), "unexpected error"),
    ],
)
def test_a_failed_preset_has_its_error_in_its_cell(enhancer, photo_file, tmp_path, monkeypatch, error, message):
    fail_to_load(monkeypatch, error, ANIME.model)

    comparison = enhancer.compare(photo_file, size=12, settings=[FAST, ANIME])
    info = comparison.save(tmp_path / "sheet.png")

    assert message in info["presets"][1]["error"]
    assert [one["status"] for one in info["presets"]] == ["done", "failed"]
    assert info["presets"][1]["seconds"] is None
    assert Image.open(tmp_path / "sheet.png").size == (info["output"]["width"], info["output"]["height"])


def test_the_sheet_shows_the_photo_first_and_all_pixels_1_to_1(enhancer, photo_file, tmp_path):
    comparison = enhancer.compare(photo_file, size=32, settings=LIGHT)
    info = comparison.save(tmp_path / "sheet.png", "zh-CN")

    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert np.array_equal(sheet[24 : 24 + 128, 24 : 24 + 128], comparison.first.before)
    assert np.array_equal(sheet[24 : 24 + 128, 308 : 308 + 128], comparison.cells[0].preview.after)
    assert not np.array_equal(sheet, comparison.sheet("en"))
    assert info["output"]["bytes"] == (tmp_path / "sheet.png").stat().st_size
    assert info["square"] == {"left": 12, "top": 4, "width": 32, "height": 32}
