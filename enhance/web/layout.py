"""The page's parts and where they stand; what they do is in the handlers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from ..output.formats import CHOICES, FORMATS, Encoding
from ..output.resample import PAPERS
from ..scenes import REDUCTIONS
from ..settings import PRESETS, Settings, scales
from .params import CONTROLS, LIMITS, SIZED, TUNED
from .templates import EXAMPLES

Words = Callable[[str], Any]  # gives a component the text of a key, which the browser puts in by itself
_PLAIN: dict[str, Any] = {"show_label": False, "container": False}
_LATER: dict[str, Any] = {"size": "lg", "visible": False}


@dataclass(frozen=True)
class UploadCard:
    """Where a picture is chosen, what is known of it, and the square on it that the stage shows."""

    file: gr.File
    problem: gr.HTML
    examples: gr.Dataset
    photo: gr.HTML
    facts: gr.HTML
    estimate: gr.HTML
    tips: gr.HTML
    size_problem: gr.HTML
    location: gr.HTML


@dataclass(frozen=True)
class ControlsCard:
    """The preset and the sliders, by their names in CONTROLS, and in that order."""

    controls: dict[str, Component]
    problem: gr.HTML
    about: gr.HTML
    changed: gr.HTML
    reset: gr.Button
    sheet: gr.Accordion

    @property
    def in_order(self) -> list[Component]:
        return [self.controls[name] for name in CONTROLS]


@dataclass(frozen=True)
class PreviewCard:
    """The square's before and after; the same by every preset, with the button that opens and closes that."""

    slider: gr.ImageSlider
    cells: gr.HTML
    chip: gr.HTML
    where: gr.HTML
    problem: gr.HTML
    retry: gr.Button
    compare: gr.Button


@dataclass(frozen=True)
class RunCard:
    """Enhance, Cancel, and how far it is."""

    enhance: gr.Button
    cancel: gr.Button
    why: gr.HTML
    progress: gr.HTML


@dataclass(frozen=True)
class ResultCard:
    """What came of it, to compare, look at closely and take home."""

    view: gr.Radio
    live: gr.HTML
    slider: gr.ImageSlider
    closely: gr.ImageSlider
    problem: gr.HTML
    chip: gr.HTML
    download: gr.DownloadButton
    taken: gr.HTML
    report: gr.Button
    again: gr.Button
    report_file: gr.DownloadButton
    report_problem: gr.HTML
    made: gr.Accordion
    facts: gr.HTML
    past: gr.Accordion
    listed: gr.HTML


@dataclass(frozen=True)
class BatchCard(RunCard):
    """Many pictures: where files come in, the settings in words, a card for each file, the ZIP, and their run."""

    tab: gr.Tab
    files: gr.File
    settings: gr.HTML
    metadata: gr.Radio
    problem: gr.HTML
    cards: gr.HTML
    clear: gr.Button
    download: gr.DownloadButton


@dataclass(frozen=True)
class Page:
    """All parts, and the button that copies the page's link."""

    upload: UploadCard
    controls: ControlsCard
    preview: PreviewCard
    run: RunCard
    result: ResultCard
    batch: BatchCard
    link: gr.Button


def build_page(words: Words, login: bool = False) -> Page:
    """Inside a `gr.Blocks`: stage, rail, bar, and many pictures in a second tab; where there is a `login` a way out."""
    link = _head(words, login)
    with gr.Tabs(elem_id="tabs"):
        with gr.Tab(words("tab_one"), id="one", elem_id="tab-one"):
            with gr.Row(elem_id="bench", equal_height=False):
                with gr.Column(elem_id="left", min_width=0):
                    chosen = _chooser(words)
                    preview, stage = _stage(words)
                    with gr.Row(elem_classes="card", elem_id="strip", equal_height=False):
                        photo = gr.HTML(elem_id="photo", js_on_load="window.enhancePhoto = trigger")
                        with gr.Column(elem_id="known", min_width=0):
                            about = gr.HTML(elem_id="facts")
                            with gr.Row(elem_id="about-photo", equal_height=False):
                                gr.Button(words("replace"), elem_id="replace", size="sm")
                                location = gr.HTML(elem_id="location")
                                metadata = _choice(words, "metadata", CHOICES, "keep")
                with gr.Column(elem_id="rail", elem_classes="card", min_width=0):
                    controls, told = _rail(words)
                    controls.controls["metadata"] = metadata
            estimate, run, home = _bar(words)
            with gr.Accordion(words("facts"), open=False, visible=False, elem_id="made") as made:
                facts = gr.HTML(elem_id="result-facts")
        batch = _batch(words)
    with gr.Accordion(words("history"), open=False, visible=False, elem_id="history") as history:
        past = history, gr.HTML(elem_id="history-list", js_on_load="window.enhanceListed = trigger")
    upload, result = (
        UploadCard(*chosen, photo, about, estimate, *told, location),
        ResultCard(*stage, *home, made, facts, *past),
    )
    return Page(upload, controls, preview, run, result, batch, link)


def _head(words: Words, login: bool) -> gr.Button:
    with gr.Row(elem_id="head"):
        gr.HTML("<h1>Enhance</h1>", elem_id="heading")
        gr.HTML('<nav><a href="?lang=en" lang="en">EN</a><a href="?lang=zh-CN" lang="zh-CN">中文</a></nav>')
        link = gr.Button(words("copy_link"), elem_id="link", size="sm", variant="secondary")
        if login:
            out = gr.Button(words("logout"), elem_id="logout", size="sm", variant="secondary")
            out.click(None, None, None, js="() => window.enhanceLogout()", api_visibility="private")
    return link


def _chooser(words: Words) -> tuple[gr.File, gr.HTML, gr.Dataset]:
    """What the stage shows while there is no picture."""
    with gr.Column(elem_classes="card", elem_id="choose"):
        gr.Markdown(words("welcome"), elem_id="welcome")
        problem = gr.HTML(elem_id="upload-problem")
        file = gr.File(label=words("upload"), show_label=False, elem_id="upload", height=170)
        gr.Markdown(words("upload_here"), elem_id="upload-words")
        gr.Markdown(words("upload_touch"), elem_id="upload-touch")
        gr.Markdown(words("upload_hint"), elem_classes="hint", elem_id="upload-hint")
        look: dict[str, Any] = {"type": "index", "label": words("examples"), "elem_id": "examples"}
        examples = gr.Dataset(components=[gr.Image(render=False)], samples=[[str(path)] for path in EXAMPLES], **look)
        gr.Markdown(words("examples_credit"), elem_classes="hint")
    return file, problem, examples


def _stage(words: Words) -> tuple[PreviewCard, tuple[Any, Any, Any, Any, Any, Any]]:
    with gr.Column(elem_classes="card", elem_id="stage"):
        with gr.Row(elem_classes="titled", elem_id="stage-head"):
            view = _choice(words, "view", [], None, elem_classes=[], interactive=True, **_PLAIN)
            chip, result_chip = gr.HTML(elem_id="chip"), gr.HTML(elem_id="result-chip")
            gr.HTML('<div class="zoom" role="group"></div>', elem_id="zoom")
            retry = gr.Button(words("retry"), elem_id="retry", interactive=False, size="sm")
            compare = gr.Button(words("compare_presets"), elem_id="compare-presets", interactive=False, size="sm")
        with gr.Column(elem_id="panes"):
            with gr.Column(elem_id="pane-preview"):
                slider = _compare("preview")
            with gr.Column(elem_id="pane-whole"):
                live, whole = gr.HTML(elem_id="live"), _compare("compare")
            with gr.Column(elem_id="pane-close"):
                closely = _compare("closely")
            with gr.Column(elem_id="pane-presets"):
                cells = gr.HTML(elem_id="comparison", js_on_load="window.enhanceCells = trigger")
        where = gr.HTML(elem_id="preview-where")
        problem, of_place = gr.HTML(elem_id="preview-problem"), gr.HTML(elem_id="closely-problem")
    preview = PreviewCard(slider, cells, chip, where, problem, retry, compare)
    return preview, (view, live, whole, closely, of_place, result_chip)


def _rail(words: Words) -> tuple[ControlsCard, tuple[gr.HTML, gr.HTML]]:
    """The controls, and what is said among them of the picture: tips, and why it cannot have its size."""
    controls, start = dict[str, Component](), Settings().as_dict()
    with gr.Row(elem_classes="titled"):
        gr.Markdown(words("preset_title"), elem_classes="step")
        changed = gr.HTML(elem_id="changed")
        reset = gr.Button(words("reset"), elem_id="reset", size="sm", visible=False)
    controls["preset"] = _choice(words, "preset", [*PRESETS], start["preset"], elem_classes="bare", **_PLAIN)
    about, problem = gr.HTML(elem_id="about"), gr.HTML(elem_id="preset-problem")
    tips = gr.HTML(elem_id="tips", js_on_load="window.enhanceTips = trigger")
    with gr.Column(elem_id="first-sliders"):
        controls |= {name: _slider(words, name, start[name]) for name in TUNED[:2]}
        controls["denoise"] = _slider(words, "denoise", start["denoise"], visible=False)
    # Gradio resets controls to their first values a few frames after it first shows them: this is closed on load.
    with gr.Accordion(words("more_tuning"), open=True, elem_id="tuning-sheet") as sheet:
        told: dict[str, Any] = {"label": words("tuning"), "info": words("tuning_info"), "elem_id": "tuning"}
        controls["tuning"] = gr.Checkbox(value=start["tuning"], container=False, **told)
        controls |= {name: _slider(words, name, start[name]) for name in (*TUNED[2:], "tile")}
        reductions = [(words("unreduced"), 1), *((f"1/{reduce}", reduce) for reduce in REDUCTIONS)]
        controls["reduce"] = _choice(words, "reduce", reductions, 1, info=words("reduce_info"))
    outcome, size_problem = _outcome(words)
    return ControlsCard(controls | outcome, problem, about, changed, reset, sheet), (tips, size_problem)


def _outcome(words: Words) -> tuple[dict[str, Component], gr.HTML]:
    """How the size is said, a field for each way, and the form of what is taken home; between them what is wrong."""
    scaled, hidden = [(f"{scale}×", scale) for scale in scales(Settings())], {**_PLAIN, "visible": False}
    sizes = {
        "size": _choice(words, "size", SIZED, SIZED[0]),
        "scale": _choice(words, "scale", scaled, scaled[-1][1], **_PLAIN),
        "long_side": gr.Number(label=words("long_side"), precision=0, elem_id="long_side", **hidden),
        "megapixels": gr.Number(label=words("size_megapixels"), elem_id="megapixels", **hidden),
        "paper": _choice(words, "paper", [*PAPERS], next(iter(PAPERS)), **hidden),
    }
    problem = gr.HTML(elem_id="size-problem")
    taken = {
        "format": _choice(words, "format", [(form.name, name) for name, form in FORMATS.items()], Encoding().format),
        "quality": _slider(words, "quality", Encoding().quality, visible=False),
    }
    return sizes | taken, problem


def _bar(words: Words) -> tuple[gr.HTML, RunCard, tuple[Any, Any, Any, Any, Any, Any]]:
    """What is to come or under way, and what can be done next; always in sight."""
    with gr.Row(elem_id="bar", elem_classes="bar", equal_height=True):
        with gr.Column(elem_id="said", elem_classes="tells", min_width=0):
            with gr.Row(elem_id="said-first"):
                why, estimate = gr.HTML(elem_id="why"), gr.HTML(elem_id="estimate")
            progress, taken, report_problem = (gr.HTML(elem_id=one) for one in ("progress", "taken", "report-problem"))
        with gr.Row(elem_id="acts", elem_classes="acts"):
            again = gr.Button(words("new_picture"), elem_id="again", **_LATER)
            report = gr.Button(words("report"), elem_id="report", **_LATER)
            report_file = gr.DownloadButton(words("report"), elem_id="report-file", elem_classes="unseen")
            download = gr.DownloadButton("PNG", elem_id="download", variant="primary", **_LATER)
            cancel = gr.Button(words("cancel"), elem_id="cancel", **_LATER)
            enhance = gr.Button(words("enhance"), variant="primary", elem_id="enhance", size="lg", interactive=False)
    run = RunCard(enhance, cancel, why, progress)
    return estimate, run, (download, taken, report, again, report_file, report_problem)


def _batch(words: Words) -> BatchCard:
    with gr.Tab(words("tab_many"), id="many", elem_id="tab-many") as tab:
        with gr.Column(elem_classes="card", elem_id="many"):
            gr.Markdown(words("batch_title"), elem_classes="step")
            gr.Markdown(words("batch_hint"), elem_classes="hint")
            files = gr.File(label=words("batch_files"), file_count="multiple", elem_id="batch-files", show_label=False)
            gr.Markdown(words("batch_files"), elem_id="batch-words")
            settings = gr.HTML(elem_id="batch-settings")
            metadata = _choice(words, "metadata", CHOICES, "keep", elem_id="batch-metadata")
            problem = gr.HTML(elem_id="batch-problem")
            cards = gr.HTML(elem_id="batch-cards", js_on_load="window.enhanceCards = trigger")
        with gr.Row(elem_id="batch-bar", elem_classes="bar", equal_height=True):
            with gr.Column(elem_classes="tells", min_width=0):
                why, progress = (gr.HTML(elem_id=f"batch-{name}") for name in ("why", "progress"))
            with gr.Row(elem_classes="acts"):
                clear = gr.Button(words("batch_clear"), elem_id="batch-clear", **_LATER)
                download = gr.DownloadButton(
                    words("batch_download"), elem_id="batch-download", variant="primary", **_LATER
                )
                cancel = gr.Button(words("cancel"), elem_id="batch-cancel", **_LATER)
                enhance = gr.Button(words("batch_enhance"), elem_id="batch-enhance", variant="primary", **_LATER)
    return BatchCard(enhance, cancel, why, progress, tab, files, settings, metadata, problem, cards, clear, download)


def _slider(words: Words, name: str, value: float, *, visible: bool = True) -> gr.Slider:
    step = {"contrast": 0.01, "tile": 64, "quality": 1}.get(name, 0.05)
    info = words(f"{name}_info") if name in ("strength", "fidelity", "denoise", "tile") else None
    look: dict[str, Any] = {"visible": visible, "elem_id": name, "elem_classes": "bare", "buttons": []}
    return gr.Slider(*LIMITS[name], value=value, step=step, label=words(name), info=info, **look)


def _choice(words: Words, name: str, choices: Sequence[Any], value: Any, **more: Any) -> gr.Radio:
    """One of the choices: pairs of words and value, or values of which the catalogue has the words."""
    pairs = [one if isinstance(one, tuple) else (words(f"{name}_{one}"), one) for one in choices]
    look: dict[str, Any] = {"elem_id": name, "elem_classes": ["bare", "pills"], **more}
    return gr.Radio(pairs, value=value, label=words(name), **look)


def _compare(name: str) -> gr.ImageSlider:
    bare: dict[str, Any] = {"interactive": False, "show_label": False, "container": False, "type": "filepath"}
    return gr.ImageSlider(buttons=["fullscreen"], max_height=4000, elem_id=name, elem_classes="compare", **bare)
