"""Calls that fail: the client gets a message, the queue is free, and the next call works."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from safetensors.torch import save

from enhance import EnhanceError, models
from enhance.errors import Cancelled, WeightsError

from ..site import Site, wait_until
from ..unit.hub_server import HubServer
from .calls import FAST_VALUES, answer_to, status, upload


@pytest.mark.parametrize(
    ("endpoint", "method", "error"),
    [
        ("enhance", "run", RuntimeError("injected")),
        ("enhance", "run", EnhanceError("memory_short")),
        ("preview", "preview", MemoryError()),
        ("compare", "compare", RuntimeError("injected")),
        ("batch", "run", MemoryError()),
    ],
)
def test_a_failed_call_leaves_the_queue(site: Site, endpoint, method, error):
    photo: Any = upload(site, "fails.png")
    area = [None, None, 16] if endpoint in ("preview", "compare") else []
    values = [[photo] if endpoint == "batch" else photo, *area, *([] if endpoint == "compare" else FAST_VALUES)]

    with site.enhancer.failing(method, error):
        answer = answer_to(site, endpoint, values)
    assert ('"failed": 1' if endpoint == "batch" else "event: error") in answer
    assert "injected" not in answer

    wait_until(lambda: (status(site)["waiting"], status(site)["running"]) == (0, 0))
    answer = answer_to(site, endpoint, values)
    assert ('"done": 1' if endpoint == "batch" else "event: complete") in answer


@pytest.fixture
def hub(site, monkeypatch) -> Iterator[HubServer]:
    """A local Hugging Face, the only source of the weights of anime-fast."""
    name = "realesr-animevideov3"
    content = save(models.read_state_dict(models.ensure(name)))
    sums = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    model = models.manifest()[name]
    files = tuple(
        replace(one, path="official.safetensors", file="official.safetensors", **sums)
        for one in model.files
        if one.site == "hub"
    )
    model = replace(model, file="official.safetensors", sources=files, **sums)
    monkeypatch.setitem(cast(dict[str, Any], models.manifest()), name, model)
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(site.files.parent / f"hub-{secrets.token_hex(4)}"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("enhance.models.download.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("enhance.models.download.SILENCE_SECONDS", 1.0)
    with HubServer() as server:
        server.offer(model, content)
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def test_a_preset_whose_download_is_interrupted_works_on_the_next_call(site, client, hub):
    hub.cuts = [100_000, *[0] * 3]
    call = {"image": handle_file(site.photo("hub.png", 24, 32)), "preset": "anime-fast", "api_name": "/enhance"}
    job = client.submit(**call)
    wait_until(hub.question.is_set)

    assert status(site)["device"]  # without `client`, whose event stream can end when a job fails at this time
    with pytest.raises(AppError, match="realesr-animevideov3"):
        job.result(timeout=30)

    hub.cuts = []
    _, info = client.predict(**call)
    assert info["model"]["source"].startswith("Hugging Face")


def test_a_cancelled_run_stops_its_download(site, hub, tmp_path):
    hub.stalls = [100_000]
    stop = threading.Event()
    stop.set()

    with pytest.raises(Cancelled):
        site.enhancer.run(site.photo("left.png", 24, 32), "anime-fast", output=tmp_path / "x.png", stop=stop)

    assert [path.suffix for path in models.folder().glob("official*")] == [".part"]


@pytest.mark.parametrize(
    ("endpoint", "failing"), [("enhance", "run"), ("batch", "run"), ("compare", "compare"), ("compare", "cell")]
)
def test_only_an_administrator_sees_commands_and_paths_of_weight_files(site: Site, endpoint, failing):
    photo: Any = upload(site, "weights.png")
    area, error = [None, None, 16], WeightsError("weights_unreadable", path="/srv/span.bin", name="span-x4", reason="?")
    values = [photo, *area] if endpoint == "compare" else [[photo] if endpoint == "batch" else photo, *FAST_VALUES]

    with site.enhancer.failing(failing, error):
        visitor = answer_to(site, endpoint, values, {"x-forwarded-for": "203.0.113.7"})
        administrator = answer_to(site, endpoint, values)

    assert "Not installed on this server." in visitor
    assert "/srv" not in visitor
    assert "Administrators:" not in visitor
    assert "/srv/span.bin" in administrator
