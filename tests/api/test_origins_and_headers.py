"""Headers of responses, closed routes of Gradio, and checks of host and origin."""

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from enhance.config import Config
from enhance.web.metrics import Metrics
from enhance.web.security import Security

from .calls import upload


def test_every_response_has_security_headers(site, http):
    for path in ("", "config", "gradio_api/info", "theme.css", "nothing"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'self'" in policy
    shown = http.get(f"gradio_api/file={upload(site, 'shown.png')['path']}")
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "sandbox" in policy, "an uploaded file cannot run scripts"


def test_developer_routes_are_closed(http):
    closed = ("dev/reload", "token", "token/", "vibe-code", "run-history/records")
    paths = [f"gradio_api/{path}" for path in (*closed, "proxy=http://127.0.0.1/")]
    for path in [*paths, "gradio_api/component_server", "monitoring", "openapi.json"]:
        answer = http.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["detail"]


@pytest.mark.parametrize("route", ["upload", "call/presets", "queue/join", "cancel", "reset"])
def test_only_the_page_itself_can_change_anything(site, http, route):
    own = site.url.rstrip("/")
    for headers, is_allowed in (
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1:1"}, False),
        ({"origin": "http://:80"}, False),
        ({"host": "evil.example"}, False),
        ({"host": "evil.example", "origin": "http://evil.example"}, False),
        ({"origin": own}, True),
        ({"origin": own.upper()}, True),
        ({"host": "localhost:7860", "origin": "http://localhost:7860"}, True),
    ):
        answer = http.post(f"gradio_api/{route}", json={"data": []}, headers=headers)
        assert (answer.status_code != 403) is is_allowed, headers
        if not is_allowed:
            assert ("ENHANCE_PUBLIC_HOST" in answer.json()["detail"]) == ("host" in headers)


def test_no_response_allows_another_site_to_read_it_or_to_send_a_key(http):
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-enhance-key",
    }
    for host in ("enhance.example", "127.0.0.1:7860"):
        for origin in ("https://evil.example", "null", "http://localhost:1"):
            for method in ("GET", "OPTIONS"):
                headers = {"host": host, "origin": origin, **asked}
                answer = http.request(method, "gradio_api/call/status", headers=headers)
                assert "access-control" not in str(answer.headers), (method, headers)


def test_a_shared_page_allows_only_the_host_of_its_tunnel():
    def changed(_):
        return PlainTextResponse("changed")

    config = Config()
    enhancer = SimpleNamespace(config=config)
    services: Any = SimpleNamespace(enhancer=enhancer, limits=config.limits, metrics=Metrics())
    guard = Middleware(Security, services)
    app: Any = Starlette(routes=[Route("/change", changed, methods=["POST"])], middleware=[guard])
    own = "https://a1b2.gradio.live"
    tunnel = TestClient(app, base_url=own, headers={"origin": own})
    assert tunnel.post("/change").status_code == 403
    app.blocks = SimpleNamespace(share_url=own)
    assert tunnel.post("/change").text == "changed"
    for name, other in (("host", "c3d4.gradio.live"), ("origin", "https://c3d4.gradio.live")):
        assert tunnel.post("/change", headers={name: other}).status_code == 403
