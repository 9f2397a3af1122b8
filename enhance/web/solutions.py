"""The buttons of error messages. Each button carries out what solves the problem."""

from __future__ import annotations

import shutil

from ..errors import EnhanceError, MemoryShortError, StorageError, WeightsError
from ..i18n import format_bytes, translate
from ..output.resample import has_second_pass, result_size
from ..pipeline import stored_bytes
from ..settings import AUTO, network_scale
from .session import Session
from .templates import Button

_PRESET_ERRORS = ("preset_unknown", "not_finite", "faces_no_image")
"""The errors of one preset that have no class of their own."""
_SMALLER = (4, 2)
"""The scales that are offered instead of larger ones."""


def is_of_preset(error: EnhanceError) -> bool:
    """Return whether another preset solves an error."""
    return isinstance(error, WeightsError) or error.key in _PRESET_ERRORS


def use_auto(language: str, session: Session) -> tuple[Button, ...]:
    """Return the button that selects Auto instead of a preset; none if Auto is selected."""
    label = translate(language, "use_instead", name=translate(language, "preset_auto"))
    return () if session.owner.active.is_auto else (Button(label, {"preset": AUTO}),)


def solve(language: str, session: Session, error: EnhanceError, folder: str) -> tuple[str, tuple[Button, ...]]:
    """Return another text for an error, or "", and the buttons that solve it. Results are stored in `folder`."""
    if is_of_preset(error):
        return "", use_auto(language, session)
    upload, settings = session.upload, session.settings
    if upload is None or not isinstance(error, MemoryShortError | StorageError):
        return "", ()
    height, width = upload.facts.height, upload.facts.width
    if isinstance(error, MemoryShortError):
        is_large = network_scale(settings) in _SMALLER and has_second_pass(settings, height, width)
        return "", (_use_scale(language, int(network_scale(settings))),) if is_large else ()
    needed, free = stored_bytes(settings, upload.facts), shutil.disk_usage(folder).free
    if needed <= free:
        return "", ()
    text = translate(language, "disk_for_result", needed=format_bytes(needed), free=format_bytes(free))
    scale = result_size(settings, height, width)[1] / width
    for smaller in _SMALLER:
        is_possible = smaller < scale and smaller <= network_scale(settings)
        if is_possible and stored_bytes(settings.changed(scale=smaller), upload.facts) <= free:
            return text, (_use_scale(language, smaller),)
    return text, ()


def _use_scale(language: str, scale: int) -> Button:
    label = translate(language, "use_size", size=translate(language, "scale_of", scale=scale))
    return Button(label, {"size": "scale", "scale": scale})
