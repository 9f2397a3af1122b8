"""The app under load, in small: the same clients and the same promises as `make soak`, for a few seconds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..soak import Plan, Use, kept_to_bounds, soak, table

SMALL = Plan(seconds=4, clients=8, sessions=16, previews=8, runs=4, rest=0.5, pictures=3, gentle=False, warm=1)


def test_clients_of_all_kinds_get_their_own_pictures_and_leave_nothing(tmp_path):
    with ThreadPoolExecutor(1) as apart:  # a browser's tests may have left their loop in this thread
        outcome = apart.submit(soak, SMALL, tmp_path).result()
    assert outcome.broken == [], table(outcome)
    assert outcome.done
    assert set(outcome.uses) == {"start", "after the sessions", "peak", "after a rest"}
    assert table(outcome).endswith("| promises | all kept |")


@pytest.mark.parametrize("elsewhere", ["192.168.0.7", "0.0.0.0", "example.org", "::"])
def test_a_soak_aims_at_this_machine_only(tmp_path, elsewhere):
    with pytest.raises(ValueError, match="loopback"):
        soak(SMALL, tmp_path, elsewhere)


def test_what_is_left_in_memory_and_threads_is_judged():
    before = Use(500, 100, 20)
    assert list(kept_to_bounds("it", before, Use(700, 120, 40))) == []
    assert list(kept_to_bounds("it", before, Use(740, 130, 20))) == ["it left 270 MB, more than 250"]
    assert list(kept_to_bounds("it", before, Use(500, 100, 41))) == ["it left 21 threads, more than 20"]
