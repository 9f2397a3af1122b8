"""Options of `Blocks.launch`: address, middleware, routes and limits."""

from __future__ import annotations

from typing import Any

from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route

from ..config import Config
from ..store import TaskStore
from .calls import API
from .display import DISPLAY_ROUTE
from .http_api import HTTP_ROUTES
from .metrics import METRICS, Metrics, healthz
from .security import Login, OriginCheck, RequestChecks, SecurityHeaders
from .session import MAX_SESSIONS
from .theme import page_head, page_texts, page_theme, style_sheet

_THREADS = 60
"""Threads for everything but the waiting runs, each of which needs another one."""


def launch_options(config: Config, metrics: Metrics | None = None, tasks: TaskStore | None = None) -> dict[str, Any]:
    """Return the arguments of `Blocks.launch`, apart from those that Gradio reads from the environment.

    `metrics` are those of the app. Uploads share the disk space of `tasks`.
    """
    limits, metrics = config.limits, metrics or Metrics()
    routes: list[BaseRoute] = [DISPLAY_ROUTE, *HTTP_ROUTES, Route("/healthz", healthz, methods=["GET", "HEAD"])]
    if config.agents:
        from .agents import serve_http  # Requires the package mcp.

        routes.append(Mount(f"{API}/mcp", serve_http))
    if metrics.is_served:
        routes.append(Route(METRICS, metrics.show))
    return {
        "server_name": config.host,
        "server_port": config.port,
        "auth": config.auth,
        "theme": page_theme(),
        "css": style_sheet(),
        "head": page_head(limits),
        "i18n": page_texts(limits),
        "footer_links": ["api"],
        "max_file_size": limits.bytes,
        # Gradio has a state for each page and API session, which holds the components that changed.
        "state_session_capacity": MAX_SESSIONS,
        "max_threads": _THREADS + config.queue,
        "strict_cors": True,
        "show_error": False,
        "run_history": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "app_kwargs": {
            "middleware": [
                Middleware(SecurityHeaders, config.frame_ancestors),
                Middleware(OriginCheck, metrics, config.public_host),
                Middleware(Login, config.api_keys),
                Middleware(RequestChecks, limits, tasks or TaskStore(config.data)),
            ],
            "routes": routes,
        },
    }
