"""The log has one line for a run, and nothing of what was on the picture."""

from __future__ import annotations

import logging

import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError


def test_a_run_is_one_line_without_its_name(site, client, caplog):
    bad = site.files / "private-note.png"
    bad.write_text("no picture")
    with caplog.at_level(logging.INFO, logger="enhance"):
        good = handle_file(site.photo("private-name.png", 20, 30))
        _, info = client.predict(image=good, preset="anime-fast", api_name="/enhance")
        with pytest.raises(AppError):
            client.predict(image=handle_file(bad), preset="anime-fast", api_name="/enhance")
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("task ")]
    assert len(lines) == 2
    assert lines[0].startswith(f"task id={info['task_id']} size=30x20 preset=anime-fast seconds=")
    assert [line.rpartition("outcome=")[2] for line in lines] == ["done", "failed"]
    assert "private" not in caplog.text


def test_a_batch_has_a_line_for_each_file_without_its_name(site, client, caplog):
    bad = site.files / "private-note.png"
    bad.write_text("no picture")
    files = [handle_file(file) for file in (site.photo("private-view.png", 22, 34), bad)]
    with caplog.at_level(logging.INFO, logger="enhance"):
        _, info = client.predict(images=files, preset="anime-fast", api_name="/batch")
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("file ")]
    task = info["files"][0]["info"]["task_id"]
    assert sorted(line.partition(" seconds=")[0] for line in lines) == [
        "file id=- size=- preset=anime-fast",
        f"file id={task} size=34x22 preset=anime-fast",
    ]
    assert sorted(line.rpartition("outcome=")[2] for line in lines) == ["done", "failed"]
    assert "private" not in caplog.text


def test_a_preview_is_told_of_only_where_faults_are_looked_for(site, client, caplog):
    with caplog.at_level(logging.DEBUG, logger="enhance.web"):
        picture = handle_file(site.photo("private-piece.png", 24, 32))
        client.predict(image=picture, preset="anime-fast", size=16, api_name="/preview")
    (record,) = [record for record in caplog.records if record.getMessage().startswith("preview ")]
    assert record.levelno == logging.DEBUG
    assert record.getMessage().startswith("preview id=- size=32x24 preset=anime-fast seconds=")
    assert "private" not in caplog.text
