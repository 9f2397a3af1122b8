"""The photo of the Single tab: choosing it, its region, and the suggestions and the time estimate for it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..errors import EnhanceError, SettingsError
from ..i18n import describe_choice, format_duration, name_of
from ..output.resample import has_second_pass, result_size
from ..presets import available_presets, with_installed_models
from ..settings import AUTO, Settings
from . import templates
from .advice import size_solutions, smaller_size, tips
from .layout import EXAMPLES
from .params import (
    COMMON_SIZES,
    page_message,
    settings_from,
    settings_of_preset,
    size_controls,
    size_setting,
)
from .session import Upload
from .views import Call, Updates, clear, show_bar, show_controls, show_photo, show_size


def choose_file(call: Call, path: str | None) -> Updates:
    """Load the uploaded file, or show why that is not possible."""
    return start_over(call) if path is None else load(call, Path(path))


def choose_example(call: Call, index: int) -> Updates:
    return load(call, EXAMPLES[index])


def start_over(call: Call) -> Updates:
    """Remove the photo with its previews and results."""
    session = call.session
    if session.upload is not None:
        call.services.previews.images.drop(session.upload.path)
    session.reset()
    session.settings = session.settings.changed(reduce=1)
    return _show_new(call) | show_size(call)


def estimate(call: Call) -> Updates:
    """Show the time of a run, the size of the result and suggestions."""
    session, card = call.session, call.page.upload
    if (upload := session.upload) is None:
        return {card.tips: "", card.size_problem: ""}
    session.last_estimate = marker = object()  # An estimate can wait for the measurement of a network.
    updates = _estimate(call, upload)
    if session.last_estimate is not marker or session.upload is not upload:
        return {}  # A newer request computes the estimate.
    return updates


def _estimate(call: Call, upload: Upload) -> Updates:
    card, facts, session, enhancer = call.page.upload, upload.facts, call.session, call.services.enhancer
    settings = None
    try:
        settings = settings_from(call.values, session.shape)
        result_size(settings, facts.height, facts.width)
        # The last estimate: all times on the page come from the same speed.
        seconds = enhancer.estimate(facts.width, facts.height, settings, facts.bits)
    except EnhanceError as error:
        visible = call.services.visible_error(call.request, error)
        if not isinstance(visible, SettingsError):
            return {card.tips: "", card.estimate: templates.note(visible.message(call.language))}
        return {
            card.size_problem: _size_problem(call, visible, settings),
            card.tips: "",
            card.estimate: "",
            **show_bar(call),
        }
    about, ahead = call.text("about_time", time=format_duration(call.language, seconds)), enhancer.scheduler.count()
    if has_second_pass(settings, facts.height, facts.width):
        about = call.text("about_passes", about=about)
    time = templates.note(call.text("about_after", about=about, ahead=ahead) if ahead else about)
    return {
        card.size_problem: _faster_size(call, upload, settings, seconds),
        card.tips: _tips(call, upload, settings),
        card.preset_times: _preset_times(call, upload, settings, seconds),
        card.estimate: time,
        **show_bar(call),
    }


def _preset_times(call: Call, upload: Upload, settings: Settings, needed: float) -> str:
    """Return the time of a run with each preset and the selection of Auto, for the script of the list of presets.

    `needed` are the seconds with the current settings, so that they are the same everywhere on the page.
    """
    session, enhancer, language, facts = call.session, call.services.enhancer, call.language, upload.facts
    seconds = {settings.preset: needed}
    for name in {*available_presets()} - {AUTO, settings.preset}:
        with suppress(SettingsError):  # The model was removed.
            other = settings_of_preset(name, call.values, session).settings
            seconds[name] = enhancer.estimate(facts.width, facts.height, other, facts.bits)
    times = {name: format_duration(language, one) for name, one in seconds.items()}
    wanted = Settings(AUTO, tile=call.values["tile"], **size_setting(call.values))
    chosen, choice = enhancer.resolve_for(wanted, upload.analysis)
    if chosen.reduce == settings.reduce and chosen.preset in seconds:
        needed = seconds[chosen.preset]
    else:
        needed = enhancer.estimate(facts.width, facts.height, with_installed_models(chosen), facts.bits)
    reason, time = describe_choice(language, choice, needed), format_duration(language, needed)
    summary = call.text("auto_summary", preset=name_of(language, "preset", chosen.preset), time=time)
    return templates.data("presets", times=times, auto=chosen.preset, reason=reason, summary=summary)


def _size_problem(call: Call, error: SettingsError, settings: Settings | None) -> str:
    """Return why the size is not possible, with buttons that select the nearest possible one, or 4x without one.

    `settings` are those with the size, if the controls have one. A print keeps its size or its resolution.
    """
    text, shape = page_message(call.language, error, settings), call.session.shape
    if settings is None or shape is None:
        size = call.text("scale_of", scale=4)
        return templates.problem(text, templates.Button(call.text("use_size", size=size), COMMON_SIZES["4x"]))
    solutions = size_solutions(call.language, error, settings, *shape)
    buttons = [templates.Button(label, size_controls(one, call.values)) for label, one in solutions]
    return templates.problem(text, *buttons)


def load(call: Call, path: Path, choice: int | None = None) -> Updates:
    """Show a photo with its facts, or show why that is not possible.

    `choice` is the number of this choice, if it has begun.
    """
    session, previews = call.session, call.services.previews
    choice = session.begin_choice() if choice is None else choice
    settings_before, values = session.settings, call.values
    try:
        photo = previews.read(path)
        if session.upload is not None:
            values = {**values, "reduce": 1}  # This reduction was for the earlier photo.
        settings = settings_from(values, (photo.facts.height, photo.facts.width))
        if session.settings != settings_before:  # A preset was chosen in the meantime.
            settings = session.settings
        upload = previews.set_photo(session, photo, settings, choice)
    except Exception as error:
        problem = call.problem(error, "A photo could not be loaded")
        if session.upload is None:
            return _show_new(call, problem)
        return {call.page.upload.file: None, call.page.preview.problem: problem}
    if upload is None or session.upload is not upload:
        return {}  # A later choice is shown already.
    estimate = templates.note(call.text("measuring"))
    if session.is_auto:
        with suppress(SettingsError):  # The size control shows the message.
            session.settings = call.services.choose_preset(session, values)
    return _show_new(call) | {call.page.upload.estimate: estimate} | show_controls(call)


def _show_new(call: Call, problem: str = "") -> Updates:
    """Show the session's photo, or that there is none."""
    return {
        **clear(call.page),
        **show_photo(call),
        call.page.upload.file: None,  # The next photo can be dropped at once.
        call.page.upload.problem: problem,
    }


def _tips(call: Call, upload: Upload, settings: Settings) -> str:
    """Return the suggestions for haze and faces, and for a faster preset if a run is slow."""
    faster = call.services.enhancer.suggest_faster(upload.analysis, settings)
    found = tips(upload.analysis, settings, faster, call.language)
    buttons = ([templates.Button(button.text, button.values) for button in one.solutions] for one in found)
    return "".join(templates.hint(one.text, *own) for one, own in zip(found, buttons, strict=True))


def _faster_size(call: Call, upload: Upload, settings: Settings, seconds: float) -> str:
    """Return the suggestion of 4x, if a larger size takes long."""
    advice = smaller_size(call.services.enhancer, upload.analysis, settings, seconds, call.language)
    if advice is None:
        return ""
    buttons = [templates.Button(one.text, COMMON_SIZES["4x"]) for one in advice.solutions]
    return templates.hint(advice.text, *buttons)
