"""The appearance of the page: theme, style sheet, scripts, and the texts that the browser translates."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
from gradio import themes

from ..config import Limits
from ..i18n import LANGUAGES, PixelCount, primary_tag, section, translate
from ..settings import PAPERS
from .params import COMMON_SIZES

_FOLDER = Path(__file__).parent
_SCRIPTS = ("gradio_changes.js", "page.js", "stage.js", "presets.js", "panel.js", "accessibility.js", "history.js")
_FONTS = (
    *("-apple-system", "BlinkMacSystemFont", "Segoe UI Variable Text", "Segoe UI", "Roboto", "Ubuntu", "Cantarell"),
    *("PingFang SC", "Microsoft YaHei UI", "Noto Sans CJK SC", "Source Han Sans SC", "Noto Sans SC"),
    *("system-ui", "sans-serif"),
)
"""`system-ui` is last, because it is DejaVu Sans on many Linux systems."""
_MONOSPACE_FONTS = ("ui-monospace", "SF Mono", "Cascadia Mono", "Menlo", "Consolas", "monospace")
_BROWSER_TEXTS = (
    *("before", "after", "handle", "stage", "zoom", "zoom_fit", "zoom_out", "zoom_in", "zoom_actual"),
    *("zoom_for_preview", "fewer_presets", "size"),
    *("upload", "batch_files", "example_astronaut", "example_cat", "example_coffee", "more_tabs", "about_this_page"),
    *("theme", "format", "metadata", "enhancing", "copy_link"),
    *("close", "fullscreen", "note_failed", "note_info", "note_warning", "connection_lost", "upload_failed"),
    *("server_changed", "reload", "preset_auto", "not_installed_short"),
    *("preset", "format_metadata", "settings", "stage_touch"),
    *("auto_for_each", "facts", "size_2x", "size_4x", "size_web", "size_print", "size_custom"),
)
"""The keys of the texts that the scripts use."""


_TEXT_SIZES = themes.Size("13px", "13px", "13px", "15px", "18px", "18px", "32px", name="text")


def style_sheet() -> str:
    """Return the style sheet, with a rule that hides the link of the current language."""
    links = ", ".join(f'html:lang({primary_tag(one)}) #head a[lang="{one}"]' for one in LANGUAGES)
    rule = f"{links} {{ display: none !important; }}"
    return f"{(_FOLDER / 'style.css').read_text(encoding='utf-8')}\n{rule}\n"


def page_head(limits: Limits) -> str:
    """Return the scripts with the texts that they use, for the head of the page."""
    texts = {language: {key: translate(language, key) for key in _BROWSER_TEXTS} for language in LANGUAGES}
    for language, own in texts.items():
        # The script fills these in.
        own["more_presets"] = translate(language, "more_presets", n="{n}")
        own["print_sides"] = translate(language, "print_sides", sides="{sides}")
        own["too_large"] = translate(language, "upload_file_too_large", limit=f"{limits.bytes / 1e6:g}")
    script = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    sizes = {"common": COMMON_SIZES, "papers": PAPERS}
    data = f"window.enhanceWords = {json.dumps(texts)}; window.enhanceSizes = {json.dumps(sizes)};"
    return f"<script>{data}\n{script}</script>"


def page_texts(limits: Limits) -> gr.I18n:
    """Return the texts of components that do not change. The browser translates them."""
    texts = {language: _texts_in(language, limits) for language in LANGUAGES}
    return gr.I18n(**{**{primary_tag(language): own for language, own in texts.items()}, **texts})


def _texts_in(language: str, limits: Limits) -> dict[str, str]:
    texts = {**section(language, "page"), **section(language, "names")}
    megabytes = f"{limits.bytes / 1e6:,.0f}"
    return texts | {
        "upload_hint": translate(language, "upload_hint", pixels=PixelCount(limits.pixels), megabytes=megabytes),
        "welcome": f"## {texts['welcome_head']}\n{texts['welcome_text']}",
        "batch_title": f"## {texts['batch']}\n{texts['batch_text']}",
        # Gradio announces the end of a slow event with the text of this key, but does not define it.
        "common.complete": translate(language, "note_info"),
    }


def page_theme() -> themes.Base:
    """Return a theme of greys and one colour, with system fonts only."""
    return themes.Base(
        primary_hue=themes.colors.teal,
        neutral_hue=themes.colors.stone,
        text_size=_TEXT_SIZES,
        radius_size=themes.sizes.radius_lg,
        spacing_size=themes.sizes.spacing_lg,
        font=_FONTS,
        font_mono=_MONOSPACE_FONTS,
    ).set(
        body_background_fill="#f7f7f5",
        body_background_fill_dark="#101211",
        block_background_fill="#ffffff",
        block_background_fill_dark="#181b1a",
        body_text_color="#191d1c",
        body_text_color_dark="#eceeed",
        body_text_color_subdued="#565e5b",
        body_text_color_subdued_dark="#a5adaa",
        block_info_text_color="#565e5b",
        block_info_text_color_dark="#a5adaa",
        border_color_primary="#e0e1dc",
        border_color_primary_dark="#2b302e",
        block_border_width="0px",
        block_shadow="none",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#0b5f58",
        button_primary_background_fill_dark="#35c4b4",
        button_primary_background_fill_hover_dark="#5ad6c8",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#04201c",
        slider_color="#0f766e",
        slider_color_dark="#35c4b4",
        checkbox_background_color_selected="#0f766e",
        checkbox_background_color_selected_dark="#35c4b4",
    )
