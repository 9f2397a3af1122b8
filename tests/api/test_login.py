"""A page with a login keeps strangers out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from gradio_client import Client

from app import build_demo
from enhance import Enhancer
from enhance.config import read_config
from enhance.web.serving import launch_options


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a page with a login."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ENHANCE_AUTH", "ada:secret")
        environment.setenv("GRADIO_TEMP_DIR", str(folder / "page"))
        demo = build_demo(Enhancer("cpu", data=folder / "data"))
        options = launch_options(read_config()) | {"server_port": None, "quiet": True, "prevent_thread_lock": True}
        _, url, _ = demo.launch(**options)
        yield url
        demo.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("guarded")) as url:
        yield url


def test_only_who_logs_in_gets_an_answer(guarded):
    known = Client(guarded, auth=("ada", "secret"), verbose=False, analytics_enabled=False)
    assert known.predict(api_name="/presets")
    known.close()
    assert httpx.post(f"{guarded}gradio_api/call/presets", json={"data": []}).status_code == 401
    with pytest.raises(Exception, match="Could not login"):
        Client(guarded, auth=("ada", "guess"), verbose=False, analytics_enabled=False)
    assert httpx.get(f"{guarded}healthz").json()["alive"]


def logged_in(url: str) -> httpx.Client:
    client = httpx.Client(base_url=url)
    answer = client.post("login", data={"username": "ada", "password": "secret"})
    assert answer.status_code == 200
    for cookie in answer.headers.get_list("set-cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie
        assert "none" not in cookie.lower()
    return client


def test_a_cookie_is_for_tls_alone_where_the_request_came_by_it(guarded):
    answer = httpx.post(
        f"{guarded}login", data={"username": "ada", "password": "secret"}, headers={"x-forwarded-proto": "https"}
    )
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    assert all("Secure" in cookie and "SameSite=Lax" in cookie for cookie in cookies)


def test_a_logout_is_a_post_and_ends_one_session(guarded):
    one, other = logged_in(guarded), logged_in(guarded)
    assert one.get("logout").status_code == 405
    assert one.get("config").status_code == 200
    kept = dict(one.cookies)
    assert one.post("logout").status_code == 302
    assert httpx.get(f"{guarded}config", cookies=kept).status_code == 401
    assert other.get("config").status_code == 200
    assert other.post("logout", headers={"origin": "https://evil.example"}).status_code == 403


def test_wrong_passwords_are_slowed_down(tmp_path):
    with served(tmp_path) as url:
        tries = [httpx.post(f"{url}login", data={"username": "ada", "password": str(n)}) for n in range(20)]
        right = httpx.post(f"{url}login", data={"username": "ada", "password": "secret"})
    assert [one.status_code for one in tries] == [400] * 5 + [429] * 15
    assert "too many wrong passwords" in tries[-1].json()["detail"]
    assert right.status_code == 429


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "openapi.json"),
        ("GET", "gradio_api/openapi.json"),
        ("GET", "gradio_api/info"),
        ("GET", "gradio_api/heartbeat/abc"),
        ("GET", "gradio_api/queue/data?session_hash=a"),
        ("GET", "gradio_api/app_id"),
        ("GET", "docs"),
        ("GET", "config"),
        ("POST", "gradio_api/upload"),
        ("POST", "gradio_api/cancel"),
        ("POST", "gradio_api/queue/join"),
        ("POST", "gradio_api/run/presets"),
    ],
)
def test_nothing_but_the_login_page_is_there_without_a_login(guarded, method, path):
    assert httpx.request(method, guarded + path, timeout=5).status_code == 401


def test_the_login_page_itself_is_whole(guarded):
    page = httpx.get(guarded)
    assert page.status_code == 200
    assert '"components":[]' in page.text
