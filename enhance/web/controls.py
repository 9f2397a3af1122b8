"""The preset and the other controls: opening the page, and what follows a change of a control."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import gradio as gr

from ..errors import SettingsError
from ..i18n import name_of
from ..images import Box
from ..presets import PresetInfo
from ..settings import Settings, largest_scale
from . import templates
from .history import show_history
from .params import (
    batch_values,
    encoding_from,
    encoding_from_link,
    encoding_from_storage,
    is_auto,
    settings_from,
    settings_from_link,
    settings_from_storage,
    settings_of_preset,
)
from .preview import images_of, is_current, state_of
from .session import Session
from .solutions import use_auto
from .views import (
    Call,
    Updates,
    in_page_order,
    presets_html,
    result_summary,
    show_controls,
    show_download,
    show_preview,
    show_session,
    show_size,
    shows_errors,
)


def open_page(call: Call, tab: object = "", restarted: object = "", stored: object = None) -> Updates:
    """Show the page as this browser tab had it, or with the settings of the link.

    `restarted` says that the tab was open before the server restarted, and `stored` are the settings of the last visit.
    """
    page, services, request = call.page, call.services, call.request
    session = services.sessions.open(request, tab if isinstance(tab, str) else "")
    call = replace(call, session=session)
    has_photo, removed = session.upload is not None, services.replace_missing_preset(session)
    presets, query = services.presets(request), request.query_params or {}
    problem = _stored_problem(call, stored, presets) if has_photo else _set_start(call, query, stored, presets)
    was_lost = restarted and not has_photo
    encoding, controls = session.encoding, page.named
    return {
        **show_session(call),
        **({page.run.progress: templates.note(call.text("restarted"))} if was_lost else {}),
        **_show_presets(call, presets),
        controls["format"]: encoding.format,
        controls["quality"]: gr.Slider(value=encoding.quality, visible=encoding.has_quality),
        controls["metadata"]: encoding.metadata,
        controls["label"]: encoding.label,
        controls["background"]: gr.Radio(value=encoding.background, visible=not encoding.file_format.alpha),
        **{controls[name]: value for name, value in batch_values(stored).items()},
        page.controls.sheet: gr.Accordion(open=False),
        page.controls.problem: templates.problem(
            removed.message(call.language) if removed else problem, *use_auto(call.language, session)
        ),
        **show_history(call),
    }


def _set_start(call: Call, query: Mapping[str, str], stored: object, presets: Sequence[PresetInfo]) -> str:
    """Set the settings of a new page by its link and the browser's storage. Returns an error message or ""."""
    session, language = call.session, call.language
    session.values = {**(stored if isinstance(stored, dict) else {}), **query}  # For a print size of the user's own.
    available = {preset["name"] for preset in presets if preset["available"]}
    remembered, session.is_auto = settings_from_storage(stored, available), is_auto(query, stored, available)
    encoding = encoding_from_storage(stored)
    try:
        session.settings = settings_from_link(query, remembered)
        session.encoding = encoding_from_link(query, encoding)
    except SettingsError as error:
        session.settings, session.encoding = remembered, encoding
        session.is_auto = is_auto({}, stored, available)
        return error.message(language)
    return _stored_problem(call, query if "preset" in query else stored, presets)


def _stored_problem(call: Call, stored: object, presets: Sequence[PresetInfo]) -> str:
    """Return why the preset of the last visit or of a link is not available; "" if it is."""
    name = str(stored["preset"]) if isinstance(stored, dict) and "preset" in stored else None
    reasons = {one["name"]: one["reason"] for one in presets}
    if name is None:
        return ""
    if name in reasons:
        return reasons[name] or ""
    return call.text("preset_unknown", preset=name, known=", ".join(reasons))


def _show_presets(call: Call, presets: Sequence[PresetInfo]) -> Updates:
    """Update the choices, with user models, and the descriptions of the presets."""
    card = call.page.controls
    choices = [
        (
            f"{preset['name']} · {preset['scale']}× {preset['network']}"
            if preset["own"]
            else name_of(call.language, "preset", preset["name"]),
            preset["name"],
        )
        for preset in in_page_order(presets)
    ]
    return {
        call.page.named["preset"]: gr.Radio(choices=choices, value=call.session.preset_control),
        card.about: presets_html(call, presets),
    }


_shows_setting_errors = shows_errors(lambda page: page.controls.problem, "A control could not be changed")


@_shows_setting_errors
def choose_preset(call: Call) -> Updates:
    """Set the controls of the selected preset, and show why it is not available if so."""
    card, session = call.page.controls, call.session
    if session.is_auto:
        session.settings = call.services.choose_preset(session, call.values)
        return show_controls(call) | {card.problem: ""}
    presets, choices = call.services.presets(call.request), {}
    try:
        start = settings_of_preset(call.values["preset"], call.values, session)
        session.settings, session.wanted_size = start.settings, start.wanted_size
        reason = next((one["reason"] or "" for one in presets if one["name"] == start.settings.preset), "")
        message = templates.problem(reason, *use_auto(call.language, session))
        if not message and start.is_lowered:
            largest = largest_scale(start.settings)
            key = "size_changed_1x" if largest == 1 else "size_changed"
            message = templates.note(call.text(key, largest=f"{largest:.3g}"))
    except SettingsError as error:  # The model was removed after the page was opened.
        message, choices = call.problem(error, ""), _show_presets(call, presets)
    return {**choices, **show_controls(call), card.problem: message}


def change_size(call: Call) -> Updates:
    """Show the values of another preset, if Auto chooses another one for another size."""
    session, values, shown = call.session, call.values, call.session.shown_values
    session.wanted_size = {}
    if session.is_auto and (shown.preset, shown.reduce) != (values["preset"], values["reduce"]):
        with suppress(SettingsError):  # The size control shows the message.
            session.settings = settings_from(values, session.shape)
            return show_controls(call)
    return {}


def clear_messages(call: Call) -> Updates:
    """Clear the message about the last run or batch, whose button the user selected."""
    session, page = call.session, call.page
    return {
        **({} if session.is_running else {page.run.progress: ""}),
        **({} if session.owner.is_batch_running else {page.batch.progress: ""}),
    }


def select_preset(call: Call, name: str) -> Updates:
    """Select a preset that was chosen elsewhere on the page."""
    values = call.services.with_chosen_preset(call.session, {**call.values, "preset": name})
    return {call.page.named["preset"]: name, **choose_preset(replace(call, values=values))}


@_shows_setting_errors
def change_reduction(call: Call) -> Updates:
    """Set the reduction and the sizes that it allows. The largest scale stays the largest scale."""
    session = call.session
    before = settings_from({**call.values, "reduce": session.settings.reduce}, session.shape)
    session.settings = before.changed(reduce=call.values["reduce"])
    return show_size(call)


@shows_errors(lambda page: page.result.download_message, "A format could not be selected")
def change_encoding(call: Call) -> Updates:
    """Set the file format, the quality and the metadata of downloads, without another run."""
    call.session.encoding = encoding = encoding_from(call.values)
    named = call.page.named
    return {
        named["quality"]: gr.Slider(visible=encoding.has_quality),
        named["background"]: gr.Radio(visible=not encoding.file_format.alpha),
        call.page.result.summary: result_summary(call),
        **show_download(call),
    }


def confirm_copied_link(call: Call) -> None:
    gr.Info(call.text("copied"), duration=3)


def preview(call: Call) -> Iterator[Updates]:
    """Run a preview of the visible region."""
    if call.session.upload is not None:
        yield from _show_states(call, call.services.previews.make)


def change_view(call: Call) -> Iterator[Updates]:
    """Preview the region of the photo that the page shows now, unless it shows the result there."""
    session = call.session
    view, result = _event_view(call), session.result
    if session.upload is None or view is None or not session.show_view(view, call.order):
        return
    if not session.is_running and not (result and is_current(session, result.info, session.settings)):
        yield from update_preview(call)


def _event_view(call: Call) -> Box | None:
    """Return the visible region of an event, inside the photo; None if the client sent something else."""
    with suppress(AttributeError, TypeError, ValueError, OverflowError):
        left, top, right, bottom = (round(float(one)) for one in call.event.index)
        height, width = call.session.shape or (1, 1)
        left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
        return Box(left, top, min(max(right - left, 1), width - left), min(max(bottom - top, 1), height - top))
    return None


def adjust_preview(call: Call) -> Iterator[Updates]:
    """Adjust the preview to the controls."""
    yield from _show_states(call, call.services.previews.adjust)


def update_preview(call: Call) -> Iterator[Updates]:
    """Run a preview if the current one does not match the controls."""
    if state_of(call.session) == "matches":
        yield show_preview(call)
    else:
        yield from preview(call)


def _show_states(call: Call, run: Callable[[Session, Settings], Iterator[None]]) -> Iterator[Updates]:
    session, shown = call.session, None
    try:
        for _ in run(session, settings_from(call.values, session.shape)):
            yield show_preview(call)
    except Exception as error:
        yield show_preview(call, error)
        return
    # The page can have received a newer response before the last one.
    while shown != (now := (state_of(session), images_of(session), session.settings)):
        shown = now
        yield show_preview(call)
