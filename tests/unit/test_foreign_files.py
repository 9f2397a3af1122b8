"""Foreign files in the program's folders are never deleted."""

from __future__ import annotations

import hashlib

import pytest

from enhance.config import Config
from enhance.jobs.scheduler import Scheduler
from enhance.jobs.threads import JobThreads
from enhance.store import TaskStore
from enhance.web.storage import PageFolder, page_folder

from .runs import contents, start
from .stored_results import add_result, set_age, set_last_use

MONTH = 30 * 24 * 3600

FOREIGN = (
    "data/processed/figure.png",
    "data/processed/.host-1-2-3.part",
    "data/uploads/holiday/photo.jpg",
    "data/network/.scan-1-1-0123456789ab.part",
    "data/page/visitors/guest-book.txt",
    # Named like the program's own files, but older than its marker.
    f"data/processed/{'ab' * 16}.png",
    f"data/processed/{'ab' * 16}.json",
    f"data/reports/{'ab' * 16}.pdf",
    f"data/uploads/{'cd' * 32}/photo.jpg",
    f"data/network/{'cd' * 32}.raw",
    f"data/lists/{'cd' * 32}.{'ab' * 16}.json",
    f"data/page/{'cd' * 32}/exam.csv",
)


def put(path):
    """Create an old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(path.name.encode())
    set_age(MONTH, path, path.parent)
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder in which the program is started."""
    for name in FOREIGN:
        put(tmp_path / name)
    monkeypatch.delenv("ENHANCE_DATA")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_in_a_project_folder_delete_nothing(project, photo_file, monkeypatch):
    monkeypatch.setenv("ENHANCE_MAX_DISK", "1")
    before = contents(project)

    assert start(photo_file) == start(photo_file) == 0

    after = contents(project)
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {"photo-4x.png"}


@pytest.mark.parametrize("max_disk", [None, 1])
def test_a_data_folder_in_a_project_folder_deletes_only_its_own_files(project, max_disk):
    before = contents(project)
    store = TaskStore(project / "data", hours=1, max_disk=max_disk)
    page = PageFolder(project / "data" / "enhance-page", store, JobThreads(Scheduler()))
    store.page_files = page.files
    result = store.result_path(add_result(store))
    download = page.link(result, "photo.png")
    set_age(MONTH, download, download.parent)
    set_last_use(store, 2)

    store.clean()

    assert not result.exists()
    assert not download.exists()
    assert before.items() <= contents(project).items()


def test_foreign_files_in_a_folder_for_temporary_files_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    shared = tmp_path / "shared"
    store = TaskStore(tmp_path / "data", hours=1)
    for name in ("thesis.tex", f"{'cd' * 32}/upload.png", "results/me/a.txt"):
        put(shared / name)
    before = contents(shared)
    page = page_folder(Config(page_folder=shared), store, JobThreads(Scheduler()))
    mine = put(page.new_path("old.png"))

    store.clean()

    assert not mine.exists()
    assert before.items() <= contents(shared).items()


def test_a_symlink_is_not_followed(tmp_path):
    store = TaskStore(tmp_path / "data", hours=1)
    store.prepare()
    sha256 = hashlib.sha256(b"photo.jpg").hexdigest()
    elsewhere = put(tmp_path / "elsewhere" / "photo.jpg")
    (store.uploads / sha256).symlink_to(elsewhere.parent)
    store.clean()
    set_last_use(store, 2)

    store.clean()

    assert elsewhere.exists()


def test_foreign_partial_files_in_an_output_folder_are_kept(tmp_path, photo_file):
    for name in (".draft.part", ".a-1-1-0123456789ab.part"):
        put(tmp_path / "out" / name)
    before = contents(tmp_path / "out")

    assert start(photo_file, "-o", f"{tmp_path}/out/") == 0

    assert before.items() <= contents(tmp_path / "out").items()
