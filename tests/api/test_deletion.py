"""Deleting a result on the page also deletes the downloads and images that the page made from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from enhance.web import history, run
from enhance.web.batch import run as batch
from enhance.web.owners import Owner
from enhance.web.views import Call

from ..unit.stored_results import files_of

KEY = "a1" * 16


@pytest.fixture
def listed(call: Call) -> Call:
    """A call of a page with a list of results."""
    call.session.client = Owner(f"key {KEY}", "")
    call.session.values = dict(call.values)
    return call


def act(call: Call, entry: str, act: str = "") -> Call:
    """Return the call of a button of an entry."""
    return replace(call, event=gr.EventData(None, {"entry": entry, "act": act}))


def page_files(call: Call) -> set[str]:
    """Return the files of the page, without the photo that it still shows."""
    names = {Path(name).name for name in files_of(call.services.downloads.root)}
    return {name for name in names if not name.startswith("thumbnail-")}


def enhance(call: Call) -> str:
    """Enhance the photo of the page and return the entry of the result."""
    run.start_run(call)
    call.session.run.wait(60)
    call.session.run.result()
    (newest,) = call.services.enhancer.tasks.runs(call.session.history)[0]
    return newest.id


def test_a_deleted_result_leaves_no_download_of_the_page(listed):
    entry = enhance(listed)
    for form in ("jpeg", "tiff"):
        run.export(replace(listed, values={**listed.values, "format": form}))
    run.report(listed)
    history.download_entry(act(listed, entry, "report"))
    history.download_entry(act(listed, entry, "download"))
    assert {Path(name).suffix for name in page_files(listed)} >= {".png", ".jpg", ".tif", ".pdf"}

    history.remove_entry(act(listed, entry))

    assert page_files(listed) == set()
    assert set(files_of(listed.services.enhancer.tasks.folder)) == {".enhance-secret"}


def test_a_deleted_result_leaves_the_downloads_of_other_results(listed):
    first = enhance(listed)
    run.export(listed)
    second = replace(listed, values={**listed.values, "saturation": 0})
    enhance(second)
    history.download_entry(act(listed, first, "download"))
    before = page_files(second)

    history.remove_entry(act(listed, first))

    assert listed.session.result is not None
    assert listed.session.result.download.exists()
    assert listed.session.result.overview.exists()
    assert page_files(second) <= before


def test_a_deleted_file_of_a_batch_leaves_no_archive_that_contains_it(listed, tmp_path):
    copy = tmp_path / "copy.png"
    copy.write_bytes((tmp_path / "photo.png").read_bytes())
    batch.add_files(listed, [str(tmp_path / "photo.png"), str(copy)])
    batch.start_batch(listed)
    assert listed.session.batch.wait(60)
    first, other = listed.session.current_batch.items
    batch.write_reports(listed)
    history.download_entry(act(listed, listed.session.files.id, "zip"))
    assert {"enhanced.zip", "reports.zip"} <= page_files(listed)
    batch.clear_files(listed)

    history.remove_entry(act(listed, first.key))

    assert not {"enhanced.zip", "reports.zip"} & page_files(listed)
    history.remove_entry(act(listed, other.key))
    assert page_files(listed) == set()
    assert set(files_of(listed.services.enhancer.tasks.folder)) == {".enhance-secret"}
