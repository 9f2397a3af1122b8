"""The second tab: many pictures with the settings of the first."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from ..batch import Batch, Item, Running, pack, plan, titles
from ..errors import EnhanceError, StorageError
from ..output.formats import Encoding
from ..output.rendition import save_small, save_small_result
from ..settings import Settings
from ..texts import say, say_time
from . import fragments
from .controls import settings_from
from .layout import Page
from .line import Background, LinePlace
from .page_files import asker_of
from .state import Visitor
from .views import Services, Updates

BATCHES: dict[str, Any] = {"concurrency_id": "batches", "concurrency_limit": None}
"""A batch lets other runs in between two of its files, so that several may be on their way: the line counts them."""
ZIP_NAME = "enhanced.zip"

_LOOK_SECONDS = 0.3
_SMALL = 160
_MOST_PIXELS, _MOST_PIXELS_OF_RESULT = 50_000_000, 100_000_000
"""A larger file has no small picture: it would take longer than is worth it."""


@dataclass(frozen=True, eq=False)
class Packed:
    """A batch as it ended, and its ZIP; None when nothing in it was finished, or when there was no room for it.

    In that case `loose` has every finished file by itself, and `error` says why.
    """

    batch: Batch
    archive: Path | None
    loose: dict[Item, Path] = field(default_factory=dict)
    error: EnhanceError | None = None


class BatchWork(Background[Packed]):
    """A batch that runs, and is packed at its end in the `language` of that moment. Files may join it until then."""

    def __init__(
        self,
        services: Services,
        items: Iterable[Item],
        settings: Settings,
        language: str,
        caller: Hashable,
        turn: LinePlace | None = None,
        encoding: Encoding | None = None,
    ):
        self.language, self._services, self._preset = language, services, settings.preset
        limits: dict[str, Any] = {"max_pixels": services.limits.pixels, "max_bytes": services.limits.bytes}
        told: dict[str, Any] = {"changed": self._look, "caller": caller, "encoding": encoding or Encoding()}
        self.running = Running(services.enhancer, settings, plan(items), **told, **limits)
        self._told = {item.key: item.state for item in self.batch.items if item.state == "done"}
        self._begun: float | None = None

        def do(stop: threading.Event) -> Packed:
            self.running.stop = stop
            with turn or nullcontext(), self.running.held:
                return packed(services, self.running.run(), settings, self.language)

        super().__init__(do, "enhance-batch")

    @property
    def batch(self) -> Batch:
        """The batch as it stands."""
        return self.running.batch

    @property
    def archive(self) -> Path | None:
        """The ZIP, once there is one."""
        return self._result[0].archive if self._result else None

    def _look(self, batch: Batch) -> None:
        for item in batch.items:
            if item.state == "running" and self._told.get(item.key) != "running":
                self._begun = time.monotonic()
            elif item.state not in ("waiting", "running", self._told.get(item.key)):
                self._tell_of(batch, item)
            self._told[item.key] = item.state

    def _tell_of(self, batch: Batch, item: Item) -> None:
        """Tell of a file that has ended; one that never began took no time."""
        seconds, self._begun = time.monotonic() - (self._begun or time.monotonic()), None
        self._services.metrics.ended("file", self._preset, seconds, item.state, item.info)
        if item.error is not None:
            self._services.metrics.refused(item.error)


class PageBatch(BatchWork):
    """A batch of a page, whether or not the page is open: each result can be had as soon as it is there."""

    def __init__(
        self,
        services: Services,
        request: gr.Request,
        visitor: Visitor,
        settings: Settings,
        language: str,
        turn: LinePlace,
    ):
        self._request, self._results = request, visitor.many.results
        super().__init__(services, visitor.many.items, settings, language, visitor.folder, turn)

    def _tell_of(self, batch: Batch, item: Item) -> None:
        super()._tell_of(batch, item)
        if item.info and item.result:
            self._services.owners.remember(self._request, item.info)
            with suppress(StorageError):
                self._results[item.key] = self._services.outbox.link(item.result, titles(batch)[item])


def packed(services: Services, batch: Batch, settings: Settings, language: str) -> Packed:
    """The finished files, the table and the summary as one ZIP in the outbox; file by file where that cannot be."""
    if not batch.count("done"):
        return Packed(batch, None)
    try:
        return Packed(batch, pack(batch, services.outbox.place(ZIP_NAME), settings, language))
    except StorageError as error:
        return Packed(batch, None, _loose(services, batch), error)


def _loose(services: Services, batch: Batch) -> dict[Item, Path]:
    """Every finished file in the outbox, where it takes no room that it does not have already."""
    loose = {}
    for item, title in titles(batch).items():
        if item.result is not None:
            with suppress(StorageError):
                loose[item] = services.outbox.link(item.result, title)
    return loose


class BatchHandlers:
    """Handlers of the second tab."""

    def __init__(self, page: Page, services: Services):
        self._card, self._run, self._services = page.batch, page.batch.run, services

    def settings(self, request: gr.Request, *values: object) -> Updates:
        """The settings of the first tab in words, where they are used."""
        _, language = self._services.asker(request)
        try:
            words = settings_from(values).in_words(language)
        except EnhanceError as error:
            return {self._card.settings: fragments.problem(error.sentence(language))}
        return {self._card.settings: fragments.note(say(language, "batch_settings", settings=words))}

    def ask(self, request: gr.Request, *values: object) -> Updates:
        """Begin a batch; what an earlier one did with the same settings is not done again."""
        visitor, language = self._services.asker(request)
        with visitor.lock:
            if not visitor.batch_busy:
                settle(visitor)
                try:
                    settings = settings_from(values)
                    turn = self._services.line.enter(asker_of(request), "batch") if visitor.many.items else None
                except EnhanceError as error:
                    why = self._services.reason(language, error, "A batch was refused")
                    return self.show(visitor, language) | {self._run.progress: fragments.problem(why)}
                if turn is not None:
                    visitor.many.begin(settings)
                    visitor.batch = PageBatch(self._services, request, visitor, settings, language, turn)
        return self.show(visitor, language) | {self._card.problem: ""}

    def follow(self, request: gr.Request) -> Iterator[Updates]:
        """The batch of this page, step by step to its end; it goes on for a while when nobody follows it."""
        visitor, language = self._services.asker(request)
        yield self.show(visitor, language)
        work, shown, face = work_of(visitor), None, None
        if work is None:
            return
        work.language = language
        for _ in work.looks(_LOOK_SECONDS):
            if visitor.batch is not work:
                return
            for item, of_result in lacking(visitor):
                if of_result:
                    depict(self._services, visitor, item, of_result)
            now = [(item.key, item.state) for item in work.batch.items], tuple(visitor.many.pictures.values())
            if (work.batch is shown and now == face) or work.stop.is_set():
                continue
            updates = {self._run.progress: self._said(work, language)}
            yield updates if now == face else updates | self.cards(visitor, language, always=True)
            shown, face = work.batch, now
        yield self.show(visitor, language)

    def cancel(self, request: gr.Request) -> Updates:
        """Stop after this step; what is done stays."""
        visitor, language = self._services.asker(request)
        if visitor.batch is not None:
            visitor.batch.stop.set()
        return self.show(visitor, language)

    def cards(self, visitor: Visitor, language: str, always: bool = False) -> Updates:
        """The files; while a batch goes on only `follow` shows them, or what is to be seen `always`."""
        if visitor.batch_busy and not always:
            return {self._card.cards: gr.skip()}
        fixed = visitor.batch is not None and not visitor.batch_busy
        return {self._card.cards: fragments.batch_cards(language, batch_of(visitor), visitor.many, fixed)}

    def show(self, visitor: Visitor, language: str) -> Updates:
        """The tab as it stands, but for the settings and for what was refused."""
        work, busy, some = work_of(visitor), visitor.batch_busy, bool(batch_of(visitor).items)
        archive = work.archive if work is not None else None
        return {
            **self.cards(visitor, language, always=True),
            self._card.download: gr.DownloadButton(value=str(archive) if archive else None, visible=bool(archive)),
            self._card.clear: gr.Button(visible=some and not busy),
            self._run.progress: "" if work is None else self._said(work, language),
            self._run.enhance: gr.Button(
                visible=not busy, interactive=some, variant="secondary" if archive else "primary"
            ),
            self._run.cancel: gr.Button(visible=busy, interactive=work is None or not work.stop.is_set()),
            self._run.why: fragments.note(say(language, "why_batch" if some else "why_no_files")),
        }

    def _said(self, work: PageBatch, language: str) -> str:
        """How far a batch is, or how it ended."""
        batch = work.batch
        if not work.over:
            return self._far(work, language)
        try:
            packed = work.result()
        except Exception as error:
            return fragments.problem(self._services.reason(language, error, "A batch failed"))
        said = say(language, "batch_done", **{one: batch.count(one) for one in ("done", "failed", "cancelled")})
        loose = packed.error and say(language, "batch_loose", reason=packed.error)
        return fragments.note(said) + fragments.problem(loose or "")

    def _far(self, work: PageBatch, language: str) -> str:
        batch = work.batch
        if work.stop.is_set():
            return fragments.progress(say(language, "cancelling"), None)
        finished = sum(batch.count(state) for state in ("done", "failed"))
        words = [say(language, "batch_progress", done=finished, total=len(batch.items))]
        if batch.ahead:
            time_ = say_time(language, self._services.line.seconds(batch.ahead))
            words.append(say(language, "batch_waiting", place=batch.ahead + 1, time=time_))
        elif batch.seconds_left is not None:
            words.append(say(language, "left", time=say_time(language, batch.seconds_left)))
        return fragments.progress(" · ".join(words), batch.share, fragments.state_of_running(language, batch))


def work_of(visitor: Visitor) -> PageBatch | None:
    return visitor.batch if isinstance(visitor.batch, PageBatch) else None


def batch_of(visitor: Visitor) -> Batch:
    """The visitor's batch, or what waits for one."""
    work = work_of(visitor)
    return plan(visitor.many.items) if work is None else work.batch


def settle(visitor: Visitor) -> None:
    """Take what became of the last batch for files that may be done again, and joined by others."""
    if (work := work_of(visitor)) is not None and work.over:
        visitor.many.items, visitor.batch = work.batch.items, None


def lacking(visitor: Visitor) -> list[tuple[Item, bool]]:
    """The files that have no small picture yet, and whether it is the result's that is missing."""
    found = []
    for item in batch_of(visitor).items:
        if item.state != "failed" and 0 < item.pixels <= _MOST_PIXELS:
            found.append((item, False))
        if item.info and item.info["output"]["width"] * item.info["output"]["height"] <= _MOST_PIXELS_OF_RESULT:
            found.append((item, True))
    return [(item, of_result) for item, of_result in found if (item.key, of_result) not in visitor.many.pictures]


def depict(services: Services, visitor: Visitor, item: Item, of_result: bool) -> None:
    """Make a small picture of a file or of its result, once; where that cannot be, there is none."""
    pictures, limits = visitor.many.pictures, services.limits
    with visitor.lock:
        if (item.key, of_result) in pictures:
            return
        pictures[item.key, of_result] = None
    with suppress(EnhanceError, OSError):
        place = services.outbox.place("small")
        if of_result and item.png is not None:
            before = pictures.get((item.key, False))
            pictures[item.key, True] = save_small_result(item.png, place, _SMALL, before)
        else:
            pictures[item.key, False] = save_small(item.source, place, _SMALL, limits.pixels, limits.bytes)
