"""The page's handlers without a browser: what happens at the last moment of a run, and what is read again."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhance import Enhancer, Settings
from enhance.config import Limits
from enhance.images import Picture, inspect
from enhance.output.result import ResultRows
from enhance.preview import choose_box
from enhance.scheduler import SCHEDULER
from enhance.web.batch import BatchHandlers
from enhance.web.controls import ControlHandlers
from enhance.web.layout import Page, build_page
from enhance.web.params import CONTROLS
from enhance.web.preview import SIZE, Previews, save_thumbnail
from enhance.web.run import ResultHandlers, RunHandlers
from enhance.web.serving import page_texts
from enhance.web.session import Upload, Visitor, Visitors
from enhance.web.storage import DownloadFolder, Owners, PageFolder
from enhance.web.templates import facts_of_upload
from enhance.web.upload import FilesHandlers, UploadHandlers
from enhance.web.views import Services

from ..site import busy_device

FAST = Settings.from_preset("anime-fast").as_dict()
SHOWN = FAST | {"size": "scale", "scale": 4, "paper": "a4", "format": "png", "quality": 92, "metadata": "keep"}
VALUES = [SHOWN[name] for name in CONTROLS]


def session(name: str, user: str | None = None) -> gr.Request:
    return cast(gr.Request, SimpleNamespace(session_hash=name, username=user, query_params={}, headers={}))


REQUEST = session("ada")


class WatchedEnhancer(Enhancer):
    """The real enhancer, which tells when its rows are let go and whether it was given a decoded picture."""

    def __init__(self, **options):
        super().__init__(**options)
        self.given: list[Picture | None] = []
        self.open = 0

    @contextmanager
    def result_rows(self, task_id: str, picture: Picture | None = None) -> Iterator[ResultRows]:  # type: ignore[override]
        self.given.append(picture)
        with ExitStack() as stack:
            rows: Any = super().result_rows(task_id)
            rows = stack.enter_context(rows) if hasattr(rows, "__enter__") else rows
            self.open += 1
            yield rows
            self.open -= 1

    def report(self, task_id: str, language: str = "en", picture: Picture | None = None, told: Any = None) -> Path:
        self.given.append(picture)
        return super().report(task_id, language, told=told)


@pytest.fixture
def services(tmp_path) -> Services:
    enhancer = WatchedEnhancer(device="cpu", data=tmp_path / "data")
    folder = PageFolder(tmp_path / "page", 1, shared=False)
    return Services(
        enhancer,
        Limits(),
        Visitors(folder.path("visitors")),
        Previews(enhancer, Limits()),
        DownloadFolder(folder),
        Owners(),
    )


@pytest.fixture
def page() -> Page:
    with gr.Blocks():
        return build_page(page_texts(Limits()))


@pytest.fixture
def visitor(services, photo_file) -> Visitor:
    """Someone who has chosen a picture."""
    visitor = services.visitors.of(REQUEST)
    take(services, visitor, photo_file)
    return visitor


def take(services: Services, visitor: Visitor, file: Path) -> None:
    picture = services.previews.picture(file)
    visitor.upload = Upload(file, picture.sha256, inspect(file), save_thumbnail(visitor, picture))
    visitor.box = choose_box(picture.width, picture.height, None, None, SIZE)


def in_order(number: int) -> gr.Request:
    """The request with this number of the page."""
    return cast(gr.Request, SimpleNamespace(**vars(REQUEST) | {"headers": {"x-enhance-order": str(number)}}))


def with_values(**changed: object) -> list[object]:
    return [(SHOWN | changed)[name] for name in CONTROLS]


def test_a_request_that_comes_late_gets_the_newest_values(page, services, visitor):
    handlers = ControlHandlers(page, services)
    list(handlers.preview(in_order(2), *with_values(strength=0.5)))

    list(handlers.tune(in_order(1), *with_values(strength=0.9)))

    assert visitor.controls.strength == 0.5
    list(handlers.tune(in_order(3), *with_values(strength=0.9)))
    assert visitor.controls.strength == 0.9


@pytest.mark.parametrize("order", ["", "nine", "-1", "9" * 5000])
def test_the_order_of_a_request_can_be_missing_or_wrong(page, services, visitor, order):
    request = cast(gr.Request, SimpleNamespace(**vars(REQUEST) | {"headers": {"x-enhance-order": order}}))

    list(ControlHandlers(page, services).tune(request, *with_values(strength=0.5)))

    assert visitor.controls.strength == 0.5


def test_an_answer_that_was_overtaken_shows_the_newest_preview_again(page, services, visitor):
    handlers = ControlHandlers(page, services)
    list(handlers.preview(in_order(1), *VALUES))
    late = handlers.tune(in_order(2), *with_values(strength=0.9))
    next(late)
    newest = list(handlers.tune(in_order(3), *with_values(strength=0.5)))[-1]

    again = list(late)

    assert again[-1][page.preview.slider] == newest[page.preview.slider]
    assert again[-1][page.preview.chip] == newest[page.preview.chip]


def run(page: Page, services: Services) -> list[dict[Any, Any]]:
    """Press Enhance; all that the page is told."""
    handlers = RunHandlers(page, services)
    return [handlers.ask(REQUEST, *VALUES), *handlers.follow(REQUEST)]


def test_the_result_of_a_picture_that_was_put_away_is_not_shown(page, services, visitor, photo_file, monkeypatch):
    whole_run = services.enhancer.run

    def run_and_change_the_picture(*given, **named):
        result = whole_run(*given, **named)
        visitor.start_over()
        take(services, visitor, photo_file)
        return result

    monkeypatch.setattr(services.enhancer, "run", run_and_change_the_picture)

    told = run(page, services)

    assert page.result.slider not in {part for update in told for part in update}
    assert visitor.finished is None
    assert not visitor.busy


@pytest.mark.parametrize("size", [{}, {"size": "long_side", "long_side": 9999}], ids=["good", "too_long"])
def test_an_estimate_of_a_picture_that_was_replaced_meanwhile_says_nothing(
    page, services, visitor, photo_file, monkeypatch, size
):
    def tell_and_replace(*given):
        told = facts_of_upload(*given)
        take(services, visitor, photo_file)
        return told

    monkeypatch.setattr("enhance.web.upload.fragments.facts_of_upload", tell_and_replace)

    told = UploadHandlers(page, services).estimate(REQUEST, *[(SHOWN | size)[name] for name in CONTROLS])

    assert told == {page.upload.tips: gr.skip()}


def test_a_picture_that_is_put_away_while_it_is_read_does_not_come_back(page, services, photo_file, monkeypatch):
    visitor, read = services.visitors.of(REQUEST), services.previews.picture
    handlers = UploadHandlers(page, services)

    def read_and_put_away(path):
        picture = read(path)
        handlers.put_away(REQUEST)
        return picture

    monkeypatch.setattr(services.previews, "picture", read_and_put_away)

    told = handlers.upload(REQUEST, str(photo_file), *VALUES)

    assert visitor.upload is None
    assert page.upload.photo not in told


def test_a_refused_file_leaves_the_picture_that_was_there(page, services, visitor, tmp_path):
    bad, had = tmp_path / "letter.png", visitor.upload
    bad.write_text("no picture")

    told = UploadHandlers(page, services).upload(REQUEST, str(bad), *VALUES)

    assert visitor.upload is had
    assert "letter.png is not a picture" in told[page.preview.problem]
    assert page.upload.photo not in told


@pytest.mark.parametrize(("language", "said"), [("en", "clean already"), ("zh-CN", "本来就很干净")])
def test_a_clean_picture_is_offered_precise_where_its_preset_takes_long_and_a_noisy_one_is_not(
    page, services, span_weights, tmp_path, monkeypatch, language, said
):
    handlers, reader = UploadHandlers(page, services), session("ada")
    reader.query_params["lang"] = language
    pixels, grain = data.camera()[::2, ::2], np.random.default_rng(5).normal(0, 6, (256, 256))
    clean, noisy = tmp_path / "clean.png", tmp_path / "noisy.png"
    Image.fromarray(pixels).save(clean)
    Image.fromarray(np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)).save(noisy)

    def told(file: Path, **changes: object) -> str:
        visitor = services.visitors.of(reader)
        visitor.start_over()
        take(services, visitor, file)
        shown = SHOWN | Settings.from_preset().as_dict() | {"scale": 4} | changes
        return handlers.estimate(reader, *(shown[name] for name in CONTROLS))[page.upload.tips]

    monkeypatch.setattr("enhance.web.controls.LONG_SECONDS", float("inf"))
    assert said not in told(clean)
    monkeypatch.setattr("enhance.web.controls.LONG_SECONDS", 0)
    assert said in told(clean)
    assert "preset:precise" in told(clean)
    assert "precise" not in told(noisy)
    assert "precise" not in told(clean, preset="precise")


def test_a_result_that_cannot_be_laid_out_for_the_browser_says_that_the_disk_is_full(
    page, services, visitor, monkeypatch
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("enhance.web.preview.save_for_screen", full)

    told = run(page, services)[-1]

    assert "disk is full" in told[page.run.progress]
    assert not visitor.busy


def test_a_run_is_done_although_an_old_file_cannot_be_removed(page, services, visitor, monkeypatch):
    for _ in range(8):
        visitor.place("whole-after", ".jpg").write_bytes(b"shown before")
        visitor.place("result", "").mkdir()

    def but_for_pictures(remove):
        def maybe(path, *given, **named):
            if visitor.folder in Path(path).parents:
                raise PermissionError("another program has it open")
            return remove(path, *given, **named)

        return maybe

    monkeypatch.setattr(Path, "unlink", but_for_pictures(Path.unlink))
    monkeypatch.setattr("shutil.rmtree", but_for_pictures(shutil.rmtree))

    assert page.result.slider in run(page, services)[-1]


def test_a_place_of_the_result_is_cut_from_the_decoded_picture_and_let_go(page, services, visitor):
    run(page, services)
    handlers, decoded = ResultHandlers(page, services), services.previews.picture(visitor.upload.path)

    shown = handlers.place(REQUEST)

    assert page.result.closely in shown
    assert [picture is decoded for picture in services.enhancer.given] == [True]
    assert services.enhancer.open == 0


def test_a_report_is_made_from_the_decoded_picture(page, services, visitor):
    run(page, services)

    made = ResultHandlers(page, services).report(REQUEST)

    assert made[page.result.report_problem] == ""
    assert services.enhancer.given == [services.previews.picture(visitor.upload.path)]
    assert Path(made[page.result.report_file].value["path"]).name == "photo-4x-report.pdf"


def test_a_run_of_the_page_beyond_ones_share_is_refused_with_its_place(page, services, visitor):
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(services.enter(visitor.caller, "run"))
        told = RunHandlers(page, services).ask(REQUEST, *VALUES)
    assert "5 runs of yours are on their way" in told[page.run.progress]
    assert not visitor.busy
    assert visitor.finished is None


def test_a_run_of_the_page_that_waits_says_its_place_and_can_be_cancelled(page, services, visitor):
    with busy_device():
        handlers = RunHandlers(page, services)
        handlers.ask(REQUEST, *VALUES)
        steps = handlers.follow(REQUEST)
        while "1 before it" not in (told := next(steps))[page.run.progress]:
            assert visitor.busy, told
        assert SCHEDULER.count() == 2
        handlers.cancel(REQUEST)
        assert "Cancelled" in [*steps][-1][page.run.progress]
        assert SCHEDULER.count() == 1
        assert not visitor.busy


def test_no_answer_within_a_run_moves_the_buttons_that_its_end_moves(page, services, visitor):
    """It may arrive after the last one of the run."""
    bar = {page.run.enhance, page.run.cancel, page.result.report, page.result.again}
    with busy_device(2):
        assert bar <= RunHandlers(page, services).ask(REQUEST, *VALUES).keys()
        assert visitor.busy
        within = UploadHandlers(page, services).estimate(REQUEST, *VALUES)
        taken = ControlHandlers(page, services).taking(REQUEST, *VALUES)

    assert page.run.why in within
    assert not bar & (within.keys() | taken.keys())
    assert "visible" not in taken[page.result.download].constructor_args
    *_, ended = RunHandlers(page, services).follow(REQUEST)
    assert bar <= ended.keys()


def test_a_run_goes_on_while_its_page_is_loaded_anew_and_is_found_there(page, services, visitor):
    visitor.tab = "the tab"
    with busy_device():
        handlers = RunHandlers(page, services)
        handlers.ask(REQUEST, *VALUES)
        handlers.follow(REQUEST).close()  # type: ignore[attr-defined]
        services.visitors.leave(REQUEST)

        again = session("ada loads anew")
        opened = ControlHandlers(page, services).open(again, "the tab")

    assert opened[page.run.cancel].visible
    assert "photo" in opened[page.upload.photo]
    assert page.result.slider in [*handlers.follow(again)][-1]
    assert page.result.slider in ControlHandlers(page, services).open(session("and once more"), "the tab")


def batch_of_two(page: Page, services: Services, photo_file: Path) -> BatchHandlers:
    """A batch that is begun by the visitor, and waits for the device."""
    batch = BatchHandlers(page, services)
    FilesHandlers(page, services, batch).add(REQUEST, [str(photo_file)] * 2)
    batch.ask(REQUEST, *VALUES)
    return batch


def test_a_batch_goes_on_while_its_page_is_loaded_anew_and_is_found_there(page, services, photo_file):
    visitor = services.visitors.of(REQUEST)
    visitor.tab = "the tab"
    with busy_device():
        batch = batch_of_two(page, services, photo_file)
        services.visitors.leave(REQUEST)
        again = session("ada loads anew")
        ControlHandlers(page, services).open(again, "the tab")
        followed = batch.follow(again)
        assert next(followed)[page.batch.cancel].visible

    assert "2 done, 0 failed" in [*followed][-1][page.batch.progress]
    ControlHandlers(page, services).open(session("and once more"), "the tab")
    shown = next(batch.follow(session("and once more")))
    assert shown[page.batch.download].visible
    assert shown[page.batch.cards].count("download=") == 2


def test_the_batch_of_a_page_that_stays_closed_is_stopped(page, services, photo_file, monkeypatch):
    visitor = services.visitors.of(REQUEST)
    with busy_device():
        batch_of_two(page, services, photo_file)
        services.visitors.leave(REQUEST)
        services.visitors.sweep()
        assert not visitor.batch.stop.is_set()
        monkeypatch.setattr("enhance.web.session.GRACE_SECONDS", -1)

        services.visitors.sweep()

        assert visitor.batch.wait(30)
    assert visitor.batch.result().batch.count("cancelled") == 2


def test_files_that_are_too_many_are_refused_and_the_sentence_goes_with_the_next(page, services, photo_file):
    few = replace(services, limits=Limits(files=2))
    files = FilesHandlers(page, few, BatchHandlers(page, few))
    refused = files.add(REQUEST, [str(photo_file)] * 3)
    taken = files.add(REQUEST, [str(photo_file)] * 2)
    assert "more than 2 files" in refused[page.batch.problem]
    assert refused[page.batch.cards] == ""
    assert taken[page.batch.problem] == ""
    assert taken[page.batch.cards].count("<li") == 2
    assert "more than 2 files" in files.add(REQUEST, [str(photo_file)])[page.batch.problem]


def test_another_tab_or_another_user_finds_nothing_of_it(page, services, visitor):
    visitor.tab = "the tab"
    controls = ControlHandlers(page, services)
    for request, tab in ((session("b"), "another tab"), (session("c"), ""), (session("d", user="eve"), "the tab")):
        assert controls.open(request, tab)[page.upload.photo] == ""
    assert controls.open(session("e"), "the tab")[page.upload.photo] != ""


def test_the_run_of_a_page_that_stays_closed_is_stopped(page, services, visitor, monkeypatch):
    with busy_device():
        RunHandlers(page, services).ask(REQUEST, *VALUES)
        running = visitor.run
        services.visitors.leave(REQUEST)
        services.visitors.sweep()
        assert not running.stop.is_set()
        monkeypatch.setattr("enhance.web.session.GRACE_SECONDS", -1)

        services.visitors.sweep()

        assert running.wait(30)
        assert SCHEDULER.count() == 1
