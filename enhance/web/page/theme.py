"""The theme of Gradio's components."""

from __future__ import annotations

from gradio import themes

_FONTS = (
    "-apple-system",
    "BlinkMacSystemFont",
    "Segoe UI Variable Text",
    "Segoe UI",
    "Roboto",
    "Ubuntu",
    "Cantarell",
    "PingFang SC",
    "Microsoft YaHei UI",
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "Noto Sans SC",
    "system-ui",
    "sans-serif",
)
"""`system-ui` is last, because it is DejaVu Sans on many Linux systems."""
_MONOSPACE_FONTS = ("ui-monospace", "SF Mono", "Cascadia Mono", "Menlo", "Consolas", "monospace")
_TEXT_SIZES = themes.Size("13px", "13px", "13px", "15px", "18px", "18px", "32px", name="text")


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
