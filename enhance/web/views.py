"""Handlers' view of a request, and the updates that several handlers share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import isgeneratorfunction
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import EnhanceError, SettingsError
from ..i18n import (
    PixelCount,
    format_bytes,
    format_names,
    format_seconds,
    sentence_space,
    translate,
    translate_source,
)
from ..info import Info, grade_in, settings_in
from ..output.formats import FORMATS, notes_of
from ..output.resample import result_size
from ..presets import PresetInfo, has_fixed_denoise
from ..settings import AUTO, REFERENCE_PRESET, Settings, find_preset, network_scale, scales
from ..store import result_name
from . import templates
from .jobs import RunState, progress_text
from .layout import Card, Page
from .params import (
    CONTROLS,
    PRESET_CONTROLS,
    TUNING_CONTROLS,
    Values,
    language_of,
    page_message,
    size_controls,
    usual_settings,
    with_fitting_size,
)
from .preview import images_of, is_current, state_of
from .services import Services
from .session import PageResult, Session
from .solutions import solve

Updates = dict[Any, Any]
"""New values by component. Gradio leaves the other outputs as they are."""
_FIRST = (AUTO, "precise", "balanced", "gentle", "fast")
"""The presets that the page shows first: those that Auto selects for photos."""
ORDER_HEADER = "x-enhance-order"
"""The header in which the page numbers its requests in the order in which it sends them."""


@dataclass(frozen=True)
class Call:
    """A request of the page to a handler.

    `values` are the newest values of the controls, if the handler has them, and `event` has the data of the event.
    `order` is greater than in all earlier requests of the page.
    """

    page: Page
    services: Services
    request: gr.Request
    session: Session
    language: str
    values: Values
    event: gr.EventData
    order: int = 0

    def text(self, key: str, **values: object) -> str:
        return translate(self.language, key, **values)

    def problem(self, error: Exception, event: str, more: str = "") -> str:
        """Return the HTML of an error's message, with buttons that solve it. An unexpected error is logged as `event`.

        `more` is added to the text.
        """
        text, buttons = self.services.message(self.request, error, event), ()
        if isinstance(error, EnhanceError):
            other, buttons = solve(self.language, self.session, error, str(self.services.enhancer.tasks.folder))
            visible = self.services.visible_error(self.request, error)
            text = other or (page_message(self.language, visible) if isinstance(visible, SettingsError) else text)
        return templates.problem(f"{text} {more}".strip(), *buttons)


Handler = Callable[..., Updates]


def shows_errors(place: Callable[[Page], gr.HTML], event: str) -> Callable[[Handler], Handler]:
    """Show the errors of a handler in a part of the page. An unexpected error is logged as `event`."""

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def handle(call: Call, *given: Any) -> Updates:
            try:
                return handler(call, *given)
            except Exception as error:
                return {place(call.page): call.problem(error, event)}

        return handle

    return decorate


def bind(
    page: Page,
    services: Services,
    handler: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    *,
    of_page: bool = False,
    opens_tab: bool = False,
) -> Any:
    """Return the function that Gradio calls for a handler, which is a function or a generator of a `Call`.

    If the last `inputs` are all controls, they become the call's values. Errors become messages of the page. A handler
    gets the session of the open tab, and its updates are dropped if the user has opened the other one meanwhile. A
    handler `of_page` gets the page's session. A handler that `opens_tab` gets the session of the tab in the event.
    """
    unchanged = dict.fromkeys(outputs[:1], gr.skip()) or None  # Without any update, Gradio would clear the outputs.
    has_controls = list(inputs[-len(CONTROLS) :]) == page.values

    def arguments(request: gr.Request, event: gr.EventData, given: tuple[Any, ...]) -> tuple[Any, ...]:
        session, values = services.sessions.get(request), {}
        header = (request.headers or {}).get(ORDER_HEADER, "")[:16]
        order = int(header) if header.isdecimal() else 0
        if opens_tab:
            session.open_tab(str(event.index) == "many")
        session = session if of_page else session.active
        services.replace_missing_preset(session)
        if has_controls:
            given, shown = given[: -len(CONTROLS)], given[-len(CONTROLS) :]
            values = {**session.newest(order, dict(zip(CONTROLS, shown, strict=True)))}
            # In Single, a message offers the largest size. In Batch, a file can have it although the others do not.
            values["largest"] = session is not session.owner and (values["largest"] or session.is_flexible)
            values = services.with_chosen_preset(session, values)
        return Call(page, services, request, session, language_of(request), values, event, order), *given

    def call(request: gr.Request, event: gr.EventData, *given: Any) -> Updates | None:
        with services.errors_as_messages(request):
            call = arguments(request, event, given)
            return shown(call[0], handler(*call))

    def stream(request: gr.Request, event: gr.EventData, *given: Any) -> Iterator[Updates | None]:
        with services.errors_as_messages(request):
            call = arguments(request, event, given)
            for updates in handler(*call):
                yield shown(call[0], updates)
            # Gradio sends the last update once more with the end, which can come after the responses to other events.
            yield unchanged

    def shown(call: Call, updates: Updates) -> Updates | None:
        return (updates if of_page or call.session.is_active else {}) or unchanged

    return stream if isgeneratorfunction(handler) else call


def parts(*cards: Card | Mapping[str, Any]) -> list[Any]:
    """Return all components of these cards that a handler can change."""
    components = [part for card in cards for part in (card if isinstance(card, Mapping) else vars(card)).values()]
    return [part for part in components if not isinstance(part, gr.Dataset)]  # It only has events.


def show_preview(call: Call, error: Exception | None = None) -> Updates:
    """Show the session's preview, or why it failed."""
    card, session = call.page.preview, call.session
    has_photo, state, images = session.upload is not None, "failed" if error else state_of(session), images_of(session)
    if state == "matches" and with_fitting_size(session.settings, session.shape) is not session.settings:
        state = "outdated"  # The preview has the largest scale instead of a size that is not possible.
    updates: Updates = {
        card.chip: templates.chip(state, call.text(f"chip_{state}")),
        card.retry: gr.Button(interactive=has_photo),
        call.page.result.chip: result_chip(call),
        **show_bar(call),
        **show_changed(call),
    }
    if session.comparison is None:
        updates[card.cells] = updates[card.comparison_progress] = ""
        updates[card.compare] = gr.Button(call.text("compare_presets"), interactive=has_photo)
    if error is not None:
        old = call.text("chip_failed_old") if session.preview and not isinstance(error, SettingsError) else ""
        updates[card.problem] = call.problem(error, "A preview failed", old)
    elif state not in ("running", "quick", "failed"):
        is_rough = session.preview is not None and session.preview.info["approximate"]
        updates[card.problem] = templates.note(call.text("preview_approximate") if is_rough else "")
    if images is not None:
        before, after = (templates.file_address(path) for path in images.files)
        values = {"photo": images.photo, "signature": images.signature, "window": images.window, "size": images.size}
        updates[card.images] = templates.data("preview", before=before, after=after, quick=images.is_quick, **values)
    return updates


def clear(page: Page) -> Updates:
    """Remove the photo, its results and all messages from the page."""
    texts = [part for part in parts(page.upload, page.preview, page.result) if isinstance(part, gr.HTML)]
    kept = {page.preview.chip, page.result.history_list}
    return dict.fromkeys({*texts, page.run.progress} - kept, "")


def show_session(call: Call) -> Updates:
    """Show everything of a session on a page that shows nothing or another photo."""
    return {
        **show_controls(call),
        **show_photo(call),
        **show_result(call),
        **(show_progress(call) if call.session.is_running else show_download(call)),
    }


def _preset_values(session: Session) -> Settings:
    """Return the values of the session's preset, or those that Auto chose for it."""
    settings, chosen = session.settings, session.chosen
    is_chosen = session.is_auto and chosen.preset == settings.preset
    return chosen if is_chosen else usual_settings(settings.preset, settings.reduce)


def show_controls(call: Call) -> Updates:
    """Update the controls other than the preset: value, visible and interactive."""
    session, settings = call.session, call.session.settings
    session.shown_values = _preset_values(session)
    values: dict[str, Any] = {name: getattr(settings, name) for name in (*PRESET_CONTROLS, "tile", "reduce")}
    sliders = {name: gr.Slider(value=values[name], interactive=settings.tuning) for name in TUNING_CONTROLS}
    is_fixed = settings.denoises and has_fixed_denoise(find_preset(settings.preset))
    about = call.text("denoise_fixed" if is_fixed else "denoise_info")
    denoise = gr.Slider(value=settings.denoise, visible=settings.denoises, interactive=not is_fixed, info=about)
    return _show_values(call, {**values, **sliders, "denoise": denoise, **_size_updates(session)})


def _show_values(call: Call, updates: Mapping[str, Any]) -> Updates:
    """Update controls by name, with what depends on them."""
    updates = {call.page.named[name]: update for name, update in updates.items()}
    return {**updates, call.page.result.chip: result_chip(call), **show_changed(call)}


def _size_updates(session: Session) -> dict[str, Any]:
    """Update the controls of the size that is selected, and the scales to select from."""
    settings = session.settings
    possible = scales(Settings(REFERENCE_PRESET) if session.is_auto else settings)
    scale, choices = settings.scale or network_scale(settings), [(f"{one:.3g}×", one) for one in possible]
    return {**size_controls(settings, session.values), "scale": gr.Radio(choices=choices, value=scale)}


def show_size(call: Call) -> Updates:
    """Update the output size and `reduce`, which limits it."""
    return _show_values(call, _size_updates(call.session) | {"reduce": call.session.settings.reduce})


def show_photo(call: Call) -> Updates:
    """Show the photo, its preview and the buttons for them."""
    card, session = call.page.upload, call.session
    facts = session.upload.facts if session.upload else None
    has_location = facts is not None and facts.has_location
    return {
        card.photo: _photo_data(call),
        card.location: templates.render("location", call.language) if has_location else "",
        **show_preview(call),
    }


def _photo_data(call: Call) -> str:
    """Return the photo for the script that draws it; "" without a photo."""
    upload = call.session.upload
    if upload is None:
        return ""
    address = call.services.addresses.region_address(call.session.client, "photo", upload.path)
    size = upload.facts.width, upload.facts.height
    overview = templates.file_address(upload.thumbnail)
    shown: dict[str, Any] = {"overview": overview, "focus": upload.focus, "alpha": upload.facts.has_alpha}
    return templates.data("photo", address=address, version=upload.version, size=size, **shown)


def _facts(call: Call) -> str:
    """Return the facts of the photo, or of its result if the result matches the controls."""
    language, session, settings = call.language, call.session, call.session.settings
    if session.upload is None:
        return ""
    facts, shown = session.upload.facts, _shown_result(session)
    possible = with_fitting_size(settings, session.shape)
    size = result_size(possible, facts.height, facts.width)
    values: dict[str, Any] = {
        "info": None,
        "name": facts.name,
        "result": size if possible is settings else None,
        "shown_size": size,
    }
    if shown is None:
        count, photo = facts.width * facts.height, templates.pixel_size(language, facts.width, facts.height)
        is_large = count >= 1e6
        values["photo"] = call.text("photo_size", size=photo, pixels=PixelCount(count)) if is_large else photo
    else:
        info, item = shown.info, session.batch_item
        speed = info["megapixels_per_second"]
        if item is None:
            name = result_name(info, session.encoding.file_format.ending, facts.name)
        else:  # The batch assigns the name of its file.
            name = session.owner.files.results.get(item.key, item.source).name
        values |= {
            "info": info,
            "name": name,
            "file": _file_text(call, info),
            "times": {name: format_seconds(language, value) for name, value in info["seconds"].items()},
            "speed": PixelCount(1e6 * speed) if speed else None,
            "grade": grade_in(info),
            "settings": settings_in(info).describe(language),
            "source": translate_source(language, info["model"]["source"]),
        }
    removes_location = shown is not None and session.encoding.metadata != "keep"
    values |= {"facts": facts, "dpi": settings.resolution(facts.dpi), "removes_location": removes_location}
    return templates.render("facts", language, **values)


def _file_text(call: Call, info: Info) -> str:
    """Return the format of a result's download, with its size if the file exists."""
    encoding, output = call.session.encoding, info["output"]
    if call.session.batch_item is not None:  # The file of a batch has the format of its batch.
        file_format = FORMATS[output.get("format", "png")]
    elif encoding.is_stored:
        file_format = encoding.file_format
    else:
        return encoding.file_format.name
    return call.text("format_size", format=file_format.name, size=format_bytes(output["bytes"]))


def result_summary(call: Call) -> str:
    """Return the time, the size and the fidelity of the result for the panel; "" without a result."""
    if call.session.result is None:
        return ""
    info = call.session.result.info
    place = info.get("fidelity_worst_place")
    values = {"info": info, "file": _file_text(call, info), "grade": grade_in(info), "place": place}
    return templates.render("done", call.language, **values)


def in_page_order(presets: Iterable[PresetInfo]) -> list[PresetInfo]:
    """Return the presets in the order of the page: available ones first, and user models last."""

    def position(preset: PresetInfo) -> tuple[bool, bool, int]:
        first = _FIRST.index(preset["name"]) if preset["name"] in _FIRST else len(_FIRST)
        return preset["own"], first > 0 and not preset["available"], first

    return sorted(presets, key=position)


def presets_html(call: Call, presets: Iterable[PresetInfo]) -> str:
    """Return the descriptions of all presets. The page shows only the description of the selected one."""
    shown, space = [], sentence_space(call.language)
    for preset in presets:
        texts, share = [preset["summary"]], preset["relative_time"]
        if not preset["available"]:
            texts += filter(None, [preset["reason"]])
        elif share is not None and share < 1:
            texts.append(call.text("time_share", percent=max(1, round(100 * share))))
        texts += filter(None, [preset["licence"]])
        values = None if preset["name"] == AUTO else {name: preset["settings"][name] for name in PRESET_CONTROLS}
        sliders = json.dumps(values)
        shown.append({**preset, "text": space.join(texts), "sliders": sliders})
    return templates.render("presets", call.language, presets=shown)


def show_changed(call: Call) -> Updates:
    """Update the state of Tuning, with the controls that differ from the preset, and the button that resets them."""
    card, session, settings = call.page.controls, call.session, call.session.settings
    usual = _preset_values(session)
    changed = [name for name in PRESET_CONTROLS if getattr(settings, name) != getattr(usual, name)]
    state = call.text("tuning_of_auto" if session.is_auto else "tuning_of_preset")
    if changed:
        names = format_names(call.language, [call.text(name) for name in changed])
        state = templates.chip("changed", call.text("tuning_changed", names=names))
    return {card.changed: state, card.reset: gr.Button(visible=bool(changed))}


def _shown_result(session: Session) -> PageResult | None:
    """Return the result if it matches the controls."""
    result = session.result
    return result if result and is_current(session, result.info, session.settings) else None


def result_chip(call: Call) -> str:
    """Return the label that shows whether the result matches the controls; "" without a result."""
    session = call.session
    if session.result is None:
        return ""
    if _shown_result(session):
        return templates.chip("matches", call.text("fact_result"))
    return templates.chip("outdated", call.text("result_old"))


def show_bar(call: Call, *, starts: bool = False) -> Updates:
    """Update the bar. During a run only its start changes the buttons, because other updates can arrive late."""
    session, run, card = call.session, call.page.run, call.page.result
    upload, result, is_running, is_possible = session.upload, session.result, session.is_running, True
    is_shown = _shown_result(session) is not None
    if upload is None:
        text, is_possible = call.text("why_no_image"), False
    else:
        try:
            height, width = result_size(session.settings, upload.facts.height, upload.facts.width)
            text = templates.pixel_size(call.language, width, height)
        except SettingsError:  # The size control shows the message.
            text, is_possible = call.text("why_size"), False
    if is_running and not starts:
        return {run.why: templates.note(text)}
    is_ready = result is not None and not is_running
    return {
        run.enhance: gr.Button(interactive=is_possible, visible=not is_running and not is_shown),
        run.cancel: gr.Button(visible=is_running, interactive=True),
        run.why: templates.note(text),
        card.facts: _facts(call),
        card.download: gr.DownloadButton(visible=is_ready, variant="primary" if is_shown else "secondary"),
        card.report: gr.Button(visible=is_ready),
        card.again: gr.Button(visible=is_ready),
    }


def show_download(call: Call) -> Updates:
    """Update the bar after a change of the result or the file format. Other formats are made when they are clicked."""
    session, card = call.session, call.page.result
    result, encoding, message, is_possible = session.result, session.encoding, "", True
    value = str(result.download) if result and encoding.is_stored else None
    if result and not session.is_running:
        output = result.info["output"]
        try:
            encoding.check(output["width"], output["height"])
            notes = notes_of(result.download, encoding, output.get("notes", ()))
            message = "".join(
                templates.note(call.text(f"note_{one}", format=encoding.file_format.name)) for one in notes
            )
        except EnhanceError as error:
            button = templates.Button(call.text("use_instead", name=FORMATS["png"].name), {"format": "png"})
            visible = call.services.visible_error(call.request, error)
            message, is_possible = templates.problem(visible.message(call.language), button), False
    bar, label = show_bar(call), call.text("download_as", format=encoding.file_format.name)
    arguments = bar.get(card.download, gr.DownloadButton()).constructor_args
    button = gr.DownloadButton(**{**arguments, "label": label, "value": value, "interactive": is_possible})
    return {**bar, card.download: button, card.download_message: message}


def offer_file(call: Call, path: Path | None) -> Updates:
    """Let the browser download a file; without a `path`, the file of its own button."""
    card = call.page.result
    return {card.report_file: gr.DownloadButton(value=str(path) if path else None), card.report_problem: ""}


def show_progress(call: Call) -> Updates:
    """Show the progress of a run on the stage and in the bar."""
    run = call.session.run
    return {
        call.page.run.progress: templates.progress(*progress_text(call.language, run.state if run else RunState())),
        call.page.result.download_message: "",
        **show_bar(call, starts=True),
    }


def show_result(call: Call) -> Updates:
    """Show the result, if there is one."""
    result, card, services = call.session.result, call.page.result, call.services
    if result is None:
        return {}
    png, output = services.enhancer.tasks.result_path(result.info["task_id"]), result.info["output"]
    address = services.addresses.region_address(call.session.client, "result", png)
    size, overview = (output["width"], output["height"]), templates.file_address(result.overview)
    values = {"photo": result.upload.version, "address": address, "size": size, "overview": overview}
    return {
        card.images: templates.data("result", **values),
        card.chip: result_chip(call),
        card.summary: result_summary(call),
    }
