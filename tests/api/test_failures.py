"""Calls that fail: the client gets a message, the queue is free, and the next call works."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from safetensors.torch import save

from enhance import EnhanceError, models
from enhance.errors import Cancelled, WeightsError

from ..site import Site, wait_until
from ..unit.hub_server import HubServer, go_online
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
    model = models.manifest()["realesr-animevideov3"]
    content = save(models.read_state_dict(models.ensure(model.name)))
    own: dict[str, Any] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    own["file"] = "official.safetensors"
    files = [replace(one, path=own["file"], **own) for one in model.files if one.site == "hub"]
    model = replace(model, sources=tuple(files), **own)
    monkeypatch.setitem(cast(dict[str, Any], models.manifest()), model.name, model)
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(site.files.parent / f"hub-{secrets.token_hex(4)}"))
    go_online(monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with HubServer() as server:
        server.offer(model, content)
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


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
