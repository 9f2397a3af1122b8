"""`enhance weights find` and `add NAME`: models by other authors from a catalogue, and the licences
of all models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from enhance.errors import WeightsError
from enhance.models import WeightStore, own_models
from enhance.models.catalogue import add_by_name
from enhance.models.manifest import allows_commercial_use, catalogue
from enhance.models.user_models import add, check_name
from tests.unit.hub_server import HubServer, go_online, made_up_model, weight_files, weights_command
from tests.user_models import random_network

NAME = "4xTiny_compact"
PRESET = "4xtiny_compact"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The file of a Compact network with 16 bits. User models have 32."""
    path = tmp_path_factory.mktemp("content") / "network.pth"
    torch.save(random_network("compact-4x").half().state_dict(), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def offered(content):
    """A catalogue of a model on GitHub, and of one on Hugging Face that is not for commercial
    use."""

    def model(name, site, **facts):
        made = made_up_model(content, name)
        source = replace(made.sources[0], site=site, version="v1", path=made.file)
        usual: Any = {"network": "Compact", "scale": 4, "author": "A. Author"}
        return replace(made, sources=(source,), **usual, **facts)

    return {
        NAME: model(NAME, "release", licence="CC-BY-4.0", for_photos=True),
        "4xOther": model("4xOther", "hub", licence="CC-BY-NC-SA-4.0", for_photos=False),
    }


@pytest.fixture
def store(tmp_path, offered, monkeypatch):
    monkeypatch.setattr("enhance.models.catalogue.catalogue", lambda: offered)
    return WeightStore(tmp_path / "weights")


@pytest.fixture
def server(offered, content, monkeypatch):
    """GitHub and Hugging Face with both files."""
    go_online(monkeypatch)
    with HubServer() as hub:
        for model in offered.values():
            hub.offer(model, content)
        monkeypatch.setenv("ENHANCE_RELEASES", hub.address)
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


# --- Find


def test_find_filters_by_words_licence_and_subject(store, capsys):
    def found(*arguments):
        assert weights_command(["find", *arguments, "--json"], store) == 0
        return [record["name"] for record in json.loads(capsys.readouterr().out)]

    assert found() == [NAME, "4xOther"]
    assert found("--photo") == found("--commercial") == found("TINY", "compact") == [NAME]
    assert found("cc-by-nc") == ["4xOther"]


def test_each_model_of_the_catalogue_can_be_added():
    for model in catalogue().values():
        (source,) = model.sources
        assert source.url.startswith(("https://github.com/", "https://huggingface.co/"))
        assert allows_commercial_use(model.licence) is not None
        check_name(None, Path(model.file))


# --- Add by name


def test_a_model_is_downloaded_and_added_by_its_name(server, store, capsys):
    assert weights_command(["add", NAME.lower(), "--json"], store) == 0
    (record,) = json.loads(capsys.readouterr().out)

    assert (record["name"], record["status"], record["own"]) == (PRESET, "verified", True)
    assert (record["network"], record["scale"]) == ("srvgg", 4)
    assert record["source"] == "GitHub someone/models v1"
    assert (record["author"], record["licence"]) == ("A. Author", "CC-BY-4.0")
    assert weight_files(store.folder / "downloads") == set()

    assert weights_command(["add", "4xOther", "--name", "own"], store) == 0
    assert "CC-BY-NC-SA-4.0 (not commercial)" in capsys.readouterr().out
    assert own_models(store.folder)["own"].origin == "Hugging Face someone/models@v1"


def test_a_taken_name_is_rejected_before_the_download(server, store, offered, content, tmp_path):
    (tmp_path / "file.pth").write_bytes(content)
    add(tmp_path / "file.pth", "mine", store.folder)
    with pytest.raises(WeightsError, match="name mine is already used"):
        add_by_name(offered[NAME], "mine", store.folder)
    assert server.requests == []


def test_an_unknown_name_is_rejected(store, capsys):
    assert weights_command(["add", "4xTinyCompact"], store) == 1
    assert "enhance weights find" in capsys.readouterr().err
    assert not store.folder.exists()


# --- Licences


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", True),
        ("cc-by-sa-4.0", True),
        ("CC-BY-NC-SA-4.0", False),
        ("Mitigated licence", None),
    ],
)
def test_commercial_use_is_stated_only_for_known_licences(licence, expected):
    assert allows_commercial_use(licence) is expected
