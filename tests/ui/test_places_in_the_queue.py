"""Whatever fails between taking a place in the queue and the end of the job, the place is given back."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from enhance.scheduler import SCHEDULER
from enhance.web.api import Endpoints
from enhance.web.batch import BatchHandlers
from enhance.web.compare import CompareHandlers
from enhance.web.controls import ControlHandlers
from enhance.web.jobs import JOBS
from enhance.web.params import CALLED, SQUARE, USUAL
from enhance.web.storage import PageFolder
from enhance.web.upload import FilesHandlers
from enhance.web.views import Services

from ..site import busy_device
from .test_handlers import REQUEST, VALUES, page, run, services, take, visitor

__all__ = ["page", "services", "visitor"]


@pytest.fixture(autouse=True)
def quick_presets(services, monkeypatch):
    monkeypatch.setattr(type(services), "available", lambda _: {"anime-fast"})


def fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("injected")


@contextmanager
def failing(target: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as changed:
        if target == "thread":
            changed.setattr(threading.Thread, "start", fail)
        else:
            changed.setattr(target, fail)
        yield


def check_free(log: pytest.LogCaptureFixture | None = None) -> None:
    """All places are given back, once what still runs has ended; what failed is what was to fail."""
    assert log is None or "injected" in log.text
    for work in list(JOBS):
        assert work.wait(60)
    assert [SCHEDULER.count(lane) for lane in ("run", "comparison", "preview")] == [0, 0, 0]
    assert not JOBS


RUN = ["_pixels", "reduced_size", "GrowingPicture", "PageRun", "begin", "_made", "keep_for_page"]


@pytest.mark.parametrize("target", ["thread", *(f"enhance.web.run.{name}" for name in RUN)])
def test_a_run_that_fails_at_any_step_gives_its_place_back(page, services, visitor, target, caplog):
    visitor.listed = "a" * 64
    with failing(target):
        told = run(page, services)
        check_free(caplog)

    assert "did not foresee" in "".join(str(update.get(page.run.progress)) for update in told)
    assert not visitor.busy
    assert page.result.slider in run(page, services)[-1]
    assert not any(entry.state == "running" for one in services.enhancer.tasks.runs(visitor.listed) for entry in one)


COMPARISON = [
    "enhance.web.compare.OpenComparison.__init__",
    "enhance.web.preview.Previews.picture",
    "enhance.enhancer.Enhancer.compare",
]


@pytest.mark.parametrize("target", ["thread", *COMPARISON])
def test_a_comparison_that_fails_at_any_step_gives_its_place_back(page, services, visitor, target, caplog):
    handlers = CompareHandlers(page, services, ControlHandlers(page, services))
    with failing(target):
        told = list(handlers.toggle(REQUEST, *VALUES))
        check_free(caplog)

    assert "did not foresee" in told[-1][page.preview.problem]
    assert visitor.comparing is None
    assert list(handlers.toggle(REQUEST, *VALUES))[-1][page.preview.cells].count("<img") == 2


BATCH = ["batch.PageBatch.__init__", "run.plan", "run.Running", "batch.begin_file", "run.packed"]


@pytest.mark.parametrize(
    "target", ["thread", "enhance.web.storage.BatchUploads.begin", *(f"enhance.web.{name}" for name in BATCH)]
)
def test_a_batch_that_fails_at_any_step_gives_its_place_back(page, services, photo_file, target, caplog):
    batch = BatchHandlers(page, services)
    FilesHandlers(page, services, batch).add(REQUEST, [str(photo_file)])
    with failing(target):
        told = [batch.ask(REQUEST, *VALUES), *batch.follow(REQUEST)]
        check_free(caplog)

    assert "did not foresee" in "".join(str(update.get(page.batch.progress)) for update in told)
    batch.ask(REQUEST, *VALUES)
    assert "1 done" in [*batch.follow(REQUEST)][-1][page.batch.progress]


def called(services: Services, name: str, photo: Path) -> list[Any]:
    """What an endpoint of the API gives."""
    files: Any = [str(photo)] if name == "batch" else str(photo)
    names = {"compare": SQUARE, "preview": (*SQUARE, *CALLED)}.get(name, CALLED)
    given = {one: USUAL.get(one) for one in names} | ({} if name == "compare" else {"preset": "anime-fast"})
    made: Any = getattr(Endpoints(services), name)(REQUEST, files, **given)
    return [made] if name == "preview" else list(made)


API: list[tuple[str, str]] = [
    *(("enhance", target) for target in ("thread", "enhance.web.api.Run", "enhance.web.run._made")),
    *(("preview", target) for target in ("enhance.web.preview.Previews.picture", "enhance.web.preview.Previews.run")),
    *(("compare", target) for target in ("thread", "enhance.web.api.Comparing", "enhance.web.compare.made")),
    *(("batch", target) for target in ("thread", "enhance.web.api.BatchWork", "enhance.web.run.packed")),
]


@pytest.mark.parametrize(("name", "target"), API)
def test_a_call_of_the_api_that_fails_at_any_step_gives_its_place_back(services, photo_file, name, target, caplog):
    with failing(target), pytest.raises(gr.Error, match="did not foresee"):
        called(services, name, photo_file)
    check_free(caplog)
    assert called(services, name, photo_file)


def make_old(*folders: Path) -> None:
    """Let all files there look as if they were made two days ago."""
    then = time.time() - 48 * 3600
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (then, then))


@pytest.fixture
def folder(services, tmp_path) -> PageFolder:
    """The page's folder with a retention period of 1 min 12 s."""
    return PageFolder(tmp_path / "page", 0.02, shared=False)


@pytest.fixture
def uploaded(services, folder, photo_file) -> Path:
    """A photo as Gradio stores uploads."""
    place = folder.root / ("a" * 64) / "photo.png"
    place.parent.mkdir()
    shutil.copyfile(photo_file, place)
    return place


def test_retention_deletes_nothing_that_an_open_page_uses(page, services, folder, uploaded):
    visitor = services.visitors.of(REQUEST)
    take(services, visitor, uploaded)
    tasks, batch = services.enhancer.tasks, BatchHandlers(page, services)
    assert page.result.slider in run(page, services)[-1]
    FilesHandlers(page, services, batch).add(REQUEST, [str(uploaded)])
    batch.ask(REQUEST, *VALUES)
    list(batch.follow(REQUEST))
    used = visitor.used()
    other = folder.root / ("b" * 64) / "other.png"
    other.parent.mkdir()
    shutil.copyfile(uploaded, other)
    make_old(folder.root, tasks.folder)

    services.visitors.keep_used(folder.root, tasks.folder)
    folder.sweep()
    tasks.clean()

    assert not other.exists()
    assert [path for path in used if not path.exists()] == []
    assert visitor.finished is not None
    assert visitor.finished.download in used
    visitor.finished = None
    assert page.result.slider in run(page, services)[-1]


def test_retention_deletes_no_input_of_a_call_that_waits(services, folder, uploaded):
    given: Any = {one: USUAL.get(one) for one in CALLED} | {"preset": "anime-fast"}
    with busy_device():
        call: Any = Endpoints(services).enhance(REQUEST, str(uploaded), **given)
        next(call)
        make_old(folder.root)
        services.visitors.keep_used(folder.root, services.enhancer.tasks.folder)
        folder.sweep()
        assert uploaded.exists()
    assert [*call][-1][1]["status"] == "done"


def test_keeping_files_changes_none_of_another_folder(services, photo_file, tmp_path):
    take(services, services.visitors.of(REQUEST), photo_file)
    make_old(photo_file)
    before = photo_file.stat().st_mtime
    services.visitors.keep_used(tmp_path / "page", services.enhancer.tasks.folder)
    assert photo_file.stat().st_mtime == before


@pytest.mark.parametrize("what", ["folder", "input"])
def test_a_page_whose_files_were_deleted_is_told_so_and_the_queue_is_free(
    page, services, folder, uploaded, photo_file, what
):
    visitor = services.visitors.of(REQUEST)
    take(services, visitor, uploaded)
    if what == "folder":
        make_old(visitor.folder)
        folder.sweep()
        assert not visitor.folder.exists()
    else:
        shutil.rmtree(uploaded.parent)

    told = run(page, services)

    said = told[0][page.run.progress] if what == "folder" else told[-1][page.run.progress]
    assert ("choose it again" if what == "folder" else "photo.png") in said
    assert "did not foresee" not in said
    check_free()
    take(services, visitor, photo_file)
    assert page.result.slider in run(page, services)[-1]
