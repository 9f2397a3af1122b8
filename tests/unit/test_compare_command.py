"""The command `enhance compare`."""

import json

import pytest
from PIL import Image

from enhance import Settings
from enhance.cli import main

FAST = ["--device", "cpu", "--precision", "fp32"]


@pytest.fixture(autouse=True)
def one_fast_preset(monkeypatch):
    """Let only one fast preset be available."""
    monkeypatch.setattr("enhance.presets.available_presets", lambda: ("auto", "anime-fast"))


def test_json_is_one_object(photo_file, tmp_path, capsys):
    place = ["--x", "20", "--y", "12", "--size", "16"]
    assert main(["compare", str(photo_file), "-o", str(tmp_path / "sheet.png"), "--json", *place, *FAST]) == 0
    info = json.loads(capsys.readouterr().out)

    assert info["square"] == {"left": 12, "top": 4, "width": 16, "height": 16}
    assert [(one["name"], one["settings"]["scale"]) for one in info["presets"]] == [
        ("anime-fast", Settings.from_preset("anime-fast").scale)
    ]
    assert info["output"]["path"] == str(tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").size == (info["output"]["width"], info["output"]["height"])


def test_only_an_earlier_sheet_is_replaced(photo_file, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    arguments = ["compare", str(photo_file), "-o", str(sheet), "--size", "8", *FAST]
    sheet.write_text("somebody's notes")

    assert main(arguments) == 1
    assert "was not created by this program" in capsys.readouterr().err
    assert sheet.read_text() == "somebody's notes"

    sheet.unlink()
    assert [main(arguments), main(arguments)] == [0, 0]
