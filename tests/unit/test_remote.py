"""Batches at fsspec addresses: a store in memory, and S3 by a server on this computer."""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from enhance import Encoding, Enhancer, Settings
from enhance.cli import main
from enhance.errors import EnhanceError
from enhance.jobs.batch import Batch, RunningBatch
from enhance.jobs.cluster import process_file
from enhance.jobs.inputs import find_images
from enhance.store.remote import upload

from ..site import wait_until
from .forks import can_fork
from .runs import FAST, image
from .runs import run as run_command

fsspec = pytest.importorskip("fsspec")
RAW = Settings.from_preset("anime-fast")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of an S3 server. Started processes use it, too."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(
        "127.0.0.1", port=0, verbose=False
    )
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


class Store:
    """A folder of images and a folder of results in a store."""

    def __init__(self, root: str):
        self.source, self.results = f"{root}/in", f"{root}/out"
        self.files = fsspec.url_to_fs(root, use_listings_cache=False)[0]

    def add(self, name: str, shade: int, folder: Path, side: int = 8) -> None:
        """Add an image that differs for each shade."""
        self.write(f"{self.source}/{name}", image(folder / "image", shade, side).read_bytes())

    def write(self, address: str, content: bytes) -> None:
        self.files.makedirs(address.rpartition("/")[0], exist_ok=True)
        self.files.pipe_file(address, content)

    def read(self, name: str) -> bytes:
        return self.files.cat_file(f"{self.results}/{name}")

    def names(self) -> list[str]:
        """Return the names of all files in the folder of the results."""
        root = self.files._strip_protocol(self.results)
        return sorted(name.removeprefix(f"{root}/") for name in self.files.find(root))


def connect_to_s3(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(params=["memory", "file", "s3"])
def store(request, monkeypatch, tmp_path) -> Store:
    """A store in memory, one on the disk, and one in S3."""
    if request.param == "file":
        return Store(f"file://{tmp_path}/store")
    name = tmp_path.name.replace("_", "-").lower()
    if request.param == "memory":
        return Store(f"memory://{name}")
    connect_to_s3(monkeypatch, request.getfixturevalue("server"))
    store = Store(f"s3://bucket-{os.getpid()}-{name}"[:60].rstrip("-") + "/photos")
    store.files.mkdir(store.source.split("/")[2])
    return store


def run(enhancer: Enhancer, store: Store, settings: Settings = RAW, **options: Any) -> Batch:
    return RunningBatch(
        enhancer, settings, find_images([store.source], store.results), **options
    ).run()


def computed(batch: Batch) -> dict[str, bool]:
    """Return for each result whether it was computed."""
    return {
        str(item.info["output"]["path"]): not item.info["cached"]
        for item in batch.files
        if item.info
    }


def test_a_folder_is_enhanced_as_a_local_one_and_resumed(store, enhancer, tmp_path):
    for shade, name in enumerate(
        ("a.png", "sub/a.png", ".hidden.png", ".cache/b.png", ".cache/c.png", "notes.txt")
    ):
        store.add(name, shade, tmp_path)
    store.write(f"{store.source}/broken.jpg", b"no image")
    store.write(f"{store.results}/a.png", b"somebody's")
    paths = [f"{store.results}/{name}" for name in ("a-2.png", "sub/a.png")]

    for settings, is_new in ((RAW.changed(contrast=1.2), True), (RAW, True), (RAW, False)):
        batch = run(enhancer, store, settings)
        assert computed(batch) == dict.fromkeys(paths, is_new)
        assert [item.state for item in batch.files] == ["done", "failed", "done"]
        assert "broken.jpg" in str(batch.files[1].error)
        assert (batch.hidden, batch.others) == (2, 1)

    assert store.names() == ["a-2.png", "a.png", "sub/a.png"]
    assert store.read("a.png") == b"somebody's"
    local = enhancer.run(image(tmp_path / "a.png", 0), RAW, output=tmp_path / "local.png")
    assert store.read("a-2.png") == local.path.read_bytes()
    with pytest.raises(EnhanceError, match="not created by this program"):
        upload(tmp_path / "image", f"{store.results}/a.png")  # as if it had appeared during a run


def test_results_in_another_format_are_recognised_and_are_no_inputs(enhancer, tmp_path):
    store, encoding = Store(f"memory://{tmp_path.name}"), Encoding("webp")
    store.results = f"{store.source}/out"
    store.add("a.png", 1, tmp_path)
    outputs = []

    for is_cached in (False, True):
        batch = find_images([store.source], store.results, ending=encoding.file_format.ending)
        batch = RunningBatch(enhancer, RAW, batch, encoding=encoding).run()
        assert computed(batch) == {f"{store.results}/a.webp": not is_cached}
        outputs += [{**item.info["output"], "sha256": ""} for item in batch.files if item.info]

    assert outputs[0] == outputs[1]


def test_local_photos_go_to_a_store_and_back(store, enhancer, tmp_path):
    image(tmp_path / "photos/a.png", 1)
    for source, output in (
        (tmp_path / "photos", store.results),
        (store.results, tmp_path / "back"),
    ):
        batch = RunningBatch(enhancer, RAW, find_images([source], output)).run()
        assert list(computed(batch)) == [f"{output}/a.png"]
    assert Image.open(tmp_path / "back/a.png").size == (128, 128)


def test_the_result_of_one_file_has_the_address_of_the_output(store, tmp_path, capsys):
    store.add("a.png", 1, tmp_path)
    source, output, local = (
        f"{store.source}/a.png",
        f"{store.results}/big.jpg",
        tmp_path / "big.jpg",
    )

    statuses = [main(["run", source, "-o", str(one), *FAST]) for one in (output, local)]
    statuses += [main(["run", str(local), "-o", output, *FAST, "--scale", "2"])]

    assert statuses == [0, 0, 0]
    assert store.names() == ["big.jpg"]
    assert Image.open(local).size == (32, 32)
    assert Image.open(io.BytesIO(store.read("big.jpg"))).size == (64, 64)
    store.write(output, b"somebody's")
    assert main(["run", source, "-o", output, *FAST]) == 1
    assert f"{output} already exists" in capsys.readouterr().err
    assert store.read("big.jpg") == b"somebody's"


def test_keys_that_lead_out_of_the_folder_are_skipped(tmp_path):
    files = fsspec.url_to_fs("memory://")[0]
    files.store[f"/{tmp_path.name}/in/../../a.png"] = fsspec.implementations.memory.MemoryFile(
        files, "a", b"image"
    )

    with pytest.raises(EnhanceError, match="no supported images"):
        find_images([f"memory://{tmp_path.name}/in"], tmp_path / "out")


def test_a_report_is_stored_next_to_its_result_once(enhancer, tmp_path):
    store = Store(f"memory://{tmp_path.name}")
    store.add("a.png", 1, tmp_path)
    for is_new in (True, False):
        assert computed(run(enhancer, store, report="en")) == {f"{store.results}/a.png": is_new}
    assert store.names() == ["a.pdf", "a.png"]
    assert store.read("a.pdf").startswith(b"%PDF")


def test_a_worker_of_a_cluster_names_and_uploads_the_result(store, tmp_path):
    for shade, name in enumerate(("a.bmp", "a.png")):
        store.add(name, shade, tmp_path)
    batch, worker = find_images([store.source], store.results), ("cpu", "fp32", Path.cwd(), ())

    for item in batch.files:
        sent, names = pickle.loads(pickle.dumps((item, batch.names)))
        ended, _ = process_file(sent, names, worker, settings=RAW)
        assert ended.state == "done"

    assert store.names() == ["a-bmp.png", "a-png.png"]


@pytest.mark.parametrize("store", ["memory", "s3"], indirect=True)
def test_a_name_that_is_taken_during_the_run_gets_a_number(store, enhancer, tmp_path):
    store.add("a.png", 1, tmp_path)

    def save_an_object(*_: object) -> None:
        store.write(f"{store.results}/a.png", b"somebody's")

    done = run(enhancer, store, on_compute=save_an_object)

    assert list(computed(done)) == [f"{store.results}/a-2.png"]
    assert store.read("a.png") == b"somebody's"
    assert store.names() == ["a-2.png", "a.png"]


@can_fork
@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_two_processes_on_a_bucket_lose_nothing_although_one_is_killed(
    store, forks, tmp_path, capsys
):
    results = {}
    for shade in range(4):  # two of each stem; the last takes longer than the signal
        stem, ending = shade // 2, ("bmp", "png")[shade % 2]
        store.add(f"{stem}.{ending}", shade, tmp_path, 256 if shade == 3 else 24)
        results[f"{stem}-{ending}.png"] = f"{stem}.{ending}"
    command = [store.source, "-o", store.results]

    killed, other = (
        forks.start("run", *command, "--json", *FAST, modules=("s3fs",)) for _ in range(2)
    )
    wait_until(lambda: any(name.endswith(".png") for name in store.names()))
    killed.send_signal(signal.SIGKILL)
    assert (killed.wait(), other.wait()) == (-signal.SIGKILL, 0)
    printed = run_command(capsys, *command)

    assert {Path(one["output"]["path"]).name: one["input"]["name"] for one in printed} == results
    assert {one["cached"] for one in printed} == {True}
    assert store.names() == sorted(results)


class BusyServer:
    """An S3 server that answers requests with an error, as long as there are `answers` for their
    method."""

    def __init__(self, app: Any):
        self._app = app
        self.answers: list[tuple[str, str, str]] = []
        """Method, status and code of the next answers."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        waiting = [one for one in self.answers if one[0] == environ["REQUEST_METHOD"]]
        if not waiting:
            return self._app(environ, start_response)
        self.answers.remove(waiting[0])
        _, status, code = waiting[0]
        start_response(status, [("Content-Type", "application/xml")])
        body = (
            f"<Error><Code>{code}</Code><Message>Please reduce your request rate.</Message></Error>"
        )
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body.encode()]


@pytest.fixture
def busy(monkeypatch, tmp_path) -> Iterator[tuple[BusyServer, Store]]:
    """A busy S3 server with a store. Neither botocore nor this program waits between attempts."""
    pytest.importorskip("s3fs")
    moto_server, serving = (
        pytest.importorskip("moto.server"),
        pytest.importorskip("werkzeug.serving"),
    )
    app = BusyServer(moto_server.DomainDispatcherApplication(moto_server.create_backend_app))
    server = serving.make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("enhance.store.remote._PAUSES", (0.0, 0.0))
    connect_to_s3(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    store = Store(f"s3://busy-{os.getpid()}/{tmp_path.name}")
    store.files.makedirs(store.source, exist_ok=True)
    yield app, store
    server.shutdown()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_a_busy_store_is_asked_again_and_fails_only_the_file_if_it_stays_busy(
    busy, enhancer, tmp_path
):
    server, store = busy
    store.add("a.png", 1, tmp_path)
    server.answers = [
        ("PUT", "503 Busy", "ServiceUnavailable"),
        ("GET", "503 Busy", "ServiceUnavailable"),
    ]
    server.answers += [
        ("HEAD", "503 Busy", ""),
        ("PUT", "409 Conflict", "ConditionalRequestConflict"),
    ]

    assert computed(run(enhancer, store)) == {f"{store.results}/a.png": True}
    assert server.answers == []
    assert store.names() == ["a.png"]

    server.answers = [("PUT", "503 Slow Down", "SlowDown")] * 100
    (item,) = run(enhancer, store, RAW.changed(sharpen=1)).files
    assert item.state == "failed"
    assert "Please reduce your request rate." in str(item.error)


@pytest.mark.parametrize("name", ["", "/results", "/photo-4x.png"])
def test_a_bucket_is_not_created(server, monkeypatch, tmp_path, capsys, name):
    connect_to_s3(monkeypatch, server)

    status = main(["run", str(image(tmp_path / "a.png")), "-o", f"s3://typo{name}", *FAST])

    (message,) = capsys.readouterr().err.splitlines()
    assert status == 1
    assert message.startswith(f"enhance: The bucket of s3://typo{name} does not exist")
    assert "typo" not in fsspec.filesystem("s3").ls("")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("nothing://bucket/in", "has the unknown scheme “nothing”."),
        ("s3://bucket/in", "the package s3fs is not installed."),
        ("memory://nowhere", "memory://nowhere does not exist."),
        ("s3://bucket-that-is-missing/in", "s3://bucket-that-is-missing/in does not exist."),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence(
    request, monkeypatch, capsys, address, sentence
):
    if "s3fs" in sentence:
        from fsspec.registry import _registry

        fsspec.get_filesystem_class("s3").clear_instance_cache()
        monkeypatch.setitem(sys.modules, "s3fs", None)
        monkeypatch.delitem(_registry, "s3", raising=False)
    elif address.startswith("s3"):
        connect_to_s3(monkeypatch, request.getfixturevalue("server"))

    assert main(["run", address, "-o", "memory://out", *FAST]) in (1, 2)

    message = capsys.readouterr().err
    assert sentence in message
    assert message.count("\n") == 1
