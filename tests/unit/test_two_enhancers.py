"""Two enhancers in one process, with other folders, limits and precisions: neither changes the
other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest

from enhance import EnhanceError, Enhancer, PictureError, Settings
from enhance.config import Config
from enhance.jobs.scheduler import Job

RAW = Settings.from_preset("anime-fast")


@pytest.fixture
def pair(tmp_path):
    """The second enhancer accepts only small images."""
    second = Config(data=tmp_path / "second", max_pixels=1000)
    return Enhancer("cpu", "fp32", data=tmp_path / "first"), Enhancer("cpu", "bf16", config=second)


@pytest.fixture
def small(photo):
    return np.ascontiguousarray(photo[:20, :20])


def test_each_has_its_own_results_precision_limits_and_model(pair, photo, small):
    first, second = pair
    for enhancer, precision in ((first, "fp32"), (second, "bf16")):
        result = enhancer.run(small, RAW)
        assert result.path.is_relative_to(enhancer.tasks.folder)
        assert not result.info["cached"]
        assert result.info["precision"] == precision
    with pytest.raises(PictureError):
        second.run(photo, RAW)
    first.close()
    assert [one.status()["model"] for one in pair] == [None, RAW.model]


def test_a_preview_of_one_can_be_adjusted_by_the_other(pair, small):
    first, second = pair
    preview = first.preview(small, RAW, size=8)

    tuned = RAW.changed(saturation=0.5)
    retuned = second.retune(preview, tuned)

    assert retuned.info["precision"] == "fp32"
    assert retuned.info["signature"] == first.retune(preview, tuned).info["signature"]


def test_a_run_of_one_neither_waits_for_jobs_of_the_other_nor_counts_for_its_limits(pair, small):
    first, second = pair
    with ThreadPoolExecutor() as pool, ExitStack() as jobs:
        jobs.enter_context(first.scheduler.queue_job(Job()))
        waiting = pool.submit(first.run, small, RAW)
        for caller in range(3):
            jobs.enter_context(first.scheduler.admit(caller, limit=2))
        with pytest.raises(EnhanceError, match="queue is full"):
            jobs.enter_context(first.scheduler.admit("another", limit=2))
        jobs.enter_context(second.scheduler.admit("another", limit=2))
        assert pool.submit(second.run, small, RAW).result(60).info["status"] == "done"
        assert not waiting.done()
        jobs.close()
        assert waiting.result(60).info["status"] == "done"
