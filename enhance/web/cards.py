"""The cards of the presets: a small region of the photo by each preset, and the time of a run with each.

The page requests the cards that it shows one after the other, the quick presets first. Nothing is stored here: the
browser caches them. They are computed while the device is unused, so no preview and no run is slower.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from ..errors import SettingsError
from ..i18n import describe_choice, format_duration, name_of
from ..images import Box
from ..output.thumbnails import encode_for_screen, icc_for_screen, to_screen
from ..presets import available_presets, with_installed_models
from ..scheduler import Ticket
from ..settings import AUTO, Settings
from . import templates
from .params import settings_of_preset, size_setting
from .services import Services
from .session import Session, Upload
from .views import Call

CARD_SIDE = 48
"""The longest side of a card's region in pixels of the photo."""
_MARGIN = 16
"""The margin of a card's region, which is smaller than that of a preview, so that slow presets have cards too."""
MAX_SECONDS = 5.0
"""The longest expected time of a card. A slower preset has none, so that all cards together take seconds."""


def card_image(
    services: Services, session: Session, upload: Upload, preset: str, box: Box, stop: threading.Event
) -> tuple[bytes, str] | None:
    """Return a region of a photo by a preset, as `encode_for_screen` does. `stop` cancels it.

    It is None for a preset that is slow or not available. Raises EnhanceError.
    """
    enhancer, ticket = services.enhancer, Ticket("background", session.caller, stop)
    ticket.check()
    if preset == AUTO or preset not in available_presets():
        return None
    image, settings = services.previews.image(upload.path), with_installed_models(Settings(preset))
    if enhancer.estimate_preview(image, settings, box, _MARGIN) > MAX_SECONDS:
        return None
    preview = enhancer.preview(image, settings, box=box, margin=_MARGIN, ticket=ticket)
    return encode_for_screen(to_screen(preview.after), icc_for_screen(image))


def cards_data(call: Call, upload: Upload, settings: Settings, needed: float) -> str:
    """Return the time of a run with each preset, and what Auto selects, for the script that draws the cards.

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
    return templates.data("cards", seconds=seconds, times=times, auto=chosen.preset, reason=reason, summary=summary)
