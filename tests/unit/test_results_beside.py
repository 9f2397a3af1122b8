"""`enhance run` without -o: results next to the photos, which never replace another file."""

from __future__ import annotations

import pytest

from .runs import cached, image, names, run, start


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder in which the program is started, without a data folder."""
    monkeypatch.delenv("ENHANCE_DATA")
    (tmp_path / "holiday").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "holiday"


def test_results_are_next_to_the_photos_and_found_by_the_next_run(folder, capsys):
    for shade, name in enumerate(("a.jpg", "a.png", "2024/b.png")):
        image(folder / name, shade)

    for inputs, is_cached in ((folder, False), (".", True)):
        results = dict.fromkeys(("a-4x.png", "a-4x-2.png", "b-4x.png"), is_cached)
        assert cached(run(capsys, inputs)) == results

    assert names(folder) == [
        *("2024/b-4x.png", "2024/b.png", "a-4x-2.png", "a-4x.png", "a.jpg", "a.png")
    ]


def test_name_states_the_size_and_the_format(folder, capsys):
    photo = image(folder / "a.jpg")
    assert cached(run(capsys, photo, "--scale", "2", "--format", "webp")) == {"a-2x.webp": False}
    assert cached(run(capsys, photo, "--long-side", "20")) == {"a-20px.png": False}


def test_only_other_content_adds_a_number(folder, capsys):
    photo = image(folder / "a.jpg")
    foreign = folder / "a-4x.png"
    foreign.write_bytes(b"another file")
    for is_cached in (False, True):
        assert cached(run(capsys, photo)) == {"a-4x-2.png": is_cached}
        assert cached(run(capsys, photo, "--sharpen", "0.5")) == {"a-4x-3.png": is_cached}
    assert foreign.read_bytes() == b"another file"


def test_data_folders_and_results_are_inputs_only_if_they_are_named(folder, capsys):
    image(folder / "a.jpg")
    stored = image(folder / "data" / "processed" / "b.png").parent
    (folder / "data" / ".enhance-folder").write_text("{}")
    for inputs, results in (
        (folder, {"a-4x.png": False}),
        (folder / "a-4x.png", {"a-4x-4x.png": False}),
        (stored, {"b-4x.png": False}),
        (folder, {"a-4x.png": True}),
    ):
        assert cached(run(capsys, inputs)) == results


@pytest.mark.parametrize("arguments", ["-", "file://a.jpg", "a.jpg --ray local"])
def test_inputs_without_a_place_for_the_result_require_an_output(folder, capsys, arguments):
    image(folder.parent / "a.jpg")
    assert start(*arguments.split()) == 2
    assert "require an output" in capsys.readouterr().err
