"""Gradio's stream of answers on a slow network or a slow server: no answer is lost and the page is not reloaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Page, expect
from starlette.responses import StreamingResponse

from ..site import Site
from .journey import PATIENCE, choose, enhance, press, wait_for_chip

LATE_CLOSE = """(() => {
    const send = window.fetch;
    window.fetch = async (...given) => {
        const response = await send(...given);
        if (!String(given[0].url ?? given[0]).includes("/queue/data")) return response;
        const [text, bytes] = [new TextDecoder(), new TextEncoder()];
        const late = new TransformStream({
            async transform(part, output) {
                const words = text.decode(part, { stream: true }), at = words.search(/data: [^\\n]*"close_stream"/);
                if (at < 0) return output.enqueue(part);
                output.enqueue(bytes.encode(words.slice(0, at)));
                await new Promise((done) => setTimeout(done, 500));
                output.enqueue(bytes.encode(words.slice(at)));
            },
        });
        return new Response(response.body.pipeThrough(late), response);
    };
})()"""
"""The browser reads late that the server has closed the stream."""


class LateEnd(StreamingResponse):
    """A response that a slow server ends some time after its last message, unless the browser aborts it before."""

    def __init__(self, content: Any, *given: Any, **named: Any):
        super().__init__(self._late(content), *given, **named)

    async def _late(self, content: Any) -> AsyncIterator[Any]:
        async for part in content:
            yield part
            if "close_stream" in str(part):
                try:
                    await asyncio.sleep(0.5)
                except asyncio.CancelledError as error:
                    await content.athrow(error)
                    raise


def change_after_a_run(page: Page, site: Site) -> None:
    """Each step follows at once on the answer to the one before."""
    page.evaluate("window.same = true")
    choose(page, site.photo("stream.png", 40, 48))
    wait_for_chip(page, "matches")
    enhance(page)
    expect(page.locator("#closely [data-testid=imageslider-image]")).to_have_count(2, timeout=PATIENCE)
    press(page, "contrast", "ArrowRight")
    expect(page.locator("#result-chip .chip")).to_have_attribute("data-state", "outdated", timeout=PATIENCE)
    bad = site.files / "letter.png"
    bad.write_text("This is not a picture.")
    choose(page, bad)
    expect(page.locator("#preview-problem .problem")).to_contain_text("letter.png", timeout=PATIENCE)
    choose(page, site.photo("other.png", 40, 44))
    expect(page.locator("#facts")).to_contain_text("other.png", timeout=PATIENCE)
    assert page.evaluate("window.same"), "the page was reloaded"


def test_an_answer_that_is_due_when_the_stream_is_closed_reaches_the_page(site, browser):
    context = browser.new_context(locale="en-US")
    context.add_init_script(LATE_CLOSE)
    page = context.new_page()
    page.goto(site.url + "?preset=anime-fast")
    page.locator("body.opened").wait_for(timeout=PATIENCE)

    change_after_a_run(page, site)

    context.close()


def test_a_stream_is_not_aborted_before_the_server_ends_it(site, open_page, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gradio.routes.StreamingResponse", LateEnd)

    change_after_a_run(open_page("?preset=anime-fast"), site)
