"""What a program that calls the app can rely on."""

from __future__ import annotations

import time

import httpx
import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from enhance import PRESETS, Settings

from ..site import photo

FAST = {"preset": "anime-fast", "api_name": "/enhance"}


def wait_until(condition, seconds: float = 60) -> None:
    """Wait for a condition; fail when it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def test_enhance_gives_the_png_and_the_facts(site, client):
    file = site.photo("api.png", 40, 48)
    path, info = client.predict(image=handle_file(file), preset="original", api_name="/enhance")

    assert path.endswith("api-4x.png")
    assert np.array_equal(np.asarray(Image.open(path)), site.enhancer.upscale(photo(40, 48)))
    assert info["status"] == "done"
    assert info["input"] | {"sha256": "", "bytes": 0} == {
        "name": "api.png",
        "sha256": "",
        "width": 48,
        "height": 40,
        "mode": "RGB",
        "bytes": 0,
    }
    assert (info["output"]["width"], info["output"]["height"]) == (192, 160)
    assert len(info["signature"]) == 64
    assert set(info["seconds"]) == {"wait", "decode", "network", "tuning", "encode", "total"}
    assert info["settings"]["tuning"] is False


def test_what_is_left_out_takes_the_presets_value(site, client):
    file = handle_file(site.photo("defaults.png", 30, 30))
    _, info = client.predict(image=file, **FAST)
    expected = Settings.from_preset("anime-fast").as_dict()
    assert {name: info["settings"][name] for name in info["settings"]} == {
        name: expected[name] for name in info["settings"]
    }

    _, info = client.predict(image=file, saturation=1.5, scale=2, **FAST)
    assert info["settings"]["saturation"] == 1.5
    assert info["output"]["width"] == 60


def test_a_longer_side_or_megapixels_say_the_size_and_the_name(site, client):
    file = handle_file(site.photo("sized.png", 20, 30))
    path, info = client.predict(image=file, long_side=75, **FAST)
    assert (path.endswith("sized-75px.png"), Image.open(path).size) == (True, (75, 50))
    assert (info["settings"]["scale"], info["settings"]["long_side"]) == (None, 75)
    path, _ = client.predict(image=file, megapixels=0.0054, **FAST)
    assert (path.endswith("sized-0.0054mp.png"), Image.open(path).size) == (True, (90, 60))
    _, after, _ = client.predict(image=file, size=10, long_side=75, preset="anime-fast", api_name="/preview")
    assert Image.open(after).size == (25, 25)


def test_a_reduced_picture_has_the_size_that_counts_from_it(site, client):
    path = site.photo("reduced.png", 41, 30)
    given = {"image": handle_file(path), "preset": "anime-fast", "reduce": 4}

    result, info = client.predict(**given, api_name="/enhance")
    before, after, told = client.predict(**given, size=20, api_name="/preview")

    assert Image.open(result).size == (30, 41)
    assert (info["settings"]["reduce"], info["settings"]["scale"]) == (4, None)
    assert Image.open(before).size == Image.open(after).size == (20, 20)
    assert told["signature"] == info["signature"]


def test_a_slider_turns_tuning_on_for_a_preset_that_does_not_tune(site, client):
    file = handle_file(site.photo("tuned.png", 20, 20))
    _, info = client.predict(image=file, preset="original", contrast=1.2, api_name="/enhance")
    assert info["settings"]["tuning"] is True
    assert info["settings"]["contrast"] == 1.2
    _, info = client.predict(image=file, tuning=False, sharpen=0.5, **FAST)
    assert info["settings"]["tuning"] is False


def test_the_same_request_is_not_computed_again(site, client):
    file = handle_file(site.photo("cached.png", 32, 32))
    first, info = client.predict(image=file, **FAST)
    second, again = client.predict(image=file, **FAST)
    assert (info["cached"], again["cached"]) == (False, True)
    assert again["signature"] == info["signature"]
    assert again["task_id"] != info["task_id"]
    assert np.array_equal(np.asarray(Image.open(first)), np.asarray(Image.open(second)))


def test_preview_gives_the_square_and_the_signature_of_the_whole_run(site, client):
    file = handle_file(site.photo("square.png", 150, 200))
    before, after, info = client.predict(image=file, x=10, y=140, size=64, preset="anime-fast", api_name="/preview")
    assert Image.open(before).size == Image.open(after).size == (256, 256)
    assert info["preview"] == {"left": 0, "top": 86, "width": 64, "height": 64}
    _, whole = client.predict(image=file, **FAST)
    assert whole["signature"] == info["signature"]


def test_a_sixteen_bit_picture_comes_back_with_sixteen_bits(site, client):
    deep = site.files / "deep.png"
    values = (np.arange(24 * 24, dtype=np.uint16) * 100).reshape(24, 24)
    Image.fromarray(values).save(deep)
    path, info = client.predict(image=handle_file(deep), **FAST)
    assert Image.open(path).mode == "I;16"
    assert info["precision"] == "fp32"
    _, after, _ = client.predict(image=handle_file(deep), preset="anime-fast", api_name="/preview")
    assert Image.open(after).mode == "I;16"


def test_presets_and_status_tell_what_is_here(site, client):
    presets = client.predict(api_name="/presets")
    assert [preset["name"] for preset in presets] == list(PRESETS)
    by_name = {preset["name"]: preset for preset in presets}
    assert by_name["gentle"]["available"]
    assert not by_name["fast"]["available"]
    assert "enhance weights fetch" in by_name["fast"]["reason"]
    status = client.predict(api_name="/status")
    assert status["device"] == "cpu"
    assert status["running"] == 0


def test_progress_counts_rows(site, client):
    with site.enhancer.midway():
        job = client.submit(image=handle_file(site.photo("rows.png", 300, 60)), **FAST)
        wait_until(lambda: (job.status().progress_data or [None])[0] is not None)
        progress = job.status().progress_data
    assert progress
    assert progress[0].length == 300
    assert progress[0].unit == "rows"
    job.result(timeout=60)


def test_cancel_frees_the_engine(site, client):
    with site.enhancer.midway():
        job = client.submit(image=handle_file(site.photo("stop.png", 450, 360)), **FAST)
        wait_until(lambda: site.enhancer.status()["running"] == 1 and job.status().progress_data)
        job.cancel()
        wait_until(lambda: site.enhancer.status()["running"] == 0, seconds=5)
    client.predict(image=handle_file(site.photo("next.png", 24, 24)), **FAST)


def test_a_preview_is_served_while_a_long_run_goes_on(site, connect):
    slow, quick = connect(), connect()
    with site.enhancer.midway():
        job = slow.submit(image=handle_file(site.photo("slow.png", 450, 360)), **FAST)
        wait_until(lambda: site.enhancer.status()["running"] == 1 and job.status().progress_data)
        quick.predict(image=handle_file(site.photo("quick.png", 40, 40)), preset="anime-fast", api_name="/preview")
        assert not job.done(), "the preview waited for the run"
        job.cancel()
    wait_until(lambda: site.enhancer.status()["running"] == 0)


def test_two_callers_at_once_get_their_own_pictures(site, connect):
    files, jobs = {}, {}
    for name, (height, width) in {"one": (30, 44), "two": (44, 30), "three": (36, 36)}.items():
        files[name] = (height, width)
        jobs[name] = connect().submit(image=handle_file(site.photo(f"{name}.png", height, width)), **FAST)
    for name, job in jobs.items():
        path, info = job.result(timeout=60)
        assert info["input"]["name"] == f"{name}.png"
        expected = site.enhancer.upscale(photo(*files[name]), model="realesr-animevideov3")
        assert np.array_equal(np.asarray(Image.open(path)), expected)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"preset": "sharper"}, "Unknown preset “sharper”"),
        ({"strength": 3}, "Use a number from 0 to 1"),
        ({"scale": 9}, "Use a number from 1 to 4"),
        ({"scale": 2, "long_side": 16}, "Use only one of scale, long_side and megapixels"),
        ({"long_side": 33}, "long_side 33 is too large .* Use 32 or less"),
        ({"scale": 2, "reduce": 3}, "scale is limited to 1.33"),
        ({"tile": 1}, "Use a number from 64 to 1024"),
        ({"tuning": "no"}, "Use true or false"),
        ({"tuning": 0}, "Use true or false"),
    ],
)
def test_a_bad_setting_comes_back_as_a_sentence(site, client, given, words):
    with pytest.raises(AppError, match=words):
        client.predict(image=handle_file(site.photo("bad.png", 8, 8)), api_name="/enhance", **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": "64"}, "size cannot be '64'. Use a whole number"),
        ({"size": True}, "size cannot be True. Use a whole number"),
        ({"size": 513}, "Use a number of pixels from 1 to 512"),
        ({"x": "left"}, "x and y cannot be 'left'"),
    ],
)
@pytest.mark.parametrize("endpoint", ["/preview", "/compare"])
def test_a_square_that_is_none_comes_back_as_a_sentence(site, client, endpoint, given, words):
    with pytest.raises(AppError, match=words):
        client.predict(image=handle_file(site.photo("bad.png", 8, 8)), api_name=endpoint, **given)


@pytest.mark.parametrize("given", ["photo.jpg", "https://example.com/photo.jpg", 5, {"path": "/photo.jpg"}, [None]])
@pytest.mark.parametrize("endpoint", ["enhance", "preview", "compare", "batch"])
def test_what_is_no_upload_comes_back_as_a_sentence_and_not_in_the_log(client, capfd, endpoint, given):
    name = "images" if endpoint == "batch" else "image"
    for sent in (given, [given]) if endpoint == "batch" else (given,):
        with pytest.raises(AppError, match=rf"contains no images?\. .* as {name}"):
            client.predict(api_name=f"/{endpoint}", **{name: sent})
    assert "Traceback" not in capfd.readouterr().err


def test_what_is_no_picture_comes_back_as_a_sentence_in_the_callers_language(site, connect):
    bad = site.files / "note.png"
    bad.write_text("no picture")
    with pytest.raises(AppError, match=r"note\.png has an unsupported format"):
        connect().predict(image=handle_file(bad), api_name="/enhance")
    chinese = connect(headers={"accept-language": "zh-CN,zh;q=0.9"})
    with pytest.raises(AppError, match="不支持的格式"):
        chinese.predict(image=handle_file(bad), api_name="/enhance")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a<img src=x onerror=alert(1)>.png", "a&lt;img src=x onerror=alert(1)&gt;.png is not"),
        ('it\'s & "that".png', 'it\'s &amp; "that".png is not'),
        ("&lt;img&gt;.png", "&amp;lt;img&amp;gt;.png is not"),
        ("😀 家.png", "😀 家.png is not"),
        ("holiday\u202egpj.exe.png", "holidaygpj.exe.png is not"),
    ],
)
def test_a_name_in_a_message_is_text_where_gradio_shows_messages_as_html(site, client, monkeypatch, name, said):
    monkeypatch.setattr("gradio_client.utils.strip_invalid_filename_characters", lambda name, **_: name)
    bad = site.files / name
    bad.write_text("no picture")
    upload = httpx.post(f"{site.url}gradio_api/upload", files={"files": (name, b"no picture")}).json()[0]
    for given in (handle_file(bad), {"path": upload, "meta": {"_type": "gradio.FileData"}}):
        with pytest.raises(AppError) as told:
            client.predict(image=given, api_name="/enhance")
        assert said in str(told.value).replace("%22", '"')


@pytest.mark.usefixtures("with_x2plus")
def test_a_preset_of_another_scale_has_it_everywhere(site, client):
    file = handle_file(site.photo("twice.png", 21, 27))

    path, info = client.predict(image=file, preset="gentle-2x", api_name="/enhance")
    _, after, _ = client.predict(image=file, preset="gentle-2x", size=12, api_name="/preview")

    assert path.endswith("twice-2x.png")
    assert Image.open(path).size == (info["output"]["width"], info["output"]["height"]) == (54, 42)
    assert Image.open(after).size == (24, 24)
    assert next(one["scale"] for one in client.predict(api_name="/presets") if one["name"] == "gentle-2x") == 2
    with pytest.raises(AppError, match="Use a number from 1 to 2"):
        client.predict(image=file, preset="gentle-2x", scale=3, api_name="/enhance")
