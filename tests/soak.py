"""Load test of the served app: `make soak`, or `python -m tests.soak --help`.

Prints the outcome as JSON and exits with 1 if a limit is exceeded or a result is wrong.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from .site import free_port, is_ready, wait_until
from .soak_clients import BUSY, Client, Tally, known_images

ROOT = Path(__file__).parents[1]
MOST_MORE = {"server_mb": 250, "workers_mb": 300, "threads": 20, "connections": 5}
"""How much more the server can use after the requests than before. Idle workers end after a
while."""
ROWS = 10
"""The number of measurements during the load."""


@contextmanager
def serve(folder):
    """Serve the app in a process and with a data folder of its own; yield its URL and its
    process."""
    port = free_port()
    own = {
        "ENHANCE_DATA": str(folder / "data"),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": "",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, str(ROOT / "app.py")]
    with (folder / "server.log").open("wb") as log:
        process = psutil.Popen(command, cwd=folder, env=os.environ | own, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/", process
    finally:
        process.kill()
        process.wait()


def measure(process, requests=0):
    """Return what the server and its workers use, and the number of requests until now."""
    workers = 0
    for child in process.children(recursive=True):
        with suppress(psutil.Error):  # It can end meanwhile.
            workers += child.memory_info().rss
    states = [connection.status for connection in process.net_connections("tcp")]
    return {
        "server_mb": process.memory_info().rss / 1e6,
        "workers_mb": workers / 1e6,
        "threads": process.num_threads(),
        "connections": states.count(psutil.CONN_ESTABLISHED),
        "requests": requests,
    }


def soak(folder, seconds=600, clients=50, rest=60, images=6, warm=2):
    """Run an app in `folder` under load and return the outcome.

    `seconds` and `rest` are the durations of the load and of the pause after it. `warm` is the
    number of requests of each kind before the first measurement.
    """
    with serve(folder) as (url, process):
        known = known_images(images)  # while it starts
        wait_until(lambda: is_ready(url) or process.poll() is not None)
        log = folder / "server.log"
        assert process.poll() is None, log.read_text()
        tally = Tally()
        alone = Tally()
        everyone = [Client(url, number, known, tally) for number in range(clients)]
        single = Client(url, clients, known, alone)
        uses = asyncio.run(_send_all(process, everyone, single, seconds, rest, warm))
    return {
        "uses": uses,
        "done": tally.done,
        "refused": tally.refused,
        "jobs": len(tally.signatures),
        "broken": [*_problems(folder, uses, tally, alone)],
    }


async def _send_all(process, clients, single, seconds, rest, warm):
    """Send the requests and return the measurements in the order of time."""
    await single.send_each(warm)
    # Otherwise the last requests would count, and hide a leak.
    await asyncio.sleep(min(rest, 10))
    uses = [measure(process)]
    tally = clients[0].tally

    async def measure_often():
        while True:
            await asyncio.sleep(seconds / ROWS)
            uses.append(measure(process, tally.requests))

    measuring = asyncio.create_task(measure_often())
    until = time.monotonic() + seconds
    await asyncio.gather(*(client.send_until(until) for client in clients))
    measuring.cancel()
    for client in clients:
        await client.close()
    await asyncio.sleep(rest)
    await single.send_each(1)
    await single.close()
    uses.append(measure(process, tally.requests))
    return uses


def _problems(folder, uses, tally, alone):
    """Yield a sentence for each failure."""
    infos = (folder / "data/processed").glob("*.json")
    stored = Counter(json.loads(path.read_text())["signature"] for path in infos)
    for name, limit in MOST_MORE.items():
        more = uses[-1][name] - uses[0][name]
        if more > limit:
            yield f"{name}: {more:.0f} more than before, the limit is {limit}"
    problems = {
        "wrong": tally.wrong + alone.wrong,
        "rejected": tally.refused.keys() - BUSY,
        "rejected although the server was not busy": alone.refused,
        "not one result": [one for one in tally.signatures if stored[one] != 1],
        "unfinished file": (folder / "data").rglob("*.part"),
        "in the log": re.findall(
            "Traceback.{0,2000}", (folder / "server.log").read_text(errors="replace"), re.DOTALL
        ),
    }
    for problem, places in problems.items():
        for place in places:
            yield f"{problem}: {place}"


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description="Prove the served app under load."
    )
    parser.add_argument("--seconds", type=float, default=600, help="default 600")
    parser.add_argument("--clients", type=int, default=50, help="default 50")
    parser.add_argument("--rest", type=float, default=60, help="seconds after the load, default 60")
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = soak(Path(folder), **options)
    print(json.dumps({**options, **outcome}, indent=1))
    return 1 if outcome["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
