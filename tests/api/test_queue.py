"""The queue: its limits for users and addresses, and jobs that leave it.

Each test has a photo of its own size, because a cached result does not wait for the device.
"""

import pytest

from enhance import enhancer
from enhance.web import streams

from ..site import busy_device, wait_until
from .calls import REMOTE, answer_to, begin, listen, status, submit, upload, values_for
from .users import new_key


def waiting(site):
    return status(site)["waiting"]


def test_invented_keys_cannot_fill_the_queue_and_a_full_queue_rejects_only_jobs(site):
    values = values_for("enhance", upload(site, "flood.png", 31))
    with busy_device(site.enhancer.scheduler):
        answers = [submit(site, "enhance", values, new_key()) for _ in range(15)]
        wait_until(lambda: waiting(site) == 15)
        rejected = answer_to(site, "enhance", values, new_key())
        assert "event: error" in rejected
        assert "15" in rejected
        assert "event: complete" in answer_to(site, "presets", [])
        other = upload(site, "light.png")
        assert "event: complete" in answer_to(site, "preview", values_for("preview", other))
        assert "event: error" in answer_to(site, "batch", values_for("batch", other))
        answers.append(submit(site, "enhance", values, REMOTE))
        wait_until(lambda: waiting(site) == 16)
    assert all("event: complete" in answer.result() for answer in answers)
    assert waiting(site) == 0


def test_a_job_whose_client_disconnects_or_cancels_leaves_the_queue(site, owner, http):
    values = values_for("enhance", upload(site, "left.png", 32))
    with busy_device(site.enhancer.scheduler):
        job = owner.start("enhance", site.photo("left.png", 32, 32))
        wait_until(lambda: waiting(site) == 1)
        event = begin(site, "enhance", values)
        with http.stream("GET", f"gradio_api/call/enhance/{event}") as stream:
            events = stream.iter_bytes()  # The stream is closed when nothing refers to them.
            next(events)
            wait_until(lambda: waiting(site) == 2)
        wait_until(lambda: waiting(site) == 1)
        job.cancel()
        wait_until(lambda: waiting(site) == 0)


@pytest.mark.parametrize(("is_waiting", "count"), [(True, 3), (False, 2)])
def test_a_job_whose_events_no_client_reads_ends(site, monkeypatch, is_waiting, count):
    values = values_for("enhance", upload(site, "unheard.png", 33))
    with busy_device(site.enhancer.scheduler) if is_waiting else site.enhancer.paused("run"):
        unread = begin(site, "enhance", values)
        read = [
            submit(site, "enhance", values),
            submit(site, "enhance", values, session_hash="own"),
        ]
        wait_until(lambda: waiting(site) == count)
        monkeypatch.setattr(streams, "UNREAD_SECONDS", 3.0)
        wait_until(lambda: waiting(site) == count - 1)
        assert "event: error" in listen(site, "enhance", unread)
    assert all("event: complete" in answer.result() for answer in read)


def test_many_sessions_of_one_address_do_not_delay_another_address(site, monkeypatch):
    flood = values_for("enhance", upload(site, "many.png", 34))
    small = values_for("enhance", upload(site, "small.png", 35))
    decoded = []
    read = enhancer.read_image

    def record(path, **limits):
        decoded.append(path.name)
        return read(path, **limits)

    monkeypatch.setattr(enhancer, "read_image", record)
    with busy_device(site.enhancer.scheduler):
        answers = [submit(site, "enhance", flood, REMOTE) for _ in range(8)]
        wait_until(lambda: waiting(site) == 8)
        answers.append(submit(site, "enhance", small, {"x-forwarded-for": "203.0.113.2"}))
        wait_until(lambda: waiting(site) == 9)
    assert all("event: complete" in answer.result() for answer in answers)
    assert decoded.index("small.png") <= 2, "one run was next in the queue when it came"
