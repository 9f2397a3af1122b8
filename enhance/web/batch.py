"""The second tab: many pictures with the settings of the first."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from ..batch import Batch, Item, Running, pack, plan
from ..errors import EnhanceError, StorageError
from ..settings import Settings
from ..texts import say, say_time, straight
from . import fragments
from .controls import settings_from
from .layout import Page
from .line import Attention, Background
from .metrics import Metrics
from .page_files import asker_of, check_together
from .state import Visitor
from .views import Services, Updates

BATCHES: dict[str, Any] = {"concurrency_id": "batches", "concurrency_limit": None}
"""A batch lets other runs in between two of its files, so that several may be on their way: the line counts them."""
ZIP_NAME = "enhanced.zip"

_LOOK_SECONDS = 0.3


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
    """A batch that runs, and is packed at its end."""

    def __init__(
        self, services: Services, sources: Sequence[Path], settings: Settings, language: str, caller: Hashable
    ):
        self.batch = plan(Item(path, Path(path.name)) for path in sources)
        self._begun: float | None = None

        def look(batch: Batch) -> None:
            for before, item in zip(self.batch.items, batch.items, strict=True):
                if item.state != before.state:
                    self._tell(services.metrics, settings.preset, item)
            self.batch = batch

        def do(stop: threading.Event) -> Packed:
            limits = services.limits
            running = Running(
                services.enhancer,
                settings,
                self.batch,
                stop=stop,
                changed=look,
                max_pixels=limits.pixels,
                max_bytes=limits.bytes,
                caller=caller,
            )
            with running.held:
                return packed(services, running.run(), settings, language)

        super().__init__(do, "enhance-batch")

    def _tell(self, metrics: Metrics, preset: str, item: Item) -> None:
        """Tell of a file that has ended; one that never began took no time."""
        if item.state == "running":
            self._begun = time.monotonic()
            return
        seconds, self._begun = time.monotonic() - (self._begun or time.monotonic()), None
        metrics.ended("file", preset, seconds, item.state, item.info)
        if item.error is not None:
            metrics.refused(item.error)


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
    for item in batch.items:
        if item.result is not None:
            with suppress(StorageError):
                loose[item] = services.outbox.link(item.result, f"{straight(Path(item.name).stem)}.png")
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

    def files(self, request: gr.Request, paths: list[str] | None) -> Updates:
        """The files as they were chosen: a table of what waits."""
        visitor, language = self._services.asker(request)
        if visitor.batch is not None:
            return {self._run.why: fragments.note(say(language, "why_running"))}
        batch = plan(Item(Path(path), Path(Path(path).name)) for path in paths or [])
        return {
            self._card.table: fragments.batch_table(language, batch) if batch.items else "",
            self._card.download: gr.DownloadButton(value=None, interactive=False),
            self._run.progress: "",
            **self._buttons(language, ready=bool(batch.items), running=False),
        }

    def run(self, request: gr.Request, paths: list[str] | None, *values: object) -> Iterator[Updates]:
        """Do the files in turn."""
        visitor, language = self._services.asker(request)
        try:
            check_together(map(Path, paths or []), self._services.limits)
            turn = self._services.line.enter(asker_of(request), "batch")
        except EnhanceError as error:
            why = self._services.reason(language, error, "A batch was refused")
            yield {self._run.progress: fragments.problem(why)}
            return
        with turn:
            work = self._start(visitor, paths, values, language)
            if work is None:
                yield {self._run.why: fragments.note(say(language, "why_no_files"))}
                return
            try:
                with closing(work):
                    yield self._buttons(language, ready=True, running=True)
                    yield from self._watch(work, Attention(request), language)
                    yield self._end(request, work, language)
            finally:
                with visitor.lock:
                    visitor.batch = None

    def cancel(self, request: gr.Request) -> Updates:
        """Stop after this step; what is done stays."""
        visitor, language = self._services.asker(request)
        with visitor.lock:
            if visitor.batch is not None:
                visitor.batch.stop.set()
        return {
            self._run.progress: fragments.progress(say(language, "cancelling"), None),
            self._run.cancel: gr.Button(interactive=False),
        }

    def _start(
        self, visitor: Visitor, paths: list[str] | None, values: tuple[object, ...], language: str
    ) -> BatchWork | None:
        with visitor.lock:
            if not paths or visitor.batch is not None:
                return None
            sources = [Path(path) for path in paths]
            visitor.batch = BatchWork(self._services, sources, settings_from(values), language, visitor.folder)
            return visitor.batch

    def _watch(self, work: BatchWork, attention: Attention, language: str) -> Iterator[Updates]:
        shown: Batch | None = None
        for _ in work.looks(_LOOK_SECONDS):
            batch = work.batch
            if batch.ahead and attention.lost:
                work.stop.set()
            if batch is shown or work.stop.is_set():
                continue
            updates: Updates = {self._run.progress: _progress(language, batch)}
            if shown is None or [item.state for item in shown.items] != [item.state for item in batch.items]:
                updates[self._card.table] = fragments.batch_table(language, batch)
            shown = batch
            yield updates

    def _end(self, request: gr.Request, work: BatchWork, language: str) -> Updates:
        shown: Updates = self._buttons(language, ready=True, running=False)
        try:
            packed = work.result()
        except Exception as error:
            why = self._services.reason(language, error, "A batch failed")
            return shown | {self._run.progress: fragments.problem(why)}
        batch = packed.batch
        for item in batch.items:
            if item.info:
                self._services.owners.remember(request, item.info)
        counts = {state: batch.count(state) for state in ("done", "failed", "cancelled")}
        said = fragments.note(say(language, "batch_done", **counts))
        if packed.error is not None:
            said += fragments.problem(say(language, "batch_loose", reason=packed.error))
        return shown | {
            self._run.progress: said,
            self._card.table: fragments.batch_table(language, batch, packed.loose),
            self._card.download: gr.DownloadButton(
                value=str(packed.archive) if packed.archive else None, interactive=packed.archive is not None
            ),
        }

    def _buttons(self, language: str, *, ready: bool, running: bool) -> Updates:
        why = "why_running" if running else ("why_batch" if ready else "why_no_files")
        return {
            self._run.enhance: gr.Button(interactive=ready and not running),
            self._run.cancel: gr.Button(interactive=running),
            self._run.why: fragments.note(say(language, why)),
        }


def _progress(language: str, batch: Batch) -> str:
    finished = sum(batch.count(state) for state in ("done", "failed"))
    words = [say(language, "batch_progress", done=finished, total=len(batch.items))]
    if batch.ahead:
        words.append(say(language, "waiting_place", ahead=batch.ahead))
    elif batch.seconds_left is not None:
        words.append(say(language, "left", time=say_time(language, batch.seconds_left)))
    return fragments.progress(" · ".join(words), batch.share)
