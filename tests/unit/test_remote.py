"""Batches at fsspec addresses: a store in memory, and S3 by a server on this computer."""

import io
import signal
import threading
from types import SimpleNamespace

import pytest
from PIL import Image

from enhance import Settings
from enhance.errors import EnhanceError
from enhance.jobs.batch import RunningBatch
from enhance.jobs.inputs import find_images

from ..site import wait_until
from .forks import can_fork
from .runs import FAST, cached, image, start
from .runs import run as run_command

fsspec = pytest.importorskip("fsspec")
RAW = Settings.from_preset("anime-fast")


@pytest.fixture(scope="session")
def server():
    """An S3 server. While it `is_busy`, it saves nothing."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    serving = pytest.importorskip("werkzeug.serving")
    app = moto.DomainDispatcherApplication(moto.create_backend_app)

    def respond(environ, start_response):
        if not facts.is_busy or environ["REQUEST_METHOD"] != "PUT":
            return app(environ, start_response)
        start_response("503 Slow Down", [("Content-Type", "application/xml")])
        return [b"<Error><Code>SlowDown</Code><Message>Try later.</Message></Error>"]

    server = serving.make_server("127.0.0.1", 0, respond, threaded=True)
    facts = SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", is_busy=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield facts
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


@pytest.fixture(params=["memory", "s3"])
def store(request, tmp_path):
    """A store in memory, and one in S3."""
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
    return {
        str(item.info["output"]["path"]): not item.info["cached"]
        for item in batch.files
        if item.info
    }


def test_a_folder_is_enhanced_as_a_local_one_and_resumed(store, enhancer, tmp_path):
    for shade, name in enumerate(("a.png", "sub/a.png", ".hidden.png", ".cache/b.png")):
        store.add(name, shade, tmp_path)
    store.write(f"{store.source}/notes.txt", b"no image")
    store.write(f"{store.source}/broken.jpg", b"no image")
    store.write(f"{store.results}/a.png", b"somebody's")
    paths = [f"{store.results}/{name}" for name in ("a-2.png", "sub/a.png")]

    for settings, is_new in ((RAW.changed(contrast=1.2), True), (RAW, True), (RAW, False)):
        batch = run(enhancer, store, settings)
        assert computed(batch) == dict.fromkeys(paths, is_new)
        assert [item.state for item in batch.files] == ["done", "failed", "done"]
        assert (batch.hidden, batch.others) == (2, 1)

    assert store.names() == ["a-2.png", "a.png", "sub/a.png"]
    assert store.read("a.png") == b"somebody's"
    local = enhancer.run(image(tmp_path / "a.png", 0), RAW, output=tmp_path / "local.png")
    assert store.read("a-2.png") == local.path.read_bytes()


def test_the_result_of_one_file_has_the_address_of_the_output(store, tmp_path, capsys):
    store.add("a.png", 1, tmp_path)
    source = f"{store.source}/a.png"
    output = f"{store.results}/big.jpg"

    for options, side in (([], 32), (["--scale", "2"], 16)):
        assert start(source, "-o", output, *options) == 0
        assert store.names() == ["big.jpg"]
        assert Image.open(io.BytesIO(store.read("big.jpg"))).size == (side, side)
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
    for shade in range(3):
        store.add(f"{shade}.png", shade, tmp_path, 24)
    store.add("large.png", 3, tmp_path, 256)  # takes longer than the signal
    command = [store.source, "-o", store.results]

    processes = [forks.start("run", *command, *FAST, modules=("s3fs",)) for _ in range(2)]
    wait_until(lambda: any(name.endswith(".png") for name in store.names()))
    processes[0].send_signal(signal.SIGKILL)
    assert [process.wait() for process in processes] == [-signal.SIGKILL, 0]

    results = dict.fromkeys(("0.png", "1.png", "2.png", "large.png"), True)
    assert cached(run_command(capsys, *command)) == results
    assert store.names() == [*results]


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_busy_store_fails_only_the_file(server, store, enhancer, tmp_path, monkeypatch):
    store.add("a.png", 1, tmp_path)
    monkeypatch.setattr(server, "is_busy", True)
    (item,) = run(enhancer, store).files
    assert item.state == "failed"
    assert "Try later." in str(item.error)


@pytest.mark.parametrize(
    ("source", "output", "sentence"),
    [
        ("nothing://bucket/in", "out", "has the unknown scheme “nothing”."),
        ("s3://missing/in", "out", "s3://missing/in does not exist."),
        ("a.png", "s3://typo/out", "The bucket of s3://typo/out does not exist"),
        ("a.png", "s3://typo/a.png", "The bucket of s3://typo/a.png does not exist"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence(
    s3, tmp_path, monkeypatch, capsys, source, output, sentence
):
    monkeypatch.chdir(tmp_path)
    image(tmp_path / "a.png")

    assert start(source, "-o", output) in (1, 2)

    (message,) = capsys.readouterr().err.splitlines()
    assert sentence in message
    assert "typo" not in fsspec.filesystem("s3").ls("")
