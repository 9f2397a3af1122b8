"""The second tab: many pictures with the settings of the first."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gradio as gr

from ..batch import Batch, Item, title
from ..errors import EnhanceError, StorageError
from ..i18n import format_duration, format_seconds, name_of, translate
from ..output.formats import ENDINGS, FORMATS, Encoding
from ..output.names import UniqueNames
from ..output.thumbnails import list_data_url
from ..scheduler import SCHEDULER, Ticket
from ..settings import Settings
from ..store import Entry
from . import templates
from .history import begin_file, end_of, shorten, show_history
from .layout import Page
from .params import encoding_from, language_of, on_page, paper_from, settings_from
from .run import BatchWork
from .session import Visitor
from .storage import BatchUploads
from .templates import escape, file_address, size
from .views import Services, Updates

BATCHES: dict[str, Any] = {"concurrency_id": "batches", "concurrency_limit": None}
"""A batch lets other runs in between two of its files, so that several may be on their way: the line counts them."""

_LOOK_SECONDS = 0.3
_SHARE = 10
"""Drawing all files takes at most one part in so many of the time of a batch."""


class PageBatch(BatchWork):
    """A batch of a page, whether or not that is open: each result is listed, and can be had, as soon as it is there."""

    def __init__(
        self,
        services: Services,
        request: gr.Request,
        visitor: Visitor,
        settings: Settings,
        ticket: Ticket,
        encoding: Encoding,
    ):
        self._request, self._visitor, self._many = request, visitor, visitor.many
        self._tasks, self._entries = services.enhancer.tasks, dict[str, Entry]()
        self._titles = UniqueNames()
        for item in self._many.items:
            if item.state == "done":
                self._titles.add(title(item))
        language = language_of(request)
        super().__init__(services, visitor.many.items, settings, language, ticket, encoding)

    def enter(self, items: Iterable[Item], first: int) -> None:
        """Put files that wait on the visitor's list; the place of the first is told."""
        for number, item in enumerate(items, first):
            if item.state == "waiting" and not self.stopped_by:
                small = self._many.pictures.get((item.key, False))
                settings = item.settings or self.running.settings
                entry = begin_file(self._tasks, self._visitor, item, settings, number, small)
                if entry is not None:
                    self._entries[item.key] = entry
        shorten(self._tasks, self._visitor)

    def leave(self, key: str) -> None:
        """Take a file that is not in the batch, or not any more, from the list."""
        if key not in self.batch.files and (entry := self._entries.pop(key, None)):
            self._tasks.remove([entry])

    @contextmanager
    def _listed(self) -> Iterator[None]:
        self.enter(self.batch.items, 0)
        try:
            yield
        finally:
            for item in self.batch.items:  # none, unless it broke off
                self._end(item)
            for key in list(self._entries):
                self.leave(key)

    def _tell_of(self, item: Item) -> None:
        super()._tell_of(item)
        if item.info and item.result:
            self._services.owners.remember(self._request, item.info)
            with suppress(StorageError):
                self._many.results[item.key] = self._services.outbox.link(item.result, self._titles.add(title(item)))
        self._end(item)

    def _end(self, item: Item) -> None:
        entry = self._entries.pop(item.key, None)
        if entry is None:
            return
        if item.info:
            if (item, False) in self._many.lacking([item]):
                self._many.depict(item, False, self._services.outbox, self._services.limits)
            small = entry.thumbnail or list_data_url(self._many.pictures.get((item.key, False)))
            self._tasks.end(entry, "done", task_id=item.info["task_id"], thumbnail=small)
        else:
            self._tasks.end(entry, end_of(self) if item.state != "failed" else "failed")


class BatchHandlers:
    """Handlers of the second tab."""

    def __init__(self, page: Page, services: Services):
        self._page, self._card, self._services = page, page.batch, services

    def settings(self, request: gr.Request, *values: object) -> Updates:
        """The settings of the first tab in words, where they are used."""
        visitor, language, values = self._services.asker_with(request, values)
        try:
            visitor.encoding = encoding = encoding_from(values)
            paper = paper_from(values)
            size = f"{translate(language, 'size_paper')} {name_of(language, 'paper', paper)}" if paper else None
            words = [settings_from(values).describe(language, size), encoding.form.name]
        except EnhanceError as error:
            return {self._card.settings: templates.problem(on_page(language, error))}
        if not encoding.lossless:
            words.append(f"{translate(language, 'quality')} {encoding.quality}")
        said = translate(language, "batch_settings", settings=" · ".join(words))
        return {
            self._card.settings: templates.note(said),
            self._card.why: _why(visitor, language),
        }

    def ask(self, request: gr.Request, *values: object) -> Updates:
        """Begin a batch; what an earlier one did with the same settings is not done again."""
        visitor, language, values = self._services.asker_with(request, values)
        with visitor.lock:
            try:
                visitor.encoding = encoding_from(values)
                self.begin(request, visitor, settings_from(values), paper_from(values))
            except Exception as error:
                why = self._services.problem(language, error, "A batch was refused")
                return self.show(visitor, language) | {self._card.progress: why}
        return self.show(visitor, language) | {self._card.problem: ""}

    def begin(self, request: gr.Request, visitor: Visitor, settings: Settings, paper: str | None = None) -> None:
        """Begin a batch of the visitor's files, unless one goes on. Raises EnhanceError where there is no place."""
        if visitor.batch_busy:
            return
        visitor.settle()
        if visitor.many.items:
            with self._services.enter(visitor.caller, "batch") as ticket:
                visitor.many.begin(settings, visitor.encoding, paper)
                work = PageBatch(self._services, request, visitor, settings, ticket, visitor.encoding)
            visitor.batch, visitor.many.running = work, work.running

    def again(self, request: gr.Request) -> Updates:
        """The tab after something else changed its files."""
        return self.show(*self._services.asker(request))

    def follow(self, request: gr.Request) -> Iterator[Updates]:
        """The batch of this page, step by step to its end; it goes on for a while when nobody follows it."""
        visitor, language = self._services.asker(request)
        yield self.show(visitor, language)
        work, shown, face = work_of(visitor), None, None
        if work is None:
            return
        work.language = language
        due = 0.0
        for _ in work.looks(_LOOK_SECONDS):
            if visitor.batch is not work:
                return
            if time.monotonic() < due:
                continue
            for item, of_result in visitor.many.lacking(visitor.files.items):
                if of_result:
                    visitor.many.depict(item, of_result, self._services.outbox, self._services.limits)
            started = time.monotonic()
            now = [(item.key, item.state) for item in work.batch.items], tuple(visitor.many.pictures.values())
            if (work.batch is shown and now == face) or work.stop.is_set():
                continue
            updates = {self._card.progress: self._said(work, language)}
            if now != face:
                updates |= self.cards(visitor, language, always=True)
            if face is None or now[0] != face[0]:
                updates |= self._history(visitor, language)
            due = started + _SHARE * (time.monotonic() - started)
            yield updates
            shown, face = work.batch, now
        yield self.show(visitor, language) | self._history(visitor, language)

    def _history(self, visitor: Visitor, language: str) -> Updates:
        return show_history(self._page, self._services.enhancer.tasks, visitor, language)

    def cancel(self, request: gr.Request) -> Updates:
        """Stop after this step; what is done stays."""
        visitor, language = self._services.asker(request)
        if visitor.batch is not None:
            visitor.batch.stop_for("person")
        return self.show(visitor, language)

    def cards(self, visitor: Visitor, language: str, always: bool = False) -> Updates:
        """The files; while a batch goes on only `follow` shows them, or what is to be seen `always`."""
        if visitor.batch_busy and not always:
            return {self._card.cards: gr.skip()}
        fixed = visitor.batch is not None and not visitor.batch_busy
        return {self._card.cards: cards_of(language, visitor.files, visitor.many, fixed)}

    def show(self, visitor: Visitor, language: str) -> Updates:
        """The tab as it stands, but for the settings and for what was refused."""
        work, busy, some = work_of(visitor), visitor.batch_busy, bool(visitor.files.items)
        archive = work.archive if work is not None else None
        return {
            **self.cards(visitor, language, always=True),
            self._card.download: gr.DownloadButton(value=str(archive) if archive else None, visible=bool(archive)),
            self._card.clear: gr.Button(visible=some and not busy),
            self._card.progress: "" if work is None else self._said(work, language),
            self._card.enhance: gr.Button(
                visible=not busy, interactive=some, variant="secondary" if archive else "primary"
            ),
            self._card.cancel: gr.Button(visible=busy, interactive=work is None or not work.stop.is_set()),
            self._card.why: _why(visitor, language),
        }

    def _said(self, work: PageBatch, language: str) -> str:
        """How far a batch is, or how it ended."""
        batch = work.batch
        if not work.over:
            return self._far(work, language)
        try:
            packed = work.result()
        except Exception as error:
            return self._services.problem(language, error, "A batch failed")
        said = translate(language, "batch_done", **{one: batch.count(one) for one in ("done", "failed", "cancelled")})
        loose = packed.error and translate(language, "batch_loose", reason=packed.error)
        return templates.note(said) + templates.problem(loose or "")

    def _far(self, work: PageBatch, language: str) -> str:
        batch = work.batch
        if work.stop.is_set():
            return templates.progress(translate(language, "cancelling"), None)
        finished = sum(batch.count(state) for state in ("done", "failed"))
        words = [translate(language, "batch_progress", done=finished, total=len(batch.items))]
        if batch.ahead:
            time_ = format_duration(language, SCHEDULER.seconds(batch.ahead))
            words.append(translate(language, "batch_waiting", place=batch.ahead + 1, time=time_))
        elif batch.seconds_left is not None:
            words.append(translate(language, "left", time=format_duration(language, batch.seconds_left)))
        return templates.progress(" · ".join(words), batch.share, state_of_running(language, batch))


def _why(visitor: Visitor, language: str) -> str:
    """What a ZIP will hold, or what is missing for one."""
    if not visitor.files.items:
        return templates.note(translate(language, "why_no_files"))
    return templates.note(translate(language, "why_batch", format=visitor.encoding.form.name))


def cards_of(language: str, batch: Batch, many: BatchUploads, fixed: bool = False) -> str:
    """The files of a batch: what each looks like, how far it is, and what came of it or why nothing did.

    Those that have not begun can be removed, and while there is no batch all of them, unless they are `fixed`.
    """
    cards = "".join(_card(language, batch, item, many, fixed) for item in batch.items)
    return f'<ul class="files">{cards}</ul>' if cards else ""


def _card(language: str, batch: Batch, item: Item, many: BatchUploads, fixed: bool) -> str:
    picture = many.pictures.get((item.key, True)) or many.pictures.get((item.key, False))
    image = f'<img alt="" src="{file_address(picture)}" loading="lazy">' if picture else ""
    name, path = escape(item.name), Path(item.name)
    title = f'<p class="name" title="{name}"><span>{escape(path.stem)}</span><span>{escape(path.suffix)}</span></p>'
    state = state_of_running(language, batch) if item.state == "running" else translate(language, f"state_{item.state}")
    figures = ""
    if item.info:
        output, seconds = item.info["output"], item.info["seconds"]["total"]
        parts = (size(language, output["width"], output["height"]), format_seconds(language, seconds))
        figures = "".join(f"<span>{escape(part)}</span>" for part in parts)
    state = f'<p class="known"><span class="state {item.state}">{escape(state)}</span>{figures}</p>'
    why = on_page(language, item.error, many.paper if item.settings else "") if item.error else ""
    reason = f'<p class="reason">{escape(why)}</p>' if item.error else ""
    output = item.info["output"] if item.info else {}
    for note in output.get("notes", ()):
        form = FORMATS[output.get("format", "png")].name
        reason += templates.note(translate(language, f"note_{note}", format=form))
    does = _taking(language, item, many.results.get(item.key)) + ("" if fixed else _removing(language, item))
    return (
        f'<li class="file" data-state="{item.state}"><span class="small">{image}</span>'
        f'<div class="said">{title}{state}{reason}</div><div class="does">{does}</div></li>'
    )


def state_of_running(language: str, batch: Batch) -> str:
    """Where the file stands whose turn it is: its place in the line, or its share."""
    if batch.ahead:
        return translate(language, "file_place", place=batch.ahead + 1)
    percent = int(100 * batch.share_of_file)
    return translate(language, "share_done", percent=percent) if percent else translate(language, "state_running")


def _taking(language: str, item: Item, file: Path | None) -> str:
    if file is None or item.state != "done":
        return ""
    words, form = f"{translate(language, 'act_download')}: {file.name}", FORMATS[ENDINGS[file.suffix]].name
    link = f'href="{file_address(file)}" download="{escape(file.name)}" aria-label="{escape(words)}"'
    return f"<a {link}>{form}</a>"


def _removing(language: str, item: Item) -> str:
    if item.state in ("running", "done"):
        return ""
    words = escape(translate(language, "remove_file", name=item.name))
    return f'<button type="button" class="remove" data-file="{item.key}" aria-label="{words}">×</button>'


def work_of(visitor: Visitor) -> PageBatch | None:
    return visitor.batch if isinstance(visitor.batch, PageBatch) else None
