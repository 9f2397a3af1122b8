"""The components of the page. Their events are in `build`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.components import Component

from ..analysis.softness import REDUCTIONS
from ..i18n import LANGUAGES, catalogue, language_name
from ..images.metadata import CHOICES
from ..output.formats import BACKGROUNDS, FORMATS, Encoding
from ..settings import AUTO, PAPERS, PRESETS, PRINT_DPI, PRINT_SIDES, REFERENCE_PRESET, Settings, scales
from .params import CONTROLS, LIMITS, OWN_PRINT, SIZE_CONTROLS, TUNING_CONTROLS

Texts = Callable[[str], Any]
"""Returns the text of a key for a component. The browser translates it."""
EXAMPLES_FOLDER = Path(__file__).parent / "examples"
EXAMPLES = tuple(sorted(EXAMPLES_FOLDER.glob("*.jpg")))
_PLAIN: dict[str, Any] = {"show_label": False, "container": False}
_HIDDEN: dict[str, Any] = {"size": "lg", "visible": False}


class Card(SimpleNamespace):
    """Components of one part of the page, by name."""


@dataclass(frozen=True)
class Page:
    """The components that handlers use.

    - `upload`: the choice of a photo, the photo and messages about it.
    - `controls`: messages about the controls; `named` has the controls by their names.
    - `preview`: the images and the state of the preview, and the comparison of presets.
    - `run`: Enhance, Cancel and the progress.
    - `result`: images and downloads of the result, facts of the photo or the result, and the list of recent results.
    - `batch`: the Batch tab.
    """

    upload: Card = field(default_factory=Card)
    controls: Card = field(default_factory=Card)
    named: dict[str, Any] = field(default_factory=dict)
    preview: Card = field(default_factory=Card)
    run: Card = field(default_factory=Card)
    result: Card = field(default_factory=Card)
    batch: Card = field(default_factory=Card)

    @property
    def values(self) -> list[Component]:
        """The controls in the order of CONTROLS."""
        return [self.named[name] for name in CONTROLS]


def build_page(texts: Texts, login: bool = False) -> Page:
    """Build the page in the current `gr.Blocks`, with a button to log out if there is a `login`."""
    page = Page()
    with gr.Tabs(elem_id="tabs"):  # Both tabs show the parts below.
        for name in ("one", "many"):
            gr.Tab(texts(f"tab_{name}"), id=name, elem_id=f"tab-{name}")
    _build_head(page, texts, login)
    with gr.Row(elem_id="bench", equal_height=False):
        _build_chooser(page, texts)
        _build_list(page, texts)
        _build_stage(page, texts)
        with gr.Column(elem_id="panel", min_width=0):
            gr.HTML("<i></i>", elem_id="grip")  # On phones, it moves the panel, which is a sheet.
            _build_controls(page, texts)
            gr.Markdown(texts("result_stays"), elem_classes="hint", elem_id="result-stays")
            _section("facts")  # For phones, whose bar has no room for the facts.
    _build_bar(page, texts)
    with gr.Accordion(texts("history"), open=False, visible=False, elem_id="history") as page.result.history:
        page.result.history_list = gr.HTML(elem_id="history-list", js_on_load="window.enhanceHistoryEvent = trigger")
    gr.Markdown(texts("examples_credit"), elem_classes="hint", elem_id="credits")
    return page


def _build_head(page: Page, texts: Texts, login: bool) -> None:
    with gr.Row(elem_id="head"):
        gr.HTML("<h1>Enhance</h1>", elem_id="heading")
        gr.Button(texts("replace"), elem_id="replace", size="sm", variant="secondary")
        page.controls.link = gr.Button(texts("copy_link"), elem_id="link", size="sm", variant="secondary")
        links = (f'<a href="?lang={one}" lang="{one}">{language_name(one)}</a>' for one in LANGUAGES)
        gr.HTML(f'<nav>{"".join(links)}</nav><button type="button" class="theme"></button>', elem_id="languages")
        if login:
            out = gr.Button(texts("logout"), elem_id="logout", size="sm", variant="secondary")
            out.click(None, None, None, js="() => window.enhanceLogout()", api_visibility="private")


def _build_chooser(page: Page, texts: Texts) -> None:
    """Build the choice of a photo, which is shown while there is none."""
    card = page.upload
    with gr.Column(elem_id="choose"):
        gr.Markdown(texts("welcome"), elem_id="welcome")
        card.problem = gr.HTML(elem_id="upload-problem")
        card.file = _drop_box(texts, "upload")
        arguments: dict[str, Any] = {"type": "index", "label": texts("examples"), "elem_id": "examples"}
        samples = [[str(path.parent / "cards" / path.name)] for path in EXAMPLES]
        card.examples = gr.Dataset(components=[gr.Image(render=False)], samples=samples, **arguments)


def _build_stage(page: Page, texts: Texts) -> None:
    """Build the stage. A script draws the photo, the preview and the result on it, with data from hidden elements."""
    preview, result = page.preview, page.result
    with gr.Column(elem_id="stage"):
        gr.HTML('<div class="viewer"></div>', elem_id="viewer")
        page.upload.photo = gr.HTML(elem_id="photo", js_on_load="window.enhanceStage = trigger")
        preview.images, result.images = gr.HTML(elem_id="preview"), gr.HTML(elem_id="result")
        result.live = gr.HTML(elem_id="live")
        with gr.Row(elem_id="stage-state"):
            preview.chip, result.chip = gr.HTML(elem_id="chip"), gr.HTML(elem_id="result-chip")
        with gr.Row(elem_id="stage-acts"):
            arguments: dict[str, Any] = {"interactive": False, "size": "sm"}
            preview.retry = gr.Button(texts("retry"), elem_id="retry", **arguments)
            preview.compare = gr.Button(texts("compare_presets"), elem_id="compare-presets", **arguments)
        preview.cells = gr.HTML(elem_id="comparison", js_on_load="window.enhanceCells = trigger")
        with gr.Column(elem_id="stage-messages"):
            preview.comparison_progress = gr.HTML(elem_id="comparison-progress")
            preview.problem = gr.HTML(elem_id="preview-problem")


def _build_controls(page: Page, texts: Texts) -> None:
    """Build the controls: output size, preset, tuning, format and metadata, with their messages."""
    card, named, start = page.controls, page.named, Settings(REFERENCE_PRESET).as_dict()
    scaled = [(f"{scale:g}×", scale) for scale in scales(Settings(REFERENCE_PRESET))]
    page.result.summary = gr.HTML(elem_id="done")
    with _section("size"):
        fieldset = '<fieldset class="sizes"></fieldset>'
        card.sizes = gr.HTML(fieldset, elem_id="sizes", js_on_load="window.enhanceSizeEvent = trigger")
        named["size"] = _choice(texts, "size", SIZE_CONTROLS, SIZE_CONTROLS[0], **_PLAIN)
        named["scale"] = _choice(texts, "scale", scaled, Settings(REFERENCE_PRESET).factor, **_PLAIN)
        named["long_side"] = gr.Number(label=texts("long_side"), precision=0, elem_id="long_side", **_PLAIN)
        named["megapixels"] = gr.Number(label=texts("size_megapixels"), elem_id="megapixels", **_PLAIN)
        named["paper"] = _choice(texts, "paper", [*PAPERS, OWN_PRINT], next(iter(PAPERS)), **_PLAIN)
        with gr.Row(elem_id="print", equal_height=False):
            for name, side in zip(PRINT_SIDES, next(iter(PAPERS.values())), strict=True):
                named[name] = gr.Number(side, label=texts(name), elem_id=name, min_width=0)
            named["dpi"] = gr.Number(PRINT_DPI, label=texts("dpi"), precision=0, elem_id="dpi", min_width=0)
        page.upload.size_problem = gr.HTML(elem_id="size-problem")
    with _section("preset"):
        named["preset"] = _choice(texts, "preset", [*PRESETS], AUTO, elem_classes="bare")
        page.upload.preset_times = gr.HTML(elem_id="preset-times", elem_classes="not-displayed")
        page.upload.tips = gr.HTML(elem_id="tips", js_on_load="window.enhanceTips = trigger")
        card.about = gr.HTML(elem_id="about", elem_classes="not-displayed")
        card.problem = gr.HTML(elem_id="preset-problem")
    with gr.Column(elem_id="tuning-row", min_width=0):
        card.changed = gr.HTML(elem_id="changed", elem_classes="not-displayed")
        # Gradio resets controls shortly after it first shows them. So this is closed when the page loads.
        with gr.Accordion(texts("tuning"), open=True, elem_id="tuning-sheet") as card.sheet:
            named["tuning"] = _switch(
                texts, "apply_tuning", start["tuning"], info=texts("tuning_info"), elem_id="tuning"
            )
            for name in (*TUNING_CONTROLS[:2], "denoise", *TUNING_CONTROLS[2:], "tile"):
                named[name] = _slider(texts, name, start[name], visible=name != "denoise")
            reductions = [(texts("unreduced"), 1), *((f"1/{reduce}", reduce) for reduce in REDUCTIONS)]
            named["reduce"] = _choice(texts, "reduce", reductions, 1, info=texts("reduce_info"))
        card.reset = gr.Button(texts("reset"), elem_id="reset", size="sm", visible=False)
    with _section("format"):
        # The script shows menus here and hides the radio buttons of the format and the metadata.
        gr.HTML('<div class="menus"></div>', elem_id="menus")
        formats = [(form.name, name) for name, form in FORMATS.items()]
        named["format"] = _choice(texts, "format", formats, Encoding().format)
        named["quality"] = _slider(texts, "quality", Encoding().quality, visible=False)
        named["background"] = _choice(texts, "background", BACKGROUNDS, Encoding().background, visible=False)
        named["metadata"] = _choice(texts, "metadata", CHOICES, "keep")
        page.upload.location = gr.HTML(elem_id="location")
        named["label"] = _switch(texts, "add_label", Encoding().label, elem_id="label")
    with gr.Column(elem_id="batch-options", elem_classes="of-many", min_width=0):
        named["largest"] = _switch(texts, "largest", True, elem_classes="bare")


def _section(name: str) -> gr.Column:
    """Return a part of the panel, which the page folds to one line while there is a result."""
    section = gr.Column(elem_id=f"section-{name}", elem_classes="section", min_width=0)
    with section:
        gr.HTML('<button type="button" class="fold"></button>')
    return section


def _build_bar(page: Page, texts: Texts) -> None:
    """Build the bar with the facts, the time estimate, the progress and the buttons, of both tabs."""
    run, result, card = page.run, page.result, page.batch
    with gr.Row(elem_id="bar", elem_classes="bar", equal_height=True):
        gr.HTML('<p></p><button type="button" aria-expanded="false"></button>', elem_id="settings")
        with gr.Column(elem_id="state", elem_classes="facts-column", min_width=0):
            result.facts = gr.HTML(elem_id="facts")
            with gr.Column(elem_classes="of-one", min_width=0):
                run.progress, result.download_message = gr.HTML(elem_id="progress"), gr.HTML(elem_id="download-message")
            with gr.Column(elem_classes="of-many", min_width=0):
                card.problem, card.progress = gr.HTML(elem_id="batch-problem"), gr.HTML(elem_id="batch-progress")
            result.report_problem = gr.HTML(elem_id="report-problem")
        with gr.Row(elem_id="batch-acts", elem_classes=["acts", "of-many"]):
            card.why = gr.HTML(elem_id="batch-why")
            primary: dict[str, Any] = {**_HIDDEN, "variant": "primary"}
            card.reports = gr.Button(texts("batch_reports"), elem_id="batch-reports", **_HIDDEN)
            card.download = gr.DownloadButton(texts("batch_download"), elem_id="batch-download", **primary)
            card.cancel = gr.Button(texts("cancel"), elem_id="batch-cancel", **_HIDDEN)
            card.enhance = gr.Button(texts("batch_enhance"), elem_id="batch-enhance", **primary)
        with gr.Row(elem_id="acts", elem_classes=["acts", "of-one"]):
            with gr.Column(elem_id="about-run", min_width=0):
                run.why, page.upload.estimate = gr.HTML(elem_id="why"), gr.HTML(elem_id="estimate")
            result.again = gr.Button(texts("new_image"), elem_id="again", **_HIDDEN)
            result.report = gr.Button(texts("report"), elem_id="report", **_HIDDEN)
            result.report_file = gr.DownloadButton(texts("report"), elem_id="report-file", elem_classes="not-displayed")
            result.download = gr.DownloadButton("PNG", elem_id="download", variant="primary", **_HIDDEN)
            run.cancel = gr.Button(texts("cancel"), elem_id="cancel", **_HIDDEN)
            arguments: dict[str, Any] = {"variant": "primary", "size": "lg", "interactive": False}
            run.enhance = gr.Button(texts("enhance"), elem_id="enhance", **arguments)


def _build_list(page: Page, texts: Texts) -> None:
    """Build the list of the batch's files, and the drop area, which fills the page while there are none."""
    card = page.batch
    with gr.Column(elem_id="list", elem_classes="of-many", min_width=0):
        gr.Markdown(texts("batch_title"), elem_id="batch-title")
        with gr.Row(elem_id="list-head"):
            card.count = gr.HTML(elem_id="batch-count")
            card.clear = gr.Button(texts("batch_clear"), elem_id="batch-clear", **_HIDDEN)
            gr.Button(texts("batch_add"), elem_id="batch-add", size="sm", variant="secondary")
        card.files = _drop_box(texts, "batch_files", file_count="multiple", elem_id="batch-files")
        card.cards = gr.HTML(elem_id="batch-cards", js_on_load="window.enhanceCards = trigger")


def _drop_box(texts: Texts, name: str, **options: Any) -> gr.File:
    """Build the drop area for files, with its title, its button and the limits."""
    with gr.Column(elem_classes="drop-box", min_width=0):
        file = gr.File(label=texts(name), **{"elem_id": name, "show_label": False, "height": 248, **options})
        with gr.Column(elem_classes="drop-texts", min_width=0):
            gr.Markdown(texts(f"{name}_here"), elem_classes="here")
            gr.Markdown(texts(f"{name}_choose"), elem_classes="choose")
            gr.Markdown(texts("upload_hint"), elem_classes="hint")
    return file


def _slider(texts: Texts, name: str, value: float, *, visible: bool) -> gr.Slider:
    step = {"contrast": 0.01, "tile": 64, "quality": 1}.get(name, 0.05)
    info = texts(f"{name}_info") if f"{name}_info" in catalogue() else None
    arguments: dict[str, Any] = {"visible": visible, "elem_id": name, "elem_classes": "bare", "buttons": []}
    return gr.Slider(*LIMITS[name], value=value, step=step, label=texts(name), info=info, **arguments)


def _switch(texts: Texts, name: str, value: bool, **options: Any) -> gr.Checkbox:
    return gr.Checkbox(value, label=texts(name), container=False, **{"elem_id": name, **options})


def _choice(texts: Texts, name: str, choices: Iterable[Any], value: Any, **options: Any) -> gr.Radio:
    """Build a choice between pairs of label and value, or values whose label has the key `name_value`."""
    pairs = [one if isinstance(one, tuple) else (texts(f"{name}_{one}"), one) for one in choices]
    arguments: dict[str, Any] = {"elem_id": name, "elem_classes": ["bare", "pills"], **options}
    return gr.Radio(pairs, value=value, label=texts(name), **arguments)
