"""ENHANCE_MAX_DISK limits uploads, results and other files of the page together, and deletes no
file in use."""

import os
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file

from enhance.config import Config

from ..site import WatchedEnhancer, served, wait_until
from ..unit.stored_results import set_age, set_last_use
from .programs import write_photo

LIMIT = 20_000_000


class Limited:
    """A served app with this limit, all its files in `root`, and the folder of the page there."""

    def __init__(self, root, *, has_page_folder):
        self.root = root
        named = root / "page" if has_page_folder else None
        self.page = (named or root / "data") / "enhance-page"
        config = Config(data=root / "data", page_folder=named, max_disk=LIMIT)
        self.enhancer = WatchedEnhancer("cpu", config=config)
        self.url = ""

    def upload(self, size):
        files = {"files": ("a.png", os.urandom(size))}
        return httpx.post(f"{self.url}gradio_api/upload", files=files)

    def enhance(self, photo):
        client = Client(
            self.url,
            verbose=False,
            analytics_enabled=False,
            download_files=self.root.with_name("got"),
        )
        return client.submit(handle_file(photo), preset="anime-fast", api_name="/enhance")

    def used(self):
        """Return the bytes of all files. A file with several names counts once."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        stats = [path.stat() for path in files if not path.match("enhance-*.sqlite*")]
        return sum({stat.st_ino: stat.st_size for stat in stats}.values())

    def age(self):
        """Set the last use of all files to an hour ago."""
        set_age(3600, *self.root.rglob("*"))
        set_last_use(self.enhancer.tasks, 1)


@pytest.fixture(scope="module", params=[False, True], ids=["own folder", "named folder"])
def limited(request, tmp_path_factory):
    """The app with a limit, in which the page has its own folder or not."""
    app = Limited(tmp_path_factory.mktemp("disk") / "root", has_page_folder=request.param)
    with served(app.enhancer) as app.url:
        yield app


def test_uploads_count_and_one_that_does_not_fit_is_rejected(limited):
    before = limited.used()
    answer = limited.upload(40_000_000)
    assert answer.status_code == 507
    assert answer.json()["error"]
    recent = [Path(limited.upload(8_000_000).json()[0]) for _ in range(2)]
    assert limited.upload(8_000_000).status_code == 507, "recent uploads stay"

    limited.age()
    third = Path(limited.upload(8_000_000).json()[0])

    assert third.exists()
    assert sum(path.exists() for path in recent) == 1
    assert limited.used() - before <= LIMIT
    assert list(limited.page.glob("tmp*")) == []


def test_an_upload_of_unknown_size_is_rejected_as_soon_as_it_is_too_large(limited):
    sent = []

    def body():
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        for megabyte in range(60):
            sent.append(megabyte)
            yield bytes(1_000_000)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    with suppress(httpx.WriteError):  # The server closes the connection during the upload.
        answer = httpx.post(f"{limited.url}gradio_api/upload", content=body(), headers=headers)
        assert answer.status_code == 507
    assert len(sent) < 60
    wait_until(lambda: not list(limited.page.glob("tmp*")))


def test_an_image_of_an_agent_that_does_not_fit_is_rejected(limited, monkeypatch):
    agents = pytest.importorskip("tests.api.test_agents")
    image = f"data:image/png;base64,{'A' * 10_000_000}"
    monkeypatch.setattr(limited.enhancer.tasks, "_max_disk", 4_000_000)
    assert "disk space" in agents.error_of(limited.url, "enhance", {"image": image})
    assert not list(limited.root.rglob("*/image*"))


def test_the_upload_of_a_running_job_stays(limited, tmp_path, monkeypatch):
    tasks = limited.enhancer.tasks
    with limited.enhancer.paused("progress"):
        job = limited.enhance(write_photo(tmp_path / "running.png", 40, 56))
        wait_until(lambda: job.done() or job.status().progress_data)
        assert not job.done()
        (upload,) = limited.page.glob("*/running.png")
        tasks.clean()  # From now on, only the job shows that it is in use.
        limited.age()
        monkeypatch.setattr(tasks, "_max_disk", 1)
        tasks.clean()
        assert upload.exists()
    assert job.result(timeout=60)


def test_the_photo_that_a_page_has_just_shown_stays(limited, tmp_path, monkeypatch):
    photo = write_photo(tmp_path / "shown.png", 40, 56)
    client = Client(limited.url, verbose=False, analytics_enabled=False)
    address = client.predict(handle_file(photo), api_name="/analyse")["photo"]["address"]
    limited.age()
    region = {"left": 0, "top": 0, "width": 40, "height": 40, "step": 1}
    assert httpx.get(f"{limited.url}{address}", params=region).status_code == 200
    monkeypatch.setattr(limited.enhancer.tasks, "_max_disk", 1)
    limited.enhancer.tasks.clean()
    assert list(limited.page.glob("*/shown.png"))


def test_a_result_is_deleted_together_with_its_copy_for_browsers(limited, tmp_path, monkeypatch):
    tasks = limited.enhancer.tasks
    for height in (40, 41):
        limited.enhance(write_photo(tmp_path / f"result-{height}.png", height, 56)).result()
    downloads = list((limited.page / "results").glob("*/result-4*.png"))
    assert [path.stat().st_nlink for path in downloads] == [2, 2]
    limited.age()
    for hours, path in enumerate(downloads, start=2):
        set_age(3600 * hours, path, path.parent)
        (stored,) = (one for one in tasks.processed.glob("*.png") if one.samefile(path))
        set_last_use(tasks, hours, stored)
    monkeypatch.setattr(tasks, "_max_disk", limited.used() - 10_000)
    tasks.clean()

    assert [path.exists() for path in downloads] == [True, False]
    assert downloads[0].stat().st_nlink == 2
