"""A page with a login keeps strangers out."""

from __future__ import annotations

import httpx
import pytest
from gradio_client import Client

from app import build_demo
from enhance import Enhancer
from enhance.config import read_config
from enhance.web.serving import launch_options


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCE_AUTH", "ada:secret")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "page"))
    demo = build_demo(Enhancer("cpu", data=tmp_path / "data"))
    options = launch_options(read_config()) | {"server_port": None, "quiet": True, "prevent_thread_lock": True}
    _, url, _ = demo.launch(**options)
    yield url
    demo.close()


def test_only_who_logs_in_gets_an_answer(guarded):
    known = Client(guarded, auth=("ada", "secret"), verbose=False, analytics_enabled=False)
    assert known.predict(api_name="/presets")
    known.close()
    assert httpx.post(f"{guarded}gradio_api/call/presets", json={"data": []}).status_code == 401
    with pytest.raises(Exception, match="Could not login"):
        Client(guarded, auth=("ada", "guess"), verbose=False, analytics_enabled=False)
    assert httpx.get(f"{guarded}healthz").text == "ok"
