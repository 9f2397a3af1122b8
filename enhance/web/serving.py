"""How the page is served: address, limits, folders, log, and what may be fetched."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ..enhancer import Enhancer
from ..errors import SettingsError
from ..settings import Settings
from .language import LanguageOfLinks, page_texts
from .limits import Limits
from .style import CSS, HEAD, theme

log = logging.getLogger(__name__)

PORT = 7860
_WARM_AFTER_SECONDS = 2.0


def page_folder(enhancer: Enhancer) -> Path:
    """The folder for uploads and for pictures on their way to a browser; Gradio's own too, unless that is set."""
    folder = Path(os.environ.setdefault("GRADIO_TEMP_DIR", str(enhancer.tasks.folder / "page")))
    return folder.absolute()


def sweep_page_folder(folder: Path, hours: float) -> None:
    """Remove what an earlier server left there."""
    oldest = time.time() - hours * 3600
    for left in folder.glob("*"):
        try:
            if left.lstat().st_mtime < oldest:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        except OSError as error:
            log.info("%s stays: %s", left, error)


def launch_options(limits: Limits) -> dict[str, Any]:
    """The arguments of `Blocks.launch` beside those that the environment gives Gradio itself."""
    return {
        "server_name": os.environ.get("GRADIO_SERVER_NAME"),
        "server_port": _port(),
        "auth": _auth(),
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


def _port() -> int:
    text = os.environ.get("GRADIO_SERVER_PORT", "").strip() or str(PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise SettingsError(f"GRADIO_SERVER_PORT is “{text}”: set it to a port from 1 to 65535.")
    return int(text)


def _auth() -> tuple[str, str] | None:
    text = os.environ.get("ENHANCE_AUTH", "")
    if not text:
        return None
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise SettingsError("ENHANCE_AUTH is not of the form user:password; set it so, or leave it empty.")
    return user, password


async def _healthz(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")
