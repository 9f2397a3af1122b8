"""The endpoints: results, info, previews, formats, progress, cancel, and error messages."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image

from enhance import PRESETS

from ..site import SETTINGS, photo, wait_until
from .calls import FAST_VALUES, META, answer_to, upload

FAST = {"preset": "anime-fast"}
ENHANCE = {**FAST, "api_name": "/enhance"}
PREVIEW = {**FAST, "api_name": "/preview"}


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_enhance_returns_the_pixels_of_the_network_and_the_info(site, client):
    file = site.photo("api.png", 20, 24)
    path, info = client.predict(image=handle_file(file), preset="original", api_name="/enhance")

    assert path.endswith("api-4x.png")
    assert np.array_equal(pixels(path), site.enhancer.upscale(photo(20, 24)))
    assert info["status"] == "done"
    source = {"name": "api.png", "width": 24, "height": 20, "mode": "RGB", "bytes": file.stat().st_size}
    assert info["input"] == source | {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert (info["output"]["width"], info["output"]["height"], info["output"]["path"]) == (96, 80, None)
    assert len(info["signature"]) == 64
    assert set(info["seconds"]) == {"wait", "decode", "network", "tuning", "encode", "total"}
    assert info["settings"]["tuning"] is False

    *_, preview = client.predict(image=handle_file(file), preset="original", size=16, api_name="/preview")
    assert preview["signature"] == info["signature"]


def test_long_side_megapixels_reduce_and_print_set_the_size_and_the_file_name(site, client):
    file = handle_file(site.photo("sized.png", 20, 30))
    for given, name, size in (
        ({"long_side": 75}, "sized-75px.png", (75, 50)),
        ({"megapixels": 0.0054}, "sized-0.0054mp.png", (90, 60)),
        ({"reduce": 4}, "sized-1x.png", (30, 20)),
        ({"print_width": 1.016, "dpi": 150}, "sized-1.016cm.png", (60, 40)),
        ({"print_width": 1.016, "print_height": 1.27, "dpi": 150}, "sized-1.016x1.27cm.png", (75, 50)),
    ):
        path, info = client.predict(image=file, **given, **ENHANCE)
        assert (Path(path).name, Image.open(path).size) == (name, size)
        assert info["settings"] | given == info["settings"]
        before, after, preview = client.predict(image=file, size=12, **given, **PREVIEW)
        side = 12 * size[0] // 30
        assert Image.open(before).size == Image.open(after).size == (side, side)
        assert preview["signature"] == info["signature"]


def test_a_result_in_another_format_is_cached_and_keeps_the_metadata_that_are_requested(site, client):
    exif, path = Image.Exif(), site.files / "IMG_0042.jpg"
    exif[0x010F] = "Lantern"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 24.0)})
    Image.fromarray(np.full((12, 16, 3), 99, np.uint8)).save(path, exif=exif, dpi=(240, 240))
    made = []
    for metadata, maker, located in (
        ("no-location", "Lantern", False),
        ("none", None, False),
        ("keep", "Lantern", True),
    ):
        options = {"format": "jpeg", "quality": 80, "metadata": metadata}
        result_file, info = client.predict(image=handle_file(path), **options, **ENHANCE)
        with Image.open(result_file) as image:
            tags, dpi = image.getexif(), tuple(map(round, image.info["dpi"]))
            assert (tags.get(0x010F), bool(tags.get_ifd(0x8825)), dpi) == (maker, located, (240, 240))
            assert (Path(result_file).name, image.format, image.size) == ("IMG_0042-4x.jpg", "JPEG", (64, 48))
        content = Path(result_file).read_bytes()
        facts = {"path": None, "bytes": len(content), "format": "jpeg", "quality": 80, "notes": []}
        assert info["output"] | facts | {"sha256": hashlib.sha256(content).hexdigest()} == info["output"]
        assert "gps" not in str(info).lower()
        made.append(info)
    assert [info["cached"] for info in made] == [False, True, True]
    assert len({info["task_id"] for info in made}) == 3
    assert len({info["signature"] for info in made}) == 1


def test_presets_and_status_describe_the_server(site, client):
    presets = {preset["name"]: preset for preset in client.predict(api_name="/presets")}
    assert list(presets) == list(PRESETS)
    assert presets["gentle"]["available"]
    assert presets["face"]["reason"]
    status = client.predict(api_name="/status")
    assert (status["device"], status["running"]) == ("cpu", 0)


def test_progress_counts_rows_previews_run_meanwhile_and_cancel_frees_the_engine(site, connect):
    slow, quick = connect(), connect()
    with site.enhancer.paused("progress"):
        job = slow.submit(image=handle_file(site.photo("stop.png", 450, 360)), **ENHANCE)
        wait_until(lambda: (job.status().progress_data or [None])[0] is not None)
        progress = job.status().progress_data[0]
        assert (progress.length, progress.unit) == (450, "rows")
        quick.predict(image=handle_file(site.photo("quick.png", 40, 40)), **PREVIEW)
        assert not job.done(), "the preview waited for the run"
        assert site.enhancer.status()["running"] == 1
        job.cancel()
        wait_until(lambda: site.enhancer.status()["running"] == 0, seconds=10)
    quick.predict(image=handle_file(site.photo("next.png", 24, 24)), **ENHANCE)


def test_simultaneous_clients_get_their_own_images(site, connect):
    sizes = ((30, 44), (44, 30), (36, 36))
    files = [handle_file(site.photo(f"{height}.png", height, width)) for height, width in sizes]
    jobs = [connect().submit(image=file, **ENHANCE) for file in files]
    for job, (height, width) in zip(jobs, sizes, strict=True):
        path, info = job.result(timeout=60)
        assert info["input"]["name"] == f"{height}.png"
        assert np.array_equal(pixels(path), site.enhancer.upscale(photo(height, width), model="realesr-animevideov3"))


def error_of(site, endpoint: str, image: Any, *rest: Any, **given: Any) -> str:
    """Return the error message of a call with these settings."""
    settings = SETTINGS | {"preset": "anime-fast"} | given
    answer = answer_to(site, endpoint, [image, *rest, *(() if endpoint == "compare" else settings.values())])
    assert "event: error" in answer, answer
    return answer


def test_a_bad_setting_is_an_error_message(site):
    image = upload(site, "bad.png", 8)
    for given, words in (
        ({"preset": "sharper"}, "sharper"),
        ({"strength": 3}, "strength .* 0 to 1"),
        ({"scale": 2, "long_side": 16}, "scale, long_side, megapixels"),
        ({"long_side": 129}, "long_side.* 129 .*128"),
        ({"scale": 2, "reduce": 3}, "1.33"),
        ({"tuning": "no"}, "tuning"),
        ({"tuning": 0}, "tuning"),
        ({"format": "bmp"}, "bmp.*png, jpeg, webp, avif"),
        ({"quality": 0}, "quality .* 1 to 100"),
        ({"quality": 92.5}, "quality .* 1 to 100"),
        ({"metadata": "all"}, "all"),
    ):
        assert re.search(words, error_of(site, "enhance", image, **given)), given


@pytest.mark.parametrize("endpoint", ["preview", "compare"])
def test_a_bad_area_is_an_error_message(site, endpoint):
    image = upload(site, "bad.png", 8)
    for place, word in (((None, None, "64"), "64"), ((None, None, True), "True"), (("left", None, 64), "left")):
        assert word in error_of(site, endpoint, image, *place)
    assert "512" in error_of(site, endpoint, image, None, None, 513)


@pytest.mark.parametrize("endpoint", ["enhance", "batch"])
def test_an_input_that_is_not_an_upload_is_an_error_message_and_not_in_the_log(site, capfd, endpoint):
    name = "images" if endpoint == "batch" else "image"
    for given in ("photo.jpg", 5, {"path": "/photo.jpg"}, [None], []):
        for image in (given, [given]) if endpoint == "batch" else (given,):
            answer = answer_to(site, endpoint, [image, *FAST_VALUES])
            assert "event: complete" not in answer
            assert name in answer
    assert "Traceback" not in capfd.readouterr().err


def test_a_file_name_in_an_error_is_escaped_in_every_language(site, monkeypatch):
    monkeypatch.setattr("gradio_client.utils.strip_invalid_filename_characters", lambda name, **_: name)
    for name, shown in (
        ("a<img src=x onerror=alert(1)>.png", "a&lt;img src=x onerror=alert(1)&gt;.png"),
        ("it's & that.png", "it's &amp; that.png"),
        ("holiday\u202egpj.exe.png", "holidaygpj.exe.png"),
    ):
        path = httpx.post(f"{site.url}gradio_api/upload", files={"files": (name, b"no image")}).json()[0]
        for language, letters in (("en", "unsupported format"), ("zh-CN", "格式")):
            data, headers = [{"path": path, "meta": META}, *FAST_VALUES], {"accept-language": language}
            message = str(json.loads(answer_to(site, "enhance", data, headers).rpartition("data: ")[2]))
            assert shown in message
            assert letters in message


def test_only_requests_from_this_computer_show_how_to_install_a_preset(site):
    def reasons(**headers: str) -> set[str]:
        url, accept = f"{site.url}gradio_api/run/presets", {"accept-language": "en"}
        presets = httpx.post(url, json={"data": []}, headers=accept | headers).json()["data"][0]
        return {preset["reason"] for preset in presets if not preset["available"]}

    own = reasons()
    assert own
    (other,) = reasons(**{"x-forwarded-for": "203.0.113.5"})
    assert other not in own


def test_analyse_returns_the_choice_of_auto(site, client):
    file = handle_file(str(site.photo("analysed.png", 60, 70)))
    answer = client.predict(image=file, api_name="/analyse")
    _, info = client.predict(image=file, api_name="/enhance")

    assert answer["auto"]["preset"] == info["preset"] == info["auto"]["preset"]
    assert (answer["auto"]["analysis"]["width"], answer["auto"]["analysis"]["kind"]) == (70, "photo")
    assert answer["estimated_seconds"] > 0
    small = client.predict(image=file, long_side=35, api_name="/analyse")
    assert (small["settings"]["preset"], small["auto"]["reason"]) == ("resize", "large_enough")
    for side, enlarges in ((0.65, False), (0.75, True)):
        paper = {"print_width": side, "print_height": side, "dpi": 254}
        answer = client.predict(image=file, **paper, api_name="/analyse")
        assert (answer["settings"]["preset"] != "resize") is enlarges, "the photo is 70 px wide, the paper 65 or 75"
