"""The components of the page. Scripts draw its parts, and the controls are Gradio's.

No event calls the server: the controls pass their values to the scripts, and one event sets the
controls that the user has not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
from gradio.components import Component, FormComponent

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

Pairs = list[tuple[Any, Any]]
"""Pairs of a label and a value."""
_NAMES = {"size": "kind"}
"""The names that the scripts have for controls, if they differ from their ids."""
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


def build_page(demo: gr.Blocks) -> None:
    """Build the page in `demo`, which is the current `gr.Blocks`."""
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
            _build_settings(demo)
            _part("next-run")
        _part("bar")
        _part("recent")


def _build_settings(demo: gr.Blocks) -> None:
    """Build the controls in the order of the panel."""
    _build_size()
    presets = _build_presets()
    _build_tuning()
    _build_format()
    _build_advanced()
    built = {str(one.elem_id): one for one in demo.blocks.values()}
    controls = {
        _NAMES.get(name, name): one
        for name, one in built.items()
        if isinstance(one, FormComponent | gr.Accordion)
    }
    # A script triggers this event of the part to set the controls.
    script = f"() => enhance.values({list(controls)})"
    _in_browser(presets.apply, script, outputs=controls.values())


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


def _button(name: str) -> None:
    button = gr.Button(_text(name.replace("-", "_")), elem_id=name)
    _in_browser(button.click, f"() => enhance.press('{name}')")


def _section(name: str) -> gr.Column:
    return gr.Column(elem_id=f"section-{name}", elem_classes="section", min_width=0)


def _fold(name: str) -> gr.Accordion:
    """Build a section that opens in place. It is open until the state closes it.

    Gradio builds the controls of a closed one when it opens, and then undoes what the user has just
    changed.
    """
    return gr.Accordion(_text(name), open=True, elem_id=f"{name}-fold")


def _build_size() -> None:
    papers = [*PAPERS, _OWN_PRINT]
    with _section("size"):
        _part("size-title")
        _choice("size", _pairs("size", _SIZE_KINDS), "4x")
        _choice("by", _pairs("size", SIZES), SIZES[0], label="size")
        for name, label in zip(SIZES, ("scale", "long_side", "size_megapixels"), strict=True):
            _number(name, label=label)
        _choice("paper", _pairs("paper", papers), papers[0])
        for name in PRINT_SIDES:
            _number(name)
        _number("dpi", PRINT_DPI)
        _part("size-notice")


def _build_presets() -> gr.HTML:
    with _section("preset"):
        _part("preset-title")
        _button("compare-presets")
        return _part("presets")


def _build_tuning() -> None:
    start = Settings(REFERENCE_PRESET).as_dict()
    reductions = [(_text("unreduced"), 1), *((f"1/{reduce}", reduce) for reduce in REDUCTIONS)]
    with _section("tuning"), _fold("tuning"):
        _switch("tuning", start["tuning"], label="apply_tuning", info="tuning_info")
        for name in (*NEUTRAL, "denoise"):
            _slider(name, start[name])
        _choice("reduce", reductions, 1, info="reduce_info")
        _button("reset")


def _build_format() -> None:
    start = Encoding()
    with _section("format"):
        _part("format-title")
        _menu("format", [(form.name, name) for name, form in FORMATS.items()], start.format)
        _menu("metadata", _pairs("metadata", CHOICES), start.metadata)
        _part("format-notice")
        _slider("quality", start.quality)
        _choice("background", _pairs("background", BACKGROUNDS), start.background)
        _switch("label", start.label, label="add_label")
        _switch("largest", True)


def _build_advanced() -> None:
    with _section("advanced"), _fold("advanced"):
        _slider("tile", Settings().tile)
        _part("link")


def _control(
    kind: Any, name: str, value: Any, *, label: str = "", info: str = "", **options: Any
) -> None:
    """Build a control with its event, and with the texts of the keys `label` and `info`. Without a
    label, `name` is its key."""
    if info:
        options["info"] = _text(info)
    control = kind(
        value=value, label=_text(label or name), elem_id=name, interactive=True, **options
    )
    script = f"(value) => enhance.set('{_NAMES.get(name, name)}', value)"
    _in_browser(control.input, script, [control])


def _number(name: str, value: float | None = None, **texts: str) -> None:
    precision = 0 if name in WHOLE else None
    _control(gr.Number, name, value, precision=precision, min_width=0, **texts)


def _slider(name: str, value: float) -> None:
    low, high = LIMITS[name]
    step = SLIDER_STEPS.get(name, SLIDER_STEP)
    info = f"{name}_info"
    if info not in catalogue():
        info = ""
    _control(gr.Slider, name, value, info=info, minimum=low, maximum=high, step=step, buttons=[])


def _switch(name: str, value: bool, **texts: str) -> None:
    _control(gr.Checkbox, name, value, container=False, **texts)


def _choice(name: str, choices: Pairs, value: Any, **texts: str) -> None:
    _control(gr.Radio, name, value, choices=choices, elem_classes="segments", **texts)


def _menu(name: str, choices: Pairs, value: Any) -> None:
    _control(gr.Dropdown, name, value, choices=choices, filterable=False, min_width=0)


def _pairs(prefix: str, values: Iterable[str]) -> Pairs:
    """Return pairs of label and value. A value has the label of the key `prefix_value`."""
    return [(_text(f"{prefix}_{value}"), value) for value in values]
