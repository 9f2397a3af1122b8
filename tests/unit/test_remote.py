"""Batches at fsspec addresses: a store in memory, and S3 by a server on this computer."""

import io
import pickle
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from enhance import Encoding, Settings
from enhance.errors import EnhanceError
from enhance.jobs.batch import RunningBatch
from enhance.jobs.cluster import process_file
from enhance.jobs.inputs import find_images
from enhance.store.remote import upload

from ..site import wait_until
from .forks import can_fork
from .runs import FAST, image, start
from .runs import run as run_command

fsspec = pytest.importorskip("fsspec")
RAW = Settings.from_preset("anime-fast")


@pytest.fixture(scope="session")
def server():
    """An S3 server. `errors` are its next responses, each as a method, a status and a code."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    serving = pytest.importorskip("werkzeug.serving")
    app = moto.DomainDispatcherApplication(moto.create_backend_app)
    errors = []

    def respond(environ, start_response):
        method = environ["REQUEST_METHOD"]
        error = next((one for one in errors if one[0] == method), None)
        if error is None:
            return app(environ, start_response)
        errors.remove(error)
        start_response(error[1], [("Content-Type", "application/xml")])
        if method == "HEAD":
            return []
        return [f"<Error><Code>{error[2]}</Code><Message>Try later.</Message></Error>".encode()]

    server = serving.make_server("127.0.0.1", 0, respond, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", errors=errors)
    server.shutdown()


@pytest.fixture
def s3(server, monkeypatch):
    """Connect to the S3 server without repeated requests by botocore and s3fs."""
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    fsspec.get_filesystem_class("s3").clear_instance_cache()


class Store:
    """A folder of images and a folder of results in a store."""

    def __init__(self, root):
        self.source = f"{root}/in"
        self.results = f"{root}/out"
        self.files = fsspec.url_to_fs(root, use_listings_cache=False)[0]

    def add(self, name, shade, folder, side=8):
        """Add an image that differs for each shade."""
        self.write(f"{self.source}/{name}", image(folder / "image", shade, side).read_bytes())

    def write(self, address, content):
        self.files.makedirs(address.rpartition("/")[0], exist_ok=True)
        self.files.pipe_file(address, content)

    def read(self, name):
        return self.files.cat_file(f"{self.results}/{name}")

    def names(self):
        """Return the names of all files in the folder of the results."""
        root = self.files._strip_protocol(self.results)
        return sorted(name.removeprefix(f"{root}/") for name in self.files.find(root))


@pytest.fixture(params=["memory", "file", "s3"])
def store(request, tmp_path):
    """A store in memory, one on the disk, and one in S3."""
    if request.param == "file":
        return Store(f"file://{tmp_path}/store")
    name = tmp_path.name.replace("_", "-").lower()
    if request.param == "memory":
        return Store(f"memory://{name}")
    request.getfixturevalue("s3")
    store = Store(f"s3://{name[:60].rstrip('-')}/photos")
    store.files.mkdir(store.source.split("/")[2])
    return store


def run(enhancer, store, settings=RAW, **options):
    batch = find_images([store.source], store.results)
    return RunningBatch(enhancer, settings, batch, **options).run()


def computed(batch):
    """Return for each result whether it was computed."""
    infos = [item.info for item in batch.files if item.info]
    return {str(info["output"]["path"]): not info["cached"] for info in infos}


def test_a_folder_is_enhanced_as_a_local_one_and_resumed(store, enhancer, tmp_path):
    names = ("a.png", "sub/a.png", ".hidden.png", ".cache/b.png", ".cache/c.png", "notes.txt")
    for shade, name in enumerate(names):
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


def test_the_result_of_one_file_has_the_address_of_the_output(store, tmp_path, capsys):
    store.add("a.png", 1, tmp_path)
    source = f"{store.source}/a.png"
    output = f"{store.results}/big.jpg"
    local = tmp_path / "big.jpg"

    assert start(source, "-o", output) == start(source, "-o", local) == 0
    assert Image.open(local).size == (32, 32)
    assert start(local, "-o", output, "--scale", "2") == 0
    assert store.names() == ["big.jpg"]
    assert Image.open(io.BytesIO(store.read("big.jpg"))).size == (64, 64)
    store.write(output, b"somebody's")
    assert start(source, "-o", output) == 1
    assert f"{output} already exists" in capsys.readouterr().err
    assert store.read("big.jpg") == b"somebody's"


def test_keys_that_lead_out_of_the_folder_are_skipped(tmp_path):
    files = fsspec.url_to_fs("memory://")[0]
    outside = fsspec.implementations.memory.MemoryFile(files, "a", b"image")
    files.store[f"/{tmp_path.name}/in/../../a.png"] = outside

    with pytest.raises(EnhanceError, match="no supported images"):
        find_images([f"memory://{tmp_path.name}/in"], tmp_path / "out")


def test_results_in_another_format_and_their_reports_are_recognised(enhancer, tmp_path):
    store = Store(f"memory://{tmp_path.name}")
    store.results = f"{store.source}/out"
    store.add("a.png", 1, tmp_path)

    for is_new in (True, False):
        batch = find_images([store.source], store.results, ending=".webp")
        ended = RunningBatch(enhancer, RAW, batch, encoding=Encoding("webp"), report="en").run()
        assert computed(ended) == {f"{store.results}/a.webp": is_new}
        assert store.names() == ["a.pdf", "a.webp"]
        assert store.read("a.pdf").startswith(b"%PDF")


def test_a_worker_of_a_cluster_names_and_uploads_the_result(store, tmp_path):
    for shade, name in enumerate(("a.bmp", "a.png")):
        store.add(name, shade, tmp_path)
    batch = find_images([store.source], store.results)

    for item in batch.files:
        sent, names = pickle.loads(pickle.dumps((item, batch.names)))
        ended, _ = process_file(sent, names, ("cpu", "fp32", Path.cwd(), ()), settings=RAW)
        assert ended.state == "done"

    assert store.names() == ["a-bmp.png", "a-png.png"]


@pytest.mark.parametrize("store", ["memory", "s3"], indirect=True)
def test_a_name_that_is_taken_during_the_run_gets_a_number(store, enhancer, tmp_path):
    store.add("a.png", 1, tmp_path)

    def save_an_object(*_):
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
    results = {f"{name}.png": name.replace("-", ".") for name in ("0-bmp", "0-png", "1-bmp")}
    for shade, name in enumerate(results.values()):
        store.add(name, shade, tmp_path, 24)
    results["1-png.png"] = "1.png"
    store.add("1.png", 3, tmp_path, 256)  # takes longer than the signal
    command = [store.source, "-o", store.results]

    def start():
        return forks.start("run", *command, "--json", *FAST, modules=("s3fs",))

    killed = start()
    other = start()
    wait_until(lambda: any(name.endswith(".png") for name in store.names()))
    killed.send_signal(signal.SIGKILL)
    assert (killed.wait(), other.wait()) == (-signal.SIGKILL, 0)
    printed = run_command(capsys, *command)

    assert {Path(one["output"]["path"]).name: one["input"]["name"] for one in printed} == results
    assert all(one["cached"] for one in printed)
    assert store.names() == sorted(results)


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_busy_store_is_asked_again_and_fails_only_the_file_if_it_stays_busy(
    server, store, enhancer, tmp_path, monkeypatch
):
    monkeypatch.setattr("enhance.store.remote._PAUSES", (0.0, 0.0))
    store.add("a.png", 1, tmp_path)
    server.errors += [
        ("PUT", "503 Busy", "ServiceUnavailable"),
        ("GET", "503 Busy", "ServiceUnavailable"),
        ("HEAD", "503 Busy", ""),
        ("PUT", "409 Conflict", "ConditionalRequestConflict"),
    ]

    assert computed(run(enhancer, store)) == {f"{store.results}/a.png": True}
    assert server.errors == []
    assert store.names() == ["a.png"]

    server.errors += [("PUT", "503 Slow Down", "SlowDown")] * 100
    (item,) = run(enhancer, store, RAW.changed(sharpen=1)).files
    server.errors.clear()
    assert item.state == "failed"
    assert "Try later." in str(item.error)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("nothing://bucket/in", "has the unknown scheme “nothing”."),
        ("memory://nowhere", "memory://nowhere does not exist."),
        ("s3://bucket-that-is-missing/in", "s3://bucket-that-is-missing/in does not exist."),
    ],
)
def test_an_input_that_cannot_be_used_is_one_sentence(s3, capsys, address, sentence):
    assert start(address, "-o", "memory://out") in (1, 2)

    (message,) = capsys.readouterr().err.splitlines()
    assert sentence in message


@pytest.mark.parametrize("name", ["", "/results", "/photo-4x.png"])
def test_a_bucket_is_not_created(s3, tmp_path, capsys, name):
    assert start(image(tmp_path / "a.png"), "-o", f"s3://typo{name}") == 1

    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith(f"enhance: The bucket of s3://typo{name} does not exist")
    assert "typo" not in fsspec.filesystem("s3").ls("")
