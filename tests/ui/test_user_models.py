"""User models on the page: their group, their scale, and a model that is removed meanwhile."""

from __future__ import annotations

from PIL import Image

from enhance import models
from enhance.models.user_models import remove

from ..site import Site
from ..user_models import add_models
from .journey import download, enhance, expect, expect_chosen, load, pick


def test_user_models_set_the_scale_and_a_removed_one_is_an_error(site: Site, open_page, tmp_path):
    with add_models("compact-2x", "esrgan-8x", "real-plksr-2x"):
        page = open_page("?preset=anime-fast")
        own = page.locator("#preset label.own")
        expect(own).to_have_count(3)
        load(page, site.photo("own.png", 10, 12))
        expect_chosen(page, scale=4)
        pick(page, "preset", "esrgan-8x")
        expect(page.locator("#scale label")).to_have_count(8)
        expect_chosen(page, scale=8)  # the largest scale stays the largest
        expect(page.locator("#why")).to_contain_text("96 × 80 px")
        enhance(page)
        with Image.open(download(page, tmp_path)) as image:
            assert image.size == (96, 80)
        load(page, site.photo("large.png", 600, 48))
        pick(page, "preset", "real-plksr-2x")  # has layers that use averages of the whole photo
        expect(page.locator("#preview-problem")).to_contain_text("This preview is approximate")
        pick(page, "preset", "compact-2x")
        expect(page.locator("#preview-problem")).not_to_contain_text("approximate")
        expect(page.locator("#scale label")).to_have_count(2)
        expect_chosen(page, scale=2)
        remove("compact-2x", models.folder())
        pick(page, "scale", 1)
        expect(page.locator("#size-problem .problem")).to_contain_text("compact-2x")
        page.reload()
        expect(own).to_have_count(2)
        expect(page.locator("#preset-problem .problem")).to_contain_text("compact-2x")
