"""The page and the endpoints put together."""

from __future__ import annotations

import os

import gradio as gr

from ..enhancer import Enhancer
from .desk import Desk
from .endpoints import add_endpoints
from .language import page_texts
from .limits import limits_from_environment
from .outbox import Outbox
from .owners import Owners
from .page import build_page
from .previewing import Previewing
from .serving import page_folder, sweep_page_folder
from .session import Visitors
from .wiring import connect


def build(enhancer: Enhancer) -> gr.Blocks:
    """The whole app as Blocks, not yet launched; imports no PyTorch."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    limits = limits_from_environment()
    folder = page_folder(enhancer)
    sweep_page_folder(folder, limits.hours)
    kept = int(limits.hours * 3600)
    with gr.Blocks(title="Enhance", analytics_enabled=False, delete_cache=(min(3600, kept), kept)) as demo:
        page = build_page(page_texts(limits))
        desk = Desk(
            enhancer,
            limits,
            Visitors(folder / "visitors"),
            Previewing(enhancer, limits),
            Outbox(folder / "results", limits.hours),
            Owners(),
        )
        add_endpoints(desk)  # first, for their names
        connect(demo, page, desk)
    demo.queue(max_size=limits.waiting, default_concurrency_limit=8)
    return demo
