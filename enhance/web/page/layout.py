"""The components of the page. Scripts draw its parts, and the controls are Gradio's.

No event calls the server: the controls pass their values to the scripts, and one event sets the
controls that the user has not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
from gradio.components import Component

from ...analysis.softness import REDUCTIONS
from ...formats.encoding import BACKGROUNDS, FORMATS, Encoding
from ...i18n import LANGUAGES, catalogue, primary_tag
from ...metadata import CHOICES
from ...settings import NEUTRAL, PAPERS, PRINT_DPI, PRINT_SIDES, REFERENCE_PRESET, SIZES, Settings
from ..params import LIMITS, SLIDER_STEP, SLIDER_STEPS

Texts = Callable[[str], Any]
"""Returns the text of a key for a component. The browser translates it."""
Controls = dict[str, Any]
"""Controls by the names that the scripts have for them."""
_OWN_PRINT = "own"
_SIZE_KINDS = ("2x", "4x", "web", "print", "custom")


def page_texts() -> gr.I18n:
    """Return the texts of the components, which the browser translates."""
    keys = set[str]()

    def note(key: str) -> str:
        keys.add(key)
        return key

    with gr.Blocks():  # Only building the page shows which keys it needs.
        build_page(note)
    translations = dict[str, dict[str, str]]()
    for language in LANGUAGES:
        texts = {key: catalogue(language)[key] for key in sorted(keys)}
        translations |= {primary_tag(language): texts, language: texts}
    return gr.I18n(**translations)


def build_page(texts: Texts) -> None:
    """Build the page in the current `gr.Blocks`."""
    with gr.Column(elem_id="app"):
        _part("head")
        _part("chooser")
        _part("list")
        with gr.Column(elem_id="viewer", min_width=0):
            _part("stage")
            _button(texts, "retry")
            _part("batch-result")
            _part("comparison")
        with gr.Column(elem_id="panel", min_width=0):
            _part("grip")
            _part("summary")
            _build_settings(texts)
            _part("next-run")
        _part("bar")
        _part("recent")


def _build_settings(texts: Texts) -> None:
    """Build the controls in the order of the panel, with their events."""
    controls = _build_size(texts)
    presets = _build_presets(texts)
    controls |= _build_tuning(texts)
    controls |= _build_format(texts)
    controls |= _build_advanced(texts)
    for name, control in controls.items():
        if not isinstance(control, gr.Accordion):  # It has no value.
            _in_browser(control.input, f"(value) => enhance.set('{name}', value)", [control])
    names = list(controls)
    # A script triggers this event of the part to set the controls.
    _in_browser(presets.apply, f"() => enhance.values({names})", outputs=controls.values())


def _in_browser(
    event: Callable[..., Any],
    script: str,
    inputs: Iterable[Component] = (),
    outputs: Iterable[Any] = (),
) -> None:
    """Run a script at an event, with the values of `inputs`. It returns the values of `outputs`."""
    event(
        None,
        [*inputs],
        [*outputs],
        js=script,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="multiple",  # Otherwise, Gradio drops what follows at once, such as keys.
    )


def _part(name: str) -> gr.HTML:
    """Build a part of the page that a script draws."""
    return gr.HTML(elem_id=name, js_on_load=f"enhance.mount('{name}', element, trigger)")


def _button(texts: Texts, name: str) -> gr.Button:
    button = gr.Button(texts(name.replace("-", "_")), elem_id=name)
    _in_browser(button.click, f"() => enhance.press('{name}')")
    return button


def _section(name: str) -> gr.Column:
    return gr.Column(elem_id=f"section-{name}", elem_classes="section", min_width=0)


def _fold(texts: Texts, name: str) -> gr.Accordion:
    """Build a section that opens in place. It is open until the state closes it.

    Gradio builds the controls of a closed one when it opens, and then undoes what the user has just
    changed.
    """
    return gr.Accordion(texts(name), open=True, elem_id=f"{name}-fold")


def _build_size(texts: Texts) -> Controls:
    with _section("size"):
        _part("size-title")
        controls: Controls = {"kind": _choice(texts, "size", _SIZE_KINDS, "4x")}
        kinds = [(texts(f"size_{name}"), name) for name in SIZES]
        controls["by"] = _choice(texts, "by", kinds, SIZES[0], label="size")
        for name, label in zip(SIZES, ("scale", "long_side", "size_megapixels"), strict=True):
            controls[name] = _number(texts(label), name, None)
        papers = [*PAPERS, _OWN_PRINT]
        controls["paper"] = _choice(texts, "paper", papers, papers[0])
        for name in PRINT_SIDES:
            controls[name] = _number(texts(name), name, None)
        controls["dpi"] = _number(texts("dpi"), "dpi", PRINT_DPI)
        _part("size-notice")
    return controls


def _build_presets(texts: Texts) -> gr.HTML:
    with _section("preset"):
        _part("preset-title")
        _button(texts, "compare-presets")
        return _part("presets")


def _build_tuning(texts: Texts) -> Controls:
    start = Settings(REFERENCE_PRESET).as_dict()
    with _section("tuning"), _fold(texts, "tuning") as fold:
        info = texts("tuning_info")
        controls: Controls = {
            "tuning-fold": fold,
            "tuning": _switch(texts("apply_tuning"), "tuning", start["tuning"], info=info),
        }
        for name in (*NEUTRAL, "denoise"):
            controls[name] = _slider(texts, name, start[name])
        reductions = [(texts("unreduced"), 1), *((f"1/{reduce}", reduce) for reduce in REDUCTIONS)]
        info = texts("reduce_info")
        controls["reduce"] = _choice(texts, "reduce", reductions, 1, info=info)
        _button(texts, "reset")
    return controls


def _build_format(texts: Texts) -> Controls:
    start = Encoding()
    with _section("format"):
        _part("format-title")
        formats = [(form.name, name) for name, form in FORMATS.items()]
        controls: Controls = {
            "format": _menu(texts, "format", formats, start.format),
            "metadata": _menu(texts, "metadata", CHOICES, start.metadata),
        }
        _part("format-notice")
        controls["quality"] = _slider(texts, "quality", start.quality)
        controls["background"] = _choice(texts, "background", BACKGROUNDS, start.background)
        controls["label"] = _switch(texts("add_label"), "label", start.label)
        controls["largest"] = _switch(texts("largest"), "largest", True)
    return controls


def _build_advanced(texts: Texts) -> Controls:
    with _section("advanced"), _fold(texts, "advanced") as fold:
        controls: Controls = {
            "advanced-fold": fold,
            "tile": _slider(texts, "tile", Settings().tile),
        }
        _part("link")
    return controls


def _number(label: Any, name: str, value: float | None) -> gr.Number:
    precision = 0 if name in ("long_side", "dpi") else None
    return gr.Number(
        value, label=label, elem_id=name, precision=precision, min_width=0, interactive=True
    )


def _slider(texts: Texts, name: str, value: float) -> gr.Slider:
    low, high = LIMITS[name]
    info = None
    if f"{name}_info" in catalogue():
        info = texts(f"{name}_info")
    return gr.Slider(
        low,
        high,
        value=value,
        step=SLIDER_STEPS.get(name, SLIDER_STEP),
        label=texts(name),
        info=info,
        elem_id=name,
        buttons=[],
        interactive=True,
    )


def _switch(label: Any, name: str, value: bool, info: Any = None) -> gr.Checkbox:
    return gr.Checkbox(
        value, label=label, info=info, elem_id=name, container=False, interactive=True
    )


def _choice(
    texts: Texts, name: str, choices: Iterable[Any], value: Any, label: str = "", info: Any = None
) -> gr.Radio:
    """Build a choice with the label of the key `name`, or of the key `label` if that is given."""
    return gr.Radio(
        _pairs(texts, name, choices),
        value=value,
        label=texts(label or name),
        info=info,
        elem_id=name,
        elem_classes="segments",
        interactive=True,
    )


def _menu(texts: Texts, name: str, choices: Iterable[Any], value: Any) -> gr.Dropdown:
    return gr.Dropdown(
        _pairs(texts, name, choices),
        value=value,
        label=texts(name),
        elem_id=name,
        filterable=False,
        min_width=0,
        interactive=True,
    )


def _pairs(texts: Texts, name: str, choices: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Return pairs of label and value. Values have the label of the key `name_value`."""
    return [one if isinstance(one, tuple) else (texts(f"{name}_{one}"), one) for one in choices]
