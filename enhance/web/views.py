"""What the handlers share: the services behind them, and the views that several of them show."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, fields
from html import escape
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext
from gradio.components import Component

from ..config import Limits
from ..enhancer import Enhancer
from ..errors import EnhanceError, SettingsError
from ..i18n import strip_direction_marks, translate
from ..images.metadata import LOST
from ..output.formats import notes_of
from ..output.resample import result_size
from ..scheduler import SCHEDULER, Kind, Ticket
from ..settings import SIZES, Settings, find_preset, largest_scale, scales
from . import templates
from .jobs import RunState, said
from .layout import Page
from .metrics import Metrics
from .params import TUNED, language_of, reason
from .preview import Previews, Shown, is_current, on_stage
from .session import Visitor, Visitors
from .storage import DownloadFolder, Owners

Updates = dict[Any, Any]
"""New values by component; Gradio leaves the others as they are."""
Part = Component | BlockContext
ORDER = "x-enhance-order"
"""The header in which the page numbers its requests in the order in which it sends them."""


@dataclass(frozen=True)
class Services:
    """The one enhancer, what the page takes, who is there, what is on its way to them, and what counts it all."""

    enhancer: Enhancer
    limits: Limits
    visitors: Visitors
    previews: Previews
    outbox: DownloadFolder
    owners: Owners
    queue: int = 20
    """How many runs may wait."""
    metrics: Metrics = field(default_factory=Metrics)

    def asker(self, request: gr.Request) -> tuple[Visitor, str]:
        """Who sent the request, and the language that they read."""
        visitor = self.visitors.of(request)
        self.missing(visitor)
        return visitor, language_of(request)

    def asker_with(self, request: gr.Request, values: tuple[object, ...]) -> tuple[Visitor, str, tuple[object, ...]]:
        """Return the visitor, the language and the newest values of the controls."""
        visitor, language = self.asker(request)
        order = (request.headers or {}).get(ORDER, "")[:16]
        return visitor, language, visitor.newest(int(order) if order.isdecimal() else 0, values)

    def missing(self, visitor: Visitor) -> SettingsError | None:
        """Why the visitor's preset is not here any more, if it is not: the usual one has its place from now on."""
        controls = visitor.controls
        try:
            if find_preset(controls.preset).scale != controls.factor:  # another model of that name
                visitor.controls = Settings.from_preset(controls.preset)
        except SettingsError as error:
            visitor.controls = Settings()
            return error
        return None

    def available(self) -> set[str]:
        """The names of the presets that can be chosen here."""
        return {preset["name"] for preset in self.enhancer.presets() if preset["available"]}

    def enter(self, caller: Hashable, kind: Kind) -> AbstractContextManager[Ticket]:
        """Admit a job of a caller. Raises EnhanceError if there is no room for it."""
        return SCHEDULER.enter(caller, kind, self.queue if kind in ("run", "batch") else None)

    def reason(self, language: str, error: Exception, what: str) -> str:
        """Why something failed, for the person, and counted; `what` failed goes to the log where nobody foresaw it."""
        self.metrics.refused(error)
        return reason(language, error, what)

    def problem(self, language: str, error: Exception, what: str) -> str:
        """The same as the page shows it."""
        return templates.problem(self.reason(language, error, what))

    @contextmanager
    def told(self, request: gr.Request) -> Iterator[None]:
        """Let every failure reach the client who called as its sentence."""
        try:
            yield
        except Exception as error:
            said = strip_direction_marks(self.reason(language_of(request), error, "A request failed"))
            raise gr.Error(escape(said, quote=False), print_exception=False) from error


def parts(*cards: Any) -> list[Part]:
    """All that a handler may change on these cards; what it does not name stays as it is."""
    return [part for card in cards for field in fields(card) for part in _changing(getattr(card, field.name))]


def _changing(part: Any) -> Iterable[Part]:
    if isinstance(part, dict):
        return part.values()
    return [] if isinstance(part, gr.Dataset | gr.Tab) else [part]  # these only listen, and are slow to make anew


def show_preview(page: Page, visitor: Visitor, shown: Shown, language: str) -> Updates:
    """The page after `shown`; the picture stays as it is unless there is a new one."""
    updates: Updates = {
        page.preview.chip: templates.chip(language, shown.state),
        page.preview.retry: gr.Button(interactive=visitor.upload is not None),
        page.result.chip: show_result_chip(visitor, language),
        **show_bar(page, visitor, language),
        **show_changed(page, visitor, language),
    }
    if visitor.comparing is None:
        updates[page.preview.cells] = ""
        able = visitor.upload is not None
        updates[page.preview.compare] = gr.Button(translate(language, "compare_presets"), interactive=able)
    if shown.state != "running":
        updates[page.preview.problem] = templates.problem(shown.problem)
    if shown.pair is not None and shown.box is not None:
        box = shown.box
        updates[page.preview.slider] = (str(shown.pair[0]), str(shown.pair[1]))
        centre = {"x": box.left + box.width // 2, "y": box.top + box.height // 2}
        where = translate(language, "preview_where", width=box.width, height=box.height, **centre)
        updates[page.preview.where] = templates.note(where)
    return updates


def emptied(page: Page) -> Updates:
    """A page without a picture, without what was made of it, and without a word on either."""
    upload, preview, result = page.upload, page.preview, page.result
    pictures = preview.slider, result.slider, result.closely
    words = (
        *(
            upload.problem,
            upload.photo,
            upload.facts,
            upload.estimate,
            upload.tips,
            upload.size_problem,
            upload.location,
        ),
        *(preview.cells, preview.problem, page.run.progress),
        *(result.live, result.chip, result.problem, result.taken, result.report_problem),
    )
    return {**dict.fromkeys(pictures), **dict.fromkeys(words, ""), result.made: gr.Accordion(visible=False)}


def show_all(page: Page, visitor: Visitor, language: str) -> Updates:
    """All that there is of a visitor, on a page that shows another's, or nothing yet."""
    controls = shown_controls(visitor)
    return {
        **{page.controls.controls[name]: update for name, update in controls.items()},
        **show_again(page, visitor, language),
        **show_result(page, visitor, language),
        **(show_progress(page, visitor, language) if visitor.busy else show_download(page, visitor, language)),
    }


def shown_controls(visitor: Visitor) -> dict[str, object]:
    """Updates for the controls beside the preset, by their names: values, and which are there and can move."""
    settings = visitor.controls
    values: dict[str, Any] = settings.as_dict()
    return {
        **_shown_size(visitor),
        "tuning": settings.tuning,
        "denoise": gr.Slider(value=settings.denoise, visible=settings.denoises),
        "tile": settings.tile,
        "reduce": settings.reduce,
        **{name: gr.Slider(value=values[name], interactive=settings.tuning) for name in TUNED},
    }


def _shown_size(visitor: Visitor) -> dict[str, Any]:
    """How the size is said, the field for that, and no other."""
    settings, kind = visitor.controls, visitor.sized_by
    scale, choices = settings.scale or largest_scale(settings), [(f"{one:.3g}×", one) for one in scales(settings)]
    return {
        "size": kind,
        "scale": gr.Radio(visible=kind == "scale", choices=choices, value=scale),
        "long_side": gr.Number(visible=kind == "long_side", value=settings.long_side),
        "megapixels": gr.Number(visible=kind == "megapixels", value=settings.megapixels),
        "paper": gr.Radio(visible=True, value=visitor.paper) if kind == "paper" else gr.Radio(visible=False),
    }


def show_size(page: Page, visitor: Visitor) -> Updates:
    """The size, and the reduction, which leaves some sizes to choose from."""
    shown = _shown_size(visitor) | {"reduce": visitor.controls.reduce}
    return {page.controls.controls[name]: update for name, update in shown.items()}


def show_again(page: Page, visitor: Visitor, language: str) -> Updates:
    """The picture, its preview and what can be done with them, on a page that knows nothing of them yet."""
    upload, shown = visitor.upload, on_stage(visitor)
    return {
        page.upload.photo: show_photo(visitor, language),
        page.upload.facts: ""
        if upload is None
        else templates.facts_of_upload(language, upload.facts, visitor.controls),
        page.upload.location: templates.location(language, upload and upload.facts),
        **show_preview(page, visitor, shown, language),
        **show_view(page, visitor, language, "whole" if visitor.finished else "preview"),
    }


def show_changed(page: Page, visitor: Visitor, language: str) -> Updates:
    """Whether the sliders are still where the preset has them, and the way back."""
    controls = visitor.controls
    kept = {name: getattr(controls, name) for name in (*SIZES, "dpi", "tile", "reduce")}
    own = Settings.from_preset(controls.preset, **kept)
    return {
        page.controls.changed: templates.changed(language, controls != own),
        page.controls.reset: gr.Button(visible=controls != own),
    }


def show_photo(visitor: Visitor, language: str) -> str:
    """The picture with the square on it; nothing while there is none."""
    upload, box = visitor.upload, visitor.box
    return "" if upload is None or box is None else templates.photo(language, upload, box, visitor.places)


def show_view(page: Page, visitor: Visitor, language: str, view: str = "preview") -> Updates:
    """What the stage can show now, and which of it it does show."""
    views = ["preview"]
    if visitor.busy or visitor.finished:
        views.append("whole")
    if visitor.finished:
        views.append("close")
    choices = [(translate(language, f"view_{name}"), name) for name in views]
    return {page.result.view: gr.Radio(choices=choices, value=view if view in views else "preview")}


def show_result_chip(visitor: Visitor, language: str) -> str:
    """Whether the finished picture is that of the controls; nothing while there is none."""
    finished = visitor.finished
    return templates.result_chip(language, is_current(visitor, finished.info, visitor.controls)) if finished else ""


def show_bar(page: Page, visitor: Visitor, language: str, *, begins: bool = False) -> Updates:
    """What can be done next and what comes of it; a run's buttons move as it `begins`, as other answers may be late."""
    upload, running, finished, able = visitor.upload, visitor.busy, visitor.finished, True
    current = finished is not None and is_current(visitor, finished.info, visitor.controls)
    if upload is None:
        why, able = translate(language, "why_no_picture"), False
    else:
        try:
            height, width = result_size(visitor.controls, upload.facts.height, upload.facts.width)
            why = translate(language, "why_ready", width=f"{width:,}", height=f"{height:,}")
        except SettingsError:  # what the most is stands where it is chosen
            why, able = translate(language, "why_size"), False
    result, ready = page.result, finished is not None and not running
    if running and not begins:
        return {page.run.why: templates.note(why)}
    return {
        page.run.enhance: gr.Button(interactive=able, visible=not running and not current),
        page.run.cancel: gr.Button(visible=running, interactive=True),
        page.run.why: templates.note(why),
        result.download: gr.DownloadButton(visible=ready, variant="primary" if current else "secondary"),
        result.report: gr.Button(visible=ready),
        result.again: gr.Button(visible=ready),
    }


def show_download(page: Page, visitor: Visitor, language: str) -> Updates:
    """The bar, whose button gives the PNG at once or another file once pressed, after what changes the result."""
    finished, encoding, said, able = visitor.finished, visitor.encoding, "", True
    value = str(finished.download) if finished and encoding.is_stored else None
    if finished and not visitor.busy:
        try:
            encoding.check(*(finished.info["output"][side] for side in ("width", "height")))
            lost = [note for note in finished.info["output"].get("notes", ()) if note in LOST]
            for one in lost + notes_of(finished.download, encoding):
                said += templates.note(translate(language, f"note_{one}", format=encoding.form.name))
        except EnhanceError as error:
            said, able = templates.problem(error.sentence(language)), False
    bar, label = show_bar(page, visitor, language), translate(language, "download_as", format=encoding.form.name)
    look = bar.get(page.result.download, gr.DownloadButton()).constructor_args
    button = gr.DownloadButton(**{**look, "label": label, "value": value, "interactive": able})
    return {**bar, page.result.download: button, page.result.taken: said}


def show_progress(page: Page, visitor: Visitor, language: str) -> Updates:
    """The stage and the bar while a run goes on."""
    state = visitor.run.state if visitor.run is not None else RunState()
    return {
        page.run.progress: templates.progress(*said(language, state)),
        page.result.taken: "",
        **show_view(page, visitor, language, "whole"),
        **show_bar(page, visitor, language, begins=True),
    }


def show_result(page: Page, visitor: Visitor, language: str) -> Updates:
    """The finished picture, and how it was made; nothing where there is none."""
    finished, card = visitor.finished, page.result
    if finished is None:
        return {}
    return {
        card.slider: (str(finished.before), str(finished.after)),
        card.chip: show_result_chip(visitor, language),
        card.made: gr.Accordion(visible=True),
        card.facts: templates.facts_of_result(language, finished.info),
        card.problem: "",
    }
