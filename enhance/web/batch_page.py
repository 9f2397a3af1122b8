"""The second tab's parts and where they stand."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr


@dataclass(frozen=True)
class BatchTab:
    """Many pictures: the files, the settings in words, a table, and the ZIP to take home."""

    tab: gr.Tab
    files: gr.File
    settings: gr.HTML
    enhance: gr.Button
    cancel: gr.Button
    why: gr.HTML
    progress: gr.HTML
    table: gr.HTML
    download: gr.DownloadButton


def build_batch_tab(i18n: gr.I18n) -> BatchTab:
    """Lay the second tab out. Inside a `gr.Tabs`."""
    with gr.Tab(i18n("tab_many"), id="many", elem_id="tab-many") as tab, gr.Column(elem_classes="card"):
        gr.Markdown(i18n("batch_title"), elem_classes="step")
        gr.Markdown(i18n("batch_hint"), elem_classes="hint")
        files = gr.File(
            label=i18n("batch_files"), show_label=False, file_count="multiple", height=210, elem_id="batch-files"
        )
        settings = gr.HTML(elem_id="batch-settings")
        with gr.Row():
            enhance = gr.Button(
                i18n("batch_enhance"),
                variant="primary",
                size="lg",
                elem_id="batch-enhance",
                interactive=False,
                scale=3,
            )
            cancel = gr.Button(
                i18n("cancel"), variant="stop", size="lg", elem_id="batch-cancel", interactive=False, scale=1
            )
        why = gr.HTML(elem_id="batch-why")
        progress = gr.HTML(elem_id="batch-progress")
        table = gr.HTML(elem_id="batch-table")
        download = gr.DownloadButton(
            i18n("batch_download"),  # type: ignore[arg-type]
            elem_id="batch-download",
            variant="primary",
            interactive=False,
        )
    return BatchTab(tab, files, settings, enhance, cancel, why, progress, table, download)
