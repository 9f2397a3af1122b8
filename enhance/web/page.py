"""The page's parts and where they stand; what they do is in the handlers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from ..settings import PRESETS, RANGES, Settings
from .batch_page import BatchTab, build_batch_tab
from .controls import CONTROLS, TUNED

EXAMPLES = tuple(sorted((Path(__file__).parent / "examples").glob("*.jpg")))
STEPS = {"strength": 0.05, "denoise": 0.05, "sharpen": 0.05, "saturation": 0.05, "contrast": 0.01, "tile": 64}


@dataclass(frozen=True)
class Picking:
    """Where a picture is chosen, and what is known of it."""

    upload: gr.File
    problem: gr.HTML
    examples: gr.Dataset
    examples_box: gr.Column
    chosen: gr.Column
    thumbnail: gr.Image
    facts: gr.HTML
    estimate: gr.HTML
    offers: gr.Row
    offer_text: gr.Markdown
    faster: tuple[gr.Button, ...]


@dataclass(frozen=True)
class Preview:
    """The square's before and after."""

    slider: gr.ImageSlider
    chip: gr.HTML
    where: gr.HTML
    problem: gr.HTML
    retry: gr.Button


@dataclass(frozen=True)
class Running:
    """Enhance, Cancel, and how far it is."""

    enhance: gr.Button
    cancel: gr.Button
    why: gr.HTML
    progress: gr.HTML


@dataclass(frozen=True)
class Result:
    """What came of it, to compare, look at closely and take home."""

    box: gr.Column
    slider: gr.ImageSlider
    chip: gr.HTML
    download: gr.DownloadButton
    report: gr.Button
    report_file: gr.DownloadButton
    report_problem: gr.HTML
    again: gr.Button
    map: gr.Image
    closely: gr.ImageSlider
    problem: gr.HTML
    facts: gr.HTML


@dataclass(frozen=True)
class Page:
    """All parts that a handler reads or changes."""

    picking: Picking
    controls: dict[str, Component]
    preset_problem: gr.HTML
    preset_example: gr.HTML
    link: gr.Button
    preview: Preview
    running: Running
    result: Result
    batch: BatchTab

    @property
    def control_list(self) -> list[Component]:
        """The controls in the order of CONTROLS."""
        return [self.controls[name] for name in CONTROLS]


def build_page(i18n: gr.I18n) -> Page:
    """Lay the page out. Inside a `gr.Blocks`."""
    link = _head(i18n)
    with gr.Tabs(elem_id="tabs"):
        with gr.Tab(i18n("tab_one"), id="one", elem_id="tab-one"):
            with gr.Row(elem_classes="bench", equal_height=False):
                with gr.Column(scale=6, min_width=340):
                    picking = _picking(i18n)
                    preview = _preview(i18n)
                with gr.Column(scale=5, min_width=320):
                    controls, preset_problem, preset_example = _controls(i18n)
                    running = _running(i18n)
            result = _result(i18n)
        batch = build_batch_tab(i18n)
    return Page(picking, controls, preset_problem, preset_example, link, preview, running, result, batch)


def _head(i18n: gr.I18n) -> gr.Button:
    with gr.Row(elem_id="head", equal_height=True):
        with gr.Column(scale=8, min_width=260):
            gr.Markdown(i18n("heading"), elem_id="heading")
        with gr.Column(scale=4, min_width=220, elem_id="head-links"):
            gr.HTML('<nav><a href="?lang=en" lang="en">English</a><a href="?lang=zh-CN" lang="zh-CN">中文</a></nav>')
            link = gr.Button(i18n("copy_link"), elem_id="link", size="sm", variant="secondary")
    return link


def _title(i18n: gr.I18n, key: str) -> None:
    gr.Markdown(i18n(f"{key}_title"), elem_classes="step")


def _picking(i18n: gr.I18n) -> Picking:
    with gr.Column(elem_classes="card"):
        _title(i18n, "picture")
        upload = gr.File(label=i18n("upload"), show_label=False, elem_id="upload", height=150)
        gr.Markdown(i18n("upload_hint"), elem_classes="hint", elem_id="upload-hint")
        problem = gr.HTML(elem_id="upload-problem")
        with gr.Column(elem_id="examples-box") as examples_box:
            examples = gr.Dataset(
                components=[gr.Image(render=False)],
                samples=[[str(path)] for path in EXAMPLES],
                type="index",
                label=i18n("examples"),
                elem_id="examples",
            )
            gr.Markdown(i18n("examples_credit"), elem_classes="hint")
        with gr.Column(visible=False, elem_id="chosen") as chosen:
            thumbnail = gr.Image(
                interactive=False,
                show_label=False,
                buttons=[],
                container=False,
                elem_id="thumbnail",
                type="filepath",
                alt_text=i18n("thumbnail"),  # type: ignore[arg-type]
            )
            gr.Markdown(i18n("pick_hint"), elem_classes="hint")
            facts = gr.HTML(elem_id="facts")
            estimate = gr.HTML(elem_id="estimate")
            with gr.Row(visible=False, elem_id="offers") as offers:
                text = gr.Markdown(i18n("slow_offer"), elem_classes="hint")
                faster = tuple(gr.Button(visible=False, size="sm", elem_id=f"faster-{number}") for number in range(2))
    return Picking(upload, problem, examples, examples_box, chosen, thumbnail, facts, estimate, offers, text, faster)


def _controls(i18n: gr.I18n) -> tuple[dict[str, Component], gr.HTML, gr.HTML]:
    start: dict[str, Any] = Settings().as_dict()
    controls: dict[str, Component] = {}
    with gr.Column(elem_classes="card"):
        _title(i18n, "preset")
        controls["preset"] = gr.Radio(
            [(i18n(f"choice_{name}"), name) for name in PRESETS],
            value=start["preset"],
            show_label=False,
            container=False,
            elem_id="preset",
        )
        problem = gr.HTML(elem_id="preset-problem")
        example = gr.HTML(elem_id="preset-example")
    with gr.Column(elem_classes="card"):
        _title(i18n, "tune")
        controls["tuning"] = gr.Checkbox(
            value=start["tuning"], label=i18n("tuning"), info=i18n("tuning_info"), container=False, elem_id="tuning"
        )
        for name in ("strength", "denoise", *TUNED[1:]):
            controls[name] = _slider(i18n, name, start[name], visible=name != "denoise")
        controls["scale"] = gr.Radio(
            [(f"{scale}×", scale) for scale in (1, 2, 3, 4)],
            value=start["scale"],
            label=i18n("scale"),
            elem_id="scale",
            elem_classes="bare",
        )
        with gr.Accordion(i18n("advanced"), open=False, elem_id="advanced"):
            controls["tile"] = _slider(i18n, "tile", start["tile"])
    return controls, problem, example


def _slider(i18n: gr.I18n, name: str, value: float, *, visible: bool = True) -> gr.Slider:
    low, high = RANGES[name]
    info = i18n(f"{name}_info") if name in ("strength", "denoise", "tile") else None
    return gr.Slider(
        low,
        high,
        value=value,
        step=STEPS[name],
        label=i18n(name),
        info=info,  # type: ignore[arg-type]
        visible=visible,
        elem_id=name,
        elem_classes="bare",
    )


def _preview(i18n: gr.I18n) -> Preview:
    with gr.Column(elem_classes="card"):
        with gr.Row(elem_classes="titled"):
            _title(i18n, "preview")
            chip = gr.HTML(elem_id="chip")
        slider = _compare("preview", 540, exact=True)
        where = gr.HTML(elem_id="preview-where")
        gr.Markdown(i18n("preview_info"), elem_classes="hint")
        problem = gr.HTML(elem_id="preview-problem")
        retry = gr.Button(i18n("retry"), elem_id="retry", interactive=False, size="sm")
    return Preview(slider, chip, where, problem, retry)


def _compare(name: str, height: int, *, exact: bool) -> gr.ImageSlider:
    return gr.ImageSlider(
        interactive=False,
        show_label=False,
        buttons=["fullscreen"],
        container=False,
        max_height=height,
        elem_id=name,
        elem_classes=["compare", "exact"] if exact else ["compare"],
        type="filepath",
    )


def _running(i18n: gr.I18n) -> Running:
    with gr.Column(elem_classes="card", elem_id="run"):
        with gr.Row():
            enhance = gr.Button(
                i18n("enhance"), variant="primary", size="lg", elem_id="enhance", interactive=False, scale=3
            )
            cancel = gr.Button(i18n("cancel"), variant="stop", size="lg", elem_id="cancel", interactive=False, scale=1)
        why = gr.HTML(elem_id="why")
        progress = gr.HTML(elem_id="progress")
    return Running(enhance, cancel, why, progress)


def _result(i18n: gr.I18n) -> Result:
    with gr.Column(visible=False, elem_classes="card", elem_id="result") as box:
        with gr.Row(elem_classes="titled"):
            _title(i18n, "result")
            chip = gr.HTML(elem_id="result-chip")
        slider = _compare("compare", 680, exact=False)
        gr.Markdown(i18n("result_hint"), elem_classes="hint")
        with gr.Row(elem_id="take-home"):
            download = gr.DownloadButton(
                i18n("download"),  # type: ignore[arg-type]
                elem_id="download",
                variant="primary",
                interactive=False,
            )
            report = gr.Button(i18n("report"), elem_id="report")
            again = gr.Button(i18n("start_over"), elem_id="again")
            report_file = gr.DownloadButton(
                i18n("report"),  # type: ignore[arg-type]
                elem_id="report-file",
                elem_classes="unseen",
            )
        report_problem = gr.HTML(elem_id="report-problem")
        gr.Markdown(i18n("inspect_title"), elem_classes="step")
        gr.Markdown(i18n("inspect_hint"), elem_classes="hint")
        with gr.Row(elem_id="closely-row", equal_height=False):
            with gr.Column(scale=4, min_width=280):
                place = gr.Image(
                    interactive=False,
                    show_label=False,
                    buttons=[],
                    container=False,
                    elem_id="map",
                    type="filepath",
                    alt_text=i18n("map"),  # type: ignore[arg-type]
                )
            with gr.Column(scale=6, min_width=300):
                closely = _compare("closely", 660, exact=True)
                problem = gr.HTML(elem_id="closely-problem")
        with gr.Accordion(i18n("facts"), open=True, elem_id="made"):
            facts = gr.HTML(elem_id="result-facts")
    home = (download, report, report_file, report_problem, again)
    return Result(box, slider, chip, *home, place, closely, problem, facts)
