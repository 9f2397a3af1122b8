"""Downloads from Hugging Face and GitHub: complete, wrong, interrupted, silent, and by two
processes at once."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from enhance.errors import WeightsError
from enhance.models import WeightStore, download, ensure, locate
from enhance.models.manifest import WeightSource
from tests.unit.hub_server import COMMIT, HubServer, go_online, made_up_model, weight_files

CONTENT = bytes(range(256)) * 2000
OTHER = CONTENT[::-1]
MIXED = hashlib.sha256(OTHER[:100_000] + CONTENT[100_000:]).hexdigest()[:8]
CORRUPT = f"tiny.pth.part.{hashlib.sha256(OTHER).hexdigest()[:8]}.corrupt"
SIGNED = "?response-content-disposition=attachment%3B+filename%3Dtiny.pth&signature=a%2Fb%3D"
FROM_HUB = "Hugging Face someone/models@0123456"

HUB_MODEL = made_up_model(CONTENT)
(HUB,) = HUB_MODEL.files
RELEASE = WeightSource(
    "release", "authors/code", "v1.0", "tiny.pth", "tiny.pth", len(CONTENT), HUB.sha256
)
MODEL = dataclasses.replace(HUB_MODEL, sources=(HUB, RELEASE))


@pytest.fixture(autouse=True)
def online(monkeypatch):
    go_online(monkeypatch)


@pytest.fixture
def hub(monkeypatch):
    """Hugging Face with the file."""
    with HubServer() as server:
        server.offer(MODEL, CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture
def objects():
    """The server that has the files of GitHub releases."""
    with HubServer() as server:
        server.offer(MODEL, CONTENT)
        yield server


@pytest.fixture
def github(objects, monkeypatch):
    """GitHub, which redirects each request to a signed address on another server."""
    with HubServer(objects.address, SIGNED) as server:
        monkeypatch.setenv("ENHANCE_RELEASES", f"{server.address}/")
        yield server


@pytest.fixture
def store(tmp_path):
    """A weights folder for a model that only Hugging Face has."""
    return WeightStore(tmp_path / "weights", {"tiny": HUB_MODEL})


@pytest.fixture
def both(tmp_path):
    """A weights folder for a model that Hugging Face and GitHub have."""
    return WeightStore(tmp_path / "weights", {"tiny": MODEL})


def fetched(store):
    return ensure("tiny", store=store).path.read_bytes()


def failure(store):
    """Return the error of the last source that `ensure` tries."""
    with pytest.raises(WeightsError) as error:
        ensure("tiny", store=store)
    assert isinstance(error.value.__cause__, WeightsError)
    return error.value.__cause__


# --- One file


def test_a_file_is_downloaded_and_verified_once(hub, store):
    heard = []
    located = ensure("tiny", lambda *progress: heard.append(progress), store)

    assert (located.path.read_bytes(), located.source) == (CONTENT, FROM_HUB)
    assert heard == sorted(heard)
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert ensure("tiny", store=store) == located
    assert hub.received("Range") == [None]
    assert weight_files(store.folder) == {"tiny.pth"}


def test_interrupted_and_silent_connections_resume(hub, store, monkeypatch):
    monkeypatch.setattr(download, "SILENCE_SECONDS", 0.2)
    hub.stalls = [100_000]
    hub.cuts = [50_000]
    assert fetched(store) == CONTENT
    assert hub.received("Range") == [None, "bytes=100000-", "bytes=150000-"]


def test_the_next_call_resumes_a_failed_or_cancelled_download(hub, store):
    hub.cuts = [100_000, 0]
    assert failure(store).key == "download_unreachable"

    with pytest.raises(ZeroDivisionError):
        ensure("tiny", lambda done, total: done > 100_000 and 1 / 0, store)
    kept = (store.folder / "tiny.pth.part").stat().st_size
    assert 100_000 < kept < len(CONTENT)
    assert fetched(store) == CONTENT
    assert hub.received("Range")[-2:] == ["bytes=100000-", f"bytes={kept}-"]


def test_a_file_that_is_too_long_is_not_downloaded_to_its_end(hub, store):
    hub.offer(MODEL, CONTENT * 100)
    assert failure(store).key == "download_wrong_checksum"
    (corrupt,) = store.folder.glob("*.corrupt")
    assert corrupt.stat().st_size < 2 * len(CONTENT)


@pytest.mark.parametrize("left", [b"not its first bytes", b"x" * len(CONTENT)])
def test_a_wrong_partial_file_is_replaced(hub, store, left):
    store.folder.mkdir()
    (store.folder / "tiny.pth.part").write_bytes(left)
    assert fetched(store) == CONTENT


@pytest.mark.parametrize(
    ("sent", "key", "left"),
    [
        (OTHER, "download_wrong_checksum", {CORRUPT}),
        (None, "download_status", set()),
    ],
    ids=["changed", "none"],
)
def test_a_wrong_file_is_not_used_and_the_next_call_succeeds(hub, store, sent, key, left):
    hub.files.clear()
    if sent:
        hub.offer(MODEL, sent)
    for _ in range(2):  # The same corrupt file is kept once.
        assert failure(store).key == key
        assert locate("tiny", store) is None
        assert weight_files(store.folder) == left

    hub.offer(MODEL, CONTENT)
    assert fetched(store) == CONTENT


def test_a_server_that_does_not_respond_times_out(hub, store, monkeypatch):
    monkeypatch.setattr(download, "SILENCE_SECONDS", 0.2)
    hub.release.clear()
    assert failure(store).key == "download_unreachable"
    assert len(hub.requests) == 1


def test_an_unreachable_mirror_is_named_without_its_password(both, monkeypatch):
    for name in ("HF_ENDPOINT", "ENHANCE_RELEASES"):
        monkeypatch.setenv(name, "http://name:secret@127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"http://127\.0\.0\.1:9 ") as error:
        ensure("tiny", store=both)
    assert "secret" not in str(error.value)


def test_the_token_is_sent_to_the_hub_but_neither_to_a_redirect_nor_to_github(
    hub, github, objects, both, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    with HubServer() as storage:
        hub.redirect_to = storage.address
        located = ensure("tiny", store=both)

    assert located.path.read_bytes() == CONTENT
    assert hub.received("Authorization") == ["Bearer hf_made_up"]
    for server in (storage, github, objects):
        assert server.received("Authorization") == [None]
    path = "/authors/code/releases/download/v1.0/tiny.pth"
    assert (github.requests[0].path, objects.requests[0].path) == (path, path + SIGNED)


FETCH = """
import sys
from pathlib import Path
from tests.unit.hub_server import made_up_model
from enhance.models import WeightStore, ensure
model = made_up_model(bytes(range(256)) * 2000)
print(ensure("tiny", store=WeightStore(Path(sys.argv[1]), {"tiny": model})).path)
"""


def start(store):
    command = [sys.executable, "-c", FETCH, str(store.folder)]
    pipes: dict = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], text=True, **pipes)


def test_two_processes_download_a_file_once(hub, store):
    hub.release.clear()
    with start(store) as first:
        assert hub.first_request.wait(30)
        with start(store) as second:
            hub.release.set()
            outputs = [process.communicate(timeout=30)[0].strip() for process in (first, second)]
    assert outputs == [str(store.folder / "tiny.pth")] * 2
    assert len(hub.requests) == 1


# --- One source after the other


def test_wrong_bytes_from_hugging_face_do_not_affect_the_release(hub, github, objects, both):
    hub.offer(MODEL, OTHER)
    objects.offer(MODEL, CONTENT)
    hub.cuts = [100_000, 0]
    assert fetched(both) == CONTENT
    assert objects.received("Range") == ["bytes=100000-", None]
    assert weight_files(both.folder) == {"tiny.pth", f"tiny.pth.part.{MIXED}.corrupt"}


def test_offline_only_a_mirror_of_github_is_tried(hub, github, both, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetched(both) == CONTENT
    (both.folder / "tiny.pth").unlink()
    monkeypatch.delenv("ENHANCE_RELEASES")
    assert failure(both).key == "download_offline"
    assert hub.requests == []


# --- Hugging Face's cache


def test_a_file_in_the_hub_cache_is_used_in_place_unless_it_is_damaged(
    hub, both, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--someone--models" / "snapshots" / COMMIT / HUB.path
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)

    located = ensure("tiny", store=both)

    assert (located.path, located.source) == (cached, FROM_HUB)
    assert hub.requests == []
    cached.write_bytes(OTHER)
    assert ensure("tiny", store=both).path == both.folder / "tiny.pth"
    assert cached.read_bytes() == OTHER
