"""/batch and /report."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import Status
from PIL import Image

from enhance.files import storage_error

from ..site import wait_until
from .calls import FAST, submit, upload, values_for


def test_a_batch_returns_a_zip_in_the_given_format_and_the_state_of_every_file(site, client):
    clear = site.files / "clear.png"
    Image.fromarray(np.full((20, 20, 4), 128, np.uint8)).save(clear)
    files = [
        handle_file(file) for file in (clear, site.text("bad-one.png"), site.photo("b.png", 30, 20))
    ]

    options = {"scale": 2, "format": "webp", "quality": 70, "api_name": "/batch"}
    path, info = client.predict(images=files, **options, **FAST)

    assert (info["done"], info["failed"], info["cancelled"]) == (2, 1, 0)
    assert [file["state"] for file in info["files"]] == ["done", "failed", "done"]
    assert "bad-one.png" in info["files"][1]["error"]
    assert info["files"][2]["info"]["output"]["width"] == 40
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == {
            "clear-2x.webp",
            "b-2x.webp",
            "report.csv",
            "summary.pdf",
        }
        rows = list(csv.DictReader(io.StringIO(archive.read("report.csv").decode("utf-8-sig"))))
        for row in (rows[0], rows[2]):
            content = archive.read(row["result"])
            assert Image.open(io.BytesIO(content)).format == "WEBP"
            assert (int(row["bytes"]), row["sha256"]) == (
                len(content),
                hashlib.sha256(content).hexdigest(),
            )
            assert row["fidelity"] in ("very high", "high", "low")
    with pytest.raises(AppError):
        client.predict(images=[], api_name="/batch")


def test_a_batch_whose_zip_does_not_fit_on_the_disk_returns_its_files_one_by_one(
    site, client, monkeypatch
):
    def full(batch, path, *_):
        raise storage_error(path, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr("enhance.web.outputs.pack", full)
    files = [handle_file(site.photo("one.png", 20, 30)), handle_file(site.photo("two.png", 30, 20))]
    path, info = client.predict(images=files, api_name="/batch", **FAST)
    assert path is None
    assert info["error"]
    assert [Image.open(file["file"]).size for file in info["files"]] == [(120, 80), (80, 120)]


def test_a_batch_is_complete_beyond_the_disk_limit_and_if_the_data_folder_is_deleted_meanwhile(
    site, monkeypatch
):
    files, runs = (
        [upload(site, f"{side}.png", side) for side in (21, 22, 23)],
        site.enhancer.calls["run"],
    )
    secret = site.enhancer.tasks.folder / ".enhance-secret"
    known = secret.read_bytes()
    monkeypatch.setattr(site.enhancer.tasks, "_max_disk", 1)
    with site.enhancer.paused("run", of="21.png"):
        answer = submit(site, "batch", [files, *values_for("enhance", None)[1:]])
        wait_until(lambda: site.enhancer.calls["run"] > runs)
        shutil.rmtree(site.enhancer.tasks.folder)
        secret.parent.mkdir(exist_ok=True)
        secret.write_bytes(known)  # for the tests that sign addresses as this server does
    file, info = json.loads(answer.result().rpartition("data: ")[2])
    assert (info["done"], info["error"]) == (3, None)
    with zipfile.ZipFile(file["path"]) as archive:
        assert {"21-4x.png", "22-4x.png", "23-4x.png"} < set(archive.namelist())


def test_a_cancelled_report_ends_at_once_and_leaves_no_file(site, client):
    _, info = client.predict(
        image=handle_file(site.photo("report.png", 61, 60)), api_name="/enhance", **FAST
    )
    with site.enhancer.paused("report"):
        job = client.submit(task_id=info["task_id"], api_name="/report")
        wait_until(lambda: job.status().code is Status.ITERATING)  # Gradio cancels no earlier call.
        assert site.enhancer.scheduler.count("preview") == 1
        job.cancel()
        wait_until(lambda: site.enhancer.scheduler.count("preview") == 0)
    assert list(site.enhancer.tasks.reports.glob(f"{info['task_id']}*")) == []
    assert Path(client.predict(task_id=info["task_id"], api_name="/report")).is_file()
