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
from ...settings import (
    NEUTRAL,
    PAPERS,
    PRINT_DPI,
    PRINT_SIDES,
    REFERENCE_PRESET,
    SIZES,
    WHOLE,
    Settings,
)
from ..params import LIMITS, SLIDER_STEP, SLIDER_STEPS

Controls = dict[str, Any]
"""Controls by the names that the scripts have for them."""
Pairs = list[tuple[Any, Any]]
"""Pairs of a label and a value."""
_OWN_PRINT = "own"
_SIZE_KINDS = ("2x", "4x", "web", "print", "custom")
_I18N = gr.I18n()
_keys = set[str]()
"""The keys of the texts of the components that have been built."""


def _text(key: str) -> Any:
    """Return the text of a key for a component. The browser translates it."""
    _keys.add(key)
    return _I18N(key)


def page_texts() -> gr.I18n:
    """Return the texts of the components that have been built, which the browser translates."""
    translations = dict[str, dict[str, str]]()
    for language in LANGUAGES:
        texts = {key: catalogue(language)[key] for key in sorted(_keys)}
        translations |= {primary_tag(language): texts, language: texts}
    return gr.I18n(**translations)


def build_page() -> None:
    """Build the page in the current `gr.Blocks`."""
    with gr.Column(elem_id="app"):
        _part("head")
        _part("chooser")
        _part("list")
        with gr.Column(elem_id="viewer", min_width=0):
            _part("stage")
            _button("retry")
            _part("batch-result")
            _part("comparison")
        with gr.Column(elem_id="panel", min_width=0):
            _part("grip")
            _part("summary")
            _build_settings()
            _part("next-run")
        _part("bar")
        _part("recent")


def _build_settings() -> None:
    """Build the controls in the order of the panel, with their events."""
    controls = _build_size()
    presets = _build_presets()
    controls |= _build_tuning()
    controls |= _build_format()
    controls |= _build_advanced()
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


def _button(name: str) -> gr.Button:
    button = gr.Button(_text(name.replace("-", "_")), elem_id=name)
    _in_browser(button.click, f"() => enhance.press('{name}')")
    return button


def _section(name: str) -> gr.Column:
    return gr.Column(elem_id=f"section-{name}", elem_classes="section", min_width=0)


def _fold(name: str) -> gr.Accordion:
    """Build a section that opens in place. It is open until the state closes it.

    Gradio builds the controls of a closed one when it opens, and then undoes what the user has just
    changed.
    """
    return gr.Accordion(_text(name), open=True, elem_id=f"{name}-fold")


def _build_size() -> Controls:
    papers = [*PAPERS, _OWN_PRINT]
    with _section("size"):
        _part("size-title")
        controls: Controls = {
            "kind": _choice("size", _pairs("size", _SIZE_KINDS), "4x"),
            "by": _choice("by", _pairs("size", SIZES), SIZES[0], label="size"),
        }
        for name, label in zip(SIZES, ("scale", "long_side", "size_megapixels"), strict=True):
            controls[name] = _number(name, label=label)
        controls["paper"] = _choice("paper", _pairs("paper", papers), papers[0])
        for name in PRINT_SIDES:
            controls[name] = _number(name)
        controls["dpi"] = _number("dpi", PRINT_DPI)
        _part("size-notice")
    return controls


def _build_presets() -> gr.HTML:
    with _section("preset"):
        _part("preset-title")
        _button("compare-presets")
        return _part("presets")


def _build_tuning() -> Controls:
    start = Settings(REFERENCE_PRESET).as_dict()
    reductions = [(_text("unreduced"), 1), *((f"1/{reduce}", reduce) for reduce in REDUCTIONS)]
    with _section("tuning"), _fold("tuning") as fold:
        controls: Controls = {
            "tuning-fold": fold,
            "tuning": _switch("tuning", start["tuning"], label="apply_tuning", info="tuning_info"),
        }
        for name in (*NEUTRAL, "denoise"):
            controls[name] = _slider(name, start[name])
        controls["reduce"] = _choice("reduce", reductions, 1, info="reduce_info")
        _button("reset")
    return controls


def _build_format() -> Controls:
    start = Encoding()
    formats = [(form.name, name) for name, form in FORMATS.items()]
    backgrounds = _pairs("background", BACKGROUNDS)
    with _section("format"):
        _part("format-title")
        controls: Controls = {
            "format": _menu("format", formats, start.format),
            "metadata": _menu("metadata", _pairs("metadata", CHOICES), start.metadata),
        }
        _part("format-notice")
        controls |= {
            "quality": _slider("quality", start.quality),
            "background": _choice("background", backgrounds, start.background),
            "label": _switch("label", start.label, label="add_label"),
            "largest": _switch("largest", True),
        }
    return controls


def _build_advanced() -> Controls:
    with _section("advanced"), _fold("advanced") as fold:
        controls: Controls = {"advanced-fold": fold, "tile": _slider("tile", Settings().tile)}
        _part("link")
    return controls


def _control(
    kind: Any, name: str, value: Any, *, label: str = "", info: str = "", **options: Any
) -> Any:
    """Build a control with the texts of the keys `label` and `info`. Without a label, `name` is its
    key."""
    if info:
        options["info"] = _text(info)
    return kind(value=value, label=_text(label or name), elem_id=name, interactive=True, **options)


def _number(name: str, value: float | None = None, **texts: str) -> gr.Number:
    precision = 0 if name in WHOLE else None
    return _control(gr.Number, name, value, precision=precision, min_width=0, **texts)


def _slider(name: str, value: float) -> gr.Slider:
    low, high = LIMITS[name]
    step = SLIDER_STEPS.get(name, SLIDER_STEP)
    info = f"{name}_info"
    if info not in catalogue():
        info = ""
    return _control(
        gr.Slider, name, value, info=info, minimum=low, maximum=high, step=step, buttons=[]
    )


def _switch(name: str, value: bool, **texts: str) -> gr.Checkbox:
    return _control(gr.Checkbox, name, value, container=False, **texts)


def _choice(name: str, choices: Pairs, value: Any, **texts: str) -> gr.Radio:
    return _control(gr.Radio, name, value, choices=choices, elem_classes="segments", **texts)


def _menu(name: str, choices: Pairs, value: Any) -> gr.Dropdown:
    return _control(gr.Dropdown, name, value, choices=choices, filterable=False, min_width=0)


def _pairs(prefix: str, values: Iterable[str]) -> Pairs:
    """Return pairs of label and value. A value has the label of the key `prefix_value`."""
    return [(_text(f"{prefix}_{value}"), value) for value in values]
