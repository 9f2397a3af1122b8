"""The page through nginx with the configuration that the documents give: at / and at a sub-path."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from .journey import PATIENCE

ROOT = Path(__file__).parents[2]
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def documented() -> str:
    """The location block of docs/operating.md."""
    (block,) = re.findall(r"```nginx\n(location .*?)```", (ROOT / "docs/operating.md").read_text("utf-8"), re.DOTALL)
    return block


@contextmanager
def served(folder: Path, path: str) -> Iterator[str]:
    """The app and nginx before it; gives the address of the page at nginx."""
    app_port, port = free_port(), free_port()
    block = documented().replace("location / {", f"location {path}/ {{").replace(":7860/", f":{app_port}/")
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = (
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {places}\nserver {{ listen 127.0.0.1:{port};\n{block}}} }}\n"
    )
    (folder / "nginx.conf").write_text(config)
    known = {"GRADIO_SERVER_PORT": str(app_port), "GRADIO_TEMP_DIR": str(folder / "page")}
    known |= {"ENHANCE_DATA": str(folder / "data"), "HF_HUB_OFFLINE": "1", "GRADIO_ROOT_PATH": path}
    app = [sys.executable, "app.py"]
    with (
        subprocess.Popen(app, cwd=ROOT, env=os.environ | known, stdout=subprocess.DEVNULL) as page,
        subprocess.Popen([str(NGINX), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]) as proxy,
    ):
        try:
            address, end = f"http://127.0.0.1:{port}{path}/", time.monotonic() + 120
            while not _answers(f"{address}healthz"):
                assert time.monotonic() < end
                assert page.poll() is None
                assert proxy.poll() is None
                time.sleep(0.2)
            yield address
        finally:
            proxy.terminate()
            page.terminate()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")
@pytest.mark.parametrize("path", ["", "/enhance"])
def test_the_page_works_behind_nginx_as_documented(browser, photo_file, tmp_path, path):
    with served(tmp_path, path) as address:
        page = browser.new_page()
        page.goto(f"{address}?preset=anime-fast&lang=en")
        expect(page.locator("body.opened")).to_be_attached(timeout=PATIENCE)
        page.locator("#upload input[type=file]").set_input_files(photo_file)
        expect(page.locator("#enhance")).to_be_enabled(timeout=PATIENCE)
        page.locator("#enhance").click()
        expect(page.locator("#progress .finished")).to_be_attached(timeout=PATIENCE)
        with page.expect_download() as coming:
            page.locator("#download").click()
        assert Path(coming.value.path()).stat().st_size > 1000
        page.close()
        stranger = httpx.post(f"{address}gradio_api/queue/join", json={}, headers={"origin": "http://elsewhere.test"})
        assert stranger.status_code == 403
