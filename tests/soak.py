"""Load test of the served app: `make soak`, or `python -m tests.soak --help`.

Prints the outcome as JSON and exits with 1 if a limit is exceeded or a result is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil

from enhance.i18n import translate

from .site import free_port, is_ready
from .soak_clients import Client, Known, Tally, known_images

ROOT = Path(__file__).parents[1]
MOST_MB_MORE, MOST_THREADS_MORE, MOST_CONNECTIONS_MORE = 250, 20, 5
"""The additional memory, threads and connections that finished sessions, previews and runs can leave."""
HOST, AT_ONCE = "127.0.0.1", 8
WAITED = {
    "runs": ("run", "retune"),
    "previews": ("preview",),
    "batches": ("batch",),
    "light calls": ("light",),
}


@dataclass(frozen=True)
class Plan:
    """The seconds and clients of a test, and the sessions, previews and runs before it.

    `rest` is in seconds. `warm` is the number of requests of each kind before the measurement.
    """

    seconds: float
    clients: int
    sessions: int
    previews: int
    runs: int
    rest: float
    images: int = 6
    warm: int = 2

    @classmethod
    def lasting(cls, seconds: float = 600, clients: int = 50, **given: Any) -> Plan:
        """Return a plan whose other parts are in proportion to `seconds`, apart from those that are given."""
        share = seconds / 600
        parts = {"sessions": round(400 * share), "previews": round(300 * share), "runs": round(150 * share)}
        return cls(seconds, clients, **{**parts, "rest": max(5, 120 * share), **given})


@dataclass(frozen=True)
class Use:
    """The memory of the server and its workers in MB, and the threads and connections of the server."""

    server_mb: float
    workers_mb: float
    threads: int
    connections: int = 0


@dataclass
class Outcome:
    """The measurements by phase. `broken` has a sentence for each failure."""

    plan: Plan
    uses: dict[str, Use] = field(default_factory=dict)
    waits: dict[str, dict[str, float]] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


class Server:
    """The app in a process and with a data folder of its own, measured every half second."""

    def __init__(self, folder: Path):
        port = free_port()
        self.url, self.data, self.log = f"http://{HOST}:{port}/", folder / "data", folder / "server.log"
        own = {"ENHANCE_DATA": str(self.data), "GRADIO_SERVER_NAME": HOST, "GRADIO_SERVER_PORT": str(port)}
        own |= {"GRADIO_TEMP_DIR": "", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(ROOT / "app.py")]
        with self.log.open("wb") as log:
            self._started = subprocess.Popen(
                command, cwd=folder, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT
            )
        self._process = psutil.Process(self._started.pid)
        self.peak = Use(0, 0, 0)
        self._ended = threading.Event()

    def __enter__(self) -> Server:
        return self

    def wait_until_ready(self) -> None:
        """Wait until the app serves requests. Raises RuntimeError with its log if it does not."""
        end = time.monotonic() + 120
        while not is_ready(self.url):
            if self._started.poll() is not None or time.monotonic() > end:
                raise RuntimeError(self.log.read_text(errors="replace"))
            time.sleep(0.1)
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._started.terminate()
        try:
            self._started.wait(30)
        except subprocess.TimeoutExpired:
            self._started.kill()

    def use(self) -> Use:
        workers = [child.memory_info().rss for child in self._process.children(recursive=True)]
        connections = sum(one.status == psutil.CONN_ESTABLISHED for one in self._process.net_connections("tcp"))
        own = self._process.memory_info().rss
        return Use(own / 1e6, sum(workers) / 1e6, self._process.num_threads(), connections)

    def files(self) -> dict[str, int]:
        """Return the number of files in each folder of the data folder, and of partial files in all of them."""
        found = [path.relative_to(self.data) for path in self.data.rglob("*") if path.is_file()]
        return Counter(path.parts[0] for path in found) | {"unfinished": len(list(self.data.rglob("*.part")))}

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            with suppress(psutil.Error):
                self.peak = Use(*map(max, astuple(self.use()), astuple(self.peak)))


def soak(plan: Plan, folder: Path) -> Outcome:
    """Run the plan against an app of its own in `folder`."""
    with Server(folder) as server:
        known = known_images(folder / "images", plan.images)  # while it starts
        server.wait_until_ready()
        return asyncio.run(_soaked(plan, server, known))


async def _soaked(plan: Plan, server: Server, known: list[Known]) -> Outcome:
    outcome, counted, tally = Outcome(plan), Tally(), Tally()
    await _send_all(server, known, counted, ["page", "run", "preview", "report", "batch", "light"] * plan.warm)
    outcome.uses["start"] = before = server.use()
    requests = [*["page"] * plan.sessions, *["preview"] * plan.previews, *["run"] * plan.runs]
    await _send_all(server, known, counted, requests)
    await asyncio.sleep(min(plan.rest, 15))
    await _send_all(server, known, counted, ["light"] * AT_ONCE)
    outcome.uses["after the sessions"] = after = server.use()
    outcome.broken += exceeded_limits("the sessions", before, after)

    clients = [Client(server.url, number, known, tally) for number in range(plan.clients)]
    until = time.monotonic() + plan.seconds
    await asyncio.gather(*(client.send_until(until) for client in clients))
    await asyncio.gather(*(client.close() for client in clients))
    outcome.uses["peak"] = server.peak
    await asyncio.sleep(plan.rest)
    await _send_all(server, known, counted, ["light"] * AT_ONCE)
    outcome.uses["after a rest"] = server.use()
    outcome.files = server.files()
    _judge(outcome, tally, counted, server)
    return outcome


async def _send_all(server: Server, known: list[Known], tally: Tally, requests: list[str]) -> None:
    """Send these requests, a few at a time, each by a client of its own."""
    left = iter(enumerate(requests, 1000))

    async def some() -> None:
        for number, request in left:
            client = Client(server.url, number, known, tally)
            await client.send(request)
            await client.close()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def exceeded_limits(what: str, before: Use, after: Use) -> Iterator[str]:
    mb = after.server_mb + after.workers_mb - before.server_mb - before.workers_mb
    if mb > MOST_MB_MORE:
        yield f"{what} left {mb:.0f} MB, more than {MOST_MB_MORE}"
    if after.threads - before.threads > MOST_THREADS_MORE:
        yield f"{what} left {after.threads - before.threads} threads, more than {MOST_THREADS_MORE}"


def _judge(outcome: Outcome, tally: Tally, counted: Tally, server: Server) -> None:
    for name, kinds in WAITED.items():
        if seconds := sorted(one for kind in kinds for one in tally.seconds[kind]):
            twentieths = quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
            outcome.waits[name] = {"n": len(seconds), "p50": twentieths[9], "p95": twentieths[18], "most": seconds[-1]}
    outcome.done = dict(tally.done.most_common())
    outcome.refused = dict((tally.refused + counted.refused).most_common())
    outcome.broken += [f"wrong: {one}" for one in tally.wrong + counted.wrong]
    outcome.broken += [f"failed: {one}" for one in tally.failed + counted.failed]
    unexpected = translate("en", "unexpected")
    outcome.broken += [f"unexpected: {one}" for one in outcome.refused if unexpected in one or len(one) < 20]
    outcome.broken += [f"rejected although the server was not busy: {one}" for one in counted.refused]
    outcome.broken += exceeded_limits("all of it", outcome.uses["start"], outcome.uses["after a rest"])
    if (left := outcome.uses["after a rest"].connections) > outcome.uses["start"].connections + MOST_CONNECTIONS_MORE:
        outcome.broken.append(f"{left} connections were left open")
    if outcome.files["unfinished"]:
        outcome.broken.append(f"{outcome.files['unfinished']} unfinished files were left")
    if "Traceback" in (log := server.log.read_text(errors="replace")):
        outcome.broken.append(f"the log has a traceback: {log[log.index('Traceback') :][:2000]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Prove the served app under load.")
    parser.add_argument("--seconds", type=float, default=600, help="default 600")
    parser.add_argument("--clients", type=int, default=50, help="default 50")
    for name in ("sessions", "previews", "runs", "rest"):
        kind = float if name == "rest" else int
        parser.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help="default: by --seconds")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = soak(Plan.lasting(**vars(parser.parse_args())), Path(folder))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(json.dumps({"machine": machine} | asdict(outcome), indent=1))
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
