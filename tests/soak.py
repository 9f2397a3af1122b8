"""Load test of the served app: `make soak`, or `python -m tests.soak --help`.

Prints the outcome as JSON and exits with 1 if a limit is exceeded or a result is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import psutil

from .site import free_port, is_ready, wait_until
from .soak_clients import ANONYMOUS, BUSY, NAMED, Client, Tally, known_images

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
MOST_MORE = {"server_mb": 250, "workers_mb": 300, "threads": 20, "connections": 5}
"""How much more the server can use after the requests than before. Idle workers end after a
while."""
ROWS = 10
"""The number of measurements during the load."""


@dataclass(frozen=True)
class Plan:
    """The load. Half of the clients follow jobs by their names.

    `seconds` and `rest` are the durations of the load and of the pause after it. `warm` is the
    number of requests of each kind before the first measurement.
    """

    seconds: float
    clients: int
    rest: float
    images: int = 6
    warm: int = 2


@dataclass(frozen=True)
class Use:
    """The memory of the server and its workers in MB, and the threads and connections of the
    server.

    `requests` is the number of requests until then.
    """

    server_mb: float
    workers_mb: float
    threads: int
    connections: int = 0
    requests: int = 0


@dataclass
class Outcome:
    """The measurements. `uses` are in the order of time. `broken` has a sentence for each
    failure."""

    plan: Plan
    uses: list[Use] = field(default_factory=list)
    waits: dict[str, dict[str, float]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    jobs: int = 0
    broken: list[str] = field(default_factory=list)


class Server:
    """The app in a process and with a data folder of its own."""

    def __init__(self, folder):
        port = free_port()
        self.url = f"http://{HOST}:{port}/"
        self.data = folder / "data"
        self._log = folder / "server.log"
        own = {
            "ENHANCE_DATA": str(self.data),
            "GRADIO_SERVER_NAME": HOST,
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_TEMP_DIR": "",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, str(ROOT / "app.py")]
        with self._log.open("wb") as log:
            self._process = psutil.Popen(
                command, cwd=folder, env=os.environ | own, stdout=log, stderr=log
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(30)
        except psutil.TimeoutExpired:
            self._process.kill()

    def wait_until_ready(self):
        """Wait until the app serves requests. Fails with its log if it ends before."""
        wait_until(lambda: is_ready(self.url) or self._process.poll() is not None)
        assert self._process.poll() is None, self.log()

    def log(self):
        return self._log.read_text(errors="replace")

    def use(self, requests=0):
        workers = 0
        for child in self._process.children(recursive=True):
            with suppress(psutil.Error):  # It can end meanwhile.
                workers += child.memory_info().rss
        sockets = self._process.net_connections("tcp")
        connections = [one for one in sockets if one.status == psutil.CONN_ESTABLISHED]
        own = self._process.memory_info().rss
        threads = self._process.num_threads()
        return Use(own / 1e6, workers / 1e6, threads, len(connections), requests)

    def signatures(self):
        """Return how many results with each signature are stored."""
        infos = (self.data / "processed").glob("*.json")
        return Counter(json.loads(path.read_text())["signature"] for path in infos)


def soak(plan, folder):
    """Run the plan against an app of its own in `folder`."""
    with Server(folder) as server:
        known = known_images(plan.images)  # while it starts
        server.wait_until_ready()
        return asyncio.run(_soaked(plan, server, known))


async def _soaked(plan, server, known):
    outcome = Outcome(plan)
    tally = Tally()
    quiet = Tally()
    await _send_each(server, known, quiet, plan.warm)
    # Otherwise the last requests would count, and hide a leak.
    await asyncio.sleep(min(plan.rest, 10))
    outcome.uses.append(server.use())

    clients = [
        Client(server.url, number, known, tally, named=number % 2 == 1)
        for number in range(plan.clients)
    ]
    until = time.monotonic() + plan.seconds
    measuring = asyncio.create_task(_measure(outcome, server, tally))
    await asyncio.gather(*(client.send_until(until) for client in clients))
    measuring.cancel()
    for client in clients:
        if client.jobs:
            await client.check_list()
        await client.close()

    await asyncio.sleep(plan.rest)
    await _send_each(server, known, quiet, 1)
    outcome.uses.append(server.use(tally.requests))
    _judge(outcome, tally, quiet, server)
    return outcome


async def _send_each(server, known, tally, rounds):
    """Send requests of each kind, one after the other."""
    for mix in (ANONYMOUS, NAMED):
        client = Client(server.url, 1000, known, tally, named=mix is NAMED)
        for kind in [*mix] * rounds:
            await client.send(kind)
        await client.close()


async def _measure(outcome, server, tally):
    while True:
        await asyncio.sleep(outcome.plan.seconds / ROWS)
        outcome.uses.append(server.use(tally.requests))


def exceeded_limits(before, after):
    for name, limit in MOST_MORE.items():
        more = getattr(after, name) - getattr(before, name)
        if more > limit:
            yield f"{name}: {more:.0f} more than before, the limit is {limit}"


def _judge(outcome, tally, quiet, server):
    for kind, seconds in tally.seconds.items():
        p50, p95 = np.percentile(seconds, (50, 95))
        outcome.waits[kind] = {"n": len(seconds), "p50": float(p50), "p95": float(p95)}
    outcome.refused = dict(tally.refused.most_common())
    outcome.jobs = len(tally.signatures)
    stored = server.signatures()
    broken = {
        "wrong": tally.wrong + quiet.wrong,
        "failed": tally.failed + quiet.failed,
        "rejected": tally.refused.keys() - BUSY,
        "rejected although the server was not busy": quiet.refused,
        "more than allowed": exceeded_limits(outcome.uses[0], outcome.uses[-1]),
        "not one result": (one for one in tally.signatures if stored[one] != 1),
        "unfinished file": server.data.rglob("*.part"),
        "in the log": re.findall("Traceback.{0,2000}", server.log(), re.DOTALL),
    }
    for problem, places in broken.items():
        outcome.broken += [f"{problem}: {place}" for place in places]


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description="Prove the served app under load."
    )
    parser.add_argument("--seconds", type=float, default=600, help="default 600")
    parser.add_argument("--clients", type=int, default=50, help="default 50")
    parser.add_argument("--rest", type=float, default=60, help="seconds after the load, default 60")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = soak(Plan(**vars(parser.parse_args())), Path(folder))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(json.dumps({"machine": machine} | asdict(outcome), indent=1))
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
