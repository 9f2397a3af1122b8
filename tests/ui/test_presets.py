"""Presets, what Auto says about a photo, user models, and places in the queue."""

from contextlib import ExitStack

import numpy as np
from PIL import Image
from playwright.sync_api import expect
from skimage import data

from enhance import models
from enhance.i18n import translate
from enhance.models.user_models import remove as remove_model

from ..site import busy_device, photo
from ..user_models import add_models
from .journey import (
    download,
    enhance,
    load,
    number,
    open_batch,
    open_section,
    pick,
    pick_preset,
    press,
    row,
    wait_for,
    wait_for_chip,
)


def hazy_photo(site):
    clear, veil = photo(64, 80), np.linspace(0.7, 0.4, 64)[:, None, None]
    path = site.files / "hazy.png"
    Image.fromarray(np.rint(clear * (1 - veil) + 230 * veil).astype(np.uint8)).save(path)
    return path


def test_auto_says_why_and_a_user_chooses_and_resets(site, visit):
    page = visit()
    presets, choice = page.locator("#presets"), page.locator("#presets label:has(input:checked)")
    clear = site.files / "clear.png"
    Image.fromarray(data.astronaut()).resize((70, 60), Image.Resampling.LANCZOS).save(clear)
    load(page, clear)
    expect(choice).to_contain_text("Sharp and clean, so Precise")
    Image.fromarray(photo(60, 70)).save(site.files / "compressed.jpg", quality=40)
    load(page, site.files / "compressed.jpg")
    expect(choice).to_contain_text("Compression artifacts")

    # Three presets and their times are shown; the others open. One is not installed and says so.
    names = presets.locator("[data-preset]:visible")
    expect(names).to_have_count(4)
    presets.locator("[data-act=more]").click()
    face = presets.locator(
        "label:has([data-preset=face], [value=face]), label[data-preset=face]"
    ).first
    expect(face).to_contain_text("Not installed")
    face.click(force=True)
    wait_for(page, "state.preset === 'auto'")

    # A tip chooses the preset for haze.
    load(page, hazy_photo(site))
    page.locator("#presets .notice button").first.click()
    wait_for(page, "state.preset === 'dehaze' && chip === 'matches'")
    expect(choice).to_contain_text("For hazy photos")

    # A slider is changed and reset.
    open_section(page, "tuning")
    before = number(page, "sharpen").input_value()
    press(page, "sharpen", "ArrowRight", times=3)
    expect(page.locator("#tuning-fold .label-wrap")).to_have_attribute(
        "data-state", "Changed: Sharpen"
    )
    page.locator("#reset").click()
    expect(number(page, "sharpen")).to_have_value(before)
    wait_for(page, "Object.keys(state.changed).length === 0")
    page.locator("#tuning input").uncheck()
    wait_for_chip(page, "matches")
    for slider in ("strength", "fidelity", "sharpen", "saturation", "contrast"):
        expect(page.locator(f"#{slider} input[type=range]")).to_be_disabled()


def test_user_models_set_the_scale_and_a_removed_one_is_an_error(site, visit, tmp_path):
    with add_models("compact-2x", "esrgan-8x", "real-plksr-2x"):
        page = visit("?preset=anime-fast")
        load(page, site.photo("own.png", 10, 12))
        pick_preset(page, "esrgan-8x")
        pick(page, "size", "custom")
        number(page, "scale").fill("8")
        wait_for(page, "plan.result.width === 96 && chip === 'matches'")
        enhance(page)
        with Image.open(download(page, tmp_path)) as image:
            assert image.size == (96, 80)
        load(page, site.photo("large.png", 600, 48))
        pick(page, "size", "2x")
        pick_preset(page, "real-plksr-2x")  # has layers that use averages of the whole photo
        expect(page.locator("#presets .notice")).to_contain_text("approximate")
        pick_preset(page, "compact-2x")
        wait_for(page, "plan.result.width === 96 && chip === 'matches'")
        expect(page.locator("#presets")).not_to_contain_text("approximate")
        remove_model("compact-2x", models.folder())
        pick(page, "size", "web")
        expect(page.get_by_role("alert").first).to_contain_text("compact-2x")
        page.reload()
        expect(page.locator("#presets [data-preset=real-plksr-2x]")).to_have_count(1)
        expect(page.locator("#presets [data-preset=compact-2x]")).to_have_count(0)


def ahead(jobs):
    return translate("zh-CN", "waiting_place", ahead=jobs)


def test_a_full_queue_rejects_a_run_and_runs_wait_with_their_positions(site, visit):
    page, other = visit("?preset=anime-fast"), visit("?preset=anime-fast", locale="zh-CN")
    load(page, site.photo("rejected.png", 24, 24))
    with ExitStack() as stack:
        for number in range(22):
            stack.enter_context(site.enhancer.scheduler.admit(f"other {number}", "run", 100))
        page.locator("#enhance").click()
        expect(page.locator("#problem")).to_contain_text("The queue is full.")
    enhance(page)
    load(page, site.photo("waits.png", 26, 24))
    with busy_device(site.enhancer.scheduler):
        page.locator("#enhance").click()
        expect(page.locator("#progress")).to_contain_text("Waiting, 1 ahead in the queue")
        open_batch(other, site.photo("patient.png", 22, 22))
        other.locator("#batch-enhance").click()
        progress = other.locator("#bar")
        expect(progress).to_contain_text(ahead(2))
        page.locator("#cancel").click()
        expect(page.locator("#enhance")).to_be_enabled()
        expect(progress).to_contain_text(ahead(1))
        other.reload()
        expect(progress).to_contain_text(ahead(1))
    expect(row(other, "patient.png")).to_have_attribute("data-state", "done")
