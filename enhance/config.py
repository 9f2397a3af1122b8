"""The configuration from environment variables, read and validated in one place.

`enhance.models` reads the variables for the weights folder and for downloads itself.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

from .errors import PictureError, SettingsError
from .i18n import DEFAULT_LANGUAGE, match_language

log = logging.getLogger(__name__)

_OTHER_VARIABLES = {"ENHANCE_WEIGHTS", "ENHANCE_RELEASES", "ENHANCE_SHARDS"}
"""Variables that `enhance.models` and `enhance.images` read."""
_MAX_PORT = 65_535
_MIN_KEY_LENGTH = 16
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_ANCESTORS = re.compile(r"('self'|'none'|https?://[a-z0-9.*:-]+)( +('self'|https?://[a-z0-9.*:-]+))*")
_SWITCH = re.compile("[01]")
_LOG = re.compile("text|json")
_SPACE_ANCESTORS = "'self' https://huggingface.co https://*.hf.space"


@dataclass(frozen=True)
class Limits:
    """Upload limits of the page.

    `pixels` and `bytes` apply to one image, `files` and `batch_bytes` to one request, `request_bytes` to the JSON of an
    event.
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


@dataclass(frozen=True)
class Config:
    """The validated environment variables. The defaults are those of an empty environment.

    - `data`: folder for inputs and results. `device`: a PyTorch device or "auto".
    - `max_pixels`, `max_bytes`: limits of one image. None selects the limits of the command line (400 million px) or of
      the page (100 million px, 200 MB).
    - `hours`: retention period. `max_disk`: maximum bytes of all inputs and results, None for no limit.
    - `api_keys`: keys of programs for the plain HTTP API. `queue`: maximum number of waiting runs.
    - `page_folder`: GRADIO_TEMP_DIR. `public_host`: host name in browsers. `frame_ancestors`: sites that can embed the
      page. Spaces set the last two.
    - `c2pa_certificate`, `c2pa_key`: PEM files with which output files are signed. Both or none are given.
    - `metrics`: whether to serve counters. `zero_gpu`: whether a Space provides a GPU for one call at a time.
    - `json_log`: whether lines of the log are JSON. `agents`: whether the endpoints are tools of agents (MCP).
    """

    data: Path = Path("data")
    device: str = "auto"
    max_pixels: int | None = None
    max_bytes: int | None = None
    hours: float = 24.0
    max_disk: int | None = None
    auth: tuple[str, str] | None = None
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    queue: int = 20
    host: str | None = None
    port: int = 7860
    page_folder: Path | None = None
    public_host: str | None = None
    frame_ancestors: str = "'self'"
    metrics: bool = False
    zero_gpu: bool = False
    json_log: bool = False
    agents: bool = False
    c2pa_certificate: Path | None = None
    c2pa_key: Path | None = None

    @property
    def limits(self) -> Limits:
        """Upload limits of the page."""
        default = Limits()
        return Limits(self.max_pixels or default.pixels, self.max_bytes or default.bytes)


def read_config(environment: Mapping[str, str] | None = None) -> Config:
    """Return the configuration from `environment`, by default that of the process. Raises SettingsError.

    Logs a warning about variables with unknown ENHANCE_ names.
    """
    variables = _Variables(os.environ if environment is None else environment)
    default = Config()
    config = Config(
        data=variables.folder("ENHANCE_DATA") or default.data,
        device=variables.matching("ENHANCE_DEVICE", _DEVICE, "config_device") or default.device,
        max_pixels=variables.whole_number("ENHANCE_MAX_PIXELS"),
        max_bytes=variables.whole_number("ENHANCE_MAX_BYTES"),
        hours=variables.number("ENHANCE_RETENTION_HOURS") or default.hours,
        max_disk=variables.whole_number("ENHANCE_MAX_DISK"),
        auth=_parse_auth(variables.text("ENHANCE_AUTH")),
        api_keys=_parse_keys(variables.text("ENHANCE_API_KEYS")),
        queue=variables.whole_number("ENHANCE_QUEUE") or default.queue,
        host=variables.text("GRADIO_SERVER_NAME") or None,
        port=variables.whole_number("GRADIO_SERVER_PORT", "config_port", _MAX_PORT) or default.port,
        page_folder=variables.folder("GRADIO_TEMP_DIR"),
        public_host=variables.matching("ENHANCE_PUBLIC_HOST", _HOST, "config_host")
        or variables.text("SPACE_HOST").lower()
        or None,
        frame_ancestors=variables.matching("ENHANCE_FRAME_ANCESTORS", _ANCESTORS, "config_frames")
        or (_SPACE_ANCESTORS if variables.text("SPACE_HOST") else default.frame_ancestors),
        metrics=variables.matching("ENHANCE_METRICS", _SWITCH, "config_switch") == "1",
        agents=variables.text("GRADIO_MCP_SERVER").lower() == "true",  # as Gradio does
        json_log=variables.matching("ENHANCE_LOG", _LOG, "config_log") == "json",
        zero_gpu=variables.text("SPACES_ZERO_GPU").lower() in ("1", "t", "true"),  # as the package `spaces` does
        c2pa_certificate=variables.file("ENHANCE_C2PA_CERT"),
        c2pa_key=variables.file("ENHANCE_C2PA_KEY"),
    )
    unknown = {name for name in variables.values if name.startswith("ENHANCE_")} - variables.names - _OTHER_VARIABLES
    for name in sorted(unknown):
        log.warning("The environment variable %s is unknown and has no effect", name)
    return config


@cache
def version() -> str:
    """Return the version of the checkout or of the installed package."""
    checkout = Path(__file__).parents[1] / "pyproject.toml"
    if checkout.is_file():
        (found,) = re.findall(r'^version = "(.+)"$', checkout.read_text("utf-8"), re.MULTILINE)
        return found
    return metadata.version("enhance-photos")


def terminal_language(environment: Mapping[str, str] | None = None) -> str:
    """Return the supported language that matches the locale of the terminal."""
    variables = _Variables(os.environ if environment is None else environment)
    return match_language(variables.text("LC_ALL") or variables.text("LANG")) or DEFAULT_LANGUAGE


@dataclass(frozen=True)
class _Variables:
    values: Mapping[str, str]
    names: set[str] = field(default_factory=set)
    """The variables that were read."""

    def text(self, name: str) -> str:
        self.names.add(name)
        return self.values.get(name, "").strip()

    def folder(self, name: str) -> Path | None:
        """Return the path of a folder, which need not exist; None if the variable is not set."""
        path = Path(self.text(name)) if self.text(name) else None
        if path is not None and path.exists() and not path.is_dir():
            raise SettingsError("config_folder", variable=name, value=path)
        return path

    def file(self, name: str) -> Path | None:
        """Return the path of an existing file; None if the variable is not set."""
        path = Path(self.text(name)) if self.text(name) else None
        if path is not None and not path.is_file():
            raise SettingsError("config_file", variable=name, value=path)
        return path

    def matching(self, name: str, pattern: re.Pattern[str], key: str) -> str:
        """Return the text in lower case if it matches `pattern`; empty if the variable is not set."""
        text = self.text(name).lower()
        if text and not pattern.fullmatch(text):
            raise SettingsError(key, variable=name, value=text)
        return text

    def number(self, name: str, key: str = "config_number") -> float | None:
        """Return a number above 0; None if the variable is not set."""
        text = self.text(name)
        if not text:
            return None
        with suppress(ValueError):
            if 0 < (number := float(text)) < float("inf"):
                return number
        raise SettingsError(key, variable=name, value=text)

    def whole_number(self, name: str, key: str = "config_whole_number", largest: float = float("inf")) -> int | None:
        """Return a whole number from 1 to `largest`, also written as 1e8 or 100_000_000; None if not set."""
        number = self.number(name, key)
        if number is None:
            return None
        if number != int(number) or number > largest:
            raise SettingsError(key, variable=name, value=self.text(name))
        return int(number)


def _parse_keys(text: str) -> tuple[str, ...]:
    keys = tuple(key for key in re.split(r"[,\s]+", text) if key)
    if any(len(key) < _MIN_KEY_LENGTH or not key.isascii() for key in keys):
        raise SettingsError("config_keys", length=_MIN_KEY_LENGTH)
    return keys


def _parse_auth(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise SettingsError("config_auth")
    return user, password
