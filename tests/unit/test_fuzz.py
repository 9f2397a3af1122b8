"""A search for files that are not handled correctly. `make fuzz` searches longer, with a new seed
each time."""

import os
import time
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from enhance.images import worker
from enhance.images.worker import Workers
from tests.fuzz import damage, originals, read_file

pytestmark = pytest.mark.long
SECONDS = float(os.environ.get("ENHANCE_FUZZ", "10"))
SEED = 5
if "ENHANCE_FUZZ" in os.environ:
    SEED = int(os.environ.get("ENHANCE_FUZZ_SEED", time.time()))
FAILURES = Path(__file__).parents[2] / "fuzz-failures"
MOST_FAILURES = 20


def test_damaged_file_is_an_image_or_one_error(tmp_path, monkeypatch):
    left = tmp_path / "left"
    left.mkdir()
    path = tmp_path / "damaged"
    monkeypatch.setenv("TMPDIR", str(left))
    monkeypatch.setattr(worker, "WORKERS", Workers(1))
    for content in originals().values():
        path.write_bytes(content)
        assert read_file(path) == "image"

    ends = set()
    failures = []
    end = time.monotonic() + SECONDS
    for number, kind in enumerate(cycle(originals())):
        if time.monotonic() > end or len(failures) == MOST_FAILURES:
            break
        path.write_bytes(damage(kind, np.random.default_rng([SEED, number])))
        try:
            ends.add(read_file(path))
        # Any other error than those that `read_file` expects is a fault.
        except Exception as failure:
            FAILURES.mkdir(exist_ok=True)
            copy = path.rename(FAILURES / f"{kind}-{SEED}-{number}")
            failures.append(f"{failure!r}: python -m tests.fuzz fuzz-failures/{copy.name}")
    assert failures == [], f"ENHANCE_FUZZ_SEED={SEED} finds the same again"
    path.write_bytes(originals()["jpeg"])
    assert read_file(path) == "image", "the worker goes on"
    assert len(ends) > 5, "the damages reach several of the reader's sentences"
    assert list(left.iterdir()) == []
    worker.WORKERS.end_idle()
