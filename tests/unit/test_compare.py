"""Comparisons: each preset and each network once, failures stay in their cell, and the command
`enhance compare`."""

import json
import threading
from itertools import groupby

import numpy as np
import pytest
from PIL import Image

from enhance import Cancelled, EnhanceError, Settings
from enhance.cli import main
from enhance.engine.steps import RowNetwork

from .stored_results import files_of

FAST = Settings.from_preset("anime-fast")
ANIME = Settings.from_preset("anime")

pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.fixture
def passes(monkeypatch, enhancer):
    """The networks that are run, in order."""
    ran = []
    stream = enhancer.engine.stream
    monkeypatch.setattr(
        enhancer.engine,
        "stream",
        lambda rgb, recipe, **options: ran.append(recipe.model) or stream(rgb, recipe, **options),
    )
    return ran


def test_each_installed_preset_is_compared_once_model_by_model(enhancer, photo, passes):
    comparison = enhancer.compare(photo[:12, :16].copy(), size=8)

    here = [one["name"] for one in enhancer.presets() if one["available"] and one["name"] != "auto"]
    assert [cell.settings.preset for cell in comparison.cells] == here
    # The network runs again for dehaze, which changes its input, without being loaded again.
    assert passes.count("realesrgan-x4plus") == 2
    assert len(passes) == len(set(passes)) + 1
    assert len(list(groupby(passes))) == len(set(passes))


def test_a_cell_equals_the_preview_and_has_the_fidelity_of_the_run(enhancer, photo_file):
    comparison = enhancer.compare(photo_file, settings=[FAST, FAST.changed(saturation=0)])

    for cell in comparison.cells:
        facts = cell.facts("en")
        run = enhancer.run(photo_file, cell.settings).info
        assert np.array_equal(cell.preview.after, enhancer.preview(photo_file, cell.settings).after)
        assert facts["fidelity_db"] == pytest.approx(run["fidelity_db"], abs=0.01)
        assert facts["signature"] == run["signature"]


def test_cancel_works_between_strips_and_leaves_nothing(enhancer, photo, passes, monkeypatch):
    image = enhancer.read(np.tile(photo, (8, 1, 1)))
    before = files_of(enhancer.tasks.folder)
    stop = threading.Event()

    stream = enhancer.engine.stream

    def stopping(*given, **named):
        strips = stream(*given, **named)
        yield next(strips)
        stop.set()
        yield from strips

    monkeypatch.setattr(enhancer.engine, "stream", stopping)

    settings = [FAST.changed(tile=64), ANIME]
    with pytest.raises(Cancelled):
        enhancer.compare(image, size=320, settings=settings, stop=stop)

    assert passes == [FAST.model]
    assert files_of(enhancer.tasks.folder) == before
    assert enhancer.scheduler.count() == 0


def test_a_failed_preset_has_its_error_in_its_cell(enhancer, photo_file, tmp_path, monkeypatch):
    load = RowNetwork.load

    def failing(recipe, **options):
        if recipe.model == ANIME.model:
            raise MemoryError
        return load(recipe, **options)

    monkeypatch.setattr(RowNetwork, "load", failing)

    with pytest.raises(EnhanceError, match="Not enough memory"):
        enhancer.compare(photo_file, size=12, settings=[ANIME])
    comparison = enhancer.compare(photo_file, size=12, settings=[FAST, ANIME])
    done, failed = comparison.save(tmp_path / "sheet.png")["presets"]

    assert (done["status"], failed["status"]) == ("done", "failed")
    assert "Not enough memory" in failed["error"]


def test_the_command_prints_json_and_replaces_only_an_earlier_sheet(
    photo_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("enhance.presets.available_presets", lambda: ("auto", "anime-fast"))
    sheet = tmp_path / "sheet.png"
    options = "--x 20 --y 12 --size 16 --device cpu --precision fp32 --json"
    command = f"compare {photo_file} -o {sheet} {options}".split()
    sheet.write_text("somebody's notes")

    assert main(command) == 1
    assert "was not created by this program" in capsys.readouterr().err
    assert sheet.read_text() == "somebody's notes"
    sheet.unlink()
    assert main(command) == 0
    assert main(command) == 0

    info = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert info["square"] == {"left": 12, "top": 4, "width": 16, "height": 16}
    assert [preset["name"] for preset in info["presets"]] == ["anime-fast"]
    assert Image.open(sheet).width == info["output"]["width"]
