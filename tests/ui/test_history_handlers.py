"""A visitor's list without a browser: what is put on it, what its buttons do, and that it is nobody else's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest

from enhance.settings import Settings
from enhance.store import Entry, TaskStore
from enhance.web.controls import ControlHandlers
from enhance.web.history import HistoryHandlers
from enhance.web.params import settings_from
from enhance.web.run import ResultHandlers, RunHandlers
from enhance.web.storage import list_of

from ..site import busy_device
from .test_handlers import REQUEST, VALUES, page, run, services, session, visitor

__all__ = ["page", "services", "visitor"]

KEY = "0a" * 16


@pytest.fixture
def history(page, services) -> HistoryHandlers:
    return HistoryHandlers(page, services)


@pytest.fixture
def finished(page, services, visitor):
    """The entry of a result that the visitor has made."""
    visitor.listed = list_of(REQUEST, KEY)
    run(page, services)
    (entry,) = listed(services.enhancer.tasks, visitor.listed)
    return entry


@pytest.fixture
def waiting(page, services, visitor):
    """The entry of a run of the visitor that waits for somebody else's."""
    visitor.listed = list_of(REQUEST, KEY)
    with busy_device():
        RunHandlers(page, services).ask(REQUEST, *VALUES)
        (entry,) = listed(services.enhancer.tasks, visitor.listed)
        yield entry


def listed(tasks: TaskStore, whose: str) -> list[Entry]:
    return [entry for run in tasks.runs(whose) for entry in run]


def press(handler, entry, act: str, request: gr.Request = REQUEST, key: object = KEY) -> Any:
    return handler(cast(gr.EventData, SimpleNamespace(entry=entry.id, act=act)), request, "", key, "")


def files_of(services) -> set[str]:
    folder = services.enhancer.tasks.folder
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.parent != folder}


def test_a_result_is_listed_where_the_browser_opens_again(page, services, finished):
    opened = ControlHandlers(page, services).open(session("tomorrow"), "another tab", KEY)

    assert opened[page.result.past].visible
    assert "photo.png" in opened[page.result.listed]
    assert [f'data-act="{act}"' in opened[page.result.listed] for act in ("download", "report", "open", "go_on")] == [
        *(True, True, True, False)
    ]


@pytest.mark.parametrize("key", ["0b" * 16, "", list_of(REQUEST, KEY), None, ["0a"]])
def test_nobody_sees_or_touches_anothers(page, services, history, finished, key):
    other = session("eve")

    opened = ControlHandlers(page, services).open(other, "the tab", key)

    assert not opened[page.result.past].visible
    assert opened[page.result.listed] == ""
    for handler, act in ((history.open, "open"), (history.file, "download"), (history.remove, "remove")):
        with pytest.raises(gr.Error, match="not on your list"):
            press(handler, finished, act, other, key)
    assert listed(services.enhancer.tasks, finished.whose) == [finished]


def test_a_user_finds_the_list_in_any_browser_and_another_user_does_not(page, services, visitor):
    visitor.listed = list_of(session("ada", user="ada"), KEY)
    run(page, services)
    open_page = ControlHandlers(page, services).open

    assert "photo.png" in open_page(session("b", user="ada"), "", "0b" * 16)[page.result.listed]
    for other in (session("c", user="eve"), session("d")):
        assert open_page(other, "", KEY)[page.result.listed] == ""


def test_open_puts_a_result_on_the_stage_with_its_settings(page, services, history, finished):
    tomorrow = session("tomorrow")

    shown = press(history.open, finished, "open", tomorrow)

    assert {path is None for path in shown[page.result.slider]} == {False}
    assert shown[page.controls.controls["preset"]] == "anime-fast"
    assert "realesr-animevideov3" in shown[page.result.facts]
    assert shown[page.result.download].visible
    assert page.result.closely in ResultHandlers(page, services).place(tomorrow)


def test_the_file_and_the_report_are_named_after_the_picture(page, history, finished):
    names = [
        Path(press(history.file, finished, act, session("b"))[page.result.report_file].value["path"]).name
        for act in ("download", "report")
    ]
    assert names == ["photo-4x.png", "photo-4x-report.pdf"]


def test_remove_leaves_nothing_on_the_stage_or_the_disk(page, services, history, visitor, finished):
    shown = press(history.remove, finished, "remove")

    assert shown[page.result.listed] == ""
    assert shown[page.result.slider] is None
    assert not shown[page.result.download].visible
    assert visitor.finished is None
    assert files_of(services) == set()


def test_a_run_that_its_person_cancelled_is_not_listed(page, services, visitor, waiting):
    handlers = RunHandlers(page, services)
    handlers.cancel(REQUEST)

    *_, told = handlers.follow(REQUEST)

    assert "Cancelled" in told[page.run.progress]
    assert not told[page.result.past].visible


def test_a_run_whose_page_stayed_away_says_so_when_it_is_back(page, services, visitor, waiting, monkeypatch):
    services.visitors.leave(REQUEST)
    monkeypatch.setattr("enhance.web.session.GRACE_SECONDS", -1)
    services.visitors.sweep()
    assert visitor.run.wait(30)

    *_, told = RunHandlers(page, services).follow(REQUEST)

    assert "this page was away" in told[page.run.progress]
    assert 'data-state="away"' in told[page.result.listed]


def test_a_run_that_the_servers_end_cut_off_goes_on(page, services, history, visitor, waiting):
    visitor.run.close()
    assert visitor.run.wait(30)
    tomorrow = session("tomorrow")
    opened = ControlHandlers(page, services).open(tomorrow, "another tab", KEY)
    assert 'data-state="cut"' in opened[page.result.listed]
    assert 'data-act="go_on"' in opened[page.result.listed]

    shown = press(history.go_on, waiting, "go_on", tomorrow)

    assert "photo" in shown[page.upload.photo]
    again = services.visitors.of(tomorrow)
    assert again.upload.sha256 == waiting.sha256
    assert again.controls == Settings(**waiting.settings) == settings_from(VALUES)
    assert listed(services.enhancer.tasks, waiting.whose) == []


def test_nothing_is_opened_over_a_run_that_goes_on(page, services, history, visitor, finished):
    visitor.finished = None
    with busy_device():
        RunHandlers(page, services).ask(REQUEST, *VALUES)

        with pytest.raises(gr.Error, match="run is going on"):
            press(history.open, finished, "open")

        assert visitor.busy
        visitor.stop()


def test_what_is_still_running_cannot_be_removed(services, history, visitor, waiting):
    with pytest.raises(gr.Error, match="not on your list"):
        press(history.remove, waiting, "remove")
    assert visitor.busy
    visitor.stop()


def test_a_tab_of_an_earlier_server_is_told_so(page, services):
    opened = ControlHandlers(page, services).open(REQUEST, "the tab", KEY, "an earlier server")
    assert "server was restarted" in opened[page.run.progress]
