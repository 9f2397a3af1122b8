"""/batch and /report by `gradio_client`."""

from __future__ import annotations

import errno
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from enhance.files import explained

from ..site import photo


def test_batch_gives_a_zip_and_the_state_of_every_file(site, client):
    bad = site.files / "bad-one.png"
    bad.write_text("no picture")
    files = [site.photo("a.png", 20, 30), bad, site.photo("b.png", 30, 20)]

    path, info = client.predict(
        images=[handle_file(file) for file in files], preset="anime-fast", scale=2, api_name="/batch"
    )

    assert (info["done"], info["failed"], info["cancelled"]) == (2, 1, 0)
    assert [file["state"] for file in info["files"]] == ["done", "failed", "done"]
    assert "bad-one.png" in info["files"][1]["error"]
    assert info["files"][0]["info"]["output"]["width"] == 60
    with zipfile.ZipFile(path) as archive:
        assert Image.open(io.BytesIO(archive.read("b.png"))).size == (40, 60)
        assert {"report.csv", "summary.pdf"} <= set(archive.namelist())


def test_a_batch_whose_zip_has_no_room_gives_its_files_one_by_one(site, client, monkeypatch):
    def full(batch, path, *_):
        raise explained(path, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr("enhance.web.storage.pack", full)
    files = [site.photo("one.png", 20, 30), site.photo("two.png", 30, 20)]

    path, info = client.predict(images=[handle_file(file) for file in files], preset="anime-fast", api_name="/batch")

    assert path is None
    assert "Not enough disk space" in info["error"]
    made = [Image.open(file["file"]).size for file in info["files"]]
    assert made == [(120, 80), (80, 120)]


def test_a_batch_larger_than_the_disk_may_hold_is_whole(site, client, monkeypatch):
    monkeypatch.setattr(site.enhancer.tasks, "_max_disk", 1)
    files = [site.photo(f"{name}.png", 20 + side, 30) for side, name in enumerate(("left", "middle", "right"))]

    path, info = client.predict(images=[handle_file(file) for file in files], preset="anime-fast", api_name="/batch")

    assert (info["done"], info["error"]) == (3, None)
    with zipfile.ZipFile(path) as archive:
        assert {"left.png", "middle.png", "right.png"} < set(archive.namelist())


def test_a_batch_without_pictures_is_refused(client):
    with pytest.raises(AppError, match="contains no image"):
        client.predict(images=[], api_name="/batch")


def test_a_report_is_for_the_one_who_made_the_run(site, connect):
    owner, other = connect(), connect()
    image = handle_file(site.photo("report.png", 60, 60))
    path, info = owner.predict(image=image, preset="anime-fast", api_name="/enhance")
    assert np.asarray(Image.open(path)).shape == (*(4 * side for side in photo(60, 60).shape[:2]), 3)

    pdf = Path(owner.predict(task_id=info["task_id"], api_name="/report"))

    assert pdf.name == "report-4x-report.pdf"
    assert pdf.read_bytes().startswith(b"%PDF-")
    for stranger, task_id in ((other, info["task_id"]), (owner, "0" * 32), (owner, "../secret")):
        with pytest.raises(AppError, match="None of your results"):
            stranger.predict(task_id=task_id, api_name="/report")
