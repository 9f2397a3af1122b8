"""The login: everything else is closed, cookies, logout, and limits for wrong passwords."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from gradio_client import Client

from ..site import LOGIN, guarded_site
from . import test_agents

WRONG = {"username": "ada", "password": "guess"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[str]:
    with guarded_site(tmp_path_factory.mktemp("guarded")) as url:
        yield url


def forwarded_for(address: str) -> dict[str, str]:
    """Return the header of a trusted proxy for a user at this address."""
    return {"x-forwarded-for": address}


def test_only_a_logged_in_client_can_call_the_api(guarded):
    known = Client(guarded, auth=("ada", "secret"), verbose=False, analytics_enabled=False)
    assert known.predict(api_name="/presets")
    known.close()
    with pytest.raises(Exception, match="Could not login"):
        Client(guarded, auth=("ada", "guess"), verbose=False, analytics_enabled=False)
    assert httpx.get(f"{guarded}healthz").json()["alive"]


def logged_in(url: str) -> httpx.Client:
    client = httpx.Client(base_url=url)
    answer = client.post("login", data=LOGIN)
    assert answer.status_code == 200
    for cookie in answer.headers.get_list("set-cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie
        assert "none" not in cookie.lower()
    return client


def test_a_cookie_is_secure_under_tls_and_a_logout_is_a_post_and_ends_one_session(guarded):
    answer = httpx.post(f"{guarded}login", data=LOGIN, headers={"x-forwarded-proto": "https"})
    assert len(secure := answer.headers.get_list("set-cookie")) == 2
    assert all("Secure" in cookie and "SameSite=Lax" in cookie for cookie in secure)
    one, other = logged_in(guarded), logged_in(guarded)
    assert one.get("logout").status_code == 405
    assert one.get("config").status_code == 200
    cookies = dict(one.cookies)
    assert one.post("logout").status_code == 302
    assert httpx.get(f"{guarded}config", cookies=cookies).status_code == 401
    assert other.get("config").status_code == 200
    assert other.post("logout", headers={"origin": "https://evil.example"}).status_code == 403


def test_wrong_passwords_are_limited(guarded):
    there = forwarded_for("10.0.0.1")
    tries = [httpx.post(f"{guarded}login", data=WRONG, headers=there) for _ in range(20)]
    assert [one.status_code for one in tries] == [400] * 5 + [429] * 15
    assert tries[-1].json()["detail"]
    assert httpx.post(f"{guarded}login", data=LOGIN, headers=there).status_code == 429


def test_a_link_to_the_login_is_no_wrong_password(guarded):
    there = forwarded_for("10.0.0.3")
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "GET", "GET"):
        assert httpx.request(method, f"{guarded}login", headers=there).status_code == 401
    assert httpx.post(f"{guarded}login", data=LOGIN, headers=there).status_code == 200


def test_guesses_from_many_addresses_lock_out_no_new_user(guarded):
    guesses = [httpx.post(f"{guarded}login", data=WRONG, headers=forwarded_for(f"10.0.1.{n}")) for n in range(40)]
    assert {one.status_code for one in guesses} == {400}
    assert httpx.post(f"{guarded}login", data=LOGIN, headers=forwarded_for("10.9.9.9")).status_code == 200


ODD_LOGINS: list[dict[str, Any]] = [
    *({"data": {"username": "ada"}}, {"data": {"username": ["ada", "ada"], "password": ["guess"] * 2}}, {"json": []}),
    *({"data": {"username": "\0", "password": "\0"}}, {"content": b"username=%ff&password=%ed%a0%80"}, {}),
    *({"files": {"username": b"ada", "password": b"secret"}}, {"data": {"username": "x" * 5000, "password": "x"}}),
]


def test_odd_logins_are_rejected(guarded, caplog):
    for number, form in enumerate(ODD_LOGINS):
        answer = httpx.post(f"{guarded}login", **form, headers=forwarded_for(f"10.0.2.{number}"))
        assert 400 <= answer.status_code < 500, (form, answer.text)
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []


def test_metrics_are_for_logged_in_users_and_programs_on_the_same_machine(guarded):
    assert "enhance_running" in httpx.get(f"{guarded}metrics").text
    for headers in (forwarded_for("10.0.0.7"), forwarded_for("127.0.0.1"), {"via": "1.1 proxy"}):
        assert httpx.get(f"{guarded}metrics", headers=headers).status_code == 401
    assert logged_in(guarded).get("metrics", headers=forwarded_for("10.0.0.7")).status_code == 200
    assert 'enhance_refusals_total{reason="login_first"}' in httpx.get(f"{guarded}metrics").text


def test_only_the_login_page_is_served_without_a_login(guarded):
    get = ["openapi.json", "gradio_api/openapi.json", "gradio_api/info", "gradio_api/app_id", "docs", "config"]
    get += ["gradio_api/heartbeat/abc", "gradio_api/queue/data?session_hash=a", f"display/{'0' * 16}/photo/0?left=0"]
    get += ["svelte/a.js", "pwa_icon", "gradio_api/theme.css", "gradio_api/login_check"]
    for path in get:
        assert httpx.get(guarded + path).status_code == 401, path
    for path in ("upload", "cancel", "queue/join", "run/presets", "call/presets", "mcp/"):
        assert httpx.post(f"{guarded}gradio_api/{path}", json={}).status_code == 401, path
    page = httpx.get(guarded)
    assert page.status_code == 200
    assert '"components":[]' in page.text


def test_an_agent_needs_the_login(guarded):
    cookies = logged_in(guarded).cookies.items()
    cookie = "; ".join(f"{name}={value}" for name, value in cookies)
    assert not test_agents.answer_to(guarded, "status", {}, cookie=cookie).isError
