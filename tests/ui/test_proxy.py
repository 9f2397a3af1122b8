"""The page behind nginx at a sub-path, with the documented configuration."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from enhance import Enhancer
from enhance.config import Config

from ..site import free_port, is_ready, served, wait_until
from .journey import data_of, download, enhance, load

ROOT = Path(__file__).parents[2]
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def documented_location() -> str:
    """Return the location block of docs/operating.md."""
    (block,) = re.findall(r"```nginx\n(location .*?)```", (ROOT / "docs/operating.md").read_text("utf-8"), re.DOTALL)
    return block


@contextmanager
def behind_nginx(folder: Path, path: str) -> Iterator[str]:
    """Serve the app behind nginx at `path`; yield the address of the page at nginx."""
    app_port, port = free_port(), free_port()
    block = documented_location().replace("location / {", f"location {path}/ {{").replace(":7860/", f":{app_port}/")
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
def test_the_page_works_behind_nginx_as_documented(open_page, photo_file, tmp_path):
    with behind_nginx(tmp_path, "/enhance") as address:
        page = open_page("?preset=anime-fast&lang=en", url=address)
        load(page, photo_file.rename(tmp_path / "猫 & 50%.png"))
        enhance(page)
        region = {"left": 0, "top": 0, "width": 8, "height": 8, "step": 1}
        for kind in ("photo", "result"):
            shown = urljoin(address, data_of(page, kind)["address"])
            assert httpx.get(shown, params=region).headers["content-type"] == "image/jpeg"
        assert download(page, tmp_path).stat().st_size > 1000
        page.close()
        join = f"{address}gradio_api/queue/join"
        assert httpx.post(join, json={}, headers={"origin": "http://elsewhere.test"}).status_code == 403
