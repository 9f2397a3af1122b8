"""Processes that are forked from one with the program already imported, because the imports take
seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

LAUNCHER = """
import gc, importlib, json, os, sys
import enhance.jobs.batch, enhance.engine.engine, enhance.enhancer, enhance.cli

def run(task):
    for number, path in ((1, task["output"]), (2, task["errors"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(task["stdin"], os.O_RDONLY), 0)
    sys.argv[1:], sys.stdin = task["arguments"], open(0)
    os.environ.update(task["environment"])
    exec(compile(task["code"], "fork", "exec"), {})

for line in sys.stdin:
    task = json.loads(line)
    if "wait" in task:
        print(os.waitstatus_to_exitcode(os.waitpid(task["wait"], 0)[1]), flush=True)
        continue
    for name in task["modules"]:
        importlib.import_module(name)
    gc.freeze()  # Garbage collection would copy the memory that the processes share.
    child = os.fork()
    if not child:
        run(task)
        sys.exit()
    print(child, flush=True)
"""
COMMAND_LINE = "import sys\nfrom enhance.cli import program\nprogram(sys.argv[1:])"
ROOT = Path(__file__).parents[2]
can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork processes")


@dataclass(frozen=True)
class Fork:
    """A forked process. Its output and its errors are in files."""

    launcher: Launcher
    pid: int
    output: Path
    errors: Path

    def is_over(self) -> bool:
        return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE

    def send_signal(self, number: int) -> None:
        """Send a signal, which has no effect if the process has ended."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for the end and return the exit status, which is negative for a signal."""
        return int(self.launcher.ask(wait=self.pid))


class Launcher:
    """The process that forks the others, with one thread for each."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._count = 0
        # One thread, so that the load of the computer changes no pixel.
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, **task: object) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def start(
        self,
        *arguments: str | Path,
        code: str = COMMAND_LINE,
        modules: tuple[str, ...] = (),
        stdin: Path = Path(os.devnull),
    ) -> Fork:
        """Run the command line with these arguments, or `code`, for which `modules` are imported
        before the fork."""
        self._count += 1
        output = self._folder / f"{self._count}.output"
        errors = self._folder / f"{self._count}.errors"
        pid = self.ask(
            arguments=[*map(str, arguments)],
            code=code,
            modules=modules,
            stdin=str(stdin),
            output=str(output),
            errors=str(errors),
            environment=dict(os.environ),
        )
        return Fork(self, int(pid), output, errors)


def wait_for_new_name(folder: Path, fork: Fork, before: set[str]) -> None:
    """Wait until the process has created a file in the folder, or has ended."""
    while not fork.is_over() and not (folder.is_dir() and {*os.listdir(folder)} - before):  # noqa: PTH208
        time.sleep(0.001)
