"""The page and the endpoints put together."""

from __future__ import annotations

import os

import gradio as gr

from ..config import Config
from ..enhancer import Enhancer
from .desk import Desk
from .endpoints import add_endpoints
from .language import page_texts
from .limits import limits_of
from .outbox import Outbox
from .owners import Owners
from .page import build_page
from .previewing import Previewing
from .serving import page_folder
from .session import Visitors
from .wiring import connect


def build(enhancer: Enhancer, config: Config) -> gr.Blocks:
    """The whole app as Blocks, not yet launched; imports no PyTorch."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    limits = limits_of(config)
    folder = page_folder(config, enhancer)
    kept = max(1, int(config.hours * 3600))
    with gr.Blocks(title="Enhance", analytics_enabled=False, delete_cache=(min(3600, kept), kept)) as demo:
        page = build_page(page_texts(limits))
        desk = Desk(
            enhancer,
            limits,
            Visitors(folder.path("visitors")),
            Previewing(enhancer, limits),
            Outbox(folder),
            Owners(),
        )
        add_endpoints(desk)  # first, for their names
        connect(demo, page, desk)
    demo.queue(max_size=config.queue, default_concurrency_limit=8)
    return demo
