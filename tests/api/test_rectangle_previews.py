"""Previews of rectangles: their pixels, the network outputs that are kept for sliders, and their
end."""

from unittest.mock import Mock

import numpy as np
import pytest
from gradio_client.exceptions import AppError
from PIL import Image

from enhance import Settings
from enhance.images import Box, ImageCache
from enhance.images.downscaling import block_means
from enhance.jobs.scheduler import Job
from enhance.web import streams
from enhance.web.owners import Owner
from enhance.web.preview import KeptPreviews, Key, Previews

from ..site import wait_until
from .calls import begin, upload, values_for
from .users import User

PLACE = {"left": 20, "top": 10, "width": 40, "height": 30}
OTHER = PLACE | {"left": 0}
THIRD = PLACE | {"top": 0}


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("size", [{}, {"long_side": 150}, {"scale": 6}, {"reduce": 2}])
def test_a_rectangle_has_the_signature_and_the_pixels_of_the_run(site, owner, size):
    file = site.photo("rectangle.png", 70, 90)
    path, run = owner.call("enhance", file, sharpen=0.3, **size)
    before, after, info = owner.call("preview", file, sharpen=0.3, **size, **PLACE)

    assert info["signature"] == run["signature"]
    assert (info["preview"], info["quick"]) == (PLACE, False)
    window = Box(**info["window"])
    expected = pixels(path)[window.top : window.bottom, window.left : window.right]
    assert np.array_equal(pixels(after), expected)
    assert pixels(before).shape == expected.shape


@pytest.mark.parametrize(("height", "width", "step"), [(700, 900, 1), (2000, 2400, 2)])
def test_a_result_smaller_than_the_photo_is_previewed_everywhere(site, owner, height, width, step):
    file = site.photo("large.png", height, width)
    given = {"preset": "resize", "long_side": width // 2, "contrast": 1.2}
    everything = {"left": 0, "top": 0, "width": width, "height": height}
    path, run = owner.call("enhance", file, **given)
    _, after, info = owner.call("preview", file, **given, **everything)

    assert (info["signature"], info["preview"]) == (run["signature"], everything)
    # A large area has the resolution of a screen.
    result = block_means(pixels(path), step)
    assert np.abs(pixels(after).astype(float) - result).mean() < 2


def test_a_slider_needs_no_network_and_nobody_else_gets_the_kept_output(site, owner, connect):
    file = site.photo("kept.png", 64, 80)
    for user, given, networks in (
        (owner, PLACE, 1),
        (owner, PLACE | {"contrast": 1.2}, 0),
        (owner, PLACE | {"reduce": 2}, 1),
        (owner, PLACE, 0),  # An output of another network replaces none.
        (User(connect), PLACE, 1),
        (owner, OTHER, 1),
        (owner, PLACE, 0),
        (owner, THIRD, 1),  # This replaces the region used least recently.
        (owner, PLACE, 0),
        (owner, OTHER, 1),
    ):
        before = site.enhancer.calls["preview"]
        user.call("preview", file, **given)
        assert site.enhancer.calls["preview"] - before == networks, given


@pytest.mark.parametrize("changed", [{"contrast": 1.2}, {"scale": 2}])
def test_a_slider_changes_a_kept_output_to_the_pixels_of_a_fresh_preview(
    site, owner, connect, changed
):
    file = site.photo("slider.png", 64, 80)
    owner.call("preview", file, **PLACE)
    _, after, info = owner.call("preview", file, **PLACE, **changed)
    _, fresh, facts = User(connect).call("preview", file, **PLACE, **changed)
    assert np.array_equal(pixels(after), pixels(fresh))
    same = ("signature", "settings", "fidelity_db", "auto", "input", "preview", "window")
    assert [info[name] for name in same] == [facts[name] for name in same]


def test_kept_outputs_have_a_limited_size_and_are_released_when_they_are_idle():
    def preview(megabytes):
        kept = Mock(region=Mock(nbytes=megabytes * 1_000_000))
        kept.without_images.return_value = kept
        return kept

    def key(*owner):
        return Key(Owner(*owner), "photo", Box(0, 0, 8, 8), "network")

    keys = [key(f"key {number}", "a") for number in range(100)]
    other = key("session b", "another address")
    kept = KeptPreviews()
    kept.keep(other, preview(40))
    for one in keys:
        kept.keep(one, preview(20))
        assert kept.nbytes <= 256_000_000
    assert sum(kept.find(one) is not None for one in keys) == 10
    assert kept.find(other) is not None, "invented owners replace only outputs of their own address"
    kept.keep(keys[0], preview(300))
    assert kept.nbytes == 40_000_000, "an output that is larger than the limit is not kept"

    idle = KeptPreviews(seconds=0)
    idle.keep(other, preview(1))
    idle.sweep()
    assert idle.nbytes == 0


def test_a_quick_preview_comes_first_without_the_signature(site, owner, monkeypatch):
    monkeypatch.setattr("enhance.web.preview._QUICK_SECONDS", 0.0)
    job = owner.start("preview", site.photo("quick.png", 64, 64), **PLACE | {"preset": "anime"})
    *_, exact = job.result()
    quick = next(info for _, _, info in job.outputs() if "preview" in info)
    assert (quick["quick"], quick["preset"], quick["signature"]) == (True, "precise", None)
    assert (exact["quick"], exact["preset"]) == (False, "anime")


def test_a_preview_after_a_quick_one_states_only_its_own_time_in_the_queue(site):
    metrics = Mock(follow=lambda kind, preset, work: work())
    previews = Previews(site.enhancer, metrics, ImageCache())
    image = previews.image(site.photo("time.png", 24, 24))
    after_another = Job("preview", wait_seconds=60.0)
    plan = site.enhancer.plan(image, Settings("precise"))
    preview = previews.run(image, plan, Box(0, 0, 24, 24), after_another)
    assert preview.info["seconds"]["decode"] >= 0
    assert preview.info["seconds"]["wait"] < 60


@pytest.mark.parametrize("is_opened", [True, False])
def test_a_preview_ends_when_its_stream_closes_and_when_nobody_opens_it(
    site, http, monkeypatch, is_opened
):
    monkeypatch.setattr(streams, "UNREAD_SECONDS", 2.0)
    values = values_for("preview", upload(site, "left.png", 48))
    before = site.enhancer.calls["preview"]
    with site.enhancer.paused("preview"):
        event = begin(site, "preview", values)
        wait_until(lambda: site.enhancer.calls["preview"] > before)
        if is_opened:
            with http.stream("GET", f"gradio_api/call/preview/{event}") as stream:
                next(stream.iter_lines())
        wait_until(lambda: site.enhancer.scheduler.count("preview") == 0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"left": 1}, "left, top, width and height"),
        (PLACE | {"left": 64}, "64 × 64"),
        (PLACE | {"top": 1.5}, "top cannot be 1.5"),
    ],
)
def test_a_wrong_rectangle_is_a_message(site, owner, given, words):
    with pytest.raises(AppError, match=words):
        owner.call("preview", site.photo("wrong.png", 64, 64), **given)


def test_the_part_of_a_rectangle_inside_the_photo_and_its_middle_are_previewed(site, owner):
    wide = {"left": 0, "top": -4, "width": 600, "height": 10**400}
    *_, info = owner.call("preview", site.photo("wide.png", 12, 600), **wide)
    assert info["preview"] == {"left": 44, "top": 0, "width": 512, "height": 12}
