"""Load test of the served app: `make soak`, or `python -m tests.soak --help`.

Prints one table and exits with 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import psutil

from enhance.i18n import translate

from .soak_clients import Known, SlowClient, Tally, Visitor, known_pictures

ROOT = Path(__file__).parents[1]
MOST_MB_MORE, MOST_THREADS_MORE, MOST_CONNECTIONS_MORE = 250, 20, 5
"""What sessions, previews and runs can leave when they are over."""
AT_ONCE = 8
WAITED = {
    "runs": ("run", "retune", "gentle"),
    "previews": ("preview",),
    "batches": ("batch",),
    "light calls": ("light",),
}


@dataclass(frozen=True)
class Plan:
    """How long, with how many clients and `slow` connections, and how many sessions, previews and runs before that.

    `rest` is in seconds. `warm` is how often everything is done once before anything is measured.
    """

    seconds: float
    clients: int
    slow: int
    sessions: int
    previews: int
    runs: int
    rest: float
    pictures: int = 6
    gentle: bool = True
    warm: int = 2

    @classmethod
    def lasting(cls, seconds: float = 600, clients: int = 50, slow: int = 0, **given: Any) -> Plan:
        """Return a plan whose other parts are in proportion to `seconds`, apart from those that are given."""
        share = seconds / 600
        parts = {"sessions": round(400 * share), "previews": round(300 * share), "runs": round(150 * share)}
        return cls(seconds, clients, slow, **{**parts, "rest": max(5, 120 * share), **given})


@dataclass(frozen=True)
class Use:
    """What the server and its workers use: MB of memory, and threads and connections of the server."""

    server_mb: float
    workers_mb: float
    threads: int
    connections: int = 0


@dataclass
class Outcome:
    """What was seen, by phase; `broken` has a sentence for every promise that was not kept."""

    plan: Plan
    uses: dict[str, Use] = field(default_factory=dict)
    waits: dict[str, dict[str, float]] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


class Server:
    """The app in a process of its own, with a data folder of its own; looked at every half second."""

    def __init__(self, folder: Path, host: str):
        with socket.socket() as free:
            free.bind((host, 0))
            port = free.getsockname()[1]
        self.url, self.data, self.log = f"http://{host}:{port}/", folder / "data", folder / "server.log"
        named = {"ENHANCE_DATA": str(self.data), "GRADIO_SERVER_NAME": host, "GRADIO_SERVER_PORT": str(port)}
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("ENHANCE_", "GRADIO_"))
        }
        kept = {name: os.environ[name] for name in ("ENHANCE_WEIGHTS",) if name in os.environ}
        with self.log.open("wb") as log:
            self._started = subprocess.Popen(
                [sys.executable, str(ROOT / "app.py")],
                cwd=folder,
                env={**environment, **kept, **named, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._process = psutil.Process(self._started.pid)
        self.peak = Use(0, 0, 0)
        self._ended = threading.Event()

    def __enter__(self) -> Server:
        return self

    def wait_until_ready(self) -> None:
        """Raises RuntimeError, with what the app said, where it does not come up."""
        end = time.monotonic() + 120
        while not self._is_ready():
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
        """How many files lie in each folder of the data folder, and how many of them are unfinished."""
        found = [path for path in self.data.rglob("*") if path.is_file()]
        folders = sorted({path.relative_to(self.data).parts[0] for path in found})
        counts = {name: sum(path.relative_to(self.data).parts[0] == name for path in found) for name in folders}
        return counts | {"unfinished": sum(path.name.endswith(".part") for path in found)}

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}healthz", trust_env=False).json()["ready"]
        except (httpx.HTTPError, ValueError):
            return False

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            try:
                now, peak = self.use(), self.peak
            except psutil.Error:
                continue
            mb, workers = max(now.server_mb, peak.server_mb), max(now.workers_mb, peak.workers_mb)
            connections = max(now.connections, peak.connections)
            self.peak = Use(mb, workers, max(now.threads, peak.threads), connections)


def soak(plan: Plan, folder: Path, host: str = "127.0.0.1") -> Outcome:
    """Do all of the plan against an app of its own in `folder`. Raises ValueError for a host elsewhere."""
    if not _is_loopback(host):
        raise ValueError(f"{host} is not this machine: the soak aims at loopback addresses only")
    with Server(folder, host) as server:
        known = known_pictures(folder / "pictures", plan.pictures, gentle=plan.gentle)  # while it starts
        server.wait_until_ready()
        return asyncio.run(_soaked(plan, server, known))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def _soaked(plan: Plan, server: Server, known: list[Known]) -> Outcome:
    outcome, counted, tally = Outcome(plan), Tally(), Tally()
    await _one_after_the_other(
        server, known, counted, ["page", "run", "preview", "report", "batch", "light"] * plan.warm
    )
    outcome.uses["start"] = before = server.use()
    things = [*["page"] * plan.sessions, *["preview"] * plan.previews, *["run"] * plan.runs]
    await _one_after_the_other(server, known, counted, things)
    await asyncio.sleep(min(plan.rest, 15))
    await _one_after_the_other(server, known, counted, ["light"] * AT_ONCE)
    outcome.uses["after the sessions"] = after = server.use()
    outcome.broken += kept_to_bounds("the sessions", before, after)

    visitors = [Visitor(server.url, number, known, tally) for number in range(plan.clients)]
    slow = [SlowClient(server.url, number, tally) for number in range(plan.slow)]
    until = time.monotonic() + plan.seconds
    await asyncio.gather(*(client.visit(until) for client in (*visitors, *slow)))
    await asyncio.gather(*(visitor.close() for visitor in visitors))
    outcome.uses["peak"] = server.peak
    await asyncio.sleep(plan.rest)
    await _one_after_the_other(server, known, counted, ["light"] * AT_ONCE)
    outcome.uses["after a rest"] = server.use()
    outcome.files = server.files()
    _judge(outcome, tally, counted, server)
    return outcome


async def _one_after_the_other(server: Server, known: list[Known], tally: Tally, things: list[str]) -> None:
    """Do these things, a few at a time, each by a visitor that comes for it alone."""
    left = iter(enumerate(things, 1000))

    async def some() -> None:
        for number, thing in left:
            visitor = Visitor(server.url, number, known, tally)
            await visitor.do(thing)
            await visitor.close()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def kept_to_bounds(what: str, before: Use, after: Use) -> Iterator[str]:
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
    outcome.broken += [f"refused while nothing else went on: {one}" for one in counted.refused]
    outcome.broken += kept_to_bounds("all of it", outcome.uses["start"], outcome.uses["after a rest"])
    if (left := outcome.uses["after a rest"].connections) > outcome.uses["start"].connections + MOST_CONNECTIONS_MORE:
        outcome.broken.append(f"{left} connections were left open")
    if outcome.files["unfinished"]:
        outcome.broken.append(f"{outcome.files['unfinished']} unfinished files were left")
    if "Traceback" in (log := server.log.read_text(errors="replace")):
        outcome.broken.append(f"the log has a traceback: {log[log.index('Traceback') :][:2000]}")


def table(outcome: Outcome) -> str:
    """The outcome as Markdown."""
    plan, lines = outcome.plan, ["| what | seen |", "| --- | --- |"]
    who = f"{plan.clients} clients and {plan.slow} slow connections for {plan.seconds:g} s"
    before = f"{plan.sessions} page sessions, {plan.previews} previews, {plan.runs} runs"
    lines.append(f"| plan | {who}; before: {before} |")
    if outcome.done:
        lines.append(f"| done | {', '.join(f'{name} {count}' for name, count in outcome.done.items())} |")
    for name, wait in outcome.waits.items():
        figures = f"p50 {wait['p50']:.2f} s, p95 {wait['p95']:.2f} s, longest {wait['most']:.2f} s"
        lines.append(f"| {name} ({wait['n']}) | {figures} |")
    for name, use in outcome.uses.items():
        figures = f"server {use.server_mb:.0f} MB, its workers {use.workers_mb:.0f} MB, {use.threads} threads"
        figures += f", {use.connections} connections"
        lines.append(f"| {name} | {figures} |")
    lines += [f"| refused {count} times | {sentence} |" for sentence, count in outcome.refused.items()]
    lines.append(f"| files left | {', '.join(f'{name} {count}' for name, count in outcome.files.items())} |")
    lines += [f"| **broken** | {one.replace('|', ' ')} |" for one in outcome.broken]
    lines.append(f"| promises | {'broken' if outcome.broken else 'all kept'} |")
    return "\n".join(lines)


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


@contextmanager
def _folder(named: Path | None) -> Iterator[Path]:
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        yield Path(folder)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Prove the served app under load.")
    parser.add_argument("--seconds", type=float, default=600, help="default 600")
    parser.add_argument("--clients", type=int, default=50, help="default 50")
    parser.add_argument("--slow", type=int, default=0, help="slow, stalled and half-open connections, default 0")
    for name in ("sessions", "previews", "runs", "rest"):
        kind = float if name == "rest" else int
        parser.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help="default: by --seconds")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address, no other")
    parser.add_argument("--folder", type=Path, help="for data and log; default: a temporary one")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON")
    options: dict[str, Any] = vars(parser.parse_args())
    host, named, as_json = options.pop("host"), options.pop("folder"), options.pop("json")
    if not _is_loopback(host):
        parser.error(f"{host} is not this machine: the soak aims at loopback addresses only")
    with _folder(named) as folder:
        outcome = soak(Plan.lasting(**options), folder, host)
    told = json.dumps(asdict(outcome) | {"machine": _machine()}, indent=1) if as_json else table(outcome)
    print(told if as_json else f"{_machine()}\n\n{told}")
    return 1 if outcome.broken else 0


if __name__ == "__main__":
    sys.exit(main())
