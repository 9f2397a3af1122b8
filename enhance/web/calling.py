"""What all endpoints share: settings from their parameters, uploads, and failures told as sentences."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import Cancelled, EnhanceError, PictureError, SettingsError
from ..settings import Settings
from ..texts import say
from .language import language_of

log = logging.getLogger(__name__)


def for_client(info: dict[str, Any]) -> dict[str, Any]:
    """The facts without the path on this server, which is nobody else's business.

    `gradio_client` also takes any object with a text called path for a file, and would put a local path in its place.
    """
    return info | {"output": info["output"] | {"path": None}}


def settings_called(
    preset: str,
    scale: float | None,
    tuning: bool | None,
    strength: float | None,
    denoise: float | None,
    sharpen: float | None,
    saturation: float | None,
    contrast: float | None,
    tile: float | None,
) -> Settings:
    """The settings asked for. A preset that does not tune by itself does so only when one of its sliders is given."""
    sliders = {"strength": strength, "sharpen": sharpen, "saturation": saturation, "contrast": contrast}
    given = any(value is not None for value in sliders.values())
    switch = False if tuning is False else (True if given else None)
    return Settings.preset(preset, scale=scale, tuning=switch, denoise=denoise, tile=tile, **sliders)


def uploaded(image: str | None) -> Path:
    if not image:
        raise PictureError("api_no_picture")
    return Path(image)


def whole_number(name: str, value: float | None) -> int:
    if value is None or value != int(value):
        raise SettingsError("api_whole_number", name=name, value=value)
    return int(value)


@contextmanager
def told(request: gr.Request) -> Iterator[None]:
    """Let every failure reach the caller as its sentence."""
    language = language_of(request)
    try:
        yield
    except Cancelled as error:
        log.info("A run was cancelled")
        raise _said(error.sentence(language)) from error
    except EnhanceError as error:
        raise _said(error.sentence(language)) from error
    except GeneratorExit:
        raise
    except Exception as error:
        log.exception("A request failed")
        raise _said(say(language, "unexpected")) from error


def _said(text: str) -> gr.Error:
    return gr.Error(escape(text, quote=False), print_exception=False)
