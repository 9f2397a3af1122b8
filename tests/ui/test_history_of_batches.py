"""The batches on a visitor's list, without a browser: one entry each, whole, gone on with, and nobody else's."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from PIL import Image

from enhance.web.batch import BatchHandlers
from enhance.web.history import HistoryHandlers, show_history
from enhance.web.params import CONTROLS
from enhance.web.storage import list_of
from enhance.web.upload import FilesHandlers

from ..site import busy_device, photo
from .test_handlers import REQUEST, VALUES, page, services, session

__all__ = ["page", "services"]

KEY = "0a" * 16


class Bench:
    """The second tab of one visitor, and their list."""

    def __init__(self, page, services, folder: Path, request: gr.Request = REQUEST):
        self.page, self.services, self.folder, self.request = page, services, folder, request
        self.tasks = services.enhancer.tasks
        self.visitor = services.visitors.of(request)
        self.visitor.listed = list_of(request, KEY)
        self.batch, self.history = BatchHandlers(page, services), HistoryHandlers(page, services)
        self.files = FilesHandlers(page, services, self.batch)

    def add(self, *names: str) -> None:
        for number, name in enumerate(names):
            Image.fromarray(photo(20, 16 + 4 * number)).save(self.folder / name)
        self.files.add(self.request, [str(self.folder / name) for name in names])

    def enhance(self, *values: Any) -> str:
        """Press Enhance all; how it ended."""
        self.batch.ask(self.request, *(values or VALUES))
        return self.ended()

    def ended(self) -> str:
        assert self.visitor.batch is not None
        assert self.visitor.batch.wait(60)
        *_, shown = self.batch.follow(self.request)
        return shown[self.page.batch.progress]

    @contextmanager
    def held(self) -> Iterator[None]:
        """The device is others' until then."""
        with busy_device(2):
            yield

    @property
    def runs(self):
        return self.tasks.runs(self.visitor.listed)

    def states(self) -> list[list[tuple[str, str]]]:
        return [[(entry.name, entry.standing(self.tasks)) for entry in run] for run in self.runs]

    def shown(self) -> str:
        return show_history(self.page, self.tasks, self.visitor, "en")[self.page.result.listed]

    def press(self, handler, entry: str, act: str, request: gr.Request | None = None, key: object = KEY) -> Any:
        return handler(cast(gr.EventData, SimpleNamespace(entry=entry, act=act)), request or self.request, "", key, "")

    def tomorrow(self) -> Bench:
        """The same browser with a page of a later server."""
        return Bench(self.page, self.services, self.folder, session("tomorrow"))

    def key_of(self, name: str) -> str:
        return next(item.key for item in self.visitor.files.items if item.name == name)


@pytest.fixture
def bench(page, services, tmp_path) -> Bench:
    return Bench(page, services, tmp_path)


@pytest.fixture
def cut(bench) -> Bench:
    """A batch of which a.png and b.png are done, and c.png and d.png not when the server ended."""
    bench.add("a.png", "b.png")
    bench.enhance()
    bench.add("c.png", "d.png")
    with bench.held():
        bench.batch.ask(REQUEST, *VALUES)
        bench.visitor.batch.close()
        assert bench.visitor.batch.wait(30)
    return bench


def test_a_batch_is_one_entry_that_opens_to_its_files(bench):
    bench.add("a.png", "b.png", "c.png")
    assert "3 done" in bench.enhance()
    assert bench.states() == [[("a.png", "done"), ("b.png", "done"), ("c.png", "done")]]
    closed = bench.shown()
    assert closed.count("<li") == 1
    assert [f'data-act="{act}"' in closed for act in ("files", "zip", "remove", "rest")] == [True, True, True, False]
    assert closed.count("data:image") == 1

    opened = bench.press(bench.history.unfold, bench.visitor.many.id, "files")[bench.page.result.listed]

    assert opened.count("<li") == 4
    assert [opened.count(f'data-act="{act}"') for act in ("download", "report", "open", "remove")] == [3, 3, 3, 4]
    assert opened.count("data:image") == 4
    again = bench.press(bench.history.unfold, bench.visitor.many.id, "files")
    assert again[bench.page.result.listed].count("<li") == 1


def test_a_finished_file_is_listed_while_the_rest_still_waits(bench, monkeypatch):
    seen, run = [], bench.services.enhancer.run

    def look(source, *given, **named):
        seen.append(bench.shown())
        return run(source, *given, **named)

    monkeypatch.setattr(bench.services.enhancer, "run", look)
    bench.add("a.png", "b.png")

    bench.enhance()

    assert "0 of 2 are finished" in seen[0]
    assert "1 of 2 are finished" in seen[1]
    assert not any(f'data-act="{act}"' in seen[1] for act in ("remove", "rest", "zip"))


def test_the_zip_of_the_list_has_every_file_and_the_table(bench, tmp_path):
    bench.add("a.png", "b.png")
    bench.enhance()

    told = bench.tomorrow().press(bench.history.file, bench.visitor.many.id, "zip", session("tomorrow"))

    with zipfile.ZipFile(told[bench.page.result.report_file].value["path"]) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["a.png", "b.png", "report.csv", "summary.pdf"]


@pytest.mark.parametrize("key", ["0b" * 16, "", None])
def test_nobody_sees_or_touches_anothers_batch(bench, key):
    bench.add("a.png", "b.png")
    bench.enhance()
    eve, batch = session("eve"), bench.visitor.many.id

    for handler in (bench.history.unfold, bench.history.file, bench.history.remove, bench.files.go_on):
        for asked in (batch, bench.key_of("a.png")):
            with pytest.raises(gr.Error, match="not on your list"):
                bench.press(handler, asked, "zip", eve, key)
    assert len(bench.runs[0]) == 2
    assert bench.services.visitors.of(eve).many.items == ()


def test_a_batch_that_the_servers_end_cut_off_says_what_is_done_and_goes_on_with_the_rest(cut, monkeypatch):
    later, given, run = cut.tomorrow(), [], cut.services.enhancer.run
    said = later.shown()
    assert "Cut off" in said
    assert "2 of 4 are finished" in said
    assert "Not finished: c.png, d.png." in said
    assert 'data-act="rest"' in said
    shutil.rmtree(cut.folder / "page", ignore_errors=True)  # what browsers sent is gone with the server
    for name in ("c.png", "d.png"):
        (cut.folder / name).unlink()

    def note(source, *more, **named):
        given.append(named["name"])
        return run(source, *more, **named)

    monkeypatch.setattr(cut.services.enhancer, "run", note)

    shown = later.press(later.files.go_on, cut.visitor.many.id, "rest")

    assert shown[later.page.batch.cancel].visible
    assert "4 done, 0 failed" in later.ended()
    assert given == ["c.png", "d.png"]
    assert later.states() == [[(name, "done") for name in ("a.png", "b.png", "c.png", "d.png")]]
    assert [item.name for item in later.visitor.files.items] == ["a.png", "b.png", "c.png", "d.png"]
    assert len(later.visitor.many.results) == 4


def test_what_is_not_kept_to_go_on_with_is_named_and_leaves_the_list(cut):
    later = cut.tomorrow()
    (lost,) = [entry for entry in later.runs[0] if entry.name == "d.png"]
    lost.input(later.tasks).unlink()
    assert "to be dropped again: d.png." in later.shown()

    shown = later.press(later.files.go_on, cut.visitor.many.id, "rest")

    assert "to be dropped again: d.png." in shown[later.page.batch.problem]
    assert "3 done" in later.ended()
    assert later.states() == [[("a.png", "done"), ("b.png", "done"), ("c.png", "done")]]


def test_going_on_takes_no_file_that_waits_in_the_tab(cut):
    later = cut.tomorrow()
    later.add("new.png")

    with pytest.raises(gr.Error, match="tab Many has files"):
        later.press(later.files.go_on, cut.visitor.many.id, "rest")

    assert [item.name for item in later.visitor.files.items] == ["new.png"]
    assert "Cut off" in later.shown()


def test_a_full_line_leaves_the_tab_and_the_list_as_they_were(cut):
    later = cut.tomorrow()
    with ExitStack() as stack:
        for number in range(21):
            stack.enter_context(later.services.enter(f"other {number}", "run"))
        with pytest.raises(gr.Error, match="would be number"):
            later.press(later.files.go_on, cut.visitor.many.id, "rest")

    assert later.visitor.files.items == ()
    assert "Not finished: c.png, d.png." in later.shown()


def test_what_its_person_cancelled_is_on_no_list_and_what_was_done_stays(bench):
    bench.add("a.png")
    bench.enhance()
    bench.add("b.png", "c.png")
    with bench.held():
        bench.batch.ask(REQUEST, *VALUES)
        bench.batch.cancel(REQUEST)
        assert "2 cancelled" in bench.ended()
    assert bench.states() == [[("a.png", "done")]]
    assert bench.shown().count('data-act="files"') == 0  # one file is an entry like any other


def test_files_that_join_are_listed_and_those_that_are_taken_out_are_not(bench):
    bench.add("a.png", "b.png")
    with bench.held():
        bench.batch.ask(REQUEST, *VALUES)
        bench.add("late.png")
        bench.files.remove(cast(Any, SimpleNamespace(index=bench.key_of("b.png"))), REQUEST)
    assert "2 done" in bench.ended()
    assert bench.states() == [[("a.png", "done"), ("late.png", "done")]]


def test_the_same_picture_twice_is_two_results_and_removing_one_keeps_the_other(bench):
    bench.add("a.png")
    shutil.copy(bench.folder / "a.png", bench.folder / "twin.png")
    bench.files.add(REQUEST, [str(bench.folder / "twin.png"), str(bench.folder / "a.png")])
    assert "3 done" in bench.enhance()

    bench.press(bench.history.remove, bench.key_of("twin.png"), "remove")

    assert bench.states() == [[("a.png", "done"), ("a.png", "done")]]
    assert all(entry.input(bench.tasks).exists() for entry in bench.runs[0])
    bench.press(bench.history.remove, bench.visitor.many.id, "remove")
    assert bench.runs == []
    for folder in (bench.tasks.processed, bench.tasks.uploads, bench.tasks.network, bench.tasks.lists):
        assert list(folder.iterdir()) == []


def test_what_is_removed_from_the_list_leaves_the_tab_and_the_zip(bench):
    bench.add("a.png", "b.png")
    bench.enhance()
    archive, taken = bench.visitor.batch.result().archive, bench.visitor.many.results[bench.key_of("a.png")]

    bench.press(bench.history.remove, bench.key_of("a.png"), "remove")

    shown = bench.batch.again(REQUEST)
    assert shown[bench.page.batch.cards].count("<li") == 1
    assert not shown[bench.page.batch.download].visible
    assert not archive.exists()
    assert not taken.exists()


def test_nothing_of_a_batch_is_removed_while_it_runs(bench):
    bench.add("a.png", "b.png")
    with bench.held():
        bench.batch.ask(REQUEST, *VALUES)
        while len(bench.runs[0] if bench.runs else []) < 2:
            assert bench.visitor.batch_busy
        for asked in (bench.visitor.many.id, bench.key_of("a.png")):
            with pytest.raises(gr.Error, match="not on your list"):
                bench.press(bench.history.remove, asked, "remove")
    assert "2 done" in bench.ended()


def test_other_settings_are_another_entry_and_the_first_results_stay(bench):
    bench.add("a.png", "b.png")
    bench.enhance()
    first = {entry.task_id for entry in bench.runs[0]}

    place = CONTROLS.index("scale")
    bench.enhance(*VALUES[:place], 2, *VALUES[place + 1 :])

    assert [len(run) for run in bench.runs] == [2, 2]
    assert first <= {entry.task_id for run in bench.runs for entry in run}
    assert all(state == "done" for run in bench.states() for _, state in run)


def test_a_data_folder_that_was_emptied_by_hand_loses_nothing_that_comes_after(bench):
    bench.add("a.png", "b.png")
    with bench.held():
        bench.batch.ask(REQUEST, *VALUES)
        while {path.name for path in bench.tasks.uploads.glob("*/*")} != {"a.png", "b.png"}:
            assert bench.visitor.batch_busy
        shutil.rmtree(bench.tasks.folder)
    assert "2 done" in bench.ended()
    assert bench.states() == [[("a.png", "done"), ("b.png", "done")]]
    assert "no longer kept" not in bench.shown()


def test_a_file_that_cannot_be_done_says_so_and_the_batch_goes_on(bench, monkeypatch):
    run = bench.services.enhancer.run

    def fail(source, *given, **named):
        if named["name"] == "b.png":
            raise RuntimeError("a fault of the program")
        return run(source, *given, **named)

    monkeypatch.setattr(bench.services.enhancer, "run", fail)
    bench.add("a.png", "b.png", "c.png")

    assert "2 done, 1 failed" in bench.enhance()

    assert bench.states() == [[("a.png", "done"), ("b.png", "failed"), ("c.png", "done")]]
    assert "Not finished: b.png." in bench.shown()
    assert 'data-act="rest"' in bench.shown()
    assert 'data-act="zip"' in bench.shown()
    told = bench.press(bench.history.file, bench.visitor.many.id, "zip")
    with zipfile.ZipFile(told[bench.page.result.report_file].value["path"]) as archive:
        assert sorted(archive.namelist()) == ["a.png", "c.png", "report.csv", "summary.pdf"]
        table = archive.read("report.csv").decode("utf-8-sig").splitlines()[1:]
    assert ["failed" in line for line in table] == [False, True, False]
