"""`enhance app` and `enhance mcp`: serve the page, or tools for agents."""

from __future__ import annotations

from argparse import Namespace

from ..config import read_config


def app(options: Namespace) -> int:
    """Serve the page until it is stopped."""
    from ..enhancer import Enhancer

    config = read_config()
    enhancer = Enhancer(data=config.server_data, config=config)
    enhancer.tasks.check()
    from ..web import serve

    serve(enhancer, share=options.share)
    return 0


def mcp(_: Namespace) -> int:
    """Serve agents until standard input ends.

    Files are stored in the user's data folder by default, because the working directory belongs to
    the agent and is often not writable.
    """
    from platformdirs import user_data_path

    from ..enhancer import Enhancer
    from ..web import serve_agents

    config = read_config()
    data = config.data or user_data_path("enhance") / "data"
    serve_agents(Enhancer(data=data, config=config))
    return 0
