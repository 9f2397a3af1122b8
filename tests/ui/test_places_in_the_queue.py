"""Whatever fails between taking a place in the queue and the end of the job, the place is given back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from enhance.web.api import Endpoints
from enhance.web.batch import BatchHandlers
from enhance.web.compare import CompareHandlers
from enhance.web.controls import ControlHandlers
from enhance.web.line import GOING
from enhance.web.upload import FilesHandlers
from enhance.web.views import Services
from enhance.web.wishes import CALLED, SQUARE, USUAL

from .test_handlers import REQUEST, VALUES, page, run, services, visitor

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


def check_free(services: Services, log: pytest.LogCaptureFixture | None = None) -> None:
    """All places are given back, once what still runs has ended; what failed is what was to fail."""
    assert log is None or "injected" in log.text
    for work in list(GOING):
        assert work.wait(60)
    assert (len(services.line), len(services.comparisons), len(services.previews_of_clients)) == (0, 0, 0)
    assert not GOING


RUN = ["_pixels", "reduced_size", "GrowingPicture", "PageRun", "begin", "_made", "keep_for_page"]


@pytest.mark.parametrize("target", ["thread", *(f"enhance.web.run.{name}" for name in RUN)])
def test_a_run_that_fails_at_any_step_gives_its_place_back(page, services, visitor, target, caplog):
    visitor.listed = "a" * 64
    with failing(target):
        told = run(page, services)
        check_free(services, caplog)

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
        check_free(services, caplog)

    assert "did not foresee" in told[-1][page.preview.problem]
    assert visitor.comparing is None
    assert list(handlers.toggle(REQUEST, *VALUES))[-1][page.preview.cells].count("<img") == 2


BATCH = ["batch.PageBatch.__init__", "run.plan", "run.Running", "batch.begin_file", "run.packed"]


@pytest.mark.parametrize(
    "target", ["thread", "enhance.web.page_files.Many.begin", *(f"enhance.web.{name}" for name in BATCH)]
)
def test_a_batch_that_fails_at_any_step_gives_its_place_back(page, services, photo_file, target, caplog):
    batch = BatchHandlers(page, services)
    FilesHandlers(page, services, batch).add(REQUEST, [str(photo_file)])
    with failing(target):
        told = [batch.ask(REQUEST, *VALUES), *batch.follow(REQUEST)]
        check_free(services, caplog)

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
    check_free(services, caplog)
    assert called(services, name, photo_file)
