"""The endpoints: results, info, previews, formats, progress, cancel, and error messages."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image

from enhance import PRESETS

from ..site import photo, wait_until
from .calls import FAST, REMOTE, answer_to, upload, upload_file, values_for

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
    source = {
        "name": "api.png",
        "width": 24,
        "height": 20,
        "mode": "RGB",
        "bytes": file.stat().st_size,
    }
    assert info["input"] == source | {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert (info["output"]["width"], info["output"]["height"], info["output"]["path"]) == (
        96,
        80,
        None,
    )
    assert len(info["signature"]) == 64
    assert set(info["seconds"]) == {"wait", "decode", "network", "tuning", "encode", "total"}
    assert info["settings"]["tuning"] is False
    *_, preview = client.predict(
        image=handle_file(file), preset="original", size=16, api_name="/preview"
    )
    assert preview["signature"] == info["signature"]


@pytest.mark.parametrize(
    ("given", "name", "size"),
    [
        ({"long_side": 75}, "sized-75px.png", (75, 50)),
        ({"megapixels": 0.0054}, "sized-0.0054mp.png", (90, 60)),
        ({"reduce": 4}, "sized-1x.png", (30, 20)),
        ({"print_width": 1.016, "dpi": 150}, "sized-1x0.7cm.png", (60, 40)),
        ({"print_width": 1.016, "print_height": 1.27, "dpi": 150}, "sized-1.3x0.8cm.png", (75, 50)),
    ],
)
def test_the_size_decides_the_name_and_a_preview_has_the_signature_of_the_run(
    site, client, given, name, size
):
    file = handle_file(site.photo("sized.png", 20, 30))
    path, info = client.predict(image=file, **given, **ENHANCE)
    before, after, preview = client.predict(image=file, size=12, **given, **PREVIEW)

    assert (Path(path).name, Image.open(path).size) == (name, size)
    assert info["settings"] | given == info["settings"]
    side = 12 * size[0] // 30
    assert Image.open(before).size == Image.open(after).size == (side, side)
    assert preview["signature"] == info["signature"]


def test_a_result_in_another_format_is_cached_and_keeps_the_metadata_that_are_requested(
    site, client
):
    exif, path = Image.Exif(), site.files / "IMG_0042.jpg"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 24.0)})
    Image.fromarray(np.full((12, 16, 3), 99, np.uint8)).save(path, exif=exif)
    made = []
    for metadata in ("no-location", "keep"):
        options = {"format": "jpeg", "quality": 80, "metadata": metadata}
        result_file, info = client.predict(image=handle_file(path), **options, **ENHANCE)
        content = Path(result_file).read_bytes()
        with Image.open(result_file) as image:
            assert (Path(result_file).name, image.format, image.size) == (
                "IMG_0042-4x.jpg",
                "JPEG",
                (64, 48),
            )
            assert bool(image.getexif().get_ifd(0x8825)) == (metadata == "keep")
        facts = {"path": None, "bytes": len(content), "format": "jpeg", "quality": 80, "notes": []}
        assert (
            info["output"] | facts | {"sha256": hashlib.sha256(content).hexdigest()}
            == info["output"]
        )
        assert "gps" not in str(info).lower()
        made.append(info)
    first, second = made
    assert (first["cached"], second["cached"]) == (False, True)
    assert first["task_id"] != second["task_id"]
    assert first["signature"] == second["signature"]


def test_presets_and_status_describe_the_server(client, http):
    presets = {preset["name"]: preset for preset in client.predict(api_name="/presets")}
    assert list(presets) == list(PRESETS)
    assert presets["gentle"]["available"]
    status = client.predict(api_name="/status")
    assert (status["device"], status["running"]) == ("cpu", 0)

    answer = http.post("gradio_api/run/presets", json={"data": []}, headers=REMOTE).json()["data"][
        0
    ]
    (reason,) = {preset["reason"] for preset in answer if not preset["available"]}
    own = presets["face"]["reason"]
    assert own
    assert own != reason, "only requests from this computer show how to install a preset"


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
        wait_until(lambda: site.enhancer.status()["running"] == 0)


def test_simultaneous_clients_get_their_own_images(site, connect):
    sizes = ((30, 44), (44, 30), (36, 58))
    files = [handle_file(site.photo(f"{height}.png", height, width)) for height, width in sizes]
    jobs = [connect().submit(image=file, **ENHANCE) for file in files]
    for job, (height, width) in zip(jobs, sizes, strict=True):
        path, info = job.result(timeout=60)
        assert info["input"]["name"] == f"{height}.png"
        assert np.array_equal(
            pixels(path), site.enhancer.upscale(photo(height, width), model="realesr-animevideov3")
        )


@pytest.mark.parametrize(
    ("endpoint", "given", "words"),
    [
        ("enhance", {"preset": "sharper"}, "sharper"),
        ("enhance", {"strength": 3}, "strength .* 0 to 1"),
        ("enhance", {"scale": 2, "long_side": 16}, "scale, long_side, megapixels"),
        ("enhance", {"long_side": 129}, "long_side.* 129 .*128"),
        ("enhance", {"scale": 2, "reduce": 3}, "1.33"),
        ("enhance", {"tuning": "no"}, "tuning"),
        ("enhance", {"format": "bmp"}, "bmp.*png, jpeg, webp, avif"),
        ("enhance", {"quality": 92.5}, "quality .* 1 to 100"),
        ("enhance", {"metadata": "all"}, "all"),
        ("preview", {"size": "64"}, "64"),
        ("compare", {"size": True}, "True"),
        ("preview", {"size": 513}, "512"),
        ("compare", {"x": "left"}, "left"),
    ],
)
def test_a_bad_setting_or_region_is_an_error_message(site, endpoint, given, words):
    answer = answer_to(site, endpoint, values_for(endpoint, upload(site, "bad.png", 8), **given))
    assert "event: error" in answer
    assert re.search(words, answer)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a<img src=x onerror=alert(1)>.png", "a&lt;img src=x onerror=alert(1)&gt;.png"),
        ("it's & that.png", "it's &amp; that.png"),
        ("holiday\u202egpj.exe.png", "holidaygpj.exe.png"),
    ],
)
def test_a_file_name_in_an_error_is_escaped_in_every_language(site, monkeypatch, name, shown):
    monkeypatch.setattr(
        "gradio_client.utils.strip_invalid_filename_characters", lambda name, **_: name
    )
    values = values_for("enhance", upload_file(site.url, name, b"no image"))
    for language, letters in (("en", "unsupported format"), ("zh-CN", "格式")):
        answer = answer_to(site, "enhance", values, {"accept-language": language})
        message = str(json.loads(answer.rpartition("data: ")[2]))
        assert shown in message
        assert letters in message


def test_analyse_returns_the_choice_of_auto(site, client):
    file = handle_file(str(site.photo("analysed.png", 60, 70)))
    answer = client.predict(image=file, api_name="/analyse")
    _, info = client.predict(image=file, api_name="/enhance")

    assert answer["auto"]["preset"] == info["preset"] == info["auto"]["preset"]
    assert (answer["auto"]["analysis"]["width"], answer["auto"]["analysis"]["kind"]) == (
        70,
        "photo",
    )
    assert answer["estimated_seconds"] > 0
    small = client.predict(image=file, long_side=35, api_name="/analyse")
    assert (small["settings"]["preset"], small["auto"]["reason"]) == ("resize", "large_enough")
    for side, enlarges in ((0.65, False), (0.75, True)):
        paper = {"print_width": side, "print_height": side, "dpi": 254}
        answer = client.predict(image=file, **paper, api_name="/analyse")
        assert (answer["settings"]["preset"] != "resize") is enlarges, (
            "the photo is 70 px wide, the paper 65 or 75"
        )
