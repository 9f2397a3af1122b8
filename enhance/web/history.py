"""What a visitor made here, kept beside the tasks: found again after the page or the server was gone, and gone on with.

Each run is a small file of its own in the store's `lists`, so that two servers never write the same one. Its name
begins with whose it is: a user, or a browser that has a key of 128 bits of which only the SHA-256 is ever stored.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from ..batch import Item, plan, titles
from ..errors import EnhanceError, PictureError, StorageError
from ..files import file_sha256, this_process
from ..images import Facts, inspect
from ..info import Result, settings_in, timestamp
from ..output.live_view import WholePicture
from ..output.png_reader import PngReader
from ..output.resample import paper_of
from ..output.thumbnails import list_data_url, save_data_url
from ..settings import Settings
from ..store import Entry, TaskStore, count_as_used, download_name, report_name
from . import templates
from .jobs import Job
from .layout import Page
from .preview import keep_for_page
from .session import PageRun, Upload, Visitor
from .storage import BatchUploads, list_of, packed
from .views import Services, Updates, emptied, show_all, show_bar, show_view

log = logging.getLogger(__name__)

MOST = 20
MOST_FILES = 400
"""How many results a list has, a batch being one, and how many files in all; beyond, the oldest leave it."""


def begin(tasks: TaskStore, visitor: Visitor, upload: Upload, settings: Settings) -> Entry | None:
    """Put a run that begins on the visitor's list; None where they have none, or it cannot be written."""
    own = {"id": secrets.token_hex(16), "thumbnail": list_data_url(upload.thumbnail)}
    entry = _begin(tasks, visitor, upload.facts, upload.sha256, settings, **own)
    shorten(tasks, visitor)
    return entry


def begin_file(
    tasks: TaskStore, visitor: Visitor, item: Item, settings: Settings, number: int, small: Path | None
) -> Entry | None:
    """The same for a file of the second tab, which is kept from now on: it can go on when the server ends.

    The caller shortens the list, once for all files.
    """
    entry = None
    with suppress(EnhanceError, OSError):  # the run itself says what is wrong
        facts, sha256 = inspect(item.source), file_sha256(item.source)
        own = {"id": item.key, "thumbnail": list_data_url(small), "batch": visitor.many.id, "number": number}
        entry = _begin(tasks, visitor, facts, sha256, settings, **own)
        if entry is not None:
            tasks.keep_upload(item.source, entry)
    return entry


def _begin(
    tasks: TaskStore, visitor: Visitor, facts: Facts, sha256: str, settings: Settings, **more: Any
) -> Entry | None:
    if not visitor.listed:
        return None
    about: dict[str, Any] = {"name": facts.name, "width": facts.width, "height": facts.height, "bytes": facts.bytes}
    about |= {"sha256": sha256, "settings": settings.as_dict(), "process": this_process(), **more}
    entry = Entry(visitor.listed, state="running", began=timestamp(), **about)
    try:
        tasks.put_down(entry)
    except StorageError as error:  # the run itself says what is wrong with the disk
        log.warning("A run is not on its list: %s", error.key)
        return None
    return entry


def shorten(tasks: TaskStore, visitor: Visitor) -> None:
    """Remove the oldest entries of a list that is too long."""
    files = 0
    for number, run in enumerate(tasks.runs(visitor.listed)):
        files += len(run)
        if number >= MOST or (number and files > MOST_FILES):
            for old in run:
                old.path(tasks).unlink(missing_ok=True)


def end_of(work: Job[Any]) -> str:
    """The state of what has not come to its own end; what its person stopped has none."""
    return {"": "cut", "absence": "away", "person": ""}[work.stopped_by] if work.stop.is_set() else "failed"


@contextmanager
def recorded(tasks: TaskStore, entry: Entry | None, run: PageRun) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Around a run that is on a list: it is told what came of it."""
    try:
        yield lambda info: None if entry is None else tasks.end(entry, "done", task_id=info["task_id"])
    except BaseException as error:
        if entry is not None:
            tasks.end(entry, end_of(run) if isinstance(error, EnhanceError) else "failed")
        raise


def _line(tasks: TaskStore, run: Sequence[Entry], language: str, unfolded: str) -> str:
    """A run, or a batch, whose files are shown where it is `unfolded`."""
    standings = [entry.standing(tasks) for entry in run]
    if len(run) == 1:
        return _item(tasks, run[0], standings[0], language)
    kept = {entry.id for entry in run if entry.input(tasks).exists()}
    rest = [entry for entry, standing in zip(run, standings, strict=True) if standing in ("cut", "away", "failed")]
    going = "running" in standings
    acts = ["files"]
    if not going:
        acts += ["zip"] if "done" in standings else []
        acts += [*(["rest"] if any(entry.id in kept for entry in rest) else []), "remove"]
    inside = ""
    if unfolded == run[0].batch:
        told = [(entry, one) for entry, one in zip(run, standings, strict=True) if one != "running"]
        inside = "".join(_item(tasks, entry, one, language, of_batch=True, settled=not going) for entry, one in told)
    names = {"rest": [one.name for one in rest], "lost": [one.name for one in rest if one.id not in kept]}
    return templates.history_batch(language, run, standings, acts, {} if going else names, inside)


def _item(
    tasks: TaskStore, entry: Entry, standing: str, language: str, *, of_batch: bool = False, settled: bool = True
) -> str:
    kept, acts = entry.input(tasks).exists(), ["remove"] if settled and standing != "running" else []
    if standing == "done":
        acts = ["download", *(["report", "open"] if kept else []), *acts]
    elif kept and acts and not of_batch:
        acts = ["go_on", *acts]
    return templates.history_item(language, entry, standing, acts, of_batch)


def show_history(page: Page, tasks: TaskStore, visitor: Visitor, language: str, opened: bool = False) -> Updates:
    """The visitor's list, for whom there is one; on a page that is `opened` it is unfolded where something was cut."""
    runs = tasks.runs(visitor.listed)[:MOST]
    lines = "".join(_line(tasks, run, language, visitor.unfolded) for run in runs)
    look: dict[str, Any] = {"visible": bool(runs)}
    if opened and any(entry.standing(tasks) == "cut" for run in runs for entry in run):
        look["open"] = True
    items = f'<ul class="history">{lines}</ul>' if runs else ""
    return {page.result.past: gr.Accordion(**look), page.result.listed: items}


def asked_for(
    services: Services, event: gr.EventData, request: gr.Request, key: object, *, settled: bool = False
) -> tuple[Visitor, str, list[Entry]]:
    """Who asks, and their run or the files of their batch; `settled`: nothing in that batch runs any more.

    Raises EnhanceError: one that is gone and another's get the same answer.
    """
    (visitor, language), tasks = services.asker(request), services.enhancer.tasks
    visitor.listed, asked = list_of(request, key), getattr(event, "entry", None)
    for run in tasks.runs(visitor.listed) if asked else ():
        found = [entry for entry in run if asked in (entry.id, entry.batch)]
        if found and not (settled and any(entry.standing(tasks) == "running" for entry in run)):
            return visitor, language, found
    raise EnhanceError("entry_gone")


def items_of(tasks: TaskStore, entries: Sequence[Entry]) -> list[Item]:
    """The files of a listed batch once more, done or waiting; one whose settings are not the first's has its own."""
    return [
        _item_of(tasks, entry, None if entry.settings == entries[0].settings else entry.settings) for entry in entries
    ]


def _item_of(tasks: TaskStore, entry: Entry, own: dict[str, Any] | None) -> Item:
    place, source, info = Path(entry.name), entry.input(tasks), tasks.info(entry.task_id or "")
    known: dict[str, Any] = {"size": (entry.height, entry.width), "key": entry.id}
    known["settings"] = own and Settings.from_stored(own)
    if info is not None:
        info["output"]["path"] = str(tasks.result_path(info["task_id"]))  # the folder may lie elsewhere by now
        known |= {"state": "done", "info": info}
    return Item(source, place, **known)


def restored(services: Services, entries: Sequence[Entry]) -> tuple[BatchUploads, list[Entry]]:
    """The files of a listed batch as it stood, and what is not kept to go on with. Raises StorageError."""
    outbox, many, lost = services.outbox, BatchUploads(id=entries[0].batch), list[Entry]()
    for entry, item in zip(entries, items_of(services.enhancer.tasks, entries), strict=True):
        if item.info is None and not item.source.exists():
            lost.append(entry)
            continue
        if entry.thumbnail:
            many.pictures[item.key, False] = save_data_url(entry.thumbnail, outbox.place("small.jpg"))
        source = item.source if item.info else outbox.link(item.source, entry.name)
        many.items += (replace(item, source=source),)
    for item, title in titles(plan(many.items)).items():
        many.results[item.key] = outbox.link(item.result or item.source, title)
    return many, lost


class HistoryHandlers:
    """Handlers of the buttons of a list; each gets what the browser has told of itself, and whose entry it is about."""

    def __init__(self, page: Page, services: Services):
        self._page, self._card, self._services = page, page.result, services
        self._tasks = services.enhancer.tasks

    def open(self, event: gr.EventData, request: gr.Request, _tab: object, key: object, _server: object) -> Updates:
        """A finished result on the stage again, with its picture and its settings."""
        with self._services.told(request):
            visitor, language, (entry, *_) = asked_for(self._services, event, request, key)
            info = self._tasks.finished(entry.task_id or "")
            png = self._tasks.result_path(info["task_id"])
            result = Result(png, info, png)
            upload = self._take(visitor, entry)
            with PngReader(result.path) as reader:
                whole = WholePicture.of_file(self._services.previews.picture(upload.path), reader)
            finished = keep_for_page(visitor, upload, whole, result)
            with visitor.lock:
                visitor.finished = finished if visitor.upload is upload else None
            return self._shown(visitor, language)

    def go_on(self, event: gr.EventData, request: gr.Request, _tab: object, key: object, _server: object) -> Updates:
        """The picture and the settings of a run that was cut off, to be run again; it is then no longer listed."""
        with self._services.told(request):
            visitor, language, (entry, *_) = asked_for(self._services, event, request, key, settled=True)
            self._take(visitor, entry)
            entry.path(self._tasks).unlink(missing_ok=True)
            return self._shown(visitor, language)

    def file(self, event: gr.EventData, request: gr.Request, _tab: object, key: object, _server: object) -> Updates:
        """The PNG, the report, or the ZIP of a batch, for the browser to fetch."""
        with self._services.told(request):
            _, language, (entry, *others) = asked_for(self._services, event, request, key)
            given = self._archive([entry, *others], language) if others else self._file(event, entry, language)
            return {self._card.report_file: gr.DownloadButton(value=str(given)), self._card.report_problem: ""}

    def remove(self, event: gr.EventData, request: gr.Request, _tab: object, key: object, _server: object) -> Updates:
        """The entry and its files are gone; from the stage too where it is shown."""
        with self._services.told(request):
            visitor, language, entries = asked_for(self._services, event, request, key, settled=True)
            visitor.forget_files({entry.id for entry in entries})
            self._tasks.remove(entries)
            shown = show_history(self._page, self._tasks, visitor, language)
            finished = visitor.finished
            if finished is None or finished.info["task_id"] not in {entry.task_id for entry in entries}:
                return shown
            visitor.finished = None
            for path in (finished.download, finished.before, finished.after):
                path.unlink(missing_ok=True)
            shown |= {self._card.slider: None, self._card.closely: None, self._card.chip: ""}
            shown |= {self._card.made: gr.Accordion(visible=False), self._page.run.progress: ""}
            return {**shown, **show_view(self._page, visitor, language), **show_bar(self._page, visitor, language)}

    def unfold(self, event: gr.EventData, request: gr.Request, _tab: object, key: object, _server: object) -> Updates:
        """The files of a batch, shown or put away again."""
        with self._services.told(request):
            visitor, language, (entry, *_) = asked_for(self._services, event, request, key)
            visitor.unfolded = "" if visitor.unfolded == entry.batch else entry.batch
            return show_history(self._page, self._tasks, visitor, language)

    def _file(self, event: gr.EventData, entry: Entry, language: str) -> Path:
        info = self._tasks.finished(entry.task_id or "")
        if getattr(event, "act", "") == "report":
            path, name = self._services.enhancer.report(info["task_id"], language), report_name(info)
        else:
            path = self._tasks.result_path(info["task_id"])
            name = download_name(entry.name, settings_in(info))
        return self._services.outbox.link(path, name)

    def _archive(self, entries: Sequence[Entry], language: str) -> Path:
        with self._tasks.using(*(self._tasks.result_path(entry.task_id or "") for entry in entries)):
            ended = {"failed": "failed", "done": "done"}
            states = [ended.get(entry.standing(self._tasks), "cancelled") for entry in entries]
            items = zip(items_of(self._tasks, entries), states, strict=True)
            batch = plan(item if item.info else replace(item, state=state) for item, state in items)
            made = packed(self._services.outbox, batch, Settings.from_stored(entries[0].settings), language)
        if made.archive is None:
            raise made.error or EnhanceError("result_gone")
        return made.archive

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
        visitor.paper = paper_of(settings, (facts.height, facts.width))
        return self._services.previews.put_on_stage(visitor, path, facts, picture, settings)

    def _shown(self, visitor: Visitor, language: str) -> Updates:
        page = self._page
        return {
            **emptied(page),
            page.controls.controls["preset"]: visitor.controls.preset,
            **show_all(page, visitor, language),
            **show_history(page, self._tasks, visitor, language),
        }
