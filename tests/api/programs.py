"""Programs in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from ..site import free_port, is_ready, photo

ROOT = Path(__file__).parents[2]
PAUSED = "import tests.api.paused_app"
"""The program of a server whose runs of files called slow pause."""
AS_FIRST_PROCESS = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


@dataclass
class Program:
    """A running program, its data folder, and the port of its server."""

    data: Path
    process: Any
    port: int

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def is_ready(self):
        return is_ready(self.url)

    def end(self, signal, seconds=25):
        """Send a signal; return exit status, output and errors when the program and all its workers
        have ended."""
        processes = psutil.Process(self.process.pid).children(recursive=True)
        is_wrapped = self.process.args[0] == "unshare"
        (processes[0] if is_wrapped else psutil.Process(self.process.pid)).send_signal(signal)
        output, errors = self.process.communicate(timeout=seconds)
        _, alive = psutil.wait_procs(processes, timeout=5)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
        return self.process.returncode, output, errors


def write_photo(path, height, width, copies=1):
    """Write a photo, repeated vertically."""
    Image.fromarray(np.tile(photo(height, width), (copies, 1, 1))).save(path)
    return path


def can_be_first_process():
    tried = shutil.which("unshare") and subprocess.run(
        [*AS_FIRST_PROCESS, "true"], capture_output=True, check=False
    )
    return bool(tried) and tried.returncode == 0


def server_variables(data, port):
    """Return the environment of a server with this data folder."""
    return {
        "ENHANCE_DATA": str(data),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": "",
        "LC_ALL": "C.UTF-8",
    }


def fork_server(forks, data, program="import app\napp.main()", **variables):
    """Fork a process that runs a server."""
    port = free_port()
    variables |= server_variables(data, port)
    code = f"import os\nos.environ.update({variables})\n{program}"
    return Program(data, forks.start(code=code, modules=("enhance.web.build",)), port)


@pytest.fixture
def start(tmp_path):
    """Start Python programs: `start("app.py")`. They are killed at the end.

    `wrapper` is a command that runs the program.
    """
    data = tmp_path / "data"
    started = []

    def start_program(*arguments, wrapper=None):
        port = free_port()
        command = [*(wrapper or []), sys.executable, *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = os.environ | server_variables(data, port)
        process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)  # type: ignore[call-overload]
        started.append(process)
        return Program(data, process, port)

    yield start_program
    for process in started:
        process.kill()
        process.communicate()
