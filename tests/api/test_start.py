"""`python app.py` with an unusable environment: one sentence, no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def started(folder: Path, **variables: str) -> subprocess.Popen[str]:
    environment = os.environ | {"ENHANCE_DATA": str(folder), "LC_ALL": "C.UTF-8"} | variables
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, text=True, **pipes)  # type: ignore[call-overload]


def test_a_bad_value_or_a_taken_port_ends_the_start_with_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        cases = {
            ("GRADIO_TEMP_DIR", "/etc/passwd"): 2,
            ("GRADIO_SERVER_PORT", port): 1,
        }
        programs = {case: started(tmp_path / case[0], **{case[0]: case[1]}) for case in cases}
        for (name, value), program in programs.items():
            _, said = program.communicate(timeout=120)
            assert program.returncode == cases[name, value], said
            (sentence,) = [line for line in said.splitlines() if line.startswith("enhance: ")]
            assert value in sentence
            assert "Traceback" not in said
