"""The page's parts and where they stand; what they do is in the handlers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from ..settings import PRESETS, RANGES, Settings

EXAMPLES = tuple(sorted((Path(__file__).parent / "examples").glob("*.jpg")))
STEPS = {"contrast": 0.01, "tile": 64}
"""Those of the sliders that do not move by 0.05."""
TUNED = ("strength", "fidelity", "sharpen", "saturation", "contrast")
"""The sliders that rest while tuning is off."""
CONTROLS = ("preset", "scale", "tuning", *TUNED[:2], "denoise", *TUNED[2:], "tile")
"""The controls in the order in which every handler of the page gets their values."""

Words = Callable[[str], Any]
"""Gives a component the text of a key, which the browser puts in by itself."""

_TELL_THE_SERVER = """
window.enhanceMoved = (x, y) => trigger("select", { index: [x, y], value: null });
window.enhancePinned = (x, y) => trigger("input", { index: [x, y] });
"""


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
    offers: gr.Row
    faster: tuple[gr.Button, ...]


@dataclass(frozen=True)
class ControlsCard:
    """The preset and the sliders, by their names in CONTROLS."""

    controls: dict[str, Component]
    problem: gr.HTML
    about: gr.HTML
    changed: gr.HTML
    reset: gr.Button

    @property
    def in_order(self) -> list[Component]:
        """The controls in the order of CONTROLS."""
        return [self.controls[name] for name in CONTROLS]


@dataclass(frozen=True)
class PreviewCard:
    """The square's before and after."""

    slider: gr.ImageSlider
    chip: gr.HTML
    where: gr.HTML
    problem: gr.HTML
    retry: gr.Button


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
    report: gr.Button
    again: gr.Button
    report_file: gr.DownloadButton
    report_problem: gr.HTML
    made: gr.Accordion
    facts: gr.HTML


@dataclass(frozen=True)
class BatchCard:
    """Many pictures: the files, the settings in words, a table, and the ZIP to take home."""

    tab: gr.Tab
    files: gr.File
    settings: gr.HTML
    run: RunCard
    table: gr.HTML
    download: gr.DownloadButton


@dataclass(frozen=True)
class Page:
    """All parts, the button that copies the page's link, and the name of the browser's tab."""

    upload: UploadCard
    controls: ControlsCard
    preview: PreviewCard
    run: RunCard
    result: ResultCard
    batch: BatchCard
    link: gr.Button
    tab: gr.Textbox


def build_page(words: Words, login: bool = False) -> Page:
    """Lay the page out: the stage, the rail beside it and the bar below; many pictures in a second tab.

    Where there is a `login`, with a way out. Inside a `gr.Blocks`.
    """
    link = _head(words, login)
    with gr.Tabs(elem_id="tabs"):
        with gr.Tab(words("tab_one"), id="one", elem_id="tab-one"):
            with gr.Row(elem_id="bench", equal_height=False):
                with gr.Column(elem_id="left", min_width=0):
                    chosen = _chooser(words)
                    preview, stage = _stage(words)
                    strip = _strip(words)
                with gr.Column(elem_id="rail", elem_classes="card", min_width=0):
                    controls, tips = _rail(words)
            estimate, run, home = _bar(words)
            with gr.Accordion(words("facts"), open=False, visible=False, elem_id="made") as made:
                facts = gr.HTML(elem_id="result-facts")
        batch = _batch(words)
    tab = gr.Textbox(visible=False)
    upload = UploadCard(*chosen, *strip, estimate, *tips)
    return Page(upload, controls, preview, run, ResultCard(*stage, *home, made, facts), batch, link, tab)


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
        file = gr.File(label=words("upload"), show_label=False, elem_id="upload", height=170)
        gr.Markdown(words("upload_here"), elem_id="upload-words")
        gr.Markdown(words("upload_touch"), elem_id="upload-touch")
        _hint(words, "upload_hint", elem_id="upload-hint")
        look: dict[str, Any] = {"type": "index", "label": words("examples"), "elem_id": "examples"}
        examples = gr.Dataset(components=[gr.Image(render=False)], samples=[[str(path)] for path in EXAMPLES], **look)
        _hint(words, "examples_credit")
    return file, gr.HTML(elem_id="upload-problem"), examples


def _stage(words: Words) -> tuple[PreviewCard, tuple[Any, Any, Any, Any, Any, Any]]:
    with gr.Column(elem_classes="card", elem_id="stage"):
        with gr.Row(elem_classes="titled", elem_id="stage-head"):
            view = gr.Radio(
                [], label=words("view"), show_label=False, container=False, interactive=True, elem_id="view"
            )
            chip, result_chip = gr.HTML(elem_id="chip"), gr.HTML(elem_id="result-chip")
            gr.HTML('<div class="zoom" role="group"></div>', elem_id="zoom")
            retry = gr.Button(words("retry"), elem_id="retry", interactive=False, size="sm")
        with gr.Column(elem_id="panes"):
            with gr.Column(elem_id="pane-preview"):
                slider = _compare("preview")
            with gr.Column(elem_id="pane-whole"):
                live, whole = gr.HTML(elem_id="live"), _compare("compare")
            with gr.Column(elem_id="pane-close"):
                closely = _compare("closely")
        where = gr.HTML(elem_id="preview-where")
        problem, problem_of_place = gr.HTML(elem_id="preview-problem"), gr.HTML(elem_id="closely-problem")
    preview = PreviewCard(slider, chip, where, problem, retry)
    return preview, (view, live, whole, closely, problem_of_place, result_chip)


def _strip(words: Words) -> tuple[gr.HTML, gr.HTML]:
    with gr.Row(elem_classes="card", elem_id="strip", equal_height=False):
        photo = gr.HTML(elem_id="photo", js_on_load=_TELL_THE_SERVER)
        with gr.Column(elem_id="known", min_width=0):
            facts = gr.HTML(elem_id="facts")
            gr.Button(words("replace"), elem_id="replace", size="sm")
    return photo, facts


def _rail(words: Words) -> tuple[ControlsCard, tuple[gr.HTML, gr.Row, tuple[gr.Button, ...]]]:
    start: dict[str, Any] = Settings().as_dict()
    controls: dict[str, Component] = {}
    with gr.Row(elem_classes="titled"):
        _title(words, "preset")
        changed = gr.HTML(elem_id="changed")
        reset = gr.Button(words("reset"), elem_id="reset", size="sm", visible=False)
    choices = [(words(f"preset_{name}"), name) for name in PRESETS]
    controls["preset"] = gr.Radio(
        choices, value=start["preset"], label=words("preset"), show_label=False, container=False, elem_id="preset"
    )
    about = gr.HTML(elem_id="about")
    problem = gr.HTML(elem_id="preset-problem")
    tips = gr.HTML(elem_id="tips")
    with gr.Row(visible=False, elem_id="offers") as offers:
        _hint(words, "slow_offer")
        faster = tuple(gr.Button(visible=False, size="sm", elem_id=f"faster-{number}") for number in range(2))
    with gr.Column(elem_id="first-sliders"):
        for name in TUNED[:2]:
            controls[name] = _slider(words, name, start[name])
        controls["denoise"] = _slider(words, "denoise", start["denoise"], visible=False)
    with gr.Accordion(words("more_tuning"), open=False, elem_id="tuning-sheet"):
        controls["tuning"] = gr.Checkbox(
            value=start["tuning"], label=words("tuning"), info=words("tuning_info"), container=False, elem_id="tuning"
        )
        for name in (*TUNED[2:], "tile"):
            controls[name] = _slider(words, name, start[name])
    controls["scale"] = gr.Radio(
        [(f"{scale}×", scale) for scale in (1, 2, 3, 4)],
        value=start["scale"],
        label=words("scale"),
        elem_id="scale",
        elem_classes="bare",
    )
    return ControlsCard(controls, problem, about, changed, reset), (tips, offers, faster)


def _bar(words: Words) -> tuple[gr.HTML, RunCard, tuple[Any, Any, Any, Any, Any]]:
    """What is to come or under way, and what can be done next; always in sight."""
    with gr.Row(elem_id="bar", equal_height=True):
        with gr.Column(elem_id="said", min_width=0):
            with gr.Row(elem_id="said-first"):
                why, estimate = gr.HTML(elem_id="why"), gr.HTML(elem_id="estimate")
            progress, report_problem = gr.HTML(elem_id="progress"), gr.HTML(elem_id="report-problem")
        with gr.Row(elem_id="acts"):
            hidden: dict[str, Any] = {"visible": False, "size": "lg"}
            again = gr.Button(words("new_picture"), elem_id="again", **hidden)
            report = gr.Button(words("report"), elem_id="report", **hidden)
            report_file = gr.DownloadButton(words("report"), elem_id="report-file", elem_classes="unseen")
            download = gr.DownloadButton(words("download"), elem_id="download", variant="primary", **hidden)
            cancel = gr.Button(words("cancel"), elem_id="cancel", **hidden)
            enhance = gr.Button(words("enhance"), variant="primary", elem_id="enhance", size="lg", interactive=False)
    return estimate, RunCard(enhance, cancel, why, progress), (download, report, again, report_file, report_problem)


def _batch(words: Words) -> BatchCard:
    with gr.Tab(words("tab_many"), id="many", elem_id="tab-many") as tab, gr.Column(elem_classes="card"):
        _title(words, "batch")
        _hint(words, "batch_hint")
        label = words("batch_files")
        files = gr.File(label=label, show_label=False, file_count="multiple", height=210, elem_id="batch-files")
        settings = gr.HTML(elem_id="batch-settings")
        with gr.Row():
            large: dict[str, Any] = {"size": "lg", "interactive": False}
            enhance = gr.Button(words("batch_enhance"), variant="primary", elem_id="batch-enhance", scale=3, **large)
            cancel = gr.Button(words("cancel"), elem_id="batch-cancel", scale=1, **large)
        run = RunCard(enhance, cancel, gr.HTML(elem_id="batch-why"), gr.HTML(elem_id="batch-progress"))
        table = gr.HTML(elem_id="batch-table")
        download = gr.DownloadButton(
            words("batch_download"), elem_id="batch-download", variant="primary", interactive=False
        )
    return BatchCard(tab, files, settings, run, table, download)


def _title(words: Words, key: str) -> None:
    gr.Markdown(words(f"{key}_title"), elem_classes="step")


def _hint(words: Words, key: str, **options: Any) -> None:
    gr.Markdown(words(key), elem_classes="hint", **options)


def _slider(words: Words, name: str, value: float, *, visible: bool = True) -> gr.Slider:
    low, high = RANGES[name]
    info = words(f"{name}_info") if name in ("strength", "fidelity", "denoise", "tile") else None
    look: dict[str, Any] = {"visible": visible, "elem_id": name, "elem_classes": "bare", "buttons": []}
    return gr.Slider(low, high, value=value, step=STEPS.get(name, 0.05), label=words(name), info=info, **look)


def _compare(name: str) -> gr.ImageSlider:
    bare: dict[str, Any] = {"interactive": False, "show_label": False, "container": False, "type": "filepath"}
    return gr.ImageSlider(buttons=["fullscreen"], max_height=4000, elem_id=name, elem_classes="compare", **bare)
