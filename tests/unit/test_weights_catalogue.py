"""`enhance weights find` and `add NAME`: models by other authors from a catalogue, and the licences
of all models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch

from enhance.cli.weights import main
from enhance.errors import StorageError, WeightsError
from enhance.models import Model, WeightStore, ensure, locate, own_models, read_state_dict
from enhance.models.catalogue import add_by_name
from enhance.models.manifest import allows_commercial_use, catalogue
from enhance.models.user_models import add, check_name
from tests.unit.hub_server import HubServer, go_online, limit_file_size, made_up_model, weight_files

NAME = "4xTiny_compact"
PRESET = "4xtiny_compact"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a Compact network: the shipped weights for anime, with 16 bits. User models have
    32."""
    path = tmp_path_factory.mktemp("content") / "network.pth"
    state = read_state_dict(ensure("realesr-animevideov3"))
    torch.save({"params": {name: tensor.half() for name, tensor in state.items()}}, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def offered(content: bytes) -> dict[str, Model]:
    """A catalogue of a model on GitHub, and of one on Hugging Face that is not for commercial
    use."""

    def model(name: str, site: Any, licence: str, for_photos: bool) -> Model:
        made = made_up_model(content, name)
        source = replace(made.sources[0], site=site, version="v1", path=made.file)
        facts = {"network": "Compact", "scale": 4, "author": "A. Author"}
        return replace(made, sources=(source,), licence=licence, for_photos=for_photos, **facts)  # type: ignore[arg-type]

    other = model("4xOther", "hub", "CC-BY-NC-SA-4.0", for_photos=False)
    return {NAME: model(NAME, "release", "CC-BY-4.0", for_photos=True), "4xOther": other}


@pytest.fixture
def store(tmp_path: Path, offered: dict[str, Model]) -> WeightStore:
    return WeightStore(tmp_path / "weights", catalogue=offered)


@pytest.fixture
def server(
    offered: dict[str, Model], content: bytes, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubServer]:
    """GitHub and Hugging Face with both files."""
    go_online(monkeypatch)
    with HubServer() as hub:
        for model in offered.values():
            hub.offer(model, content)
        monkeypatch.setenv("ENHANCE_RELEASES", hub.address)
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


# --- Find


def test_find_filters_by_words_licence_and_subject(store, capsys: pytest.CaptureFixture):
    def found(*arguments: str) -> list[str]:
        assert main(["find", *arguments, "--json"], store) == 0
        return [record["name"] for record in json.loads(capsys.readouterr().out)]

    assert found() == [NAME, "4xOther"]
    assert found("--photo") == found("--commercial") == found("TINY", "compact") == [NAME]
    assert found("cc-by-nc") == ["4xOther"]
    assert found("4xOther", "--commercial") == []


@pytest.mark.parametrize("model", catalogue().values(), ids=catalogue())
def test_each_model_of_the_catalogue_can_be_added(model: Model):
    (source,) = model.sources
    assert source.url.startswith(("https://github.com/", "https://huggingface.co/"))
    assert model.file == source.file == source.path
    assert Path(model.file).suffix in (".pth", ".safetensors")
    assert (len(bytes.fromhex(model.sha256)), allows_commercial_use(model.licence) is None) == (
        32,
        False,
    )
    assert model.author
    assert 1 <= (model.scale or 0) <= 16
    check_name(None, Path(model.file))


# --- Add by name


def test_a_model_is_downloaded_and_added_by_its_name(server, store, content, tmp_path, capsys):
    assert main(["add", NAME.lower(), "--json"], store) == 0
    (record,) = json.loads(capsys.readouterr().out)

    facts = {
        "name": PRESET,
        "network": "srvgg",
        "scale": 4,
        "source": "GitHub someone/models v1",
        "status": "verified",
        "own": True,
        "author": "A. Author",
        "licence": "CC-BY-4.0",
        "commercial": True,
    }
    assert {key: record[key] for key in facts} == facts
    assert weight_files(store.folder / "downloads") == set()
    (tmp_path / "file.pth").write_bytes(content)
    assert add(tmp_path / "file.pth", "by-file", store.folder).sha256 == record["sha256"]

    assert main(["add", "4xOther", "--name", "own"], store) == 0
    assert "CC-BY-NC-SA-4.0 (not commercial)" in capsys.readouterr().out
    assert own_models(store.folder)["own"].origin == "Hugging Face someone/models@v1"
    located = locate("own", store)
    assert located
    assert located.licence == "CC-BY-NC-SA-4.0"


def test_a_taken_name_is_rejected_before_the_download(server, store, offered, content, tmp_path):
    (tmp_path / "file.pth").write_bytes(content)
    add(tmp_path / "file.pth", "mine", store.folder)
    for name in ("mine", "gentle"):
        with pytest.raises(WeightsError, match=f"name {name} is already used"):
            add_by_name(offered[NAME], name, store.folder)
    assert server.requests == []


def test_callers_that_add_a_model_at_once_get_the_same_one(server, store, offered):
    begin = Barrier(2)

    def add_tiny(_: int) -> Model:
        begin.wait(60)
        return add_by_name(offered[NAME], None, store.folder)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(add_tiny, range(2))
    assert first == second == own_models(store.folder)[PRESET]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("4xTinyCompact", f"Did you mean {NAME}"),
        ("qqq", "weights find"),
        ("qqq.pth", "Cannot read qqq.pth"),
    ],
)
def test_an_unknown_name_is_rejected_with_a_suggestion(typed, message, store, capsys):
    assert main(["add", typed], store) == 1
    assert message in capsys.readouterr().err
    assert not store.folder.exists()


def test_a_wrong_file_is_renamed_and_nothing_is_added(server, store, offered, content, capsys):
    server.offer(offered[NAME], content[::-1])
    assert main(["add", NAME], store) == 1
    printed = capsys.readouterr().err
    assert "does not match" in printed
    assert f"`enhance weights add {NAME}`" in printed
    assert weight_files(store.folder / "downloads") == {f"{NAME}.pth.corrupt"}
    assert own_models(store.folder) == {}

    server.offer(offered[NAME], content)
    assert main(["add", NAME], store) == 0


def test_a_full_disk_adds_nothing_and_the_download_is_resumed(server, store, offered):
    with limit_file_size(200_000), pytest.raises(StorageError):
        add_by_name(offered[NAME], None, store.folder)
    assert own_models(store.folder) == {}
    assert add_by_name(offered[NAME], None, store.folder).scale == 4
    assert server.ranges == [None, "bytes=200000-"]


# --- Licences


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", True),
        ("cc-by-sa-4.0", True),
        ("CC-BY-NC-SA-4.0", False),
        ("unknown", None),
        ("Mitigated licence", None),
    ],
)
def test_commercial_use_is_stated_only_for_known_licences(licence: str, expected: bool | None):
    assert allows_commercial_use(licence) is expected
