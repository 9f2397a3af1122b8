"""ENHANCE_MAX_DISK limits uploads, results and other files of the page together, and deletes no file in use."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from enhance.config import Config

from ..site import WatchedEnhancer, photo, served, wait_until
from ..soak_clients import Client as PageClient
from ..soak_clients import Tally
from .calls import run_in_thread

LIMIT = 20_000_000


@dataclass
class Limited:
    """A served app with this limit."""

    url: str
    enhancer: WatchedEnhancer
    page: Path
    shared: bool
    before: frozenset[Path] = frozenset()
    """Files that Gradio writes at the start: the examples of the page."""

    def upload(self, *sizes: int) -> httpx.Response:
        files = [("files", ("a.png", os.urandom(size))) for size in sizes]
        return httpx.post(f"{self.url}gradio_api/upload", files=files, timeout=60)

    def used(self) -> int:
        """Return the bytes of all files since the start. A file with several names counts once."""
        stats = [path.stat() for path in self.files() - self.before]
        return sum({stat.st_ino: stat.st_size for stat in stats}.values())

    def files(self) -> frozenset[Path]:
        return frozenset(path for folder in self._folders() for path in folder.rglob("*") if path.is_file())

    def age(self) -> None:
        """Set the time of all files to an hour ago."""
        ago = time.time() - 3600
        for folder in self._folders():
            for path in folder.rglob("*"):
                os.utime(path, (ago, ago))

    def _folders(self) -> list[Path]:
        return [self.enhancer.tasks.folder, *([self.page] if self.shared else [])]


@pytest.fixture(params=["own folder"])
def limited(request, tmp_path) -> Iterator[Limited]:
    """The app with a limit. With "named folder", the page has its own folder."""
    shared = request.param == "named folder"
    page = tmp_path / "page" if shared else tmp_path / "data" / "page"
    config = Config(data=tmp_path / "data", page_folder=page if shared else None, max_disk=LIMIT)
    enhancer = WatchedEnhancer("cpu", config=config)
    with served(enhancer) as url:
        limited = Limited(url, enhancer, page, shared)
        yield replace(limited, before=limited.files())


both_folders = pytest.mark.parametrize("limited", ["own folder", "named folder"], indirect=True)


def small_photo(tmp_path: Path) -> Path:
    Image.fromarray(photo(40, 56)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@both_folders
def test_uploads_count_and_one_that_does_not_fit_is_rejected(limited):
    answer = limited.upload(40_000_000)
    assert answer.status_code == 507
    assert answer.json()["error"]
    first, second = (limited.upload(8_000_000).json()[0] for _ in range(2))
    assert limited.upload(8_000_000).status_code == 507, "recent uploads stay"

    limited.age()
    third = limited.upload(8_000_000)

    assert third.status_code == 200
    assert [Path(path).exists() for path in (third.json()[0], *sorted((first, second)))].count(True) == 2
    assert limited.used() <= LIMIT
    assert list(limited.page.glob("tmp*")) == []


def test_an_upload_of_unknown_size_is_rejected_as_soon_as_it_is_too_large(limited):
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        for _ in range(60):
            sent += 1_000_000
            yield bytes(1_000_000)
        yield b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    try:
        answer = httpx.post(f"{limited.url}gradio_api/upload", content=body(), headers=headers, timeout=60)
        assert answer.status_code == 507
    except httpx.WriteError:  # The server closed the connection during the upload.
        pass
    assert sent < 60_000_000
    wait_until(lambda: limited.used() < LIMIT and not list(limited.page.glob("tmp*")))


def test_the_upload_of_a_running_job_stays(limited, tmp_path):
    client = Client(limited.url, verbose=False, analytics_enabled=False, download_files=tmp_path / "got")
    with limited.enhancer.paused("progress"):
        job = client.submit(handle_file(small_photo(tmp_path)), preset="anime-fast", api_name="/enhance")
        wait_until(lambda: job.done() or job.status().progress_data)
        assert not job.done()
        uploads = list(limited.page.glob("*/photo.png"))
        limited.age()
        assert limited.upload(LIMIT - 1000).status_code == 507
        assert limited.upload(8_000_000).status_code == 200
        assert [path.exists() for path in uploads] == [True]
    assert job.result(timeout=60)


def test_a_result_is_deleted_together_with_its_copy_for_browsers(limited, tmp_path):
    client = Client(limited.url, verbose=False, analytics_enabled=False, download_files=tmp_path / "got")
    for number in range(2):
        path = tmp_path / f"{number}.png"
        Image.fromarray(photo(40 + number, 56)).save(path)
        client.predict(handle_file(path), preset="anime-fast", api_name="/enhance")
    results = list((limited.page / "results").glob("*/*.png"))
    assert [path.stat().st_nlink for path in results] == [2, 2]
    limited.age()
    for hours, path in enumerate(results, start=2):
        when = time.time() - 3600 * hours
        for one in (path, path.parent):
            os.utime(one, (when, when))
    limited.enhancer.tasks._max_disk = replace(limited, before=frozenset()).used() - 10_000
    limited.enhancer.tasks.clean()

    assert [path.stat().st_nlink for path in results if path.exists()] == [2]


@both_folders
def test_the_files_of_an_open_page_stay(limited, tmp_path):
    async def clean_during_a_visit() -> None:
        page = PageClient(limited.url, 1, [], Tally())
        async with page.photo_page(small_photo(tmp_path).read_bytes()) as address:
            limited.age()
            limited.enhancer.tasks._max_disk = 1
            limited.enhancer.tasks.clean()
            (region,) = await page.request_regions(address, (56, 40), 1)
            assert region.status_code == 200
        await page.close()

    run_in_thread(clean_during_a_visit())
    assert list(limited.page.glob("*/soak.png"))
    assert list(limited.page.glob("visitors/*/*"))
