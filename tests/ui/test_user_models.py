"""User models on the page: their group, the size that follows, and one that is removed meanwhile."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from PIL import Image
from playwright.sync_api import expect

from enhance import models
from enhance.models.user_models import remove

from ..own_models import added
from ..site import Site
from .journey import download, expect_chosen, load, pick, result_is, wait_for_chip


def test_user_models_are_chosen_by_their_scale_and_a_removed_one_is_named(site: Site, open_page, tmp_path):
    with added("compact-2x", "esrgan-1x", "esrgan-8x"):
        page = open_page("?preset=anime-fast")
        own = page.locator("#preset label.own")
        expect(own).to_have_count(3)
        places = page.locator("#preset label").evaluate_all("all => all.map((one) => one.getBoundingClientRect().top)")
        assert min(places[-3:]) > max(places[:-3])
        load(page, site.photo("own.png", 40, 48))
        expect_chosen(page, scale=4)
        for name, scale in (("compact-2x", 2), ("esrgan-1x", 1), ("esrgan-8x", 8)):
            pick(page, "preset", name)
            expect(page.locator("#scale label")).to_have_count(scale)
            expect_chosen(page, scale=scale)  # the largest scale stays the largest
            pick(page, "scale", scale)
            expect(page.locator("#why")).to_contain_text(f"{48 * scale} × {40 * scale} px")
            wait_for_chip(page, "matches")
            page.locator("#enhance").click()
            result_is(page, "matches")
            with Image.open(download(page, tmp_path)) as image:
                assert image.size == (48 * scale, 40 * scale)
        pick(page, "preset", "compact-2x")
        expect(page.locator("#scale label")).to_have_count(2)
        remove("compact-2x", models.folder())
        pick(page, "scale", 1)
        expect(page.locator("#size-problem .problem")).to_contain_text("compact-2x")
        page.reload()
        expect(own).to_have_count(2)
        expect(page.locator("#preset-problem .problem")).to_contain_text("compact-2x")
