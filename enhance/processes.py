"""Names of processes, and the temporary files that contain them, so that files of ended processes
can be removed."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import psutil

resource: Any = None
with suppress(ImportError):  # Windows has no limit for file descriptors.
    import resource

_PROCESS = r"(\w+-[0-9]{1,9}-[0-9]{1,15})"
_TEMPORARY = re.compile(rf"\.enhance-{_PROCESS}-[0-9a-f]{{12}}\.part")
_TEMPORARY_FOLDER = re.compile(rf"enhance-{_PROCESS}-[a-z0-9_]{{8}}")
_MOST_FILES = 65_536
"""The number of files that a server wants to open."""
_OTHER_MACHINE_SECONDS = 24 * 3600
"""Age at which a temporary file or a lease of another machine counts as abandoned."""


def this_process() -> str:
    """Return a name for this process that is unique across machines and restarts:
    host-pid-start."""
    return f"{_host()}-{os.getpid()}-{_start_of(os.getpid())}"


def _host() -> str:
    return "".join(filter(str.isalnum, socket.gethostname())) or "host"


def is_local_process(process: str) -> bool:
    """Return whether `process` is the name of a process of this machine."""
    is_name = re.fullmatch(_PROCESS, process) is not None
    return is_name and process.startswith(f"{_host()}-")


def has_ended(process: str, began: float = 0.0) -> bool:
    """Return whether a process has ended.

    One of another machine counts as ended a day after the time at which it `began` to use a file or
    a lease.
    """
    if not is_local_process(process):
        return time.time() - began > _OTHER_MACHINE_SECONDS
    _, pid, start = process.split("-")
    try:
        # A killed process stays a zombie in a container whose first process does not wait for it.
        if psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE:
            return True
        return _start_of(int(pid)) != int(start)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError):  # a process of another user that cannot be read
        return False


def temporary_path(path: Path) -> Path:
    """Return a new temporary path in the folder of `path` that contains the name of this
    process."""
    return path.with_name(f".enhance-{this_process()}-{secrets.token_hex(6)}.part")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of ended processes in `folder`."""
    # The error of an unusable folder is reported when a file in it is written.
    with suppress(OSError):
        for path in folder.glob(".enhance-*.part"):
            match = _TEMPORARY.fullmatch(path.name)
            if match is None or path.is_symlink() or not path.is_file():
                continue
            # A file that is open in another process is removed the next time.
            with suppress(OSError):
                if has_ended(match[1], path.stat().st_mtime):
                    path.unlink()


def temporary_folder() -> TemporaryDirectory[str]:
    """Return a new temporary folder named after this process. Remove the folders of ended
    processes."""
    for path in Path(gettempdir()).glob("enhance-*"):
        match = _TEMPORARY_FOLDER.fullmatch(path.name)
        if match and is_local_process(match[1]) and has_ended(match[1]):
            shutil.rmtree(path, ignore_errors=True)
    return TemporaryDirectory(prefix=f"enhance-{this_process()}-", ignore_cleanup_errors=True)


def _start_of(pid: int) -> int:
    """Return a number for the start of a process, which stays the same when the system clock is
    set.

    On Linux, psutil computes the start time from the system clock, so the number comes from the
    boot and the ticks since then. Other systems store the start time. Raises psutil.Error.
    """
    process = psutil.Process(pid)
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
        # Field 22 of proc(5). The second one is the name of the program in brackets, which can
        # contain spaces.
        ticks = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]
    except FileNotFoundError:
        return int(process.create_time())
    return int.from_bytes(hashlib.sha256(boot + ticks).digest()[:6], "big")


def raise_file_limit() -> int:
    """Raise the process's limit of open files as far as possible, and return it."""
    if resource is None:
        return _MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
