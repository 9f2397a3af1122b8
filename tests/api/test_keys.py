"""API keys: with them, every way in needs a key or a login, and limits and reports are those of the key."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from gradio.routes import App
from gradio_client import Client, handle_file
from PIL import Image
from starlette.testclient import TestClient
from starlette.types import Message

from app import build_demo
from enhance import Enhancer
from enhance.config import Config
from enhance.web.build import launch_options
from enhance.web.metrics import Metrics
from enhance.web.security import Access

from ..site import LOGIN, busy_device, photo, served, wait_until
from . import test_agents
from .calls import FAST_VALUES, META

FIRST, SECOND = "a-key-of-this-test", "another-key-of-this"
FAST = {"preset": "anime-fast"}
GET = [
    *("config", "openapi.json", "gradio_api/openapi.json", "gradio_api/info", "gradio_api/app_id", "metrics"),
    *("gradio_api/heartbeat/abc", "gradio_api/queue/data?session_hash=a", "gradio_api/call/status/a"),
    *(f"display/{'0' * 16}/photo/0?left=0", f"api/results/{'0' * 32}/a.png", "gradio_api/file=a.png"),
]
POST = [
    *("gradio_api/upload", "gradio_api/queue/join", "gradio_api/call/status", "gradio_api/call/v2/enhance"),
    *("gradio_api/run/status", "gradio_api/cancel", "gradio_api/reset", "gradio_api/mcp/", "api/enhance"),
]
PUBLIC = {"/", "/healthz", "/robots.txt", "/gradio_api/startup-events"}
OF_THE_PAGE = ["login", "logout", "assets/a.js", "static/img/logo.svg", "theme.css", "manifest.json"]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def photo_file(folder: Path, height: int, width: int) -> Path:
    Image.fromarray(photo(height, width)).save(folder / "photo.png")
    return folder / "photo.png"


@pytest.fixture(scope="module")
def enhancer(tmp_path_factory) -> Enhancer:
    """The enhancer of `programs`."""
    folder = tmp_path_factory.mktemp("keys")
    config = Config(folder / "data", page_folder=folder / "page", api_keys=(FIRST, SECOND), metrics=True)
    return Enhancer("cpu", config=config)


@pytest.fixture(scope="module")
def programs(enhancer) -> Iterator[str]:
    """A server with keys and without a login."""
    with served(enhancer) as url:
        yield url


@pytest.fixture
def both(tmp_path) -> Iterator[str]:
    """A server with keys and a login."""
    login = (LOGIN["username"], LOGIN["password"])
    config = Config(tmp_path / "data", page_folder=tmp_path / "page", api_keys=(FIRST,), auth=login)
    with served(Enhancer("cpu", config=config)) as url:
        yield url


def test_no_web_socket_gets_in():
    sent = []

    async def app(*_: Any) -> None:
        raise AssertionError("the app got a web socket")

    async def send(message: Message) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/gradio_api/mcp/", "headers": []}
    asyncio.run(Access(app, [FIRST])(scope, app, send))  # type: ignore[arg-type]
    assert sent == ["websocket.close"]


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("headers", [{}, bearer("guess"), {"x-api-key": ""}, {"authorization": f"Basic {FIRST}"}])
def test_without_a_key_no_program_gets_in(programs, headers, language):
    headers = {**headers, "accept-language": language, "x-forwarded-for": "203.0.113.7"}
    answers = [httpx.get(programs + path, headers=headers) for path in GET + OF_THE_PAGE]
    answers += [httpx.post(programs + path, json={}, headers=headers) for path in POST]
    for answer in answers:
        assert answer.status_code == 401, answer.url
        assert bool(re.search("[一-鿿]", answer.json()["error"])) == (language == "zh-CN")


def test_every_route_of_the_app_needs_a_key(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "page"))
    config = Config(tmp_path / "data", page_folder=tmp_path / "page", api_keys=(FIRST,), metrics=True)
    demo = build_demo(Enhancer("cpu", config=config))
    app = App.create_app(demo, app_kwargs=launch_options(config, Metrics(True))["app_kwargs"])
    routers = (getattr(one, "original_router", app) for one in app.routes)
    routes: set[str] = {getattr(one, "path", "/") for router in routers for one in router.routes}
    paths = {re.sub(r"\{[^}]*\}", "a", route) for route in routes}
    assert {"/config", "/gradio_api/upload", "/gradio_api/queue/join", "/api/enhance", "/metrics"} <= paths
    client = TestClient(app)
    for path in paths - PUBLIC:
        for spelling in (path, f"/{path}", f"{path}/", "/" + quote(path[1:], safe="")):
            for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"):
                answer = client.request(method, f"http://localhost{spelling}")
                assert answer.status_code in (401, 404), (method, spelling)
                assert method == "HEAD" or "error" in answer.json()  # A response of Gradio itself has only "detail".


def test_without_a_login_there_is_a_sentence_instead_of_the_page(programs):
    for headers, sentence in (({}, "only for programs"), ({"accept-language": "zh-CN"}, "仅供程序使用")):
        for key in ({}, bearer(FIRST)):
            answer = httpx.get(programs, headers=headers | key)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
            assert sentence in answer.text
            assert len(answer.text.splitlines()) == 1
    assert httpx.get(f"{programs}healthz").json()["alive"]


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT", "DELETE", "CONNECT"])
def test_the_sentence_instead_of_the_page_can_only_be_read(programs, method, caplog):
    assert httpx.request(method, programs).status_code == 401
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("headers", [bearer(FIRST), {"x-api-key": FIRST}])
def test_a_python_client_with_a_key_enhances_a_photo(programs, tmp_path, headers):
    client = Client(programs, headers=headers, download_files=tmp_path, verbose=False, analytics_enabled=False)
    file, info = client.predict(handle_file(photo_file(tmp_path, 20, 24)), preset="anime-fast", api_name="/enhance")
    assert (Path(file).suffix, info["output"]["width"]) == (".png", 96)
    assert client.predict(task_id=info["task_id"], api_name="/report")
    client.close()
    with pytest.raises(Exception, match="credentials were not provided"):
        Client(programs, headers=bearer("guess"), verbose=False, analytics_enabled=False)


def test_an_agent_with_a_key_enhances_a_photo(programs, tmp_path):
    image = test_agents.as_data(photo_file(tmp_path, 20, 25))
    answer = test_agents.answer_to(programs, "enhance", {"image": image, **FAST}, **bearer(FIRST))
    assert not answer.isError
    address = answer.structuredContent["result"]
    assert httpx.get(address, headers=bearer(FIRST)).content.startswith(b"\x89PNG")
    assert httpx.get(address).status_code == 401


def test_a_form_with_a_key_returns_a_result_that_needs_the_key(programs, tmp_path):
    files, json_only = {"image": photo_file(tmp_path, 20, 26).read_bytes()}, {"accept": "application/json"}
    answer = httpx.post(f"{programs}api/enhance", files=files, data=FAST, headers=json_only | bearer(FIRST))
    address = programs.rstrip("/") + answer.json()["url"]
    assert httpx.get(address, headers=bearer(SECOND)).content.startswith(b"\x89PNG")
    assert httpx.get(address).status_code == 401


def call(url: str, key: str, endpoint: str, data: list, session: str = "a") -> str:
    """Begin a call with a key; return the id of its event."""
    body, address = {"data": data, "session_hash": session}, f"{url}gradio_api/call/{endpoint}"
    return httpx.post(address, json=body, headers=bearer(key)).json()["event_id"]


def events(url: str, key: str, endpoint: str, event: str) -> str:
    return httpx.get(f"{url}gradio_api/call/{endpoint}/{event}", headers=bearer(key), timeout=60).text


def uploaded(url: str, path: Path) -> dict:
    answer = httpx.post(f"{url}gradio_api/upload", files={"files": path.read_bytes()}, headers=bearer(FIRST))
    return {"path": answer.json()[0], "meta": META}


def test_a_run_belongs_to_its_key_in_every_session(programs, tmp_path):
    data = [uploaded(programs, photo_file(tmp_path, 20, 27)), *FAST_VALUES]
    done = events(programs, FIRST, "enhance", call(programs, FIRST, "enhance", data))
    task = json.loads(done.rpartition("data: ")[2])[1]["task_id"]
    for key, outcome in ((FIRST, "event: complete"), (SECOND, "event: error")):
        event = call(programs, key, "report", [task], session="another")
        assert outcome in events(programs, key, "report", event)


def test_a_key_has_its_own_share_of_the_queue(programs, enhancer, tmp_path):
    data = [uploaded(programs, photo_file(tmp_path, 20, 28)), *FAST_VALUES]
    with busy_device(enhancer.scheduler):
        begun = [call(programs, FIRST, "enhance", data, session=f"session {n}") for n in range(5)]
        is_full = httpx.Client(base_url=programs, headers=bearer(FIRST))
        wait_until(lambda: is_full.get("metrics").text.count("\nenhance_waiting 5.0"))
        assert "event: error" in events(programs, FIRST, "enhance", call(programs, FIRST, "enhance", data, "more"))
        begun.append(call(programs, SECOND, "enhance", data, session="other"))
        wait_until(lambda: is_full.get("metrics").text.count("\nenhance_waiting 6.0"))
    for event in begun:
        assert "event: complete" in events(programs, FIRST, "enhance", event)


def test_with_a_login_programs_need_it_or_a_key_and_the_page_needs_it(both):
    with httpx.Client(base_url=both) as browser, httpx.Client(base_url=both, headers=bearer(FIRST)) as program:
        assert httpx.get(f"{both}config").status_code == 401
        assert "API key" in httpx.get(f"{both}config").json()["error"]
        assert program.get("config").status_code == 200
        assert '"components":[]' in program.get("").text
        assert '"components":[]' in browser.get("").text
        assert browser.post("login", data=LOGIN).status_code == 200
        assert browser.get("config").status_code == 200
        assert '"components":[]' not in browser.get("").text
