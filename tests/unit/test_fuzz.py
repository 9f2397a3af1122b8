"""A search for files that are not handled correctly. `make fuzz` searches longer, with a new seed
each time."""

from __future__ import annotations

import os
import time
from collections import Counter
from itertools import count, cycle
from pathlib import Path

import numpy as np
import pytest

from enhance.images import worker
from enhance.images.worker import Workers
from tests.fuzz import RANDOM, damage, originals, read_file

pytestmark = pytest.mark.long
SECONDS = float(os.environ.get("ENHANCE_FUZZ", "10"))
SEED = int(
    os.environ.get("ENHANCE_FUZZ_SEED") or (time.time() if "ENHANCE_FUZZ" in os.environ else 5)
)
FAILURES = Path(__file__).parents[2] / "fuzz-failures"
MOST_FAILURES = 20


def test_damaged_file_is_an_image_or_one_error(tmp_path, monkeypatch):
    left, good, path = tmp_path / "left", tmp_path / "good", tmp_path / "damaged"
    left.mkdir()
    good.write_bytes(originals()["jpeg"])
    monkeypatch.setenv("TMPDIR", str(left))
    monkeypatch.setattr(worker, "WORKERS", Workers(1))
    for content in originals().values():
        path.write_bytes(content)
        assert read_file(path) == "image"

    ends, failures, kinds = Counter[str](), list[str](), cycle([*originals(), *RANDOM])
    end = time.monotonic() + SECONDS
    for number in count():
        if time.monotonic() > end or len(failures) >= MOST_FAILURES:
            break
        kind = next(kinds)
        path.write_bytes(damage(kind, np.random.default_rng([SEED, number])))
        try:
            ends[read_file(path)] += 1
        except (
            Exception
        ) as failure:  # Any other error than those that `read_file` expects is a fault.
            FAILURES.mkdir(exist_ok=True)
            copy = path.rename(FAILURES / f"{kind}-{SEED}-{number}")
            failures.append(
                f"{failure!r}: python -m tests.fuzz {copy.relative_to(FAILURES.parent)}"
            )
    print(f"seed {SEED}: {dict(ends.most_common())}")  # noqa: T201
    assert failures == [], f"ENHANCE_FUZZ_SEED={SEED} finds the same again"
    assert read_file(good) == "image"
    assert len(ends) > 5, "the damages reach several of the reader's sentences"
    assert list(left.iterdir()) == []
    worker.WORKERS.end_idle()
