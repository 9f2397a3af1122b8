"""How the page is served: address, limits, folders, log, and what may be fetched."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ..config import Config
from ..enhancer import Enhancer
from ..settings import Settings
from .language import LanguageOfLinks, page_texts
from .limits import limits_of
from .outbox import PageFolder
from .style import CSS, HEAD, theme

log = logging.getLogger(__name__)

_WARM_AFTER_SECONDS = 2.0


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
        "theme": theme(),
        "css": CSS,
        "head": HEAD,
        "i18n": page_texts(limits),
        "footer_links": ["api", "settings"],
        "max_file_size": limits.bytes,
        "strict_cors": True,
        "show_error": True,
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "app_kwargs": {
            "middleware": [Middleware(LanguageOfLinks)],
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


async def _healthz(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")
