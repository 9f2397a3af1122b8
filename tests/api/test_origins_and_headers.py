"""Headers of responses, closed routes of Gradio, and checks of host and origin."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from enhance.web.metrics import Metrics
from enhance.web.security import OriginCheck

from .calls import upload


def test_every_response_has_security_headers(site, http):
    for path in ("", "config", "gradio_api/info", "theme.css", "healthz", "nothing"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'self'" in policy
    policy = http.get(f"gradio_api/file={upload(site, 'shown.png')['path']}").headers[
        "content-security-policy"
    ]
    assert policy.startswith("default-src 'none'")
    assert "sandbox" in policy, "an uploaded file cannot run scripts"


def test_developer_routes_are_closed(http):
    closed = [
        "dev/reload",
        "token",
        "token/",
        "vibe-code",
        "run-history/records",
        "proxy=http://127.0.0.1/",
    ]
    paths = [f"gradio_api/{path}" for path in [*closed, "component_server"]]
    for path in [*paths, "monitoring", "monitoring/summary", "openapi.json"]:
        answer = http.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["detail"]


@pytest.mark.parametrize(
    "route",
    ["upload", "call/presets", "queue/join", "cancel", "run/presets", "call/v2/presets", "reset"],
)
def test_only_the_page_itself_can_change_anything(site, http, route):
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"host": "evil.example"},
        {"host": "evil.example", "origin": "http://evil.example"},
    ):
        answer = http.post(f"gradio_api/{route}", json={"data": []}, headers=headers)
        assert answer.status_code == 403, headers
        assert ("ENHANCE_PUBLIC_HOST" in answer.json()["detail"]) == ("host" in headers)
    for headers in (
        {"origin": site.url.rstrip("/")},
        {"origin": site.url.rstrip("/").upper()},
        {"host": "localhost:7860", "origin": "http://localhost:7860"},
    ):
        assert (
            http.post(f"gradio_api/{route}", json={"data": []}, headers=headers).status_code != 403
        )


def test_no_response_allows_another_site_to_read_it_or_to_send_a_key(http):
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-enhance-key",
    }
    for host in ("enhance.example", "computer:7860", "127.0.0.1:7860"):
        for origin in ("https://evil.example", "null", "http://localhost:1"):
            headers = {"host": host, "origin": origin}
            answers = [
                http.get(path, headers=headers) for path in ("config", "healthz", "gradio_api/info")
            ]
            answers += [
                http.options(path, headers=headers | asked)
                for path in ("config", "gradio_api/call/status")
            ]
            for answer in answers:
                assert [name for name in answer.headers if name.startswith("access-control-")] == []


def test_a_shared_page_allows_only_the_host_of_its_tunnel():
    async def changed(_: Request) -> PlainTextResponse:
        return PlainTextResponse("changed")

    guard = Middleware(OriginCheck, Metrics())
    app: Any = Starlette(routes=[Route("/change", changed, methods=["POST"])], middleware=[guard])
    tunnel = TestClient(
        app, base_url="https://a1b2.gradio.live", headers={"origin": "https://a1b2.gradio.live"}
    )
    assert tunnel.post("/change").status_code == 403
    app.blocks = SimpleNamespace(share_url="https://a1b2.gradio.live")
    assert tunnel.post("/change").text == "changed"
    for name, other in (("host", "c3d4.gradio.live"), ("origin", "https://c3d4.gradio.live")):
        assert tunnel.post("/change", headers={name: other}).status_code == 403
