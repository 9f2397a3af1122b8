"""The app: the page, the endpoints and the options of its launch."""

from __future__ import annotations

import os
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route

from ..enhancer import Enhancer
from ..jobs.threads import CLEAN_SECONDS, SWEEP_SECONDS, call_regularly
from .api import add_endpoints
from .calls import API
from .gradio_changes import add_page_head, change_gradio
from .http_api import HTTP_ROUTES
from .metrics import METRICS, healthz
from .page.assets import assets_route, language_script, page_head
from .page.layout import build_page, page_texts
from .page.theme import page_theme
from .regions import regions_route
from .security import Security
from .services import SERVICES, Services, services_of
from .storage import MARK_SECONDS

_NO_STATISTICS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
}
"""Gradio sends nothing, and does not sum up all events after each one for a route that is
closed."""
_TRIM_SECONDS = 60
_THREADS = 60
"""Threads for everything but the waiting runs, each of which needs another one."""
_MAX_EVENTS = 1000
"""Far above what the app's own queue admits: a full queue rejects runs, but no plan and no
preview."""
_MAX_SESSIONS = 200
"""The number of sessions whose state Gradio keeps. Each page and each call is a session."""


def build(enhancer: Enhancer) -> gr.Blocks:
    """Return the whole app, not yet launched. Imports no PyTorch."""
    change_gradio()
    add_page_head(lambda scope: page_head(services_of(scope).enhancer.config), language_script)
    for name, value in _NO_STATISTICS.items():
        os.environ.setdefault(name, value)
    config = enhancer.config
    tasks = enhancer.tasks
    enhancer.max_pixels = config.limits.pixels
    enhancer.max_bytes = config.limits.bytes
    services = Services(enhancer)
    services.metrics.watch(enhancer.status, tasks.folder)
    # Without `delete_cache`: at its end, the server would delete the uploads that pages still show.
    with gr.Blocks(title="Enhance", analytics_enabled=False) as demo:
        build_page(demo)
    # On a page of their own, the endpoints are not part of what a browser loads.
    with demo.route("API", "endpoints", show_in_navbar=False):
        add_endpoints(services)
    SERVICES[demo] = services
    interval = CLEAN_SECONDS if config.max_disk is None else _TRIM_SECONDS
    previews = services.previews
    call_regularly(
        SWEEP_SECONDS, previews.images.sweep, previews.kept.sweep, enhancer.release_if_idle
    )
    call_regularly(MARK_SECONDS, services.downloads.mark_used)
    call_regularly(interval, tasks.clean)
    demo.queue(max_size=_MAX_EVENTS, default_concurrency_limit=8, api_open=False)
    return demo


def launch_options(demo: gr.Blocks) -> dict[str, Any]:
    """Return the arguments of `Blocks.launch`, apart from those that Gradio reads from the
    environment."""
    services = SERVICES[demo]
    config = services.enhancer.config
    routes: list[BaseRoute] = [
        assets_route(config),
        regions_route(),
        *HTTP_ROUTES,
        Route("/healthz", healthz, methods=["GET", "HEAD"]),
    ]
    if config.agents:
        from .agents import (
            serve_http,
        )  # Only a server with agents spends the time to import the package mcp.

        routes.append(Mount(f"{API}/mcp", serve_http))
    if config.metrics:
        routes.append(Route(METRICS, services.metrics.show))
    return {
        "server_name": config.host,
        "server_port": config.port,
        "auth": config.auth,
        "theme": page_theme(),
        "i18n": page_texts(),
        "footer_links": ["api"],
        "max_file_size": config.limits.bytes,
        "state_session_capacity": _MAX_SESSIONS,
        "max_threads": _THREADS + config.queue,
        "strict_cors": True,
        "show_error": False,
        "run_history": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        # Gradio's own lines about the address are not JSON.
        "quiet": config.json_log,
        # Otherwise Gradio requests its own page, and ends the server if that takes 3 s, as on a
        # busy machine.
        "_frontend": False,
        "app_kwargs": {
            "middleware": [Middleware(Security, services)],
            "routes": routes,
        },
    }
