"""ENHANCE_MAX_DISK limits uploads, results and other files of the page together, and deletes no
file in use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.client import Job
from PIL import Image

from enhance.config import Config

from ..site import WatchedEnhancer, photo, served, wait_until
from ..soak_clients import Client as PageClient
from ..soak_clients import Tally
from ..unit.stored_results import set_age, set_last_use
from .calls import run_in_thread

LIMIT = 20_000_000


@dataclass
class Limited:
    """A served app with this limit, all its files in `root`, and the folder of the page there."""

    url: str
    enhancer: WatchedEnhancer
    root: Path
    page: Path
    before: frozenset[Path] = frozenset()
    """Files that Gradio writes at the start: the examples of the page."""

    def upload(self, size: int) -> httpx.Response:
        return httpx.post(
            f"{self.url}gradio_api/upload", files={"files": ("a.png", os.urandom(size))}, timeout=60
        )

    def enhance(self, photo: Path) -> Job:
        client = Client(
            self.url, verbose=False, analytics_enabled=False, download_files=photo.with_name("got")
        )
        return client.submit(handle_file(photo), preset="anime-fast", api_name="/enhance")

    def used(self) -> int:
        """Return the bytes of all files since the start. A file with several names counts once."""
        stats = [path.stat() for path in self.files() - self.before]
        return sum({stat.st_ino: stat.st_size for stat in stats}.values())

    def files(self) -> frozenset[Path]:
        files = (path for path in self.root.rglob("*") if path.is_file())
        return frozenset(path for path in files if not path.match("enhance-*.sqlite*"))

    def age(self) -> None:
        """Set the last use of all files to an hour ago."""
        set_age(3600, *self.root.rglob("*"))
        set_last_use(self.enhancer.tasks, 1)


@pytest.fixture(params=["own folder"])
def limited(request, tmp_path) -> Iterator[Limited]:
    """The app with a limit. With "named folder", the page has its own folder."""
    root, named = (
        tmp_path / "root",
        tmp_path / "root" / "page" if request.param == "named folder" else None,
    )
    enhancer = WatchedEnhancer(
        "cpu", config=Config(data=root / "data", page_folder=named, max_disk=LIMIT)
    )
    with served(enhancer) as url:
        limited = Limited(url, enhancer, root, (named or root / "data") / "enhance-page")
        yield replace(limited, before=limited.files())


both_folders = pytest.mark.parametrize("limited", ["own folder", "named folder"], indirect=True)


def small_photo(tmp_path: Path, height: int = 40) -> Path:
    path = tmp_path / f"photo-{height}.png"
    Image.fromarray(photo(height, 56)).save(path)
    return path


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
    assert [Path(path).exists() for path in (third.json()[0], *sorted((first, second)))].count(
        True
    ) == 2
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
        answer = httpx.post(
            f"{limited.url}gradio_api/upload", content=body(), headers=headers, timeout=60
        )
        assert answer.status_code == 507
    except httpx.WriteError:  # The server closed the connection during the upload.
        pass
    assert sent < 60_000_000
    wait_until(lambda: limited.used() < LIMIT and not list(limited.page.glob("tmp*")))


def test_the_upload_of_a_running_job_stays(limited, tmp_path):
    with limited.enhancer.paused("progress"):
        job = limited.enhance(small_photo(tmp_path))
        wait_until(lambda: job.done() or job.status().progress_data)
        assert not job.done()
        uploads = list(limited.page.glob("*/photo-40.png"))
        limited.age()
        assert limited.upload(LIMIT - 1000).status_code == 507
        assert limited.upload(8_000_000).status_code == 200
        assert [path.exists() for path in uploads] == [True]
    assert job.result(timeout=60)


def test_a_result_is_deleted_together_with_its_copy_for_browsers(limited, tmp_path):
    for height in (40, 41):
        limited.enhance(small_photo(tmp_path, height)).result(timeout=60)
    results = list((limited.page / "results").glob("*/*.png"))
    assert [path.stat().st_nlink for path in results] == [2, 2]
    limited.age()
    for hours, path in enumerate(results, start=2):
        set_age(3600 * hours, path, path.parent)
        stored = next(
            png for png in limited.enhancer.tasks.processed.glob("*.png") if png.samefile(path)
        )
        set_last_use(limited.enhancer.tasks, hours, stored)
    limited.enhancer.tasks._max_disk = replace(limited, before=frozenset()).used() - 10_000
    limited.enhancer.tasks.clean()

    assert [path.stat().st_nlink for path in results if path.exists()] == [2]


@both_folders
def test_the_photo_that_a_page_has_just_shown_stays(limited, tmp_path):
    async def clean_during_a_visit() -> None:
        page = PageClient(limited.url, 1, [], Tally())
        address = await page.address_of(small_photo(tmp_path).read_bytes())
        limited.age()
        limited.enhancer.tasks._max_disk = 1
        limited.enhancer.tasks.clean()
        (region,) = await page.request_regions(address, (56, 40), 1)
        assert region.status_code == 200
        await page.close()

    run_in_thread(clean_during_a_visit())
    assert list(limited.page.glob("*/soak.png"))
