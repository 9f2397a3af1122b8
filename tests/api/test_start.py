"""`python app.py` with a senseless environment: one sentence, no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def started(tmp_path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ENHANCE_DATA": str(tmp_path / "data"), "LC_ALL": "C.UTF-8"} | variables
    return subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENHANCE_DEVICE", "tpu"),
        ("GRADIO_TEMP_DIR", "/etc/passwd"),
        ("GRADIO_SERVER_NAME", "no.such.host.invalid"),
    ],
)
def test_a_bad_value_ends_the_start_with_its_sentence(tmp_path, variable, value):
    ended = started(tmp_path, **{variable: value})

    assert ended.returncode == (1 if variable == "GRADIO_SERVER_NAME" else 2)
    (sentence,) = [line for line in ended.stderr.splitlines() if line.startswith("enhance: ")]
    assert variable in sentence
    assert value in sentence
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = started(tmp_path, GRADIO_SERVER_PORT=str(taken.getsockname()[1]), LC_ALL="zh_CN.UTF-8")

    assert ended.returncode == 1
    assert "无法在 127.0.0.1" in ended.stderr
    assert "Traceback" not in ended.stderr
