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
from ..output.resample import result_size
from ..picture import inspect, reduced_size
from ..preview import choose_box
from ..scenes import Hint
from ..settings import Settings, find_preset
from ..tasks import Entry
from ..texts import say, say_time
from . import fragments
from .batch import BatchHandlers, depict, lacking, work_of
from .controls import faster_than
from .history import asked_for, show_history
from .layout import EXAMPLES, Page
from .page_files import Many, check_together
from .preview import SIZE, fitting
from .run import restored
from .state import MOST_PLACES, Upload, Visitor, side_of_print
from .views import Services, Updates, show_all, show_bar, show_photo, show_size, show_view, take_picture
from .wishes import on_page, paper_from, settings_from, settings_to_start

LONG_SECONDS = 120
PICTURES: dict[str, Any] = {"concurrency_id": "pictures", "concurrency_limit": 2}
"""Small pictures of many files are made for few visitors at once."""
_SHOW_SECONDS = 0.7
_PACKING_SECONDS = 60


class UploadHandlers:
    """Handlers of the picture card."""

    def __init__(self, page: Page, services: Services):
        self._page, self._card, self._services = page, page.upload, services

    def upload(self, request: gr.Request, path: str | None, *values: object) -> Iterator[Updates]:
        """Take the file, or say why not."""
        yield from self._choose(None if path is None else Path(path), values, request)

    def example(self, request: gr.Request, index: int, *values: object) -> Iterator[Updates]:
        yield from self._choose(EXAMPLES[index], values, request)

    def put_away(self, request: gr.Request) -> Updates:
        """No picture any more: everything that was made of it goes too."""
        visitor, language = self._services.asker(request)
        self._services.previews.forget(visitor.upload)
        side = side_of_print(visitor.paper, None) if visitor.sized_by == "paper" else None
        visitor.start_over()
        visitor.controls = visitor.controls.changed(reduce=1, long_side=side)
        return self._empty(visitor, language, "") | show_size(self._page, visitor)

    def move(self, event: gr.SelectData, request: gr.Request) -> Updates:
        """The square around the place that was pointed at."""
        visitor, language = self._services.asker(request)
        upload = visitor.upload
        if upload is None:
            return {self._card.problem: fragments.problem(say(language, "too_late"))}
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
        visitor, language = self._services.asker(request)
        card, upload = self._card, visitor.upload
        if upload is None:
            return {card.tips: "", card.size_problem: ""}
        try:
            visitor.paper = paper_from(values)
            settings = settings_from(values, visitor.shape)
            result_size(settings, upload.facts.height, upload.facts.width)
            shown: Updates = {card.facts: fragments.facts_of_upload(language, upload.facts, settings)}
            found = self._found(visitor, upload)
            seconds = self._seconds(upload, settings)  # last: all times that are said come from the same speed
        except SettingsError as error:
            facts = fragments.facts_of_upload(language, upload.facts, visitor.controls)
            why = {card.size_problem: fragments.problem(on_page(language, error, visitor.paper)), card.tips: ""}
            return {card.facts: facts, **show_bar(self._page, visitor, language), **why, card.estimate: ""}
        except EnhanceError as error:
            return {card.tips: "", card.estimate: fragments.note(error.sentence(language))}
        shown |= show_bar(self._page, visitor, language)
        shown[card.size_problem] = ""
        facts = upload.facts
        memory = self._services.enhancer.estimate_memory(facts.width, facts.height, settings, facts.bits)
        shown[card.estimate] = fragments.estimate(language, seconds, memory, len(self._services.line))
        clean = next((one.preset for one in found if one.looks == "clean"), None)
        tips = [self._tip(one, visitor, settings, language) for one in found if one.looks != "clean"]
        shown[card.tips] = "".join([*tips, self._faster(visitor, values, seconds, clean, language)])
        return shown

    def _choose(self, path: Path | None, values: tuple[object, ...], request: gr.Request) -> Iterator[Updates]:
        visitor, language = self._services.asker(request)
        limits, begun, controls = self._services.limits, visitor.choose(), visitor.controls
        if path is None:
            yield self.put_away(request)
            return
        try:
            facts = inspect(path, max_pixels=limits.pixels, max_bytes=limits.bytes)
            settings, visitor.paper = settings_from(values, (facts.height, facts.width)), paper_from(values)
            if visitor.upload is not None:
                settings = settings.changed(reduce=1)  # the one chosen before suited that picture
            picture = self._services.previews.picture(path)
            settings = settings if visitor.controls == controls else visitor.controls  # a preset chosen meanwhile
            upload = visitor.choice == begun and take_picture(self._services, visitor, path, facts, picture, settings)
        except Exception as error:
            why = self._services.reason(language, error, "A picture could not be taken")
            yield self._refuse(visitor, language, why)
            return
        if visitor.upload is not upload:
            yield {self._card.problem: gr.skip()}  # the page shows what was chosen since
            return
        yield self._empty(visitor, language, "") | {
            self._card.facts: fragments.facts_of_upload(language, facts, settings),
            self._card.photo: show_photo(visitor, language),
            self._card.estimate: fragments.estimate(language, None),
            **show_size(self._page, visitor),
        }

    def _refuse(self, visitor: Visitor, language: str, why: str) -> Updates:
        """Say why a file is not taken; a picture that was there before stays."""
        if visitor.upload is None:
            return self._empty(visitor, language, why)
        return {self._card.file: None, self._page.preview.problem: fragments.problem(why)}

    def _empty(self, visitor: Visitor, language: str, why: str) -> Updates:
        page, card, preview, result = self._page, self._card, self._page.preview, self._page.result
        return {
            card.file: None,  # the next picture may be dropped at once
            card.problem: fragments.problem(why),
            card.photo: "",
            card.facts: "",
            card.estimate: "",
            card.tips: "",
            card.size_problem: "",
            preview.slider: None,
            preview.chip: fragments.chip(language, "none"),
            preview.where: fragments.note(say(language, "preview_none")),
            preview.problem: "",
            preview.retry: gr.Button(interactive=False),
            preview.cells: "",
            preview.compare: gr.Button(say(language, "compare_presets"), interactive=False),
            page.run.progress: "",
            result.live: "",
            result.slider: None,
            result.closely: None,
            result.chip: "",
            result.problem: "",
            result.report_problem: "",
            result.made: gr.Accordion(visible=False),
            **show_view(page, visitor, language),
            **show_bar(page, visitor, language),
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

    def _seconds(self, upload: Upload, settings: Settings) -> float:
        return self._services.enhancer.estimate(upload.facts.width, upload.facts.height, settings, upload.facts.bits)

    def _tip(self, hint: Hint, visitor: Visitor, settings: Settings, language: str) -> str:
        """A hint with its button; nothing where the settings do it already."""
        if hint.preset is None:
            return self._soft(visitor, settings, hint.reduce, language)
        if hint.preset == settings.preset:
            return ""
        said, name = say(language, f"hint_{hint.looks}"), say(language, f"preset_{hint.preset}")
        here = hint.preset in self._services.available()
        return fragments.hint(said, say(language, "use_instead", name=name), f"preset:{hint.preset}" if here else "")

    def _soft(self, visitor: Visitor, settings: Settings, softness: int, language: str) -> str:
        """That the picture holds no more than a smaller one, with both times; once it is reduced, the way back."""
        assert visitor.upload is not None
        taken, upload, facts = settings.reduce > 1, visitor.upload, visitor.upload.facts
        as_it_is, reduced = settings.changed(reduce=1), settings if taken else settings.changed(reduce=softness)
        reduced = fitting(reduced, visitor)
        held = reduced_size(facts.height, facts.width, reduced.reduce)
        result = result_size(reduced, facts.height, facts.width)
        height, width, high, wide = (f"{side:,}" for side in (*held, *result))
        less, time = (say_time(language, self._seconds(upload, one)) for one in (reduced, as_it_is))
        sizes = {"width": width, "height": height, "wide": wide, "high": high, "less": less, "time": time}
        if taken:
            return fragments.hint(say(language, "reduced_now", **sizes), say(language, "reduce_undo"), "reduce:1")
        return fragments.hint(say(language, "hint_soft", **sizes), say(language, "reduce_take"), f"reduce:{softness}")

    def _faster(
        self, visitor: Visitor, values: tuple[object, ...], seconds: float, clean: str | None, language: str
    ) -> str:
        """A preset that takes less than half the time, where that is long; for a clean picture, `clean` is its own."""
        available, preset = self._services.available(), find_preset(str(values[0]))
        clean = clean if clean in available and preset.scene is None and not preset.own else None
        name = clean or faster_than(preset.name)
        if seconds <= LONG_SECONDS or name == preset.name or name not in available:
            return ""
        assert visitor.upload is not None
        other = self._seconds(visitor.upload, settings_to_start(name, values, visitor).settings)
        if other >= seconds / 2:
            return ""
        words = say(language, "use_preset", name=say(language, f"preset_{name}"), time=say_time(language, other))
        return fragments.hint(say(language, "clean_offer" if clean else "slow_offer"), words, f"preset:{name}")


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
            why = self._services.reason(language, error, "Files were refused")
        shown = self._batch.show(visitor, language)
        return shown | {self._card.files: None, self._card.problem: fragments.problem(why)}

    def pictures(self, request: gr.Request) -> Iterator[Updates]:
        """A small picture of every file that has none yet; while a batch goes on, `follow` shows them."""
        visitor, language = self._services.asker(request)
        shown = time.monotonic()
        while missing := lacking(visitor):
            depict(self._services, visitor, *missing[0])
            if time.monotonic() - shown > _SHOW_SECONDS:
                shown = time.monotonic()
                yield self._batch.cards(visitor, language)
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
                visitor.batch, visitor.many = None, Many()
        return self._batch.show(visitor, language) | {self._card.problem: ""}

    def go_on(self, event: gr.EventData, request: gr.Request, _tab: object, key: object, _: object) -> Updates:
        """The rest of a batch of the visitor's list, which has begun, with its settings and with what is done of it."""
        with self._services.told(request):
            visitor, language, entries = asked_for(self._services, event, request, key, settled=True)
            lost = self._again(request, visitor, entries)
            names = [entry.name for entry in lost]
            gone = say(language, "history_lost", names=fragments.few(language, names)) if lost else ""
            return {
                **show_all(self._page, visitor, language),
                self._page.controls.controls["preset"]: visitor.controls.preset,
                **self._batch.again(request),
                self._card.problem: fragments.problem(gone),
                **show_history(self._page, self._services.enhancer.tasks, visitor, language),
            }
        raise AssertionError("told() always raises what it catches")

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
            except EnhanceError:
                visitor.many = before
                raise
            visitor.controls = settings
        for entry in lost:
            entry.path(tasks).unlink(missing_ok=True)
        return lost

    def _take(self, visitor: Visitor, paths: list[Path]) -> None:
        """Raises EnhanceError where they are too many, or too large together."""
        limits, work = self._services.limits, work_of(visitor)
        check_together([*(item.source for item in visitor.files.items), *paths], limits)
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
