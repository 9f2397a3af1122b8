"""`enhance app` and `enhance mcp`: serve the page, or tools for agents."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from ..config import read_config

if TYPE_CHECKING:
    from ..enhancer import Enhancer


def app(options: Namespace) -> int:
    """Serve the page until it is stopped."""
    enhancer = _server_enhancer()
    enhancer.tasks.check()
    from ..web import serve

    serve(enhancer, share=options.share)
    return 0


def mcp(_: Namespace) -> int:
    """Serve agents until standard input ends."""
    from ..web import serve_agents

    serve_agents(_server_enhancer())
    return 0


def _server_enhancer() -> Enhancer:
    """Return an enhancer with a data folder."""
    from ..enhancer import Enhancer

    config = read_config()
    return Enhancer(data=config.server_data, config=config)
