"""The page in a frame of another site, as on Hugging Face Spaces, with cookies and storage blocked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urljoin

import httpx

from enhance.config import Config

from ..site import Site, WatchedEnhancer, served
from .journey import data_of, enhance, expect, history, load
from .test_history import remove

BLOCKED = """if (window !== top) {
  const block = { get() { throw new DOMException("Access is denied for this document.", "SecurityError"); } };
  for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, block);
  Object.defineProperty(document, "cookie", block);
}"""


@contextmanager
def other_site(folder: Path, *framed: str) -> Iterator[str]:
    """Serve a page on another host name that shows these addresses in frames; yield its address."""
    frames = "".join(f'<iframe src="{address}" width="1280" height="900"></iframe>' for address in framed)
    (folder / "index.html").write_text(f"<!doctype html><title>Another site</title>{frames}")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def test_an_allowed_site_can_frame_the_page_although_cookies_are_blocked(site: Site, browser, photo_file, tmp_path):
    config = Config(tmp_path / "data", page_folder=tmp_path / "page", frame_ancestors="'self' http://localhost:*")
    with (
        served(WatchedEnhancer("cpu", config=config)) as url,
        other_site(tmp_path, f"{url}?preset=anime-fast", site.url) as address,
        browser.new_context(locale="en-US") as context,
    ):
        context.add_init_script(BLOCKED)
        page, errors, keys = context.new_page(), list[str](), set[str]()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda sent: keys.add(sent.headers.get("x-enhance-key", "")))
        page.goto(address)
        frame: Any = next(one for one in page.frames if one.url.startswith(url))
        load(frame, photo_file)
        enhance(frame)
        region = {"left": 0, "top": 0, "width": 8, "height": 8, "step": 1}
        for kind in ("photo", "result"):
            shown = urljoin(url, data_of(frame, kind)["address"])
            assert httpx.get(shown, params=region).headers["content-type"] == "image/jpeg"
        expect(history(frame)).to_have_count(1)
        remove(history(frame).first)
        assert len(keys - {""}) == 1, "one key for all requests of the page"
        assert context.cookies() == []
        # The message of Gradio's component for the settings of the last visit.
        assert set(errors) <= {"Access is denied for this document."}

        blocked = next(one for one in page.frames if one not in (page.main_frame, frame))
        assert not blocked.url.startswith(site.url), "a site that is not allowed cannot frame the page"
