"""Headers of responses, closed routes of Gradio, and checks of host and origin."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from enhance.web.metrics import Metrics
from enhance.web.security import OriginCheck

from .calls import META, VALUES, answer_to, upload


def test_every_response_has_security_headers(site):
    for path in ("", "config", "gradio_api/info", "theme.css", "healthz", "nothing"):
        headers = httpx.get(site.url + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'self'" in policy
    uploaded = httpx.get(f"{site.url}gradio_api/file={upload(site, 'shown.png')['path']}")
    policy = uploaded.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "sandbox" in policy, "an uploaded file cannot run scripts"


def test_developer_routes_are_closed(site):
    closed = ["dev/reload", "token", "token/", "vibe-code", "run-history/records", "proxy=http://127.0.0.1/"]
    paths = [f"gradio_api/{path}" for path in [*closed, "component_server"]]
    for path in [*paths, "monitoring", "monitoring/summary", "monitoring/abc"]:
        answer = httpx.get(site.url + path)
        assert answer.status_code == 404, path
        assert answer.json()["detail"]


HEADERS = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"host": "evil.example"},
    {"host": "evil.example", "origin": "http://evil.example"},
]


@pytest.mark.parametrize(
    "route", ["upload", "call/presets", "queue/join", "cancel", "run/presets", "call/v2/presets", "reset"]
)
def test_a_page_of_another_origin_cannot_change_anything(site, route):
    for headers in HEADERS:
        answer = httpx.post(f"{site.url}gradio_api/{route}", json={"data": []}, headers=headers)
        assert answer.status_code == 403, headers
        assert ("ENHANCE_PUBLIC_HOST" in answer.json()["detail"]) == ("host" in headers)


def test_the_origin_of_the_page_is_allowed(site):
    for origin in (site.url.rstrip("/"), site.url.rstrip("/").upper()):
        answer = httpx.post(f"{site.url}gradio_api/call/presets", json={"data": []}, headers={"origin": origin})
        assert answer.status_code == 200
    local = {"host": "localhost:7860", "origin": "http://localhost:7860"}
    assert httpx.post(f"{site.url}gradio_api/call/presets", json={"data": []}, headers=local).status_code == 200


def test_a_shared_page_allows_only_the_host_of_its_tunnel():
    async def changed(_: Request) -> PlainTextResponse:
        return PlainTextResponse("changed")

    guard = Middleware(OriginCheck, Metrics())
    app: Any = Starlette(routes=[Route("/change", changed, methods=["POST"])], middleware=[guard])
    tunnel = TestClient(app, base_url="https://a1b2.gradio.live", headers={"origin": "https://a1b2.gradio.live"})
    assert tunnel.post("/change").status_code == 403
    app.blocks = SimpleNamespace(share_url="https://a1b2.gradio.live")
    assert tunnel.post("/change").text == "changed"
    assert tunnel.post("/change", headers={"host": "c3d4.gradio.live"}).status_code == 403
    assert tunnel.post("/change", headers={"origin": "https://c3d4.gradio.live"}).status_code == 403


def test_errors_contain_no_paths_of_the_server(site):
    private = [str(folder) for folder in (Path.cwd(), site.files.parent, site.page)]
    bad = [{"path": "x.png", "meta": META}, {"path": "/etc/passwd", "meta": META}, {"path": "../x", "meta": META}]
    answers = [answer_to(site, "enhance", [image, *VALUES]) for image in bad]
    answers += [httpx.get(site.url + path).text for path in ("gradio_api/info", "gradio_api/file=x", "gradio_api/none")]
    for answer in answers:
        assert [path for path in private if path in answer] == [], answer[:300]
    config = httpx.get(f"{site.url}config").text.replace(str(site.page), "")
    assert [path for path in private if path in config] == []
