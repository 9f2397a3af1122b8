"""The page's cards, what is on them and where they stand; what they do is in the handlers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from ..settings import PRESETS, RANGES, Settings

EXAMPLES = tuple(sorted((Path(__file__).parent / "examples").glob("*.jpg")))
STEPS = {"strength": 0.05, "denoise": 0.05, "sharpen": 0.05, "saturation": 0.05, "contrast": 0.01, "tile": 64}
CONTROLS = ("preset", "scale", "tuning", "strength", "denoise", "sharpen", "saturation", "contrast", "tile")
"""The controls in the order in which every handler of the page gets their values."""
TUNED = ("strength", "sharpen", "saturation", "contrast")
"""The sliders that rest while tuning is off."""

Words = Callable[[str], Any]
"""Gives a component the text of a key, which the browser puts in by itself."""

_BARE: dict[str, Any] = {"interactive": False, "show_label": False, "container": False, "type": "filepath"}


@dataclass(frozen=True)
class UploadCard:
    """Where a picture is chosen, and what is known of it."""

    file: gr.File
    problem: gr.HTML
    examples: gr.Dataset
    examples_box: gr.Column
    chosen: gr.Column
    thumbnail: gr.Image
    facts: gr.HTML
    estimate: gr.HTML
    offers: gr.Row
    faster: tuple[gr.Button, ...]


@dataclass(frozen=True)
class ControlsCard:
    """The preset and the sliders, by their names in CONTROLS."""

    controls: dict[str, Component]
    problem: gr.HTML
    example: gr.HTML

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

    box: gr.Column
    slider: gr.ImageSlider
    chip: gr.HTML
    download: gr.DownloadButton
    report: gr.Button
    again: gr.Button
    report_file: gr.DownloadButton
    report_problem: gr.HTML
    map: gr.Image
    closely: gr.ImageSlider
    problem: gr.HTML
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
    """All cards, and the button that copies the page's link."""

    upload: UploadCard
    controls: ControlsCard
    preview: PreviewCard
    run: RunCard
    result: ResultCard
    batch: BatchCard
    link: gr.Button


def build_page(words: Words, login: bool = False) -> Page:
    """Lay the page out; where there is a `login`, with a way out. Inside a `gr.Blocks`."""
    link = _head(words, login)
    with gr.Tabs(elem_id="tabs"):
        with gr.Tab(words("tab_one"), id="one", elem_id="tab-one"):
            with gr.Row(elem_classes="bench", equal_height=False):
                with gr.Column(scale=6, min_width=340):
                    upload = _upload(words)
                    preview = _preview(words)
                with gr.Column(scale=5, min_width=320):
                    controls = _controls(words)
                    with gr.Column(elem_classes="card", elem_id="run"):
                        run = _run(words, "enhance")
            result = _result(words)
        batch = _batch(words)
    return Page(upload, controls, preview, run, result, batch, link)


def _head(words: Words, login: bool) -> gr.Button:
    with gr.Row(elem_id="head", equal_height=True):
        with gr.Column(scale=8, min_width=260):
            gr.Markdown(words("heading"), elem_id="heading")
        with gr.Column(scale=4, min_width=220, elem_id="head-links"):
            gr.HTML('<nav><a href="?lang=en" lang="en">English</a><a href="?lang=zh-CN" lang="zh-CN">中文</a></nav>')
            link = gr.Button(words("copy_link"), elem_id="link", size="sm", variant="secondary")
            if login:
                _logout(words)
    return link


def _logout(words: Words) -> None:
    button = gr.Button(words("logout"), elem_id="logout", size="sm", variant="secondary")
    button.click(None, None, None, js="() => window.enhanceLogout()", api_visibility="private")


def _upload(words: Words) -> UploadCard:
    with gr.Column(elem_classes="card"):
        _title(words, "picture")
        file = gr.File(label=words("upload"), show_label=False, elem_id="upload", height=150)
        _hint(words, "upload_hint", elem_id="upload-hint")
        problem = gr.HTML(elem_id="upload-problem")
        with gr.Column(elem_id="examples-box") as examples_box:
            examples = gr.Dataset(
                components=[gr.Image(render=False)],
                samples=[[str(path)] for path in EXAMPLES],
                type="index",
                label=words("examples"),
                elem_id="examples",
            )
            _hint(words, "examples_credit")
        with gr.Column(visible=False, elem_id="chosen") as chosen:
            thumbnail = _picture(words, "thumbnail")
            _hint(words, "pick_hint")
            facts = gr.HTML(elem_id="facts")
            estimate = gr.HTML(elem_id="estimate")
            with gr.Row(visible=False, elem_id="offers") as offers:
                _hint(words, "slow_offer")
                faster = tuple(gr.Button(visible=False, size="sm", elem_id=f"faster-{number}") for number in range(2))
    return UploadCard(file, problem, examples, examples_box, chosen, thumbnail, facts, estimate, offers, faster)


def _controls(words: Words) -> ControlsCard:
    start: dict[str, Any] = Settings().as_dict()
    controls: dict[str, Component] = {}
    with gr.Column(elem_classes="card"):
        _title(words, "preset")
        controls["preset"] = gr.Radio(
            [(words(f"choice_{name}"), name) for name in PRESETS],
            value=start["preset"],
            show_label=False,
            container=False,
            elem_id="preset",
        )
        problem = gr.HTML(elem_id="preset-problem")
        example = gr.HTML(elem_id="preset-example")
    with gr.Column(elem_classes="card"):
        _title(words, "tune")
        controls["tuning"] = gr.Checkbox(
            value=start["tuning"], label=words("tuning"), info=words("tuning_info"), container=False, elem_id="tuning"
        )
        for name in ("strength", "denoise", *TUNED[1:]):
            controls[name] = _slider(words, name, start[name], visible=name != "denoise")
        controls["scale"] = gr.Radio(
            [(f"{scale}×", scale) for scale in (1, 2, 3, 4)],
            value=start["scale"],
            label=words("scale"),
            elem_id="scale",
            elem_classes="bare",
        )
        with gr.Accordion(words("advanced"), open=False, elem_id="advanced"):
            controls["tile"] = _slider(words, "tile", start["tile"])
    return ControlsCard(controls, problem, example)


def _preview(words: Words) -> PreviewCard:
    with gr.Column(elem_classes="card"):
        with gr.Row(elem_classes="titled"):
            _title(words, "preview")
            chip = gr.HTML(elem_id="chip")
        slider = _compare("preview", 540, exact=True)
        where = gr.HTML(elem_id="preview-where")
        _hint(words, "preview_info")
        problem = gr.HTML(elem_id="preview-problem")
        retry = gr.Button(words("retry"), elem_id="retry", interactive=False, size="sm")
    return PreviewCard(slider, chip, where, problem, retry)


def _run(words: Words, key: str, prefix: str = "") -> RunCard:
    with gr.Row():
        large: dict[str, Any] = {"size": "lg", "interactive": False}
        enhance = gr.Button(words(key), variant="primary", elem_id=f"{prefix}enhance", scale=3, **large)
        cancel = gr.Button(words("cancel"), variant="stop", elem_id=f"{prefix}cancel", scale=1, **large)
    return RunCard(enhance, cancel, gr.HTML(elem_id=f"{prefix}why"), gr.HTML(elem_id=f"{prefix}progress"))


def _result(words: Words) -> ResultCard:
    with gr.Column(visible=False, elem_classes="card", elem_id="result") as box:
        with gr.Row(elem_classes="titled"):
            _title(words, "result")
            chip = gr.HTML(elem_id="result-chip")
        slider = _compare("compare", 680, exact=False)
        _hint(words, "result_hint")
        with gr.Row(elem_id="take-home"):
            download = gr.DownloadButton(words("download"), elem_id="download", variant="primary", interactive=False)
            report = gr.Button(words("report"), elem_id="report")
            again = gr.Button(words("start_over"), elem_id="again")
            report_file = gr.DownloadButton(words("report"), elem_id="report-file", elem_classes="unseen")
        home = (download, report, again, report_file, gr.HTML(elem_id="report-problem"))
        _title(words, "inspect")
        _hint(words, "inspect_hint")
        with gr.Row(elem_id="closely-row", equal_height=False):
            with gr.Column(scale=4, min_width=280):
                place = _picture(words, "map")
            with gr.Column(scale=6, min_width=300):
                closely = _compare("closely", 660, exact=True)
                problem = gr.HTML(elem_id="closely-problem")
        with gr.Accordion(words("facts"), open=True, elem_id="made"):
            facts = gr.HTML(elem_id="result-facts")
    return ResultCard(box, slider, chip, *home, place, closely, problem, facts)


def _batch(words: Words) -> BatchCard:
    with gr.Tab(words("tab_many"), id="many", elem_id="tab-many") as tab, gr.Column(elem_classes="card"):
        _title(words, "batch")
        _hint(words, "batch_hint")
        label = words("batch_files")
        files = gr.File(label=label, show_label=False, file_count="multiple", height=210, elem_id="batch-files")
        settings = gr.HTML(elem_id="batch-settings")
        run = _run(words, "batch_enhance", "batch-")
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
    info = words(f"{name}_info") if name in ("strength", "denoise", "tile") else None
    look: dict[str, Any] = {"visible": visible, "elem_id": name, "elem_classes": "bare"}
    return gr.Slider(low, high, value=value, step=STEPS[name], label=words(name), info=info, **look)


def _picture(words: Words, name: str) -> gr.Image:
    """A picture to click on."""
    return gr.Image(buttons=[], elem_id=name, alt_text=words(name), **_BARE)


def _compare(name: str, height: int, *, exact: bool) -> gr.ImageSlider:
    classes = ["compare", "exact"] if exact else ["compare"]
    return gr.ImageSlider(buttons=["fullscreen"], max_height=height, elem_id=name, elem_classes=classes, **_BARE)
