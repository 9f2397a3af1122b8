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
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import quantiles

import psutil

from .site import free_port, is_ready
from .soak_clients import ANONYMOUS, BUSY, NAMED, Client, Known, Tally, known_images

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

    def __init__(self, folder: Path):
        port = free_port()
        self.url = f"http://{HOST}:{port}/"
        self.data = folder / "data"
        self._log = folder / "server.log"
        own = {
            "ENHANCE_DATA": str(self.data),
            "GRADIO_SERVER_NAME": HOST,
            "GRADIO_SERVER_PORT": str(port),
        }
        own |= {"GRADIO_TEMP_DIR": "", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(ROOT / "app.py")]
        with self._log.open("wb") as log:
            self._started = subprocess.Popen(
                command, cwd=folder, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT
            )
        self._process = psutil.Process(self._started.pid)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.terminate()
        try:
            self._started.wait(30)
        except subprocess.TimeoutExpired:
            self._started.kill()

    def wait_until_ready(self) -> None:
        """Wait until the app serves requests. Raises RuntimeError with its log if it does not."""
        end = time.monotonic() + 120
        while not is_ready(self.url):
            if self._started.poll() is not None or time.monotonic() > end:
                raise RuntimeError(self.log())
            time.sleep(0.1)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def use(self, requests: int = 0) -> Use:
        workers = 0
        for child in self._process.children(recursive=True):
            with suppress(psutil.Error):  # It can end meanwhile.
                workers += child.memory_info().rss
        connections = sum(
            one.status == psutil.CONN_ESTABLISHED for one in self._process.net_connections("tcp")
        )
        own = self._process.memory_info().rss
        return Use(own / 1e6, workers / 1e6, self._process.num_threads(), connections, requests)

    def signatures(self) -> Counter[str]:
        """Return how many results with each signature are stored."""
        infos = (json.loads(path.read_text()) for path in (self.data / "processed").glob("*.json"))
        return Counter(info["signature"] for info in infos)


def soak(plan: Plan, folder: Path) -> Outcome:
    """Run the plan against an app of its own in `folder`."""
    with Server(folder) as server:
        known = known_images(folder / "images", plan.images)  # while it starts
        server.wait_until_ready()
        return asyncio.run(_soaked(plan, server, known))


async def _soaked(plan: Plan, server: Server, known: list[Known]) -> Outcome:
    outcome = Outcome(plan)
    tally = Tally()
    quiet = Tally()
    await _send_each(server, known, quiet, plan.warm)
    await asyncio.sleep(
        min(plan.rest, 10)
    )  # Otherwise the last requests would count, and hide a leak.
    outcome.uses.append(server.use())

    clients = [
        Client(server.url, number, known, tally, named=number % 2 == 1)
        for number in range(plan.clients)
    ]
    until = time.monotonic() + plan.seconds
    measuring = asyncio.create_task(_measure(outcome, server, tally))
    await asyncio.gather(*(client.send_until(until) for client in clients))
    measuring.cancel()
    await asyncio.gather(*(client.check_list() for client in clients if client.jobs))
    await asyncio.gather(*(client.close() for client in clients))

    await asyncio.sleep(plan.rest)
    await _send_each(server, known, quiet, 1)
    outcome.uses.append(server.use(tally.requests))
    _judge(outcome, tally, quiet, server)
    return outcome


async def _send_each(server: Server, known: list[Known], tally: Tally, rounds: int) -> None:
    """Send requests of each kind, one after the other."""
    for mix in (ANONYMOUS, NAMED):
        client = Client(server.url, 1000, known, tally, named=mix is NAMED)
        for kind in [*mix] * rounds:
            await client.send(kind)
        await client.close()


async def _measure(outcome: Outcome, server: Server, tally: Tally) -> None:
    while True:
        await asyncio.sleep(outcome.plan.seconds / ROWS)
        outcome.uses.append(server.use(tally.requests))


def exceeded_limits(before: Use, after: Use) -> Iterator[str]:
    for name, limit in MOST_MORE.items():
        more = getattr(after, name) - getattr(before, name)
        if more > limit:
            yield f"{name}: {more:.0f} more than before, the limit is {limit}"


def _judge(outcome: Outcome, tally: Tally, quiet: Tally, server: Server) -> None:
    for kind, seconds in tally.seconds.items():
        twentieths = (
            quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
        )
        outcome.waits[kind] = {"n": len(seconds), "p50": twentieths[9], "p95": twentieths[18]}
    outcome.refused = dict(tally.refused.most_common())
    outcome.jobs = len(tally.signatures)
    broken = outcome.broken
    broken += [f"wrong: {one}" for one in tally.wrong + quiet.wrong]
    broken += [f"failed: {one}" for one in tally.failed + quiet.failed]
    broken += [f"rejected: {one}" for one in tally.refused.keys() - BUSY]
    broken += [f"rejected although the server was not busy: {one}" for one in quiet.refused]
    broken += exceeded_limits(outcome.uses[0], outcome.uses[-1])
    stored = server.signatures()
    broken += [f"a job has {stored[one]} results" for one in tally.signatures if stored[one] != 1]
    if unfinished := [*server.data.rglob("*.part")]:
        broken.append(f"{len(unfinished)} unfinished files were left")
    if "Traceback" in (log := server.log()):
        broken.append(f"the log has a traceback: {log[log.index('Traceback') :][:2000]}")


def main() -> int:
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
