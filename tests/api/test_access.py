"""The login and API keys: nothing is served without one, passwords cannot be guessed, and each key
is a user."""

import asyncio
import re
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from gradio.routes import App
from gradio_client import Client
from gradio_client.exceptions import AppError

from app import build_demo
from enhance.config import Config
from enhance.web.build import launch_options
from enhance.web.security import Security

from ..site import LOGIN, guarded_site
from . import test_agents
from .calls import FAST, REMOTE
from .users import User

FIRST, SECOND = "a-key-of-this-test", "another-key-of-this"
WRONG = {"username": "ada", "password": "guess"}
PUBLIC = {"/", "/healthz", "/robots.txt", "/gradio_api/startup-events"}
LOGIN_PAGE = ("/log", "/theme.css", "/favicon.ico", "/manifest.json", "/assets/", "/static/")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE")


def bearer(key):
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A server with keys and without a login."""
    with guarded_site(tmp_path_factory.mktemp("keys"), FIRST, SECOND, login=False) as site:
        yield site


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with a login and a key."""
    with guarded_site(tmp_path_factory.mktemp("guarded"), FIRST) as site:
        yield site


@pytest.fixture
def with_uploads(programs, monkeypatch):
    """All apps of a process read one variable for the folder of uploads."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(programs.page))


@pytest.fixture(scope="module")
def routes(programs):
    """The paths of all routes of the app that are not public."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("GRADIO_TEMP_DIR", str(programs.page))
        demo = build_demo(programs.enhancer)
    app = App.create_app(demo, app_kwargs=launch_options(demo)["app_kwargs"])
    routers = (getattr(one, "original_router", app) for one in app.routes)
    found = {getattr(one, "path", "/") for router in routers for one in router.routes}
    known = {"/config", "/gradio_api/upload", "/gradio_api/queue/join", "/api/enhance", "/metrics"}
    assert known <= found
    return {re.sub(r"\{[^}]*\}", "a", path) for path in found} - PUBLIC


@pytest.mark.parametrize("server", ["programs", "guarded"])
def test_no_route_is_open_without_a_login_or_a_key(request, server, routes):
    url = request.getfixturevalue(server).url.rstrip("/")
    if server == "guarded":
        routes = {path for path in routes if not path.startswith(LOGIN_PAGE)}
    wrong = {**REMOTE, "accept-language": "zh-CN", "x-enhance-key": "a" * 32}
    with httpx.Client(limits=httpx.Limits(keepalive_expiry=1)) as client:

        def check(method, path, headers):
            with client.stream(method, url + path, headers=wrong | headers) as answer:
                assert answer.status_code in (401, 404), (method, path, headers)
                answer.read()
            # A response of Gradio itself has only "detail".
            assert method == "HEAD" or re.search("[一-鿿]", answer.json()["error"]), path

        for path in routes:
            for method in METHODS:
                check(method, path, bearer("guess"))
            for spelling in (f"/{path}", f"{path}/", "/" + quote(path[1:], safe="")):
                check("GET", spelling, {})
            check("POST", path, {"x-api-key": "", "authorization": f"Basic {FIRST}"})


def test_without_a_login_the_page_is_replaced_by_a_message(programs):
    for headers, sentence in (
        ({"accept-language": "zh-CN"}, "仅供程序使用"),
        (bearer(FIRST), "only for programs"),
    ):
        answer = httpx.get(programs.url, headers=headers)
        assert (answer.status_code, len(answer.text.splitlines())) == (200, 1)
        assert sentence in answer.text
    for method in ("OPTIONS", "POST", "CONNECT"):
        assert httpx.request(method, programs.url).status_code == 401


def test_web_sockets_are_rejected():
    sent = []

    async def app(*_):
        raise AssertionError("the app got a web socket")

    async def send(message):
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/gradio_api/mcp/", "headers": []}
    services: Any = SimpleNamespace(enhancer=SimpleNamespace(config=Config(api_keys=(FIRST,))))
    security: Any = Security(app, services)
    asyncio.run(security(scope, app, send))
    assert sent == ["websocket.close"]


@pytest.mark.usefixtures("with_uploads")
def test_a_run_belongs_to_its_key_in_every_session(programs, tmp_path):
    connect = partial(
        Client, programs.url, download_files=tmp_path, verbose=False, analytics_enabled=False
    )
    own = {"x-enhance-key": "a" * 32}  # An API key comes first.
    run = User(connect, bearer(FIRST) | own)
    same = User(connect, {"x-api-key": FIRST})
    other = User(connect, bearer(SECOND) | own)
    _, info = run.call("enhance", programs.photo("photo.png", 20, 24))
    assert same.call("report", info["task_id"])
    with pytest.raises(AppError):
        other.call("report", info["task_id"])


@pytest.mark.usefixtures("with_uploads")
def test_agents_and_forms_with_a_key_get_results_that_need_a_key(programs):
    photo = programs.photo("photo.png", 20, 25)
    arguments = {"image": test_agents.as_data(photo), **FAST}
    agent = test_agents.answer_to(programs.url, "enhance", arguments, **bearer(FIRST))
    headers = {"accept": "application/json", **bearer(FIRST)}
    files = {"image": photo.read_bytes()}
    form = httpx.post(f"{programs.url}api/enhance", files=files, data=FAST, headers=headers)
    for address in (
        agent.structuredContent["result"],
        programs.url.rstrip("/") + form.json()["url"],
    ):
        assert httpx.get(address, headers=bearer(SECOND)).content.startswith(b"\x89PNG")
        assert httpx.get(address).status_code == 401


def logged_in(server, **headers):
    """Return a client that has logged in. Check that its cookies are strict."""
    client = httpx.Client(base_url=server.url, headers=headers)
    cookies = client.post("login", data=LOGIN).headers.get_list("set-cookie")
    assert cookies
    for cookie in cookies:
        assert {"HttpOnly", "SameSite=Lax"} <= {*cookie.split("; ")}
        assert ("Secure" in cookie) == bool(headers)
        assert "samesite=none" not in cookie.lower()
    return client


def test_a_login_or_a_key_opens_the_api_and_only_a_login_opens_the_page(guarded):
    known = Client(guarded.url, auth=("ada", "secret"), verbose=False, analytics_enabled=False)
    assert known.predict(api_name="/presets")
    known.close()
    user = logged_in(guarded)
    program = httpx.Client(base_url=guarded.url, headers=bearer(FIRST))
    assert "API key" in httpx.get(f"{guarded.url}config").json()["error"]
    assert user.get("config").status_code == program.get("config").status_code == 200
    for client, is_open in ((httpx, False), (program, False), (user, True)):
        page = client.get(guarded.url)
        assert (page.status_code, '"components":[]' not in page.text) == (200, is_open)
    cookie = "; ".join(f"{name}={value}" for name, value in user.cookies.items())
    assert not test_agents.answer_to(guarded.url, "status", {}, cookie=cookie).isError


def test_a_cookie_is_secure_under_tls_and_a_logout_is_a_post_and_ends_one_session(guarded):
    logged_in(guarded, **{"x-forwarded-proto": "https"})
    one, other = logged_in(guarded), logged_in(guarded)
    assert one.get("logout").status_code == 405
    cookies = dict(one.cookies)
    assert httpx.get(f"{guarded.url}config", cookies=cookies).status_code == 200
    assert one.post("logout").status_code == 302
    assert httpx.get(f"{guarded.url}config", cookies=cookies).status_code == 401
    assert other.get("config").status_code == 200
    assert other.post("logout", headers={"origin": "https://evil.example"}).status_code == 403


def log_in(server, address, method="POST", **form):
    """Send a form to the login from this address."""
    headers = {"x-forwarded-for": address}
    return httpx.request(method, f"{server.url}login", headers=headers, **form)


def test_wrong_passwords_are_limited_for_their_address_only(guarded):
    tries = [log_in(guarded, "10.0.0.1", data=WRONG) for _ in range(7)]
    assert [one.status_code for one in tries] == [400] * 5 + [429] * 2
    assert tries[-1].json()["detail"]
    assert log_in(guarded, "10.0.0.1", data=LOGIN).status_code == 429
    for number in range(7):
        assert log_in(guarded, f"10.0.1.{number}", data=WRONG).status_code == 400
    # A link of another site to the login does not count as a wrong password.
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "GET", "GET"):
        assert log_in(guarded, "10.0.0.3", method).status_code == 401
    assert log_in(guarded, "10.0.0.3", data=LOGIN).status_code == 200


def test_metrics_are_for_users_and_for_programs_on_the_same_machine(guarded):
    for headers in (REMOTE, {"x-forwarded-for": "127.0.0.1"}, {"via": "1.1 proxy"}):
        assert httpx.get(f"{guarded.url}metrics", headers=headers).status_code == 401
    assert logged_in(guarded).get("metrics", headers=REMOTE).status_code == 200
    assert httpx.get(f"{guarded.url}metrics").status_code == 200
