"""Pictures as they come from cameras, phones and archives, through the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from ..site import photo
from .journey import PATIENCE, choose_again, download, enhance, together


def soft_alpha(path: Path) -> None:
    alpha = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
    Image.fromarray(np.dstack([photo(30, 40), alpha])).save(path)


def sixteen_bit_grey(path: Path) -> None:
    Image.fromarray(photo(30, 40)[..., 0].astype(np.uint16) << 8).save(path)


def lying_on_its_side(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(photo(40, 30))).save(path, exif=exif)


def heic(path: Path) -> None:
    pillow_heif.from_pillow(Image.fromarray(photo(64, 80))).save(path)


def with_a_place(path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 24.0)})
    Image.fromarray(photo(30, 40)).save(path, exif=exif)


def cmyk(path: Path) -> None:
    Image.fromarray(photo(30, 40)).convert("CMYK").save(path)


KINDS = [
    (soft_alpha, "alpha.png", "8-bit with transparency", "RGBA", (160, 120)),
    (sixteen_bit_grey, "deep.png", "16-bit", "I;16", (160, 120)),
    (lying_on_its_side, "turned.jpg", "Corrected from EXIF (6)", "RGB", (120, 160)),
    (heic, "phone.heic", "HEIF", "RGB", (320, 256)),
    (cmyk, "print.jpg", "40 × 30 px", "RGB", (160, 120)),
    (with_a_place, "here.jpg", "Included", "RGB", (160, 120)),
]

DRAWN = """([images, before]) => {
  const image = document.querySelector(images);
  return image?.naturalWidth > 0 && image.src !== before;
}"""
"""Whether the browser could draw a picture, which is not the one that was there before."""


def test_a_picture_of_any_kind_goes_the_whole_way(site, open_page, tmp_path):
    page, drawn = open_page("?preset=anime-fast"), dict.fromkeys(("#photo img", "#compare img"), "")
    with together() as case:
        for make, name, facts, mode, size in KINDS:
            with case(name):
                path = site.files / name
                make(path)
                choose_again(page, path)
                expect(page.locator("#facts")).to_contain_text(facts)
                page.wait_for_function(DRAWN, arg=["#photo img", drawn["#photo img"]], timeout=PATIENCE)
                enhance(page)
                page.wait_for_function(DRAWN, arg=["#compare img", drawn["#compare img"]], timeout=PATIENCE)
                drawn |= {images: page.locator(images).first.evaluate("(one) => one.src") for images in drawn}

                with Image.open(download(page, tmp_path)) as result:
                    assert result.mode == mode
                    assert result.size == size
