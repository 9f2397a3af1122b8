"""Two enhancers in one process, with other folders, limits and precisions: neither changes the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from enhance import EnhanceError, Enhancer, PictureError, Settings
from enhance.config import Config
from enhance.scheduler import Ticket

RAW = Settings.from_preset("anime-fast")
PATIENCE = 60


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Enhancer, Enhancer]:
    """The second enhancer accepts only small images."""
    second = Config(data=tmp_path / "second", max_pixels=1000)
    return Enhancer("cpu", "fp32", data=tmp_path / "first"), Enhancer("cpu", "bf16", config=second)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def test_each_has_its_own_results_precision_limits_and_model(pair, photo):
    small = np.ascontiguousarray(photo[:20, :20])
    results = [enhancer.run(small, RAW) for enhancer in pair]
    for enhancer, result, precision in zip(pair, results, ("fp32", "bf16"), strict=True):
        assert result.path.is_relative_to(enhancer.tasks.folder)
        assert not result.info["cached"]
        assert result.info["precision"] == enhancer.status()["precision"] == precision

    first, second = pair
    with pytest.raises(PictureError):
        second.run(photo, RAW)
    assert first.run(photo, RAW).info["status"] == "done"
    second.release()
    assert [one.status()["model"] for one in pair] == [RAW.model, None]
    assert second.run(np.ascontiguousarray(small[::-1]), RAW).info["status"] == "done"


def test_an_idle_model_is_released_unless_its_own_enhancer_has_a_job(pair, photo):
    for one in pair:
        one.run(photo[:20, :20].copy(), RAW)
        one.engine._used -= 300
    with pair[0].scheduler.queue_job(Ticket()):
        for one in pair:
            one.release_if_idle()
        assert [one.status()["model"] for one in pair] == [RAW.model, None]
    pair[0].release_if_idle()
    assert pair[0].status()["model"] is None


def test_a_run_of_one_does_not_wait_for_jobs_of_the_other(pair, photo, pool):
    first, second = pair
    with first.scheduler.queue_job(Ticket()):
        waiting = pool.submit(first.run, photo[:20, :20].copy(), RAW)
        result = pool.submit(second.run, photo[:20, :20].copy(), RAW).result(PATIENCE)
        assert result.info["status"] == "done"
        assert not waiting.done()
        assert first.status()["running"] == 1
        assert (second.status()["running"], second.status()["waiting"]) == (0, 0)
    assert waiting.result(PATIENCE).info["status"] == "done"


def test_jobs_of_one_do_not_count_towards_the_limits_of_the_other(pair):
    first, second = pair
    with ExitStack() as jobs:
        for caller in range(3):
            jobs.enter_context(first.scheduler.admit(caller, limit=2))
        with pytest.raises(EnhanceError, match="queue is full"), first.scheduler.admit("another", limit=2):
            pass
        with second.scheduler.admit("another", limit=2) as ticket:
            assert second.scheduler.ahead(ticket) == 0
            assert [one.scheduler.count() for one in pair] == [3, 1]


def test_closing_one_leaves_the_other_working(pair, photo):
    first, second = pair
    small = np.ascontiguousarray(photo[:20, :20])
    kept = second.run(small, RAW)
    first.run(small, RAW)
    first.close()
    assert kept.path.exists()
    assert second.status()["model"] == RAW.model
    assert second.run(np.ascontiguousarray(small[::-1]), RAW).info["status"] == "done"
