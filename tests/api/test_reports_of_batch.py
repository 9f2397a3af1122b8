"""Reports of a batch in one ZIP file, and the cancelling of a report."""

from __future__ import annotations

import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from enhance import Cancelled
from enhance.i18n import LANGUAGES
from enhance.web.batch import run as batch
from enhance.web.views import Call

from ..site import Site


@pytest.fixture
def finished(call: Call, tmp_path: Path) -> Call:
    """A call of a page with a finished batch of two photos."""
    other = tmp_path / "other.png"
    Image.fromarray(np.asarray(Image.open(tmp_path / "photo.png"))[::-1]).save(other)
    call.session.values = dict(call.values)
    batch.add_files(call, [str(tmp_path / "photo.png"), str(other)])
    batch.start_batch(call)
    assert call.session.batch.wait(60)
    return call


def delete_inputs(call: Call, *names: str) -> None:
    for name in names:
        for path in call.services.enhancer.tasks.uploads.glob(f"*/{name}"):
            path.unlink()


def archives(call: Call) -> list[Path]:
    return list(call.services.downloads.root.rglob("reports.zip"))


def test_a_missing_input_leaves_the_other_reports(finished: Call):
    delete_inputs(finished, "photo.png")

    updates = batch.write_reports(finished)

    (path,) = archives(finished)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert [Path(name).suffix for name in archive.namelist()] == [".pdf"]
        assert archive.namelist()[0].startswith("other")
    assert "photo.png" in updates[finished.page.result.report_problem]
    assert updates[finished.page.result.report_file].value["orig_name"] == "reports.zip"


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_any_report_there_is_no_file(finished: Call, language: str):
    request: Any = finished.request
    request.headers = {"accept-language": language}
    delete_inputs(finished, "photo.png", "other.png")

    updates = batch.write_reports(finished)

    assert "problem" in updates[finished.page.result.report_problem]
    assert archives(finished) == []
    assert not [path for path in finished.services.downloads.root.glob("results/*") if not any(path.iterdir())]


def test_a_cancelled_report_leaves_no_file(call: Call, tmp_path: Path):
    enhancer, stop = call.services.enhancer, threading.Event()
    result = enhancer.run(tmp_path / "photo.png", "anime-fast")
    stop.set()

    with pytest.raises(Cancelled):
        enhancer.report(result.info["task_id"], stop=stop)

    assert list(enhancer.tasks.reports.iterdir()) == []
    assert enhancer.report(result.info["task_id"]).exists()


def test_a_marker_of_the_program_is_not_served(site: Site):
    page = Path(os.environ["GRADIO_TEMP_DIR"])
    marker = page / ".enhance-folder"
    assert marker.exists()
    for path in (
        marker,
        f"{page}/results/../{marker.name}",
        f"{page}/{marker.name}/.",
        str(marker).replace(".", "%2e"),
    ):
        for route in ("file=", "file/"):
            answer = httpx.get(f"{site.url}gradio_api/{route}{path}")
            assert answer.status_code in (403, 404), path
            assert "kept by" not in answer.text
