"""The components of the page. Scripts draw the parts, and the controls are Gradio's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

Texts = Callable[[str], Any]
"""Returns the text of a key for a component. The browser translates it."""


def build_page(texts: Texts, login: bool = False) -> None:
    """Build the page in the current `gr.Blocks`, with a button to log out if there is a `login`."""
    with gr.Column(elem_id="app"):
        part("head")
        part("chooser")
        with gr.Row(elem_id="bench"):
            part("list")
            part("stage")
            part("comparison")
            with gr.Column(elem_id="panel", min_width=0):
                part("summary")
                part("size-notice")
                part("presets")
                part("preset-notice")
                part("next-run")
        part("bar")
        part("recent")


def part(name: str) -> gr.HTML:
    """Build a part of the page that a script draws."""
    return gr.HTML(elem_id=name, js_on_load=f"enhance.mount('{name}', element, trigger)")
