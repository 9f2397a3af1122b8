"""What a visitor made here, kept beside the tasks: found again after the page or the server was gone, and gone on with.

Each run is a small file of its own in the store's `lists`, so that two servers never write the same one. Its name
begins with whose it is: a user, or a browser that has a key of 128 bits of which only the SHA-256 is ever stored.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from ..errors import EnhanceError, PictureError, StorageError
from ..files import is_at_work, place_whole, this_process
from ..info import Result, settings_in, timestamp
from ..output.png_rows import PngRows
from ..output.rendition import small_size
from ..output.result import whole_of
from ..picture import inspect
from ..settings import Settings
from ..tasks import TaskStore, count_as_used, download_name
from . import fragments
from .layout import Page
from .page_files import report_name
from .state import PageRun, Upload, Visitor
from .views import Services, Updates, keep_for_page, show_all, show_bar, show_view, take_picture

log = logging.getLogger(__name__)

MOST = 20
"""How many results a list has; with one more, the oldest is no longer listed."""
_KEY = _ID = re.compile(r"[0-9a-f]{32}")
_THUMBNAIL = 96


@dataclass(frozen=True)
class Entry:
    """One run as a list has it. `state` is running, done, failed, cut by the server's end, or away: nobody waited.

    `process` is the one that it runs in: what runs in none that is there was cut off. `thumbnail`: a `data:` address.
    """

    whose: str
    id: str
    state: str
    began: str
    name: str
    sha256: str
    width: int
    height: int
    settings: dict[str, Any]
    thumbnail: str
    process: str
    task_id: str | None = None

    def path(self, tasks: TaskStore) -> Path:
        return tasks.lists / f"{self.whose}.{self.id}.json"

    def input(self, tasks: TaskStore) -> Path:
        """Where its input is kept, if it still is."""
        return tasks.upload_path(self.sha256, self.name)

    def standing(self, tasks: TaskStore) -> str:
        """Its state as it is now: also cut, and gone where the result is no longer kept."""
        if self.state == "running":
            return "running" if is_at_work(self.process) else "cut"
        return "gone" if self.state == "done" and tasks.info(self.task_id or "") is None else self.state


def list_of(request: gr.Request, key: object) -> str:
    """The name of the list of a user, else of the browser with this key; empty for what is no key."""
    if request.username:
        whose = f"user {request.username}"
    elif isinstance(key, str) and _KEY.fullmatch(key):
        whose = f"key {key}"
    else:
        return ""
    return hashlib.sha256(whose.encode()).hexdigest()


def begin(tasks: TaskStore, visitor: Visitor, upload: Upload, settings: Settings, pixels: np.ndarray) -> Entry | None:
    """Put a run that begins on the visitor's list; None where they have none, or it cannot be written."""
    if not visitor.listed:
        return None
    facts = upload.facts
    height, width = small_size(pixels.shape[1], pixels.shape[0], _THUMBNAIL)
    thumbnail = fragments.in_page(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
    about = facts.name, upload.sha256, facts.width, facts.height, settings.as_dict(), thumbnail, this_process()
    entry = Entry(visitor.listed, secrets.token_hex(16), "running", timestamp(), *about)
    try:
        tasks.prepare()
        _write(tasks, entry)
    except StorageError as error:  # the run itself says what is wrong with the disk
        log.warning("A run is not on its list: %s", error.key)
        return None
    for old in listed(tasks, visitor.listed)[MOST:]:
        old.path(tasks).unlink(missing_ok=True)
    return entry


@contextmanager
def recorded(tasks: TaskStore, entry: Entry | None, run: PageRun) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Around a run that is on a list: it is told what came of it. One that its person stopped is on no list."""

    def end(state: str, **changed: Any) -> None:
        if entry is not None:
            try:
                _write(tasks, replace(entry, state=state, **changed))
            except StorageError:
                entry.path(tasks).unlink(missing_ok=True)

    try:
        yield lambda info: end("done", task_id=info["task_id"])
    except EnhanceError:
        if run.stopped_by == "absence":
            end("away")
        elif run.stopped_by == "person" and entry is not None:
            entry.path(tasks).unlink(missing_ok=True)
        else:
            end("cut" if run.stop.is_set() else "failed")
        raise
    except BaseException:
        end("failed")
        raise


def listed(tasks: TaskStore, whose: str) -> list[Entry]:
    """What is on a list, the newest first."""
    return sorted(_read(tasks, whose), key=lambda entry: (entry.began, entry.id), reverse=True) if whose else []


def remove(tasks: TaskStore, entry: Entry) -> None:
    """Take a run from its list and from the disk, what it was made of too unless another needs that."""
    entry.path(tasks).unlink(missing_ok=True)
    others = list(_read(tasks))
    unneeded = all(other.sha256 != entry.sha256 for other in others)
    if entry.task_id is not None and all(other.task_id != entry.task_id for other in others):
        tasks.remove(entry.task_id, with_input=unneeded)
    if unneeded:
        tasks.remove_input(entry.sha256, entry.name)


def _item(tasks: TaskStore, entry: Entry, language: str) -> str:
    standing, kept = entry.standing(tasks), entry.input(tasks).exists()
    acts = [] if standing == "running" else ["remove"]
    if standing == "done":
        acts = ["download", *(["report", "open"] if kept else []), *acts]
    elif kept and acts:
        acts = ["go_on", *acts]
    return fragments.history_item(language, asdict(entry), Settings(**entry.settings), standing, acts)


def show_history(page: Page, tasks: TaskStore, visitor: Visitor, language: str) -> Updates:
    """The visitor's list, for whom there is one."""
    entries = "".join(_item(tasks, entry, language) for entry in listed(tasks, visitor.listed)[:MOST])
    items = f'<ul class="history">{entries}</ul>' if entries else ""
    return {page.result.past: gr.Accordion(visible=bool(items)), page.result.listed: items}


class HistoryHandlers:
    """Handlers of the buttons of a list; each gets what the browser has told of itself, and whose entry it is about."""

    def __init__(self, page: Page, services: Services):
        self._page, self._card, self._services = page, page.result, services
        self._tasks = services.enhancer.tasks

    def open(self, event: gr.EventData, request: gr.Request, _tab: object, key: object, _server: object) -> Updates:
        """A finished result on the stage again, with its picture and its settings."""
        with self._services.told(request):
            visitor, language, entry = self._asked(event, request, key)
            info = self._tasks.finished(entry.task_id or "")
            png = self._tasks.result_path(info["task_id"])
            result = Result(png, info, png)
            upload = self._take(visitor, entry)
            with PngRows(result.path) as rows:
                whole = whole_of(self._services.previews.picture(upload.path), rows)
            finished = keep_for_page(visitor, upload, whole, result)
            with visitor.lock:
                visitor.finished = finished if visitor.upload is upload else None
            return self._shown(visitor, language)
        raise AssertionError("told() always raises what it catches")

    def go_on(self, event: gr.EventData, request: gr.Request, _tab: object, key: object, _server: object) -> Updates:
        """The picture and the settings of a run that was cut off, to be run again; it is then no longer listed."""
        with self._services.told(request):
            visitor, language, entry = self._asked(event, request, key)
            self._take(visitor, entry)
            entry.path(self._tasks).unlink(missing_ok=True)
            return self._shown(visitor, language)
        raise AssertionError("told() always raises what it catches")

    def file(self, event: gr.EventData, request: gr.Request, _tab: object, key: object, _server: object) -> Updates:
        """The PNG, or the report, for the browser to fetch."""
        with self._services.told(request):
            _, language, entry = self._asked(event, request, key)
            info = self._tasks.finished(entry.task_id or "")
            if getattr(event, "act", "") == "report":
                path, name = self._services.enhancer.report(info["task_id"], language), report_name(info)
            else:
                path = self._tasks.result_path(info["task_id"])
                name = download_name(entry.name, settings_in(info))
            given = str(self._services.outbox.link(path, name))
            return {self._card.report_file: gr.DownloadButton(value=given), self._card.report_problem: ""}
        raise AssertionError("told() always raises what it catches")

    def remove(self, event: gr.EventData, request: gr.Request, _tab: object, key: object, _server: object) -> Updates:
        """The entry and its files are gone; from the stage too where it is shown."""
        with self._services.told(request):
            visitor, language, entry = self._asked(event, request, key)
            remove(self._tasks, entry)
            shown = show_history(self._page, self._tasks, visitor, language)
            finished = visitor.finished
            if finished is None or finished.info["task_id"] != entry.task_id:
                return shown
            visitor.finished = None
            for path in (finished.download, finished.before, finished.after):
                path.unlink(missing_ok=True)
            emptied = {self._card.slider: None, self._card.closely: None, self._card.chip: ""}
            shown |= emptied | {self._card.made: gr.Accordion(visible=False), self._page.run.progress: ""}
            return {**shown, **show_view(self._page, visitor, language), **show_bar(self._page, visitor, language)}
        raise AssertionError("told() always raises what it catches")

    def _asked(self, event: gr.EventData, request: gr.Request, key: object) -> tuple[Visitor, str, Entry]:
        """Who asks, and their entry. Raises EnhanceError: one that is gone and another's get the same answer."""
        visitor, language = self._services.asker(request)
        visitor.listed, asked = list_of(request, key), getattr(event, "entry", None)
        for entry in listed(self._tasks, visitor.listed):
            if entry.id == asked and entry.standing(self._tasks) != "running":
                return visitor, language, entry
        raise EnhanceError("entry_gone")

    def _take(self, visitor: Visitor, entry: Entry) -> Upload:
        """The entry's picture and settings as the visitor's. Raises EnhanceError, and then nothing has changed."""
        if visitor.busy:
            raise EnhanceError("why_running")
        path, limits, settings = entry.input(self._tasks), self._services.limits, Settings(**entry.settings)
        if not path.exists():
            raise EnhanceError("input_gone")
        count_as_used(path)
        facts = inspect(path, max_pixels=limits.pixels, max_bytes=limits.bytes)
        picture = self._services.previews.picture(path)
        if picture.sha256 != entry.sha256:
            raise PictureError("input_changed", name=entry.name)
        return take_picture(self._services, visitor, path, facts, picture, settings)

    def _shown(self, visitor: Visitor, language: str) -> Updates:
        page = self._page
        emptied = (page.preview.slider, page.result.slider, page.result.closely)
        said = (page.upload.problem, page.preview.problem, page.result.problem, page.run.progress, page.result.chip)
        return {
            **dict.fromkeys(emptied),
            **dict.fromkeys(said, ""),
            page.result.made: gr.Accordion(visible=False),
            page.controls.controls["preset"]: visitor.controls.preset,
            **show_all(page, visitor, language),
            **show_history(page, self._tasks, visitor, language),
        }


def _write(tasks: TaskStore, entry: Entry) -> None:
    text = json.dumps(asdict(entry), ensure_ascii=False)
    place_whole(entry.path(tasks), lambda temporary: temporary.write_text(text, "utf-8"))


def _read(tasks: TaskStore, whose: str = "") -> Iterator[Entry]:
    """The entries of one list, or of all; a broken file counts as none."""
    for path in tasks.listed():
        if path.name.startswith(whose):
            with suppress(OSError, ValueError, TypeError, EnhanceError):
                entry = Entry(**json.loads(path.read_text("utf-8")))
                Settings(**entry.settings)
                if entry.path(tasks) == path:
                    yield entry
