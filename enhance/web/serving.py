"""How the page is served and looks: address, limits, folders, log, theme, and the few lines that run in the browser."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

from gradio import themes
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ..config import Config
from ..enhancer import Enhancer
from ..settings import Settings
from ..texts import LANGUAGES, say
from .guard import Guard
from .language import LanguageOfLinks, page_texts
from .page_files import PageFolder, limits_of

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_FONTS = (
    "ui-sans-serif",
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Sans CJK SC",
    "Noto Sans",
    "sans-serif",
)
_MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "Menlo", "Consolas", "monospace")

_CSS = (_HERE / "style.css").read_text(encoding="utf-8")
_SCRIPT = (_HERE / "page.js").read_text(encoding="utf-8")
SHOW_RESULT = "() => window.enhanceShowResult()"
FETCH_REPORT = "() => window.enhanceFetchReport()"
COPY_LINK = "(preset) => window.enhanceCopyLink(preset)"

_WARM_AFTER_SECONDS = 2.0
_THREADS = 60
"""For everything but the runs that wait, each of which holds a thread."""


def page_folder(config: Config, enhancer: Enhancer) -> PageFolder:
    """The folder for uploads and for pictures on their way to a browser; Gradio's own too, unless that is set.

    What an earlier server left there goes. Raises StorageError.
    """
    root = (config.page_folder or enhancer.tasks.folder / "page").absolute()
    os.environ["GRADIO_TEMP_DIR"] = str(root)
    folder = PageFolder(root, config.hours, shared=config.page_folder is not None)
    folder.sweep()
    return folder


def launch_options(config: Config) -> dict[str, Any]:
    """The arguments of `Blocks.launch` beside those that the environment gives Gradio itself."""
    limits = limits_of(config)
    return {
        "server_name": config.host,
        "server_port": config.port,
        "auth": config.auth,
        "theme": _theme(),
        "css": _CSS,
        "head": _head(),
        "i18n": page_texts(limits),
        "footer_links": ["api", "settings"],
        "max_file_size": limits.bytes,
        "max_threads": _THREADS + config.queue,
        "strict_cors": True,
        "show_error": False,
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "app_kwargs": {
            "middleware": [
                Middleware(
                    Guard,
                    limits=limits,
                    public_host=config.public_host,
                    frame_ancestors=config.frame_ancestors,
                ),
                Middleware(LanguageOfLinks),
            ],
            "routes": [Route("/healthz", _healthz, methods=["GET", "HEAD"])],
        },
    }


def quiet_logs() -> None:
    """One line for what matters; no line for every request of the libraries."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in (
        "httpx",
        "httpcore",
        "uvicorn.access",
        "PIL",
        "asyncio",
        "fontTools",
        "fpdf",
        "huggingface_hub",
        "filelock",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)


def warm_up(enhancer: Enhancer) -> threading.Timer:
    """Load PyTorch and measure the device in the background, a moment after the page is there."""

    def load() -> None:
        try:
            enhancer.estimate(512, 512, Settings())
        except Exception as error:  # the first picture tells the visitor
            log.warning("The engine is not ready: %s", error)

    timer = threading.Timer(_WARM_AFTER_SECONDS, load)
    timer.daemon = True
    timer.start()
    return timer


def _head() -> str:
    """The lines that run in the browser, with the two words that they say."""
    words = {language: [say(language, "before"), say(language, "after")] for language in LANGUAGES}
    return f"<script>window.enhanceWords = {json.dumps(words)};\n{_SCRIPT}</script>"


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
        button_primary_background_fill_dark="#0d9488",
        button_primary_background_fill_hover_dark="#14b8a6",
        button_primary_text_color="#ffffff",
        slider_color="#0f766e",
        slider_color_dark="#2dd4bf",
        checkbox_background_color_selected="#0f766e",
        checkbox_background_color_selected_dark="#0d9488",
    )


async def _healthz(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")
