"""How the page looks: theme, style sheet, and the few lines that run in the browser."""

from __future__ import annotations

from pathlib import Path

from gradio import themes

_HERE = Path(__file__).parent
_FONTS = (
    "ui-sans-serif",
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Sans CJK SC",
    "Noto Sans",
    "sans-serif",
)
_MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "Menlo", "Consolas", "monospace")

CSS = (_HERE / "style.css").read_text(encoding="utf-8")
HEAD = f"<script>{(_HERE / 'page.js').read_text(encoding='utf-8')}</script>"
SHOW_RESULT = "() => window.enhanceShowResult()"
FETCH_REPORT = "() => window.enhanceFetchReport()"
COPY_LINK = "(preset) => window.enhanceCopyLink(preset)"


def theme() -> themes.Base:
    """Calm greys and one colour; no font is fetched from anywhere."""
    return themes.Base(
        primary_hue=themes.colors.teal,
        neutral_hue=themes.colors.stone,
        radius_size=themes.sizes.radius_lg,
        spacing_size=themes.sizes.spacing_lg,
        font=_FONTS,
        font_mono=_MONO,
    ).set(
        body_background_fill="#f6f5f2",
        body_background_fill_dark="#141312",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1f1d1b",
        body_text_color_subdued="#6b655f",
        body_text_color_subdued_dark="#a9a29a",
        block_info_text_color="#6b655f",
        block_info_text_color_dark="#a9a29a",
        border_color_primary="#e2dfd9",
        border_color_primary_dark="#383430",
        block_border_width="0px",
        block_shadow="none",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_dark="#0d9488",
        button_primary_background_fill_hover_dark="#14b8a6",
        button_primary_text_color="#ffffff",
        slider_color="#0f766e",
        slider_color_dark="#2dd4bf",
        checkbox_background_color_selected="#0f766e",
        checkbox_background_color_selected_dark="#0d9488",
    )
