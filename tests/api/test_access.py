"""The login and API keys: nothing is served without one, passwords cannot be guessed, and each key
is a user."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from gradio.routes import App
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from starlette.types import Message

from app import build_demo
from enhance import Enhancer
from enhance.config import Config
from enhance.web.build import launch_options
from enhance.web.security import Access

from ..site import LOGIN, Site, busy_device, guarded_site, wait_until
from . import test_agents
from .calls import FAST, REMOTE, begin, listen, upload_file, values_for

FIRST, SECOND = "a-key-of-this-test", "another-key-of-this"
WRONG = {"username": "ada", "password": "guess"}
PUBLIC = ("/healthz", "/robots.txt", "/gradio_api/startup-events")
LOGIN_PAGE = ("/log", "/theme.css", "/favicon.ico", "/manifest.json", "/assets/", "/static/")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE")


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Iterator[Site]:
    """A server with keys and without a login."""
    with guarded_site(tmp_path_factory.mktemp("keys"), FIRST, SECOND, login=False) as site:
        yield site


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[Site]:
    """A server with a login and a key."""
    with guarded_site(tmp_path_factory.mktemp("guarded"), FIRST) as site:
        yield site


@pytest.fixture
def with_uploads(programs, monkeypatch) -> None:
    """All apps of a process read one variable for the folder of uploads."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(programs.page))


@pytest.fixture(params=["programs", "guarded"])
def server(request) -> Site:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def routes(tmp_path_factory) -> set[str]:
    """The paths of all routes of the app."""
    folder = tmp_path_factory.mktemp("routes")
    config = Config(folder / "data", page_folder=folder / "page", api_keys=(FIRST,), metrics=True)
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("GRADIO_TEMP_DIR", str(folder / "page"))
        demo = build_demo(Enhancer("cpu", config=config))
    app = App.create_app(demo, app_kwargs=launch_options(demo)["app_kwargs"])
    routers = (getattr(one, "original_router", app) for one in app.routes)
    found = {getattr(one, "path", "/") for router in routers for one in router.routes}
    assert {
        "/config",
        "/gradio_api/upload",
        "/gradio_api/queue/join",
        "/api/enhance",
        "/metrics",
    } <= found
    return {re.sub(r"\{[^}]*\}", "a", path) for path in found} - {"/", *PUBLIC}


NO_KEYS = [
    {},
    bearer("guess"),
    {"x-api-key": "", "authorization": f"Basic {FIRST}"},
    {"x-enhance-key": "a" * 32},
]


@pytest.mark.parametrize("headers", NO_KEYS)
def test_no_route_is_open_without_a_login_or_a_key(server, routes, headers):
    headers = {**headers, **REMOTE, "accept-language": "zh-CN"}
    has_login = not httpx.get(server.url).headers["content-type"].startswith("text/plain")
    closed = [path for path in routes if not (has_login and path.startswith(LOGIN_PAGE))]
    with httpx.Client(headers=headers, limits=httpx.Limits(keepalive_expiry=1)) as client:
        for path in closed:
            for spelling in (path, f"/{path}", f"{path}/", "/" + quote(path[1:], safe="")):
                for method in METHODS:
                    answer = client.request(method, server.url.rstrip("/") + spelling)
                    assert answer.status_code in (401, 404), (method, spelling)
                    # A response of Gradio itself has only "detail".
                    assert method == "HEAD" or re.search("[一-鿿]", answer.json()["error"]), (
                        spelling
                    )


def test_web_sockets_are_rejected():
    sent = []

    async def app(*_: Any) -> None:
        raise AssertionError("the app got a web socket")

    async def send(message: Message) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/gradio_api/mcp/", "headers": []}
    asyncio.run(Access(app, [FIRST])(scope, app, send))  # type: ignore[arg-type]
    assert sent == ["websocket.close"]


def test_without_a_login_the_page_is_replaced_by_a_message(programs, errors):
    for headers, sentence in (
        ({}, "only for programs"),
        ({"accept-language": "zh-CN"}, "仅供程序使用"),
    ):
        for key in ({}, bearer(FIRST)):
            answer = httpx.get(programs.url, headers=headers | key)
            assert (answer.status_code, answer.headers["content-type"]) == (
                200,
                "text/plain; charset=utf-8",
            )
            assert sentence in answer.text
            assert len(answer.text.splitlines()) == 1
    for method in (*METHODS[2:], "CONNECT"):
        assert httpx.request(method, programs.url).status_code == 401
    assert httpx.get(f"{programs.url}healthz").json()["alive"]
    assert errors() == []


@pytest.mark.usefixtures("with_uploads")
def test_a_run_belongs_to_its_key_in_every_session(programs, tmp_path):
    def connect(headers: dict[str, str]) -> Client:
        return Client(
            programs.url,
            headers=headers,
            download_files=tmp_path,
            verbose=False,
            analytics_enabled=False,
        )

    own = {"x-enhance-key": "a" * 32}  # An API key comes first.
    keys = (bearer(FIRST) | own, {"x-api-key": FIRST}, bearer(SECOND) | own)
    run, same, other = (connect(headers) for headers in keys)
    photo = handle_file(programs.photo("photo.png", 20, 24))
    file, info = run.predict(photo, preset="anime-fast", api_name="/enhance")
    assert (Path(file).suffix, info["output"]["width"]) == (".png", 96)
    assert same.predict(task_id=info["task_id"], api_name="/report")
    with pytest.raises(AppError):
        other.predict(task_id=info["task_id"], api_name="/report")
    for client in (run, same, other):
        client.close()
    with pytest.raises(Exception, match="credentials were not provided"):
        connect(bearer("guess"))


@pytest.mark.usefixtures("with_uploads")
def test_agents_and_forms_with_a_key_get_results_that_need_a_key(programs):
    photo = programs.photo("photo.png", 20, 25)
    answer = test_agents.answer_to(
        programs.url, "enhance", {"image": test_agents.as_data(photo), **FAST}, **bearer(FIRST)
    )
    headers = {"accept": "application/json", **bearer(FIRST)}
    form = httpx.post(
        f"{programs.url}api/enhance",
        files={"image": photo.read_bytes()},
        data=FAST,
        headers=headers,
        timeout=60,
    )
    for address in (
        answer.structuredContent["result"],
        programs.url.rstrip("/") + form.json()["url"],
    ):
        assert httpx.get(address, headers=bearer(SECOND)).content.startswith(b"\x89PNG")
        assert httpx.get(address).status_code == 401


@pytest.mark.usefixtures("with_uploads")
def test_a_key_has_its_own_share_of_the_queue(programs):
    content = programs.photo("photo.png", 20, 28).read_bytes()
    values = values_for("enhance", upload_file(programs.url, "photo.png", content, **bearer(FIRST)))

    def enhance(key: str, session: str) -> str:
        return begin(programs, "enhance", values, bearer(key), session_hash=session)

    def waits(count: int) -> bool:
        return programs.enhancer.status()["waiting"] == count

    with busy_device(programs.enhancer.scheduler):
        events = [enhance(FIRST, f"session {number}") for number in range(5)]
        wait_until(lambda: waits(5))
        assert "event: error" in listen(programs, "enhance", enhance(FIRST, "more"), bearer(FIRST))
        events.append(enhance(SECOND, "other"))
        wait_until(lambda: waits(6))
    for event in events:
        assert "event: complete" in listen(programs, "enhance", event, bearer(FIRST))


def logged_in(server: Site, **headers: str) -> httpx.Client:
    client = httpx.Client(base_url=server.url, headers=headers)
    answer = client.post("login", data=LOGIN)
    assert answer.status_code == 200
    cookies = answer.headers.get_list("set-cookie")
    for cookie in cookies:
        assert {"HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
        assert ("Secure" in cookie) == bool(headers)
        assert "none" not in cookie.lower()
    assert cookies
    return client


def test_a_login_or_a_key_opens_the_api_and_only_a_login_opens_the_page(guarded):
    known = Client(guarded.url, auth=("ada", "secret"), verbose=False, analytics_enabled=False)
    assert known.predict(api_name="/presets")
    known.close()
    user, program = logged_in(guarded), httpx.Client(base_url=guarded.url, headers=bearer(FIRST))
    assert "API key" in httpx.get(f"{guarded.url}config").json()["error"]
    for client in (user, program):
        assert client.get("config").status_code == 200
    for client, is_open in ((httpx, False), (program, False), (user, True)):
        page = client.get(guarded.url)
        assert (page.status_code, '"components":[]' not in page.text) == (200, is_open)
    cookie = "; ".join(f"{name}={value}" for name, value in user.cookies.items())
    assert not test_agents.answer_to(guarded.url, "status", {}, cookie=cookie).isError


def test_a_cookie_is_secure_under_tls_and_a_logout_is_a_post_and_ends_one_session(guarded):
    logged_in(guarded, **{"x-forwarded-proto": "https"})
    one, other = logged_in(guarded), logged_in(guarded)
    assert one.get("logout").status_code == 405
    assert one.get("config").status_code == 200
    cookies = dict(one.cookies)
    assert one.post("logout").status_code == 302
    assert httpx.get(f"{guarded.url}config", cookies=cookies).status_code == 401
    assert other.get("config").status_code == 200
    assert other.post("logout", headers={"origin": "https://evil.example"}).status_code == 403


def log_in(server: Site, address: str, **form: Any) -> httpx.Response:
    """Send a form to the login from this address."""
    return httpx.post(f"{server.url}login", headers={"x-forwarded-for": address}, **form)


def test_wrong_passwords_are_limited_for_their_address_only(guarded):
    tries = [log_in(guarded, "10.0.0.1", data=WRONG) for _ in range(20)]
    assert [one.status_code for one in tries] == [400] * 5 + [429] * 15
    assert tries[-1].json()["detail"]
    assert log_in(guarded, "10.0.0.1", data=LOGIN).status_code == 429
    assert {
        log_in(guarded, f"10.0.1.{number}", data=WRONG).status_code for number in range(40)
    } == {400}
    assert log_in(guarded, "10.9.9.9", data=LOGIN).status_code == 200


def test_a_link_to_the_login_does_not_count_as_a_wrong_password(guarded):
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "GET", "GET"):
        answer = httpx.request(
            method, f"{guarded.url}login", headers={"x-forwarded-for": "10.0.0.3"}
        )
        assert answer.status_code == 401
    assert log_in(guarded, "10.0.0.3", data=LOGIN).status_code == 200


ODD_LOGINS: list[dict[str, Any]] = [
    *(
        {"data": {"username": "ada"}},
        {"data": {"username": ["ada", "ada"], "password": ["guess"] * 2}},
        {"json": []},
    ),
    *(
        {"data": {"username": "\0", "password": "\0"}},
        {"content": b"username=%ff&password=%ed%a0%80"},
        {},
    ),
    *(
        {"files": {"username": b"ada", "password": b"secret"}},
        {"data": {"username": "x" * 5000, "password": "x"}},
    ),
]


def test_odd_logins_are_rejected(guarded, errors):
    for number, form in enumerate(ODD_LOGINS):
        answer = log_in(guarded, f"10.0.2.{number}", **form)
        assert 400 <= answer.status_code < 500, (form, answer.text)
    assert errors() == []


def test_metrics_are_for_users_and_for_programs_on_the_same_machine(guarded):
    for headers in (REMOTE, {"x-forwarded-for": "127.0.0.1"}, {"via": "1.1 proxy"}):
        assert httpx.get(f"{guarded.url}metrics", headers=headers).status_code == 401
    assert logged_in(guarded).get("metrics", headers=REMOTE).status_code == 200
    assert (
        'enhance_refusals_total{reason="login_or_key"}' in httpx.get(f"{guarded.url}metrics").text
    )
