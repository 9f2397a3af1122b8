"""The photo of the Single tab: choosing it, its region, and the suggestions and the time estimate for it."""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import gradio as gr

from ..errors import EnhanceError, SettingsError
from ..i18n import format_duration
from ..images import Facts, inspect, reduced_size
from ..output.resample import result_size
from ..preview import choose_box
from ..scenes import Hint
from ..scheduler import SCHEDULER
from ..settings import PRESETS, Settings, find_preset
from . import templates
from .layout import EXAMPLES
from .params import fitting, page_message, paper_from, settings_from, settings_of_preset, size_setting
from .preview import REGION_SIDE
from .session import MAX_PINS, Upload
from .views import Call, Updates, clear, photo_html, show_bar, show_photo, show_size, upload_facts

LONG_SECONDS = 120
"""From this duration of a run on, a faster preset is suggested."""
FASTER_PRESETS = {"anime": "anime-fast", "precise": "precise"}
"""The faster preset for the same kind of photo. For all other presets it is `fast`."""


def choose_file(call: Call, path: str | None) -> Updates:
    """Load the uploaded file, or show why that is not possible."""
    return start_over(call) if path is None else _load(call, Path(path))


def choose_example(call: Call, index: int) -> Updates:
    return _load(call, EXAMPLES[index])


def start_over(call: Call) -> Updates:
    """Remove the photo and everything that was made of it."""
    session = call.session
    call.services.previews.forget(session.upload)
    is_print = session.size_control == "paper"
    size = size_setting({"size": "paper", "paper": session.paper}, None) if is_print else {}
    session.reset()
    session.settings = session.settings.changed(reduce=1, **size)
    return _show_new(call) | show_size(call)


def move_region(call: Call) -> Updates:
    """Move the region to the point of the event."""
    session = call.session
    if (upload := session.upload) is None:
        return {call.page.upload.problem: templates.problem(call.text("too_late"))}
    if (point := _event_point(call)) is not None:
        session.region = choose_box(upload.facts.width, upload.facts.height, *point, REGION_SIDE)
    return {call.page.upload.photo: photo_html(call)}


def pin_region(call: Call) -> Updates:
    """Pin the region of the event's point, or unpin it."""
    session = call.session
    if (point := _event_point(call)) is not None:
        with session.lock:
            pin = (round(point[0]), round(point[1]))
            others = tuple(one for one in session.pins if one != pin)
            session.pins = (others if pin in session.pins else (*others, pin))[:MAX_PINS]
    return {call.page.upload.photo: photo_html(call)}


def estimate(call: Call) -> Updates:
    """Show the time of a run, the size of the result and suggestions."""
    session, card = call.session, call.page.upload
    if (upload := session.upload) is None:
        return {card.tips: "", card.size_problem: ""}
    session.last_estimate = marker = object()
    updates = _estimate(call, upload)
    if session.last_estimate is not marker or session.upload is not upload:
        return {card.tips: gr.skip()}  # A newer estimate is on its way.
    return updates


def _estimate(call: Call, upload: Upload) -> Updates:
    card, facts, session = call.page.upload, upload.facts, call.session
    enhancer = call.services.enhancer
    try:
        session.paper = paper_from(call.values)
        settings = settings_from(call.values, session.shape)
        result_size(settings, facts.height, facts.width)
        hints, available = _find_hints(call, upload), call.services.available_presets()
        # The last estimate: all times on the page come from the same speed.
        seconds = enhancer.estimate(facts.width, facts.height, settings, facts.bits)
    except SettingsError as error:
        return {
            card.facts: upload_facts(call, facts, session.settings),
            card.size_problem: templates.problem(page_message(call.language, error, session.paper)),
            card.tips: "",
            card.estimate: "",
            **show_bar(call),
        }
    except EnhanceError as error:
        return {card.tips: "", card.estimate: templates.note(error.message(call.language))}
    clean = next((one.preset for one in hints if one.looks == "clean"), None)
    tips = [_tip(call, one, settings, available) for one in hints if one.looks != "clean"]
    memory = enhancer.estimate_memory(facts.width, facts.height, settings, facts.bits)
    return {
        card.facts: upload_facts(call, facts, settings),
        card.size_problem: "",
        card.tips: "".join([*tips, _faster_preset(call, upload.facts, seconds, clean, available)]),
        card.estimate: templates.note(_estimate_text(call, seconds, memory)),
        **show_bar(call),
    }


def _estimate_text(call: Call, seconds: float, megabytes: float) -> str:
    memory = f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"
    about = call.text("about_memory", time=format_duration(call.language, seconds), memory=memory)
    ahead = SCHEDULER.count()
    return call.text("about_after", about=about, ahead=ahead) if ahead else about


def _load(call: Call, path: Path) -> Updates:
    session, limits, previews = call.session, call.services.limits, call.services.previews
    choice, settings_before, values = session.begin_choice(), session.settings, call.values
    try:
        facts = inspect(path, max_pixels=limits.pixels, max_bytes=limits.bytes)
        if session.upload is not None:
            values = {**values, "reduce": 1}  # This reduction was for the earlier photo.
        settings, session.paper = settings_from(values, (facts.height, facts.width)), paper_from(values)
        picture = previews.image(path)
        if session.settings != settings_before:  # A preset was chosen in the meantime.
            settings = session.settings
        upload = session.choice == choice and previews.set_photo(session, path, facts, picture, settings)
    except Exception as error:
        problem = call.problem(error, "A photo could not be loaded")
        if session.upload is None:
            return _show_new(call, problem)
        return {call.page.upload.file: None, call.page.preview.problem: problem}
    if session.upload is not upload:
        return {call.page.upload.problem: gr.skip()}  # A later choice is shown already.
    estimate = templates.note(call.text("measuring"))
    return _show_new(call) | {call.page.upload.estimate: estimate, **show_size(call)}


def _show_new(call: Call, problem: str = "") -> Updates:
    """Show the session's photo, or that there is none."""
    return {
        **clear(call.page),
        **show_photo(call),
        call.page.upload.file: None,  # The next photo can be dropped at once.
        call.page.upload.problem: problem,
        call.page.preview.where: templates.note(call.text("preview_none")),
    }


def _event_point(call: Call) -> tuple[float, float] | None:
    """Return the point of an event in input pixels; None if the client sent something else."""
    with suppress(AttributeError, TypeError, ValueError):
        x, y = map(float, call.event.index)
        return (x, y) if math.isfinite(x) and math.isfinite(y) else None
    return None


def _find_hints(call: Call, upload: Upload) -> tuple[Hint, ...]:
    """Return the suggestions for a photo, which are found once."""
    session, hints = call.session, call.session.hints
    if hints is None:
        hints = call.services.enhancer.hints(call.services.previews.image(upload.path))
        with session.lock:
            if session.upload is upload:
                session.hints = hints
    return hints


def _tip(call: Call, hint: Hint, settings: Settings, available: Collection[str]) -> str:
    """Return a suggestion with its button; "" if the settings follow it already."""
    if hint.preset is None:
        return _reduction_tip(call, settings, hint.reduce)
    if hint.preset == settings.preset:
        return ""
    button = call.text("use_instead", name=call.text(f"preset_{hint.preset}"))
    action = f"preset:{hint.preset}" if hint.preset in available else ""
    return templates.hint(call.text(f"hint_{hint.looks}"), button, action)


def _reduction_tip(call: Call, settings: Settings, softness: int) -> str:
    """Return the suggestion to downscale a soft photo first, or to undo that, with both times."""
    upload, enhancer, session = call.session.upload, call.services.enhancer, call.session
    assert upload is not None
    facts, is_reduced = upload.facts, settings.reduce > 1
    reduced = fitting(settings if is_reduced else settings.changed(reduce=softness), session.shape)
    times = {
        name: format_duration(call.language, enhancer.estimate(facts.width, facts.height, one, facts.bits))
        for name, one in (("less", reduced), ("time", settings.changed(reduce=1)))
    }
    sides = (
        *reduced_size(facts.height, facts.width, reduced.reduce),
        *result_size(reduced, facts.height, facts.width),
    )
    height, width, high, wide = (f"{side:,}" for side in sides)
    values = {"width": width, "height": height, "wide": wide, "high": high, **times}
    if is_reduced:
        return templates.hint(call.text("reduced_now", **values), call.text("reduce_undo"), "reduce:1")
    return templates.hint(call.text("hint_soft", **values), call.text("reduce_take"), f"reduce:{softness}")


def _faster_preset(call: Call, facts: Facts, seconds: float, clean: str | None, available: Collection[str]) -> str:
    """Return the suggestion of a preset that takes less than half the time, if a run takes long.

    `clean` is the preset for a photo without noise and compression artifacts.
    """
    preset = find_preset(call.values["preset"])
    if clean not in available or preset.scene is not None or preset.own:
        clean = None
    name = clean or faster_preset(preset.name)
    if seconds <= LONG_SECONDS or name == preset.name or name not in available:
        return ""
    settings = settings_of_preset(name, call.values, call.session).settings
    faster = call.services.enhancer.estimate(facts.width, facts.height, settings, facts.bits)
    if faster >= seconds / 2:
        return ""
    button = call.text("use_preset", name=call.text(f"preset_{name}"), time=format_duration(call.language, faster))
    return templates.hint(call.text("clean_offer" if clean else "slow_offer"), button, f"preset:{name}")


def faster_preset(preset: str) -> str:
    """Return the preset that processes the same kind of photo faster; the same one if there is none."""
    is_known = preset in PRESETS and preset not in FASTER_PRESETS.values()
    return FASTER_PRESETS.get(preset, "fast") if is_known else preset
