"""Files that are added without a connection."""

from __future__ import annotations

from ..site import Site
from .cable import cable
from .journey import choose, drop, expect, open_batch


def test_files_that_are_added_without_a_connection_are_sent_when_it_is_back(site: Site, open_page):
    interrupted = "#upload-interrupted"
    with cable(site.url) as line:
        page = open_page("?preset=anime-fast", url=line.url)
        page.context.set_offline(True)
        page.locator("#examples button").first.click()
        expect(page.locator("[data-testid=toast-text]")).to_contain_text("Cannot connect to the server.")
        page.route("**/app_id*", lambda route: route.abort())
        page.context.set_offline(False)
        with page.expect_response("**/upload*"):
            drop(page, "html", site.photo("dropped.png", 40, 64))
        with page.expect_navigation():  # Gradio reloads the page. Until then, it drops all events.
            page.unroute("**/app_id*")
        page.locator("body.opened").wait_for()
        expect(page.locator("#facts")).to_contain_text("64 × 40 px")
        expect(page.locator(interrupted)).to_have_count(0)

        line.cut()
        choose(page, site.photo("lost.png", 60, 40))
        expect(page.locator(interrupted)).to_be_visible()
        line.reconnect()
        expect(page.locator("#facts")).to_contain_text("lost.png")
        expect(page.locator(interrupted)).to_have_count(0)

        open_batch(page)
        line.cut()
        page.locator("#batch-files input[type=file]").set_input_files(
            [site.photo(name, 20, 24) for name in ("1.png", "2.png")]
        )
        expect(page.locator(interrupted)).to_be_visible()
        line.reconnect()
        expect(page.locator(".file")).to_have_count(2)
        expect(page.locator(interrupted)).to_have_count(0)

        line.cut()
        page.locator("#batch-files input[type=file]").set_input_files(site.photo("unwanted.png", 20, 24))
        page.locator(f"{interrupted} button").click()
        expect(page.locator(interrupted)).to_have_count(0)
        page.close()
