"""The HTML fragments of the page: Jinja2 templates with automatic escaping."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..i18n import (
    format_bytes,
    format_print_size,
    format_seconds,
    name_of,
    sentence_space,
    strip_direction_marks,
    translate,
)


def _without_direction_marks(value: Any) -> Any:
    """Remove marks that would reverse the text after a file name."""
    return strip_direction_marks(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def file_address(path: Path) -> str:
    """Return the address of a file of the page folder, relative to the page."""
    return quote(f"gradio_api/file={path.as_posix()}")


def join_units(text: str) -> str:
    """Return the text with non-breaking spaces between numbers and units."""
    return re.sub(r"(?<=\d) (?=[^\W\d]|×)|(?<=×) ", "\u00a0", text)


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
    finalize=_without_direction_marks,
)
_ENVIRONMENT.filters |= {"address": file_address, "filesize": format_bytes, "units": join_units}


def render(template: str, language: str, **values: Any) -> str:
    """Return the HTML of a template. In it, `t(key, **values)` translates, and `space` separates sentences."""
    own = {
        "t": partial(translate, language),
        "space": sentence_space(language),
        "name_of": partial(name_of, language),
        "seconds": partial(format_seconds, language),
        "size": partial(pixel_size, language),
        "print_size": partial(format_print_size, language),
    }
    return _ENVIRONMENT.get_template(f"{template}.html").render(language=language, **own, **values).strip()


def pixel_size(language: str, width: int, height: int) -> str:
    return translate(language, "size_in_pixels", width=f"{width:,}", height=f"{height:,}")


def _message(kind: str, *values: Any) -> str:
    return str(getattr(_ENVIRONMENT.get_template("messages.html").module, kind)(*values)).strip()


@dataclass(frozen=True)
class Button:
    """A button of a message, with the `values` of controls that it sets."""

    label: str
    values: Mapping[str, Any]


def problem(text: str, *buttons: Button) -> str:
    """Return an error message with the buttons that solve it; "" for an empty text."""
    return _message("problem", text, buttons) if text else ""


def note(text: str, outcome: str = "") -> str:
    """Return a note; "" for an empty text. The script reads the `outcome` of a run: finished or cancelled."""
    return _message("note", text, outcome) if text else ""


def hint(text: str, *buttons: Button) -> str:
    """Return a suggestion with the buttons that follow it."""
    return _message("hint", text, buttons)


def chip(state: str, text: str) -> str:
    """Return a label that shows a state."""
    return _message("chip", state, text)


def progress(text: str, share: float | None, of_file: str = "", kind: str = "") -> str:
    """Return a progress bar, indeterminate if `share` is None. `of_file` is the progress of a batch's current file."""
    return _message("progress", text, share, of_file, kind)


def data(name: str, **values: object) -> str:
    """Return a hidden element with values for the script, in the attribute `data-NAME`."""
    return _message("data", name, json.dumps(values))
