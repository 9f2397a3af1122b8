"""A search for files that are not handled correctly. `make fuzz` searches longer, with a new seed each time."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import psutil
import pytest

from enhance.images import worker
from enhance.images.worker import Workers
from tests.fuzz import RANDOM, ReaderFault, bombs, damage, originals, read_file

pytestmark = pytest.mark.long
SECONDS = float(os.environ.get("ENHANCE_FUZZ", "10"))
SEED = int(os.environ.get("ENHANCE_FUZZ_SEED") or (time.time() if "ENHANCE_FUZZ" in os.environ else 5))
FAILURES = Path(__file__).parents[2] / "fuzz-failures"
MOST_FAILURES = 20
MOST_MEMORY = 700e6
"""The limit of a worker's peak memory in bytes: what it starts with, and its budget for decoding."""


@pytest.fixture
def workers(tmp_path, monkeypatch) -> Iterator[Workers]:
    """Workers for this test only, whose temporary folder is `left`."""
    (tmp_path / "left").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "left"))
    own = Workers(1)
    monkeypatch.setattr(worker, "WORKERS", own)
    yield own
    own.end_idle()


def open_files() -> int:
    return psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0


def peak_of_workers() -> int:
    """Return the peak memory of the workers in bytes; 0 if the system does not provide it."""
    about = [Path(f"/proc/{one.pid}/status") for one in psutil.Process().children()]
    lines = [line for one in about if one.exists() for line in one.read_text().splitlines() if "VmHWM" in line]
    return max((1024 * int(line.split()[1]) for line in lines), default=0)


@pytest.mark.parametrize("kind", [*originals(), *bombs()])
def test_undamaged_originals_and_bombs_are_read(tmp_path, kind):
    path = tmp_path / "original"
    path.write_bytes({**originals(), **bombs()}[kind])
    assert read_file(path) == "image"


def test_damaged_file_is_an_image_or_one_error(tmp_path, workers):
    good, path = tmp_path / "good", tmp_path / "damaged"
    good.write_bytes(originals()["jpeg"])
    assert read_file(good) == "image"
    files, ends, failures, number = open_files(), Counter(), [], 0
    random_kinds = cycle(RANDOM)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and len(failures) < MOST_FAILURES:
        for kind in (*originals(), next(random_kinds)):
            number += 1
            path.write_bytes(damage(kind, np.random.default_rng([SEED, number])))
            try:
                ends[read_file(path)] += 1
            except ReaderFault as failure:
                failures.append(keep_failure(path, f"{kind}-{SEED}-{number}", failure))
        assert peak_of_workers() < MOST_MEMORY, f"after {number} files from ENHANCE_FUZZ_SEED={SEED}"
    print(f"seed {SEED}: {number} files, {dict(ends.most_common())}")  # noqa: T201
    assert failures == [], f"ENHANCE_FUZZ_SEED={SEED} finds the same again"
    assert read_file(good) == "image"
    assert len(ends) > 5, "the damages reach several of the reader's sentences"
    assert [one.name for one in (tmp_path / "left").iterdir()] == []
    assert open_files() <= files


def keep_failure(path: Path, name: str, failure: ReaderFault) -> str:
    """Keep the file that failed. Return the failure and the command that repeats it."""
    FAILURES.mkdir(exist_ok=True)
    copy = FAILURES / name
    copy.write_bytes(path.read_bytes())
    return f"{failure}: python -m tests.fuzz {copy.relative_to(FAILURES.parent)}"
