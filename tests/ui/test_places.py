"""The page where it is served: in a frame, at an address without TLS, behind a proxy, with a
login."""

import re
import shutil
import subprocess
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from enhance import Enhancer
from enhance.config import Config

from ..site import (
    LOGIN,
    WatchedEnhancer,
    free_port,
    guarded_site,
    is_ready,
    served,
    wait_until,
)
from .journey import download, enhance, load, recent, remove, see

ROOT = Path(__file__).parents[2]
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

BLOCKED = """if (window !== top) {
  const block = {
    get() { throw new DOMException("Access is denied for this document.", "SecurityError"); },
  };
  for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, block);
  Object.defineProperty(document, "cookie", block);
}"""


@contextmanager
def other_site(folder, *framed):
    """Serve a page on another host name that shows these addresses in frames; yield its address."""
    frames = "".join(
        f'<iframe src="{address}" width="1280" height="900"></iframe>' for address in framed
    )
    (folder / "index.html").write_text(f"<!doctype html><title>Another site</title>{frames}")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def expect_regions(page, url):
    """Check that the server sends regions of the photo and of the result."""
    region = {"left": 0, "top": 0, "width": 8, "height": 8, "step": 1}
    for address in (see(page, "plan.photo.address"), see(page, "result.address")):
        assert (
            httpx.get(urljoin(url, address), params=region).headers["content-type"] == "image/jpeg"
        )


def test_an_allowed_site_can_frame_the_page_although_cookies_are_blocked(
    site, browser, photo_file, tmp_path
):
    config = Config(
        tmp_path / "data",
        page_folder=tmp_path / "page",
        frame_ancestors="'self' http://localhost:*",
    )
    with (
        served(WatchedEnhancer("cpu", config=config)) as url,
        other_site(tmp_path, f"{url}?preset=anime-fast", site.url) as address,
        browser.new_context(locale="en-US", viewport={"width": 1300, "height": 1900}) as context,
    ):
        context.add_init_script(BLOCKED)
        page, errors, keys = context.new_page(), list[str](), set[str]()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda sent: keys.add(sent.headers.get("x-enhance-key", "")))
        page.goto(address)
        frame = next(one for one in page.frames if one.url.startswith(url))
        load(frame, photo_file)
        enhance(frame)
        expect_regions(frame, url)
        remove(recent(frame, photo_file.name))
        expect(recent(frame)).to_have_count(0)
        assert len(keys - {""}) == 1, "one key for all requests of the page"
        assert context.cookies() == []
        assert errors == []
        blocked = next(one for one in page.frames if one not in (page.main_frame, frame))
        assert not blocked.url.startswith(site.url), (
            "a site that is not allowed cannot frame the page"
        )


def test_the_page_works_at_an_address_of_the_local_network_without_tls(site, visit, tmp_path):
    port = urlsplit(site.url).port
    page = visit("?preset=anime-fast", url=f"http://192.0.2.7:{port}/")
    assert not page.evaluate("isSecureContext")
    load(page, site.photo("plain.png", 20, 24))
    enhance(page)
    assert download(page, tmp_path).name == "plain-4x.png"
    remove(recent(page, "plain.png"))
    page.evaluate("localStorage.clear(), sessionStorage.clear()")


def test_a_user_logs_in_and_out(site, browser, tmp_path):
    with guarded_site(tmp_path) as guarded, browser.new_context(locale="en-US") as context:
        page, errors = context.new_page(), list[str]()
        page.on(
            "console",
            lambda message: errors.append(message.text) if message.type == "error" else None,
        )
        page.goto(guarded.url)
        for name, value in LOGIN.items():
            page.locator(f"input[type={'password' if name == 'password' else 'text'}]").fill(value)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Log out").click()
        expect(page.locator("input[type=password]")).to_be_visible()
        expect(page.get_by_role("button", name="Log out")).to_have_count(0)
        assert context.request.get(f"{guarded.url}config").status == 401
        assert [text for text in errors if "olicy" in text] == []


def documented_location():
    """Return the location block of docs/operating.md."""
    (block,) = re.findall(
        r"```nginx\n(location .*?)```", (ROOT / "docs/operating.md").read_text("utf-8"), re.DOTALL
    )
    return block


@contextmanager
def behind_nginx(folder, path):
    """Serve the app behind nginx at `path`; yield the address of the page at nginx."""
    app_port, port = free_port(), free_port()
    block = (
        documented_location()
        .replace("location / {", f"location {path}/ {{")
        .replace(":7860/", f":{app_port}/")
    )
    folders = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in TEMPORARY)
    config = (
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {folders}\nserver {{ listen 127.0.0.1:{port};\n{block}}} }}\n"
    )
    (folder / "nginx.conf").write_text(config)
    command = [str(NGINX), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    enhancer = Enhancer("cpu", config=Config(data=folder / "data", page_folder=folder / "page"))
    with served(enhancer, port=app_port, root_path=path), subprocess.Popen(command) as proxy:
        try:
            address = f"http://127.0.0.1:{port}{path}/"
            wait_until(lambda: is_ready(address))
            yield address
        finally:
            proxy.terminate()


@pytest.mark.long
@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")
def test_the_page_works_behind_nginx_as_documented(visit, photo_file, tmp_path):
    with behind_nginx(tmp_path, "/enhance") as address:
        page = visit("?preset=anime-fast&lang=en", url=address)
        load(page, photo_file.rename(tmp_path / "猫 & 50%.png"))
        enhance(page)
        expect_regions(page, address)
        assert download(page, tmp_path).stat().st_size > 1000
        page.close()
        join = f"{address}gradio_api/queue/join"
        assert (
            httpx.post(join, json={}, headers={"origin": "http://elsewhere.test"}).status_code
            == 403
        )
