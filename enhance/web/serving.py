"""How the page is served and looks: address, limits, folders, log, theme, and the few lines that run in the browser."""

from __future__ import annotations

import json
import math
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import themes
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..config import Config, Limits
from ..enhancer import Enhancer
from ..errors import EnhanceError
from ..i18n import LANGUAGES, PixelCount, section, translate
from ..store import TaskStore
from .guard import API, Guard, Refused, RequestChecks, path_of
from .metrics import METRICS, Metrics, asked_from_here, healthz
from .params import LanguageOfLinks
from .session import MOST_VISITORS
from .storage import PageFolder
from .templates import EXAMPLES_OF_PRESETS

_HERE = Path(__file__).parent
_FONTS = (
    *("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "PingFang SC", "Microsoft YaHei"),
    *("Noto Sans CJK SC", "Noto Sans", "sans-serif"),
)
_MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "Menlo", "Consolas", "monospace")

_CSS = (_HERE / "style.css").read_text(encoding="utf-8")
_SCRIPTS = ("page.js", "words.js", "stage.js", "history.js")
_SCRIPT = "\n".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
_SAID_BY_THE_BROWSER = (
    *("before", "after", "handle", "zoom", "zoom_fit", "zoom_out", "zoom_in"),
    *("upload", "batch_files", "example_astronaut", "example_cat", "example_coffee", "more_tabs", "about_this_page"),
    *("close", "fullscreen", "note_failed", "note_info", "note_warning", "connection_lost", "upload_failed"),
    *("server_changed", "load_anew"),
)
"""Gradio's own parts among it, where its front end has no words or English ones only."""
_KNOWN_ADDRESSES = 1000
_SESSIONS = MOST_VISITORS
"""Gradio copies its parts for each page and call of the API, 0.2 MB and more; a copy that is gone is made anew."""
_THREADS = 60
"""For everything but the runs that wait, each of which holds a thread."""

_OPEN = {"/", "/login", "/healthz", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"} | {
    f"/gradio_api/{name}" for name in ("startup-events", "login_check", "theme.css")
}
_OPEN_FOLDERS = ("/assets/", "/static/", "/svelte/", "/pwa_icon")
"""With these the login page is whole; Gradio asks for startup-events itself."""


def page_folder(config: Config, enhancer: Enhancer) -> PageFolder:
    """The folder for uploads and for pictures on their way to a browser; Gradio's own too, unless that is set.

    What an earlier server left there goes. Raises StorageError.
    """
    root = (config.page_folder or enhancer.tasks.folder / "page").absolute()
    os.environ["GRADIO_TEMP_DIR"] = str(root)
    folder = PageFolder(root, config.hours, shared=config.page_folder is not None)
    folder.sweep()
    return folder


def launch_options(config: Config, metrics: Metrics | None = None, tasks: TaskStore | None = None) -> dict[str, Any]:
    """The arguments of `Blocks.launch` beside those that the environment gives Gradio itself.

    `metrics` are those of the app; they are served where they count. Uploads share the disk space of `tasks`.
    """
    limits, metrics = config.limits, metrics or Metrics()
    tasks = tasks or TaskStore(config.data)
    routes = [Route("/healthz", healthz, methods=["GET", "HEAD"])]
    routes += [Route(f"/presets/{path.name}", _picture(path)) for path in EXAMPLES_OF_PRESETS.glob("*.jpg")]
    if metrics.counts:
        routes.append(Route(METRICS, metrics.show))
    return {
        "server_name": config.host,
        "server_port": config.port,
        "auth": config.auth,
        "theme": _theme(),
        "css": _CSS,
        "head": _head(limits),
        "i18n": page_texts(limits),
        "footer_links": ["api", "settings"],
        "max_file_size": limits.bytes,
        "state_session_capacity": _SESSIONS,
        "max_threads": _THREADS + config.queue,
        "strict_cors": True,
        "show_error": False,
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "app_kwargs": {
            "middleware": [
                Middleware(SafeHeaders, config.frame_ancestors),
                Middleware(Guard, metrics, config.public_host),
                Middleware(Login),
                Middleware(RequestChecks, limits, tasks),
                Middleware(LanguageOfLinks),
            ],
            "routes": routes,
        },
    }


_POLICIES = {
    "page": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' blob: data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'",
    "file": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}
"""Gradio's front end makes functions of the texts that `js=` gives, and writes scripts and styles into its page."""


class SafeHeaders:
    """Middleware that tells the browser what the page may do and who may frame it; a visitor's file may do nothing."""

    def __init__(self, app: ASGIApp, frame_ancestors: str):
        self._app = app
        self._policies = {kind: f"{policy}; frame-ancestors {frame_ancestors}" for kind, policy in _POLICIES.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        of_file = scope["type"] == "http" and path_of(scope).startswith((f"{API}/file", f"{API}/stream"))
        policy = self._policies["file" if of_file else "page"]

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = {"content-security-policy": policy, "x-content-type-options": "nosniff"}
                MutableHeaders(scope=message).update(told | {"referrer-policy": "same-origin"})
            await send(message)

        await self._app(scope, receive, with_headers)


def _head(limits: Limits) -> str:
    """The lines that run in the browser, with the words that they say."""
    words = {
        language: {key: translate(language, key).replace("**", "") for key in _SAID_BY_THE_BROWSER}
        for language in LANGUAGES
    }
    for language, said in words.items():
        said["too_large"] = translate(language, "upload_file_too_large", limit=f"{limits.bytes / 1e6:g}")
    return f"<script>window.enhanceWords = {json.dumps(words)};\n{_SCRIPT}</script>"


def page_texts(limits: Limits) -> gr.I18n:
    """The texts that the browser translates by itself, made whole where the page needs more than one at a place."""
    texts = {
        language: _composed(language, {**section(language, "page"), **section(language, "names")}, limits)
        for language in LANGUAGES
    }
    return gr.I18n(**texts, zh=texts["zh-CN"])


def _composed(language: str, words: dict[str, str], limits: Limits) -> dict[str, str]:
    composed = dict(words)
    megabytes = f"{limits.bytes / 1e6:,.0f}"
    composed["upload_hint"] = translate(language, "upload_hint", pixels=PixelCount(limits.pixels), megabytes=megabytes)
    composed["welcome"] = f"## {words['welcome_head']}\n{words['welcome_text']}"
    for step in ("preset", "batch"):
        composed[f"{step}_title"] = f"## {words[step]}"
    return composed


def _theme() -> themes.Base:
    """Calm greys and one colour; no font is fetched from anywhere."""
    return themes.Base(
        primary_hue=themes.colors.teal,
        neutral_hue=themes.colors.stone,
        radius_size=themes.sizes.radius_lg,
        spacing_size=themes.sizes.spacing_lg,
        font=_FONTS,
        font_mono=_MONO,
    ).set(
        body_background_fill="#f6f5f2",
        body_background_fill_dark="#141312",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1f1d1b",
        body_text_color_subdued="#6b655f",
        body_text_color_subdued_dark="#a9a29a",
        block_info_text_color="#6b655f",
        block_info_text_color_dark="#a9a29a",
        border_color_primary="#e2dfd9",
        border_color_primary_dark="#383430",
        block_border_width="0px",
        block_shadow="none",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_dark="#0f766e",
        button_primary_background_fill_hover_dark="#115e59",
        button_primary_text_color="#ffffff",
        slider_color="#0f766e",
        slider_color_dark="#2dd4bf",
        checkbox_background_color_selected="#0f766e",
        checkbox_background_color_selected_dark="#0d9488",
    )


class Login:
    """Middleware around Gradio's login: without one nothing but its page is served, and guessing is slow.

    In `seconds` an address has `tries` wrong passwords, and all where nobody ever logged in have `together`; so who has
    many addresses guesses slowly too, and cannot lock out the user, who comes from one that is known or sits at this
    machine. A session ends by a POST to /logout, that one only. The counts are for who is logged in, and for programs
    of this machine.
    """

    def __init__(self, app: ASGIApp, tries: int = 5, together: int = 30, seconds: float = 60):
        self._app, self._tries, self._together, self._seconds = app, tries, together, seconds
        self._wrong: dict[str, list[float]] = {}
        self._known: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gradio = scope.get("app")
        if scope["type"] != "http" or getattr(gradio, "auth", None) is None:
            await self._app(scope, receive, send)
            return
        path = path_of(scope)
        if path == "/logout":
            if scope["method"] != "POST":
                raise Refused(405, EnhanceError("logout_is_post"))
            scope = {**scope, "method": "GET", "query_string": b"all_session=false"}
        elif path == "/login":
            await self._try(scope, receive, send)
            return
        elif not (_is_open(path, scope) or _is_known(gradio, scope)):
            raise Refused(401, EnhanceError("login_first"))
        await self._app(scope, receive, send)

    async def _try(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One try to log in. Raises Refused after too many wrong ones."""
        address, now = str((scope.get("client") or [""])[0]), time.monotonic()
        for name, times in list(self._wrong.items()):
            times[:] = [one for one in times if now - one < self._seconds]
            if not times:
                del self._wrong[name]
        wrong = self._wrong.setdefault(address, [])
        self._check(wrong, self._tries, "login_too_often", now)
        if address not in self._known and not asked_from_here(scope):
            strange = [one for name, times in self._wrong.items() if name not in self._known for one in times]
            self._check(sorted(strange), self._together, "login_too_often_together", now)
        wrong.append(now)  # counted before the answer: many tries at once are many

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] < 400:
                    wrong.remove(now)
                    self._remember(address)
                cookies = [
                    (name, _kept_near(value, scope["scheme"]) if name.lower() == b"set-cookie" else value)
                    for name, value in message["headers"]
                ]
                message = {**message, "headers": cookies}
            await send(message)

        await self._app(scope, receive, answered)

    def _check(self, wrong: list[float], most: int, key: str, now: float) -> None:
        if len(wrong) >= most:
            raise Refused(429, EnhanceError(key, seconds=math.ceil(wrong[-most] + self._seconds - now)))

    def _remember(self, address: str) -> None:
        self._known[address] = None
        self._known.move_to_end(address)
        if len(self._known) > _KNOWN_ADDRESSES:
            self._known.popitem(last=False)


def _is_open(path: str, scope: Scope) -> bool:
    """Whether it is there without a login."""
    return path in _OPEN or path.startswith(_OPEN_FOLDERS) or (path == METRICS and asked_from_here(scope))


def _is_known(gradio: Any, scope: Scope) -> bool:
    cookies = Request(scope).cookies
    names = (f"access-token-{gradio.cookie_id}", f"access-token-unsecure-{gradio.cookie_id}")
    return any(cookies.get(name) in gradio.tokens for name in names)


def _kept_near(cookie: bytes, scheme: str) -> bytes:
    """The cookie for this site alone, for no script, and for TLS alone where the request came by it."""
    parts = [part.strip() for part in cookie.split(b";")]
    kept = [part for part in parts if not part.lower().startswith((b"samesite", b"secure", b"httponly"))]
    return b"; ".join([*kept, b"HttpOnly", b"SameSite=Lax", *([b"Secure"] if scheme == "https" else [])])


def _picture(path: Path) -> Callable[[Request], Awaitable[FileResponse]]:
    async def answer(_: Request) -> FileResponse:
        return FileResponse(path, headers={"cache-control": "max-age=86400"})

    return answer
