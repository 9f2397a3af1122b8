"""The static files of the page, at addresses that contain a checksum of all of them."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...config import Config
from ...i18n import LANGUAGES, catalogue, pixel_units
from ...images.metadata import CHOICES
from ...output.fidelity import GRADES
from ...output.formats import BACKGROUNDS, FORMATS
from ...settings import NEUTRAL, PAPERS, PRESETS, RANGES

_FOLDER = Path(__file__).parent
_EXAMPLES = _FOLDER.parent / "examples"
_WORD = re.compile(r"\bword\(\s*\"(\w+)\"")
_NAME = re.compile(r"\bnameOf\(\s*\"(\w+)\"")
_IMMUTABLE = "public, max-age=31536000, immutable"
_DATA = "data.js"
_LANGUAGE = "language.js"
"""The script that is part of the page itself, because it runs before all others."""
_STEPS = {"contrast": 0.01, "tile": 64, "reduce": 1, "quality": 1}
_STEP = 0.05
_WITHOUT_QUALITY = ("png", "tiff")


@cache
def page_files(config: Config) -> dict[str, bytes]:
    """Return the content of each file by its name, for example `scripts/main.js`."""
    files = {}
    for folder, pattern in (("scripts", "*.js"), ("styles", "*.css")):
        for path in sorted((_FOLDER / folder).glob(pattern)):
            if path.name != _LANGUAGE:
                files[f"{folder}/{path.name}"] = path.read_bytes()
    for path in sorted(_EXAMPLES.rglob("*.jpg")):
        files[f"examples/{path.relative_to(_EXAMPLES).as_posix()}"] = path.read_bytes()
    return files | {_DATA: _data(files, config)}


def _data(files: dict[str, bytes], config: Config) -> bytes:
    """Return a script with the texts that the scripts use, and with the constants that they need."""
    scripts = "\n".join(one.decode() for name, one in files.items() if name.endswith(".js"))
    data = {"texts": {one: texts_of(scripts, one) for one in LANGUAGES}, **_constants(config)}
    return f"window.enhanceData = {json.dumps(data, ensure_ascii=False)};\n".encode()


def texts_of(scripts: str, language: str) -> dict[str, str]:
    """Return the texts whose keys, or the beginnings of whose keys, are in the code of scripts."""
    texts = catalogue(language)
    kinds = tuple(f"{kind}_" for kind in _NAME.findall(scripts))
    units = pixel_units(language)
    keys = {*_WORD.findall(scripts), *units, *(key for key in texts if key.startswith(kinds))}
    return {key: texts[key] for key in sorted(keys)}


def _constants(config: Config) -> dict[str, Any]:
    limits = config.limits
    formats = {
        name: {
            "name": form.name,
            "bits": form.bits,
            "alpha": form.alpha,
            "quality": name not in _WITHOUT_QUALITY,
        }
        for name, form in FORMATS.items()
    }
    return {
        "papers": PAPERS,
        "formats": formats,
        "ranges": {name: _range(name) for name in RANGES} | {"quality": _quality()},
        "grades": GRADES,
        "presets": [*PRESETS],
        "backgrounds": [*BACKGROUNDS],
        "metadata": [*CHOICES],
        "retentionHours": config.hours,
        "limits": {
            "pixels": limits.pixels,
            "bytes": limits.bytes,
            "files": limits.files,
            "batch_bytes": limits.batch_bytes,
        },
        "pixelUnits": {language: pixel_units(language) for language in LANGUAGES},
    }


def _range(name: str) -> dict[str, Any]:
    low, high = RANGES[name]
    step = _STEPS.get(name, _STEP)
    return {"low": low, "high": high, "step": step, "neutral": NEUTRAL.get(name)}


def _quality() -> dict[str, Any]:
    return {"low": 1, "high": 100, "step": 1, "neutral": None}


@cache
def _version(config: Config) -> str:
    """Return the checksum of all files, which is a part of their addresses."""
    checksum = hashlib.sha256()
    for name, content in page_files(config).items():
        checksum.update(f"{name} {len(content)} ".encode() + content)
    return checksum.hexdigest()[:16]


def page_head(config: Config) -> str:
    """Return the tags of the styles and scripts, for the head of the page.

    Modules are requested at once, and not only when another module imports them.
    """
    folder, names = f"./assets/{_version(config)}", page_files(config)
    styles = [name for name in names if name.endswith(".css")]
    modules = [name for name in names if name.startswith("scripts/")]
    tags = [language_script()]
    tags += [f'<link rel="stylesheet" href="{folder}/{escape(name)}">' for name in styles]
    tags += [f'<link rel="modulepreload" href="{folder}/{escape(name)}">' for name in modules]
    tags.append(f'<script src="{folder}/{_DATA}"></script>')
    tags.append(f'<script type="module" src="{folder}/scripts/main.js"></script>')
    return "\n".join(tags)


def language_script() -> str:
    """Return the script that sets the language and the theme, which the page of the login needs too."""
    return f"<script>\n{(_FOLDER / 'scripts' / _LANGUAGE).read_text('utf-8')}</script>"


def assets_route(config: Config) -> Route:
    """Return the route of the files, which browsers keep for a year."""

    def send(request: Request) -> Response:
        content = page_files(config).get(request.path_params["name"])
        if content is None or request.path_params["version"] != _version(config):
            raise HTTPException(404)
        kind, _ = mimetypes.guess_type(request.path_params["name"])
        return Response(content, media_type=kind, headers={"cache-control": _IMMUTABLE})

    return Route("/assets/{version}/{name:path}", send, methods=["GET", "HEAD"])
