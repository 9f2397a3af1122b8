"""Simulate the throughput of a batch by the number of workers: `python docs/simulate_workers.py`.

Prints the table of docs/cluster.md. A worker has one device and transfers three files at once. The requests of a file
were counted with s3fs. The other constants are assumptions, which options replace.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import sys
from dataclasses import dataclass

_REQUESTS_PER_FILE = 19
"""Of a new file: the download, three claims and their ends, the checks of the name, the upload, and its mark."""
_REQUESTS_PER_SKIPPED_FILE = 5
"""Of a file that another worker has: the attempt to claim its address. A finished file has four."""
_FILES_AT_ONCE = 3
_KEYS_PER_REQUEST = 1000


@dataclass(frozen=True)
class Case:
    """The files, the workers and the times in seconds."""

    files: int
    workers: int
    seconds: float
    sigma: float
    slow: float
    latency: float
    start: float

    def durations(self) -> list[float]:
        """Return the time of each file on a usual machine, from a log-normal distribution."""
        draw = random.Random(1)
        mean = math.log(self.seconds) - self.sigma**2 / 2
        return [
            max(draw.lognormvariate(mean, self.sigma), self.latency * _REQUESTS_PER_FILE / _FILES_AT_ONCE)
            for _ in range(self.files)
        ]

    def factors(self) -> list[float]:
        """Return how many times slower each machine is: some have half the speed."""
        return [2.0 if number < int(self.slow * self.workers) else 1.0 for number in range(self.workers)]

    @property
    def preparation(self) -> float:
        """The time until a process has its first file: its start, and the list of all files."""
        return self.start + math.ceil(self.files / _KEYS_PER_REQUEST) * self.latency


def shards(case: Case, tasks_per_worker: int) -> float:
    """Return the end of the last task of a job array. A machine that becomes free starts the next task."""
    durations, factors = case.durations(), case.factors()
    count = case.workers * tasks_per_worker
    free = [(0.0, worker) for worker in range(case.workers)]
    for task in range(min(count, case.files)):
        now, worker = heapq.heappop(free)
        heapq.heappush(free, (now + case.preparation + factors[worker] * sum(durations[task::count]), worker))
    return max(now for now, _ in free)


def claims(case: Case) -> float:
    """Return the end of the last worker if each one has the complete list and skips the files of the others."""
    durations, factors = case.durations(), case.factors()
    skip, first, end = case.latency * _REQUESTS_PER_SKIPPED_FILE / _FILES_AT_ONCE, 0, 0.0
    events = [(case.preparation, worker, 0) for worker in range(case.workers)]
    while events:
        now, worker, position = heapq.heappop(events)
        if position < first:  # All files before the first free one are claimed.
            heapq.heappush(events, (now + (first - position) * skip, worker, first))
        elif position < case.files:
            first = position + 1
            heapq.heappush(events, (now + factors[worker] * durations[position], worker, first))
        else:
            end = max(end, now)
    return end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 50, 100, 300, 1000])
    parser.add_argument("--seconds", type=float, default=12.0, help="mean time of a file")
    parser.add_argument("--sigma", type=float, default=0.8, help="of the log-normal distribution of this time")
    parser.add_argument("--slow", type=float, default=0.05, help="share of machines with half the speed")
    parser.add_argument("--latency", type=float, default=0.05, help="time of a request to the store")
    parser.add_argument("--start", type=float, default=10.0, help="time to start a process and load the model")
    options = vars(parser.parse_args())
    lines = ["| machines | ideal | one task each | eight tasks each | without shards |", f"|{' ---: |' * 5}"]
    for workers in options.pop("workers"):
        case = Case(workers=workers, **options)
        ends = sum(case.durations()) / workers, shards(case, 1), shards(case, 8), claims(case)
        lines.append(f"| {workers:,} | {' | '.join(f'{3600 * case.files / end:,.0f}' for end in ends)} |")
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
