"""`enhance weights find` and `add NAME`: models by other authors from a catalogue, and the licences of all models."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import torch

from enhance.errors import StorageError, WeightsError
from enhance.models import Model, Store, ensure, locate, own_models, read_state_dict
from enhance.models.catalogue import add_by_name
from enhance.models.cli import main
from enhance.models.detect import read_network
from enhance.models.manifest import allows_commercial_use, catalogue, manifest, read_models
from enhance.models.user_models import add, check_name
from tests.unit.hub_server import HubServer, go_online, limit_file_size, weight_files
from tests.user_models import save_model

NAME = "4xTiny_compact"
PRESET = "4xtiny_compact"
GITHUB = "GitHub someone/models v1"
ARCHITECTURES = {
    "ESRGAN": "esrgan-4x",
    "SPAN": "span-4x",
    "Compact": "compact-1x",
    "MoSR": "mosr-4x",
    "RealPLKSR": "real-plksr-3x",
}
"""Those of the catalogue, with a small model of each."""
ENTRIES = """
[{name}]
purpose = "Photos and drawings."
network = "Compact"
scale = 4
author = "A. Author"
licence = "{licence}"
for_photos = {photo}
file = "{name}.pth"
bytes = {bytes}
sha256 = "{sha256}"

[[{name}.sources]]
site = "{site}"
repo = "someone/models"
version = "v1"
path = "{name}.pth"
"""


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a Compact network: the shipped weights for anime, with 16 bits. User models have 32."""
    path = tmp_path_factory.mktemp("content") / "network.pth"
    state = read_state_dict(ensure("realesr-animevideov3"))
    torch.save({"params": {name: tensor.half() for name, tensor in state.items()}}, path)
    return path.read_bytes()


@pytest.fixture
def toml(tmp_path: Path, content: bytes) -> Path:
    """A catalogue of a model on GitHub, and of one on Hugging Face that is not for commercial use."""
    facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    path = tmp_path / "catalogue.toml"
    path.write_text(
        ENTRIES.format(name=NAME, site="release", licence="CC-BY-4.0", photo="true", **facts)
        + ENTRIES.format(name="4xOther", site="hub", licence="CC-BY-NC-SA-4.0", photo="false", **facts)
    )
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "weights")


@pytest.fixture
def server(toml: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """GitHub and Hugging Face with both files."""
    go_online(monkeypatch)
    with HubServer() as hub:
        for model in read_models(toml).values():
            hub.offer(model, content)
        monkeypatch.setenv("ENHANCE_RELEASES", hub.address)
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


def tiny(toml: Path) -> Model:
    return read_models(toml)[NAME]


def downloads(store: Store) -> set[str]:
    return weight_files(store.folder / "downloads")


# --- Find


def test_find_filters_by_words_licence_and_subject(toml: Path, capsys: pytest.CaptureFixture):
    def found(*arguments: str) -> list[str]:
        assert main(["find", *arguments, "--json"], offered=read_models(toml)) == 0
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
    assert (len(bytes.fromhex(model.sha256)), allows_commercial_use(model.licence) is None) == (32, False)
    assert model.author
    assert 1 <= (model.scale or 0) <= 16
    check_name(None, Path(model.file))


@pytest.mark.parametrize("architecture", sorted({model.network for model in catalogue().values()}))
def test_the_program_runs_each_architecture_of_the_catalogue(architecture: str, tmp_path: Path):
    path = save_model(ARCHITECTURES[architecture], tmp_path / "model.pth")
    assert read_network(path).graph.image_channels == 3


# --- Add by name


@pytest.mark.parametrize("typed", [NAME, NAME.lower()])
def test_a_model_is_downloaded_and_added(typed: str, server, store, toml, content, tmp_path, capsys):
    assert main(["add", typed, "--json"], store, read_models(toml)) == 0
    (record,) = json.loads(capsys.readouterr().out)

    facts = {"name": PRESET, "network": "srvgg", "scale": 4, "source": GITHUB, "status": "verified", "own": True}
    assert {key: record[key] for key in facts} == facts
    assert (record["author"], record["licence"], record["commercial"]) == ("A. Author", "CC-BY-4.0", True)
    assert downloads(store) == set()
    (tmp_path / "file.pth").write_bytes(content)
    by_file = add(tmp_path / "file.pth", "by-file", store.folder)
    assert (by_file.sha256, by_file.licence) == (record["sha256"], "unknown")
    assert main(["remove", PRESET], store) == 0


def test_a_model_on_hugging_face_can_have_another_name(server, store, toml, capsys):
    assert main(["add", "4xOther", "--name", "mine"], store, read_models(toml)) == 0
    assert "CC-BY-NC-SA-4.0 (not commercial)" in capsys.readouterr().out
    assert own_models(store.folder)["mine"].origin.startswith("Hugging Face someone/models@v1")
    assert [request.path for request in server.requests] == ["/someone/models/resolve/v1/4xOther.pth"]


def test_a_taken_name_is_rejected_before_the_download(server, store, toml, content, tmp_path):
    (tmp_path / "file.pth").write_bytes(content)
    add(tmp_path / "file.pth", "mine", store.folder)
    for name in ("mine", "gentle"):
        with pytest.raises(WeightsError, match=f"name {name} is already used"):
            add_by_name(tiny(toml), name, store.folder)
    assert server.requests == []


def test_callers_that_add_a_model_at_once_get_the_same_one(server, store, toml):
    begin = Barrier(2)

    def add_tiny(_: int) -> Model:
        begin.wait(60)
        return add_by_name(tiny(toml), None, store.folder)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(add_tiny, range(2))
    assert first == second == own_models(store.folder)[PRESET]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("typed", "message"),
    [("4xTinyCompact", f"Did you mean {NAME}"), ("qqq", "weights find"), ("qqq.pth", "Cannot read qqq.pth")],
)
def test_an_unknown_name_is_rejected_with_a_suggestion(typed, message, store, toml, capsys):
    assert main(["add", typed], store, read_models(toml)) == 1
    assert message in capsys.readouterr().err
    assert not store.folder.exists()


def test_a_wrong_file_is_renamed_and_nothing_is_added(server, store, toml, content, capsys):
    server.offer(tiny(toml), content[::-1])
    assert main(["add", NAME], store, read_models(toml)) == 1
    printed = capsys.readouterr().err
    assert "does not match" in printed
    assert f"`enhance weights add {NAME}`" in printed
    assert downloads(store) == {f"{NAME}.pth.corrupt"}
    assert own_models(store.folder) == {}

    server.offer(tiny(toml), content)
    assert main(["add", NAME], store, read_models(toml)) == 0


ADD = """
import sys
from pathlib import Path
from enhance.models import Store
from enhance.models.cli import main
from enhance.models.manifest import read_models
main(["add", "4xTiny_compact"], Store(Path(sys.argv[1])), read_models(Path(sys.argv[2])))
"""


def test_a_killed_command_is_resumed(server, store, toml):
    server.stalls = [100_000]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    part = store.folder / "downloads" / f"{NAME}.pth.part"
    with subprocess.Popen([sys.executable, "-c", ADD, str(store.folder), str(toml)], env=environment) as process:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size == 100_000):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    assert own_models(store.folder) == {}
    assert main(["add", NAME], store, read_models(toml)) == 0
    assert server.ranges == [None, "bytes=100000-"]
    assert downloads(store) == set()


@pytest.mark.parametrize("step", ["download", "conversion"])
def test_a_full_disk_adds_nothing_and_the_download_is_kept(step: str, server, store, toml, content):
    limit = 200_000 if step == "download" else len(content) + 1000
    with limit_file_size(limit), pytest.raises(StorageError):
        add_by_name(tiny(toml), None, store.folder)
    assert own_models(store.folder) == {}
    assert add_by_name(tiny(toml), None, store.folder).scale == 4
    assert server.ranges[1:] == (["bytes=200000-"] if step == "download" else [])


# --- Licences


def test_the_licence_of_a_file_is_stored(store, content, tmp_path, capsys):
    (tmp_path / "file.pth").write_bytes(content)
    assert main(["add", str(tmp_path / "file.pth"), "--licence", "CC-BY-NC-4.0"], store) == 0
    assert main(["list", "--json"], store) == 0
    *shipped, mine = json.loads(capsys.readouterr().out.partition("[")[2].join("[ "))
    assert (mine["licence"], mine["commercial"]) == ("CC-BY-NC-4.0", False)
    assert {record["name"]: record["licence"] for record in shipped} == {
        name: model.licence for name, model in manifest().items()
    }
    located = locate("file", store)
    assert located
    assert located.licence == "CC-BY-NC-4.0"


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        *((licence, True) for licence in ("MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0", "cc-by-sa-4.0", "GPL-3.0-only")),
        *((licence, False) for licence in ("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-3.0")),
        *((licence, None) for licence in ("unknown", "", "ask me", "S-Lab License 1.0", "Mitigated licence")),
    ],
)
def test_commercial_use_is_stated_only_for_known_licences(licence: str, expected: bool | None):
    assert allows_commercial_use(licence) is expected
