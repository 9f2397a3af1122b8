"""The configuration from environment variables, read and validated in one place.

`enhance.models` reads the variables for the weights folder and for downloads itself.
"""

# ruff: noqa: RUF009 - `_variable` returns a new field at each call.

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from .errors import PictureError, SettingsError
from .i18n import DEFAULT_LANGUAGE, match_language

log = logging.getLogger(__name__)

_OTHER_VARIABLES = {"ENHANCE_WEIGHTS", "ENHANCE_RELEASES"}
"""Variables that `enhance.models` reads."""
_MIN_KEY_LENGTH = 16
_DEVICE = r"(?-i:auto|cpu|mps|cuda(:\d+)?)"  # in lower case, as for PyTorch
_HOST = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
_ANCESTORS = r"('self'|'none'|https?://[a-z0-9.*:-]+)( +('self'|https?://[a-z0-9.*:-]+))*"
_SPACE_ANCESTORS = "'self' https://huggingface.co https://*.hf.space"


@dataclass(frozen=True)
class Limits:
    """Upload limits of the page.

    `pixels` and `bytes` apply to one image, `files` and `batch_bytes` to one request,
    `request_bytes` to the JSON of an event.
    """

    pixels: int = 100_000_000
    bytes: int = 200_000_000
    files: int = 200
    batch_bytes: int = 2_000_000_000
    request_bytes: int = 1_000_000

    def check_together(self, files: Iterable[Path]) -> None:
        """Raise PictureError if a batch has too many files or bytes."""
        sizes = []
        for file in files:
            with suppress(OSError):  # the batch reports the error of this file
                sizes.append(file.stat().st_size)
        if len(sizes) > self.files:
            raise PictureError("too_many_files", limit=self.files)
        if sum(sizes) > self.batch_bytes:
            raise PictureError("upload_too_large", limit=f"{self.batch_bytes / 1e6:g}")


# Each parser returns the value of a variable from its name and its text, which is not empty. It
# raises SettingsError.


def _folder(name: str, text: str) -> Path:
    """Return the path of a folder, which need not exist."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise SettingsError("config_folder", variable=name, value=path)
    return path


def _matching(pattern: str, key: str) -> Callable[[str, str], str]:
    """Return a parser of a text that matches `pattern`, ignoring case, which returns it in lower
    case."""

    def parse(name: str, text: str) -> str:
        if not re.fullmatch(pattern, text, re.IGNORECASE):
            raise SettingsError(key, variable=name, value=text)
        return text.lower()

    return parse


def _equal_to(value: str, pattern: str = ".*", key: str = "") -> Callable[[str, str], bool]:
    """Return a parser that returns whether a text that matches `pattern` is `value`, ignoring
    case."""
    parse = _matching(pattern, key)
    return lambda name, text: parse(name, text) == value


def _number(name: str, text: str, key: str = "config_number") -> float:
    with suppress(ValueError):
        if 0 < (number := float(text)) < float("inf"):
            return number
    raise SettingsError(key, variable=name, value=text)


def _whole_number(
    name: str, text: str, key: str = "config_whole_number", largest: float = float("inf")
) -> int:
    """Return a whole number from 1 to `largest`, also written as 1e8 or 100_000_000."""
    number = _number(name, text, key)
    if number != int(number) or number > largest:
        raise SettingsError(key, variable=name, value=text)
    return int(number)


def _keys(_: str, text: str) -> tuple[str, ...]:
    keys = tuple(re.findall(r"[^,\s]+", text))
    if any(len(key) < _MIN_KEY_LENGTH or not key.isascii() for key in keys):
        raise SettingsError("config_keys", length=_MIN_KEY_LENGTH)
    return keys


def _login(_: str, text: str) -> tuple[str, str]:
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise SettingsError("config_auth")
    return user, password


def _variable(
    name: str, parse: Callable[[str, str], Any], default: Any = None, *, shown: bool = True
) -> Any:
    return field(default=default, metadata={"variable": name, "parse": parse}, repr=shown)


@dataclass(frozen=True)
class Config:
    """The validated environment variables. The defaults apply to an empty environment.

    - `data`: folder for inputs and results; None selects `data/` for a server. `device`: a PyTorch
      device or "auto".
    - `max_pixels`, `max_bytes`: limits of one image. None selects the limits of the command line
      (400 million px) or of the page (100 million px, 200 MB).
    - `hours`: retention period. `max_disk`: maximum bytes of all inputs and results, None for no
      limit.
    - `api_keys`: keys of programs, instead of the login. `queue`: maximum number of waiting runs.
    - `public_host`: host name in browsers. `frame_ancestors`: sites that can embed the page. Spaces
      set both.
    - `metrics`: whether to serve counters.
    - `json_log`: whether lines of the log are JSON. `agents`: whether the endpoints are tools of
      agents (MCP).
    """

    data: Path | None = _variable("ENHANCE_DATA", _folder)
    device: str = _variable("ENHANCE_DEVICE", _matching(_DEVICE, "config_device"), "auto")
    max_pixels: int | None = _variable("ENHANCE_MAX_PIXELS", _whole_number)
    max_bytes: int | None = _variable("ENHANCE_MAX_BYTES", _whole_number)
    hours: float = _variable("ENHANCE_RETENTION_HOURS", _number, 24.0)
    max_disk: int | None = _variable("ENHANCE_MAX_DISK", _whole_number)
    auth: tuple[str, str] | None = _variable("ENHANCE_AUTH", _login)
    api_keys: tuple[str, ...] = _variable("ENHANCE_API_KEYS", _keys, (), shown=False)
    queue: int = _variable("ENHANCE_QUEUE", _whole_number, 20)
    host: str | None = _variable("GRADIO_SERVER_NAME", lambda _, text: text)
    port: int = _variable(
        "GRADIO_SERVER_PORT", partial(_whole_number, key="config_port", largest=65_535), 7860
    )
    page_folder: Path | None = _variable("GRADIO_TEMP_DIR", _folder)
    public_host: str | None = _variable("ENHANCE_PUBLIC_HOST", _matching(_HOST, "config_host"))
    frame_ancestors: str = _variable(
        "ENHANCE_FRAME_ANCESTORS", _matching(_ANCESTORS, "config_frames"), "'self'"
    )
    metrics: bool = _variable("ENHANCE_METRICS", _equal_to("1", "[01]", "config_switch"), False)
    agents: bool = _variable("GRADIO_MCP_SERVER", _equal_to("true"), False)
    json_log: bool = _variable("ENHANCE_LOG", _equal_to("json", "text|json", "config_log"), False)

    @property
    def server_data(self) -> Path:
        """The folder for the inputs and results of a server."""
        return self.data or Path("data")

    @property
    def limits(self) -> Limits:
        """Upload limits of the page."""
        return Limits(self.max_pixels or Limits.pixels, self.max_bytes or Limits.bytes)


def read_config(environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration from `environment`, by default of the process. Raises SettingsError.

    Logs a warning about unknown variables.
    """
    given = {name: text.strip() for name, text in environment.items()}
    values: dict[str, Any] = {}
    host = given.get("SPACE_HOST", "").lower()
    if host:
        values = {"public_host": host, "frame_ancestors": _SPACE_ANCESTORS}
    for one in fields(Config):
        name = one.metadata["variable"]
        if given.get(name):
            values[one.name] = one.metadata["parse"](name, given[name])
    for name, text in given.items():
        if name.startswith("ENHANCE_C2PA_") and text:
            raise SettingsError("config_c2pa", variable=name)
    log_unknown_variables(given)
    return Config(**values)


def log_unknown_variables(environment: Iterable[str]) -> None:
    """Log a warning about each name that begins with ENHANCE_ but is not used by the program."""
    known = {one.metadata["variable"] for one in fields(Config)} | _OTHER_VARIABLES
    for name in sorted(environment):
        if name.startswith("ENHANCE_") and name not in known:
            log.warning("The environment variable %s is unknown and has no effect", name)


def version() -> str:
    """Return the version of the checkout or of the installed package."""
    checkout = Path(__file__).parents[1] / "pyproject.toml"
    if checkout.is_file():
        (found,) = re.findall(r'^version = "(.+)"$', checkout.read_text("utf-8"), re.MULTILINE)
        return found
    return metadata.version("enhance-photos")


def terminal_language() -> str:
    """Return the supported language that matches the locale of the terminal."""
    return (
        match_language(os.environ.get("LC_ALL") or os.environ.get("LANG") or "") or DEFAULT_LANGUAGE
    )
