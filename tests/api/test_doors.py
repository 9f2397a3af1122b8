"""What a browser is told to forbid, which doors are closed, and who may change anything."""

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

from .calls import META, VALUES, answer_to, uploaded


@pytest.mark.parametrize("path", ["", "config", "gradio_api/info", "theme.css", "healthz", "nothing"])
def test_every_answer_has_the_headers_of_safety(site, path):
    headers = httpx.get(site.url + path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy


def test_a_file_of_a_visitor_can_run_nothing(site):
    file = uploaded(site, "shown.png")["path"]
    policy = httpx.get(f"{site.url}gradio_api/file={file}").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "sandbox" in policy


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/dev/reload",
        "gradio_api/token",
        "gradio_api/token/",
        "monitoring",
        "monitoring/summary",
        "monitoring/abc",
        "gradio_api/vibe-code",
        "gradio_api/run-history/records",
        "gradio_api/proxy=http://127.0.0.1/",
        "gradio_api/component_server",
    ],
)
def test_doors_that_nobody_needs_are_closed(site, path):
    answer = httpx.get(site.url + path, timeout=5)
    assert answer.status_code == 404
    assert answer.json()["detail"]


ROUTES = [
    "upload",
    "call/presets",
    "queue/join",
    "cancel",
    "run/presets",
    "call/v2/presets",
    "reset",
]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"host": "evil.example"},
        {"host": "evil.example", "origin": "http://evil.example"},
    ],
)
def test_a_page_of_another_address_changes_nothing(site, route, headers):
    answer = httpx.post(f"{site.url}gradio_api/{route}", json={"data": []}, headers=headers)
    assert answer.status_code == 403
    assert ("ENHANCE_PUBLIC_HOST" in answer.json()["detail"]) == ("host" in headers)


def test_the_pages_own_address_is_let_through(site):
    for origin in (site.url.rstrip("/"), site.url.rstrip("/").upper()):
        answer = httpx.post(f"{site.url}gradio_api/call/presets", json={"data": []}, headers={"origin": origin})
        assert answer.status_code == 200
    local = {"host": "localhost:7860", "origin": "http://localhost:7860"}
    assert httpx.post(f"{site.url}gradio_api/call/presets", json={"data": []}, headers=local).status_code == 200


def test_a_shared_page_is_reached_by_the_name_of_its_tunnel_and_by_no_other():
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


def test_no_path_of_the_server_is_told_beside_gradios_own_addresses_of_files(site):
    told_to_nobody = [str(folder) for folder in (Path.cwd(), site.files.parent, site.page)]
    bad = [{"path": "x.png", "meta": META}, {"path": "/etc/passwd", "meta": META}, {"path": "../x", "meta": META}]
    answers = [answer_to(site, "enhance", [image, *VALUES]) for image in bad]
    answers += [httpx.get(site.url + path).text for path in ("gradio_api/info", "gradio_api/file=x", "gradio_api/none")]
    for answer in answers:
        assert [path for path in told_to_nobody if path in answer] == [], answer[:300]
    config = httpx.get(f"{site.url}config").text.replace(str(site.page), "")
    assert [path for path in told_to_nobody if path in config] == []
