"""The picture, taken or refused, its facts, the time of a run and the place in it; and the files of the second tab."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr

from ..batch import Item, for_print, measured
from ..errors import EnhanceError, SettingsError
from ..i18n import format_duration, format_names, translate
from ..images import inspect, reduced_size
from ..output.resample import result_size
from ..preview import choose_box
from ..scenes import Hint
from ..scheduler import SCHEDULER
from ..settings import Settings
from ..store import Entry
from . import templates
from .batch import BatchHandlers, work_of
from .controls import faster_offer, seconds_of
from .history import asked_for, restored, show_history
from .layout import Page
from .params import CONTROLS, on_page, paper_from, settings_from, size_in
from .preview import SIZE, fitting
from .session import MOST_PLACES, Upload, Visitor
from .storage import BatchUploads
from .views import Services, Updates, emptied, show_again, show_all, show_bar, show_photo, show_size

PICTURES: dict[str, Any] = {"concurrency_id": "pictures", "concurrency_limit": 2}
"""Small pictures of many files are made for few visitors at once."""
_SHOW_SECONDS = 0.7
_PACKING_SECONDS = 60


class UploadHandlers:
    """Handlers of the picture card."""

    def __init__(self, page: Page, services: Services):
        self._page, self._card, self._services = page, page.upload, services

    def upload(self, request: gr.Request, path: str | None, *values: object) -> Updates:
        """Take the file, or say why not."""
        return self._choose(None if path is None else Path(path), values, request)

    def example(self, request: gr.Request, index: int, *values: object) -> Updates:
        return self._choose(templates.EXAMPLES[index], values, request)

    def put_away(self, request: gr.Request) -> Updates:
        """No picture any more: everything that was made of it goes too."""
        visitor, language = self._services.asker(request)
        self._services.previews.forget(visitor.upload)
        size = size_in({"size": "paper", "paper": visitor.paper}, None) if visitor.sized_by == "paper" else {}
        visitor.start_over()
        visitor.controls = visitor.controls.changed(reduce=1, **size)
        return self._empty(visitor, language, "") | show_size(self._page, visitor)

    def move(self, event: gr.SelectData, request: gr.Request) -> Updates:
        """The square around the place that was pointed at."""
        visitor, language = self._services.asker(request)
        if (upload := visitor.upload) is None:
            return {self._card.problem: templates.problem(translate(language, "too_late"))}
        if (place := _place(event)) is not None:
            visitor.box = choose_box(upload.facts.width, upload.facts.height, *place, SIZE)
        return {self._card.photo: show_photo(visitor, language)}

    def pin(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Keep the place for later, or let it go."""
        visitor, language = self._services.asker(request)
        if (place := _place(event)) is not None:
            with visitor.lock:
                here = (round(place[0]), round(place[1]))
                others = tuple(one for one in visitor.places if one != here)
                pinned = others if here in visitor.places else (*others, here)
                visitor.places = pinned[:MOST_PLACES]
        return {self._card.photo: show_photo(visitor, language)}

    def estimate(self, request: gr.Request, *values: object) -> Updates:
        """The time of a whole run here, and what the picture could do with, a faster preset among it."""
        visitor, language, values = self._services.asker_with(request, values)
        if (upload := visitor.upload) is None:
            return {self._card.tips: "", self._card.size_problem: ""}
        visitor.estimated = last = object()
        shown = self._estimated(visitor, upload, language, values)
        if visitor.estimated is not last or visitor.upload is not upload:
            return {self._card.tips: gr.skip()}  # what is there since has an estimate of its own
        return shown

    def _estimated(self, visitor: Visitor, upload: Upload, language: str, values: tuple[object, ...]) -> Updates:
        card, facts = self._card, upload.facts
        try:
            visitor.paper = paper_from(values)
            settings = settings_from(values, visitor.shape)
            result_size(settings, facts.height, facts.width)
            told = templates.facts_of_upload(language, facts, settings)
            found = self._found(visitor, upload)
            # last: all times that are said come from the same speed
            seconds = seconds_of(self._services, upload, settings)
        except SettingsError as error:
            told = templates.facts_of_upload(language, facts, visitor.controls)
            why = {card.size_problem: templates.problem(on_page(language, error, visitor.paper)), card.tips: ""}
            return {card.facts: told, **show_bar(self._page, visitor, language), **why, card.estimate: ""}
        except EnhanceError as error:
            return {card.tips: "", card.estimate: templates.note(error.sentence(language))}
        memory = self._services.enhancer.estimate_memory(facts.width, facts.height, settings, facts.bits)
        estimate = templates.estimate(language, seconds, memory, SCHEDULER.count())
        clean = next((one.preset for one in found if one.looks == "clean"), None)
        tips = [self._tip(one, visitor, settings, language) for one in found if one.looks != "clean"]
        said = "".join([*tips, faster_offer(self._services, visitor, values, seconds, clean, language)])
        shown = {card.facts: told, card.size_problem: "", card.estimate: estimate, card.tips: said}
        return shown | show_bar(self._page, visitor, language)

    def _choose(self, path: Path | None, values: tuple[object, ...], request: gr.Request) -> Updates:
        visitor, language, values = self._services.asker_with(request, values)
        limits, begun, controls = self._services.limits, visitor.choose(), visitor.controls
        if path is None:
            return self.put_away(request)
        try:
            facts = inspect(path, max_pixels=limits.pixels, max_bytes=limits.bytes)
            if visitor.upload is not None:  # the reduction that was chosen suited that picture
                values = tuple(1 if name == "reduce" else value for name, value in zip(CONTROLS, values, strict=True))
            settings, visitor.paper = settings_from(values, (facts.height, facts.width)), paper_from(values)
            picture = self._services.previews.picture(path)
            settings = settings if visitor.controls == controls else visitor.controls  # a preset chosen meanwhile
            upload = visitor.choice == begun and self._services.previews.put_on_stage(
                visitor, path, facts, picture, settings
            )
        except Exception as error:
            return self._refuse(visitor, language, error)
        if visitor.upload is not upload:
            return {self._card.problem: gr.skip()}  # the page shows what was chosen since
        return self._empty(visitor, language, "") | {
            self._card.estimate: templates.estimate(language, None),
            **show_size(self._page, visitor),
        }

    def _refuse(self, visitor: Visitor, language: str, error: Exception) -> Updates:
        """Say why a file is not taken; a picture that was there before stays."""
        why = self._services.problem(language, error, "A picture could not be taken")
        if visitor.upload is None:
            return self._empty(visitor, language, why)
        return {self._card.file: None, self._page.preview.problem: why}

    def _empty(self, visitor: Visitor, language: str, why: str) -> Updates:
        return {
            **emptied(self._page),
            **show_again(self._page, visitor, language),
            self._card.file: None,  # the next picture may be dropped at once
            self._card.problem: why,
            self._page.preview.where: templates.note(translate(language, "preview_none")),
        }

    def _found(self, visitor: Visitor, upload: Upload) -> tuple[Hint, ...]:
        """What the picture could do with: looked for once, only ever said and offered."""
        found = visitor.hints
        if found is None:
            found = self._services.enhancer.hints(self._services.previews.picture(upload.path))
            with visitor.lock:
                if visitor.upload is upload:
                    visitor.hints = found
        return found

    def _tip(self, hint: Hint, visitor: Visitor, settings: Settings, language: str) -> str:
        """A hint with its button; nothing where the settings do it already."""
        if hint.preset is None:
            return self._soft(visitor, settings, hint.reduce, language)
        if hint.preset == settings.preset:
            return ""
        said, name = translate(language, f"hint_{hint.looks}"), translate(language, f"preset_{hint.preset}")
        here = hint.preset in self._services.available()
        return templates.hint(
            said, translate(language, "use_instead", name=name), f"preset:{hint.preset}" if here else ""
        )

    def _soft(self, visitor: Visitor, settings: Settings, softness: int, language: str) -> str:
        """That the picture holds no more than a smaller one, with both times; once it is reduced, the way back."""
        assert visitor.upload is not None
        taken, upload, facts = settings.reduce > 1, visitor.upload, visitor.upload.facts
        as_it_is, reduced = settings.changed(reduce=1), settings if taken else settings.changed(reduce=softness)
        reduced = fitting(reduced, visitor)
        held = reduced_size(facts.height, facts.width, reduced.reduce)
        result = result_size(reduced, facts.height, facts.width)
        height, width, high, wide = (f"{side:,}" for side in (*held, *result))
        less, time = (format_duration(language, seconds_of(self._services, upload, one)) for one in (reduced, as_it_is))
        sizes = {"width": width, "height": height, "wide": wide, "high": high, "less": less, "time": time}
        if taken:
            return templates.hint(
                translate(language, "reduced_now", **sizes), translate(language, "reduce_undo"), "reduce:1"
            )
        return templates.hint(
            translate(language, "hint_soft", **sizes), translate(language, "reduce_take"), f"reduce:{softness}"
        )


class FilesHandlers:
    """Handlers of the files of the second tab: which there are, and what they look like."""

    def __init__(self, page: Page, services: Services, batch: BatchHandlers):
        self._page, self._card, self._services, self._batch = page, page.batch, services, batch

    def add(self, request: gr.Request, paths: list[str] | None) -> Updates:
        """More files: at the end of the batch that goes on, else of those that wait for one."""
        visitor, language = self._services.asker(request)
        why = ""
        try:
            self._take(visitor, [Path(path) for path in paths or []])
        except EnhanceError as error:
            why = self._services.problem(language, error, "Files were refused")
        shown = self._batch.show(visitor, language)
        return shown | {self._card.files: None, self._card.problem: why}

    def pictures(self, request: gr.Request) -> Iterator[Updates]:
        """A small picture of every file that has none yet; while a batch goes on, `follow` shows them."""
        visitor, language = self._services.asker(request)
        shown = time.monotonic()
        while missing := visitor.many.lacking(visitor.files.items):
            for item, of_result in missing:
                visitor.many.depict(item, of_result, self._services.outbox, self._services.limits)
                if time.monotonic() - shown > _SHOW_SECONDS:
                    yield self._batch.cards(visitor, language)
                    shown = time.monotonic()
        yield self._batch.cards(visitor, language)

    def remove(self, event: gr.SelectData, request: gr.Request) -> Updates:
        """Take out a file that has not begun."""
        visitor, language = self._services.asker(request)
        work, key = work_of(visitor), str(event.index)
        if work is not None:
            work.running.remove(key)
            work.leave(key)
        else:
            with visitor.lock:
                visitor.many.items = tuple(item for item in visitor.many.items if item.key != key)
        return self._batch.show(visitor, language)

    def clear(self, request: gr.Request) -> Updates:
        """No files any more, unless a batch goes on."""
        visitor, language = self._services.asker(request)
        with visitor.lock:
            if not visitor.batch_busy:
                visitor.batch, visitor.many = None, BatchUploads()
        return self._batch.show(visitor, language) | {self._card.problem: ""}

    def go_on(self, event: gr.EventData, request: gr.Request, _tab: object, key: object, _: object) -> Updates:
        """The rest of a batch of the visitor's list, which has begun, with its settings and with what is done of it."""
        with self._services.told(request):
            visitor, language, entries = asked_for(self._services, event, request, key, settled=True)
            lost = self._again(request, visitor, entries)
            names = [entry.name for entry in lost]
            gone = translate(language, "history_lost", names=format_names(language, names)) if lost else ""
            return {
                **show_all(self._page, visitor, language),
                self._page.controls.controls["preset"]: visitor.controls.preset,
                **self._batch.again(request),
                self._card.problem: templates.problem(gone),
                **show_history(self._page, self._services.enhancer.tasks, visitor, language),
            }

    def _again(self, request: gr.Request, visitor: Visitor, entries: list[Entry]) -> list[Entry]:
        """Begin it anew; gives what is not kept for that. Raises EnhanceError, and then nothing has changed."""
        tasks, before, settings = self._services.enhancer.tasks, visitor.many, Settings(**entries[0].settings)
        visitor.settle()
        undone = {item.key for item in before.items if item.state in ("waiting", "cancelled")}
        if visitor.batch_busy or undone - {entry.id for entry in entries}:
            raise EnhanceError("files_wait")
        with visitor.lock:
            visitor.many, lost = restored(self._services, entries)
            try:
                self._batch.begin(request, visitor, settings)
            except Exception:
                visitor.many = before
                raise
            visitor.controls = settings
        for entry in lost:
            entry.path(tasks).unlink(missing_ok=True)
        return lost

    def _take(self, visitor: Visitor, paths: list[Path]) -> None:
        """Raises EnhanceError where they are too many, or too large together."""
        limits, work = self._services.limits, work_of(visitor)
        limits.check_together([*(item.source for item in visitor.files.items), *paths])
        items = [measured(Item(path, Path(path.name)), limits.pixels, limits.bytes) for path in paths]
        if work is not None and not work.over:
            running = work.running.settings
            items = [for_print(item, running, visitor.many.paper) for item in items]
            work.enter(items, len(visitor.files.items))
            if work.running.add(items):
                return
            for item in items:
                work.leave(item.key)
        if work is not None and not work.wait(_PACKING_SECONDS):
            raise EnhanceError("batch_ends")
        with visitor.lock:
            visitor.settle()
            visitor.many.items += tuple(items)


def _place(event: gr.EventData) -> tuple[float, float] | None:
    """The place that the browser told, in input pixels; None for what no browser of ours tells."""
    with suppress(AttributeError, TypeError, ValueError):
        x, y = map(float, event.index)
        return (x, y) if math.isfinite(x) and math.isfinite(y) else None
    return None
