"""The page behind nginx at a sub-path, with the documented configuration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from ..site import free_port, wait_until
from .journey import download, enhance, load

ROOT = Path(__file__).parents[2]
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


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
            address = f"http://127.0.0.1:{port}{path}/"
            wait_until(lambda: _answers(f"{address}healthz"), seconds=120)
            yield address
        finally:
            proxy.terminate()
            page.terminate()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")
def test_the_page_works_behind_nginx_as_documented(open_page, photo_file, tmp_path):
    with served(tmp_path, "/enhance") as address:
        page = open_page("?preset=anime-fast&lang=en", url=address)
        load(page, photo_file)
        enhance(page)
        assert download(page, tmp_path).stat().st_size > 1000
        page.close()
        join = f"{address}gradio_api/queue/join"
        assert httpx.post(join, json={}, headers={"origin": "http://elsewhere.test"}).status_code == 403
