"""The static files of the page, at addresses that contain a checksum of all of them."""

from __future__ import annotations

import hashlib
import json
import mimetypes
from base64 import b64encode
from dataclasses import asdict
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...config import Config
from ...formats.encoding import BACKGROUNDS, FORMATS
from ...i18n import LANGUAGES, load_language
from ...json_object import JsonObject
from ...metadata import CHOICES
from ...restore.fidelity import GRADES
from ...settings import NEUTRAL, PAPERS, PRESETS, RANGES
from ..params import LIMITS, SLIDER_STEP, SLIDER_STEPS

_FOLDER = Path(__file__).parent
_EXAMPLES = _FOLDER.parent / "examples"
_IMMUTABLE = "public, max-age=31536000, immutable"
_LANGUAGE = "language"
"""The script that is part of the page itself, because it runs before all others."""


@cache  # For the process, because the files of a configuration never change.
def page_files(config: Config) -> dict[str, bytes]:
    """Return the content of each file by its name. All scripts are one file, and so are all
    styles."""
    styles = [path.read_bytes() for path in sorted((_FOLDER / "styles").glob("*.css"))]
    files = {"page.js": _scripts(config).encode(), "page.css": b"\n".join(styles)}
    for path in sorted(_EXAMPLES.glob("*.jpg")):
        files[f"examples/{path.name}"] = path.read_bytes()
    return files


def _scripts(config: Config) -> str:
    """Return the modules, with the texts and the constants that they need."""
    paths = sorted((_FOLDER / "scripts").glob("*.js"))
    modules = {path.stem: path.read_text("utf-8") for path in paths}
    del modules[_LANGUAGE]
    lines = [
        f"window.enhanceData = {json.dumps(_constants(config), ensure_ascii=False)};",
        f"window.enhanceModules = {json.dumps(modules, ensure_ascii=False)};",
        (_FOLDER / "loader.js").read_text("utf-8"),
    ]
    return "\n".join(lines)


def _constants(config: Config) -> JsonObject:
    formats = {
        name: {
            "name": form.name,
            "bits": form.bits,
            "alpha": form.alpha,
            "quality": form.takes_quality,
        }
        for name, form in FORMATS.items()
    }
    return {
        "texts": {one: load_language(one).texts for one in LANGUAGES},
        "papers": PAPERS,
        "formats": formats,
        "ranges": {name: _range(name) for name in (*RANGES, "quality")},
        "grades": GRADES,
        "presets": [*PRESETS],
        "backgrounds": [*BACKGROUNDS],
        "metadata": [*CHOICES],
        "cards": {path.stem: _card(path) for path in sorted(_EXAMPLES.glob("cards/*.webp"))},
        "retentionHours": config.hours,
        "limits": asdict(config.limits),
        "languages": {one: load_language(one).name for one in LANGUAGES},
        "commas": {one: load_language(one).comma for one in LANGUAGES},
        "pixelUnits": {one: load_language(one).pixel_units for one in LANGUAGES},
    }


def _card(path: Path) -> str:
    """Return the picture of an example as an address that contains it, which saves a request."""
    return f"data:image/webp;base64,{b64encode(path.read_bytes()).decode()}"


def _range(name: str) -> JsonObject:
    low, high = LIMITS[name]
    step = SLIDER_STEPS.get(name, SLIDER_STEP)
    return {"low": low, "high": high, "step": step, "neutral": NEUTRAL.get(name)}


@cache  # For the process, as `page_files`.
def _version(config: Config) -> str:
    """Return the checksum of all files, which is a part of their addresses."""
    files = repr(page_files(config))
    return hashlib.sha256(files.encode()).hexdigest()[:16]


def page_head(config: Config) -> str:
    """Return the tags of the styles and scripts, for the head of the page."""
    folder = f"./assets/{_version(config)}"
    return (
        f'{language_script()}<script>window.enhanceAssets = "{folder}";</script>'
        f'<link rel="stylesheet" href="{folder}/page.css"><script defer '
        f'src="{folder}/page.js"></script>'
    )


def language_script() -> str:
    """Return the script that sets the language and the theme, which the page of the login needs
    too."""
    return f"<script>\n{(_FOLDER / 'scripts' / f'{_LANGUAGE}.js').read_text('utf-8')}</script>"


def assets_route(config: Config) -> Route:
    """Return the route of the files, which browsers keep for a year."""

    def send(request: Request) -> Response:
        content = page_files(config).get(request.path_params["name"])
        if content is None or request.path_params["version"] != _version(config):
            raise HTTPException(404)
        kind, _ = mimetypes.guess_type(request.path_params["name"])
        return Response(content, media_type=kind, headers={"cache-control": _IMMUTABLE})

    return Route("/assets/{version}/{name:path}", send, methods=["GET", "HEAD"])
