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
