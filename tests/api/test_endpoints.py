"""The endpoints: results, info, formats, progress, cancel, and error messages."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from gradio_client.exceptions import AppError
from PIL import Image

from enhance import PRESETS

from ..site import photo, wait_until
from .calls import REMOTE, answer_to, upload_file, values_for
from .users import User


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_enhance_returns_the_pixels_of_the_network_and_the_info(site, owner):
    file = site.photo("api.png", 20, 24)
    content = file.read_bytes()
    path, info = owner.call("enhance", file, preset="original")

    assert path.endswith("api-4x.png")
    assert np.array_equal(pixels(path), site.enhancer.upscale(photo(20, 24)))
    assert info["status"] == "done"
    size = {"name": "api.png", "width": 24, "height": 20, "mode": "RGB"}
    file_facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert info["input"] == size | file_facts
    expected = {"width": 96, "height": 80, "path": None}
    assert info["output"] | expected == info["output"]
    assert len(info["signature"]) == 64
    assert {*info["seconds"]} == {"wait", "decode", "network", "tuning", "encode", "total"}
    assert info["settings"]["tuning"] is False
    *_, preview = owner.call("preview", file, preset="original", size=16)
    assert preview["signature"] == info["signature"]


@pytest.mark.parametrize(
    ("given", "name", "size"),
    [
        ({"long_side": 75}, "sized-75px.png", (75, 50)),
        ({"megapixels": 0.0054}, "sized-0.0054mp.png", (90, 60)),
        ({"reduce": 4}, "sized-1x.png", (30, 20)),
        ({"print_width": 1.016, "print_height": 1.27, "dpi": 150}, "sized-1.3x0.8cm.png", (75, 50)),
    ],
)
def test_the_size_decides_the_name(site, owner, given, name, size):
    path, info = owner.call("enhance", site.photo("sized.png", 20, 30), **given)
    assert (Path(path).name, Image.open(path).size) == (name, size)
    assert info["settings"] | given == info["settings"]


def test_a_result_in_another_format_is_cached_and_keeps_the_metadata_that_are_requested(
    site, owner
):
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 24.0)})
    file = site.files / "IMG_0042.jpg"
    Image.new("RGB", (16, 12), "grey").save(file, exif=exif)
    infos = []
    for metadata in ("no-location", "keep"):
        path, info = owner.call("enhance", file, format="jpeg", quality=80, metadata=metadata)
        content = Path(path).read_bytes()
        with Image.open(path) as image:
            assert (Path(path).name, image.format) == ("IMG_0042-4x.jpg", "JPEG")
            assert bool(image.getexif().get_ifd(0x8825)) == (metadata == "keep")
        expected = {
            "bytes": len(content),
            "format": "jpeg",
            "quality": 80,
            "notes": [],
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        assert info["output"] | expected == info["output"]
        assert "gps" not in str(info).lower()
        infos.append(info)
    assert [info["cached"] for info in infos] == [False, True]
    assert infos[0]["signature"] == infos[1]["signature"]


def test_presets_and_status_describe_the_server(owner, http):
    presets = {preset["name"]: preset for preset in owner.call("presets")}
    assert [*presets] == [*PRESETS]
    assert presets["gentle"]["available"]
    status = owner.call("status")
    assert (status["device"], status["running"]) == ("cpu", 0)

    answer = http.post("gradio_api/run/presets", json={"data": []}, headers=REMOTE)
    reasons = {one["reason"] for one in answer.json()["data"][0] if not one["available"]}
    assert len(reasons) == 1
    own = presets["face"]["reason"]
    assert own
    assert own not in reasons, "only requests from this computer show how to install a preset"


def test_progress_counts_rows_previews_run_meanwhile_and_cancel_frees_the_engine(site, owner):
    with site.enhancer.paused("progress"):
        job = owner.start("enhance", site.photo("stop.png", 60, 36))
        wait_until(lambda: (job.status().progress_data or [None])[0] is not None)
        progress = job.status().progress_data[0]
        assert (progress.length, progress.unit) == (60, "rows")
        owner.again().call("preview", site.photo("quick.png", 40, 40))
        assert not job.done(), "the preview waited for the run"
        assert site.enhancer.status()["running"] == 1
        job.cancel()
        wait_until(lambda: site.enhancer.status()["running"] == 0)


def test_simultaneous_clients_get_their_own_images(site, connect):
    sizes = ((30, 44), (44, 30), (36, 58))
    jobs = [
        User(connect).start("enhance", site.photo(f"{height}.png", height, width))
        for height, width in sizes
    ]
    for job, size in zip(jobs, sizes, strict=True):
        path, info = job.result(timeout=60)
        assert info["input"]["name"] == f"{size[0]}.png"
        expected = site.enhancer.upscale(photo(*size), model="realesr-animevideov3")
        assert np.array_equal(pixels(path), expected)


@pytest.mark.parametrize(
    ("endpoint", "given", "words"),
    [
        ("enhance", {"scale": 2, "long_side": 16}, "scale, long_side, megapixels"),
        ("enhance", {"long_side": 129}, "long_side.* 129 .*128"),
        ("enhance", {"format": "gif"}, "gif.*png, jpeg, webp, avif"),
        ("enhance", {"quality": 92.5}, "quality .* 1 to 100"),
        ("preview", {"size": "64"}, "64"),
        ("compare", {"x": "left"}, "left"),
    ],
)
def test_a_bad_setting_or_region_is_an_error_message(site, owner, endpoint, given, words):
    with pytest.raises(AppError, match=words):
        owner.call(endpoint, site.photo("bad.png", 8, 8), **given)


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
    english = answer_to(site, "enhance", values)
    chinese = answer_to(site, "enhance", values, {"accept-language": "zh-CN"})
    assert shown in english
    assert shown in chinese
    assert re.search(r"\\u[4-9a-f]", chinese)


def test_compare_returns_a_sheet_and_the_facts_of_each_preset(site, owner):
    file = site.photo("compared.png", 40, 48)
    place = {"x": 20, "y": 20, "size": 16}
    path, info = owner.call("compare", file, **place)

    assert path.endswith("compared-presets.png")
    sheet = pixels(path)
    assert sheet.shape[:2] == (info["output"]["height"], info["output"]["width"])
    names = [one["name"] for one in info["presets"]]
    assert ["auto", *names] == [one["name"] for one in owner.call("presets") if one["available"]]
    assert all(one["seconds"] > 0 and one["fidelity_db"] > 20 for one in info["presets"])
    before, after, _ = owner.call("preview", file, preset=names[0], **place)
    assert np.array_equal(sheet[24:88, 24:88], pixels(before))
    assert np.array_equal(sheet[24:88, 308:372], pixels(after))


def test_previews_run_during_a_comparison_and_a_cancelled_one_leaves_no_file(site, owner):
    with site.enhancer.paused("cell"):
        job = owner.start("compare", site.photo("going.png", 40, 40), size=32)
        wait_until(lambda: job.status().progress_data)
        owner.again().call("preview", site.photo("meanwhile.png", 24, 24))
        assert not job.done(), "the preview waited for the comparison"
        job.cancel()
        wait_until(lambda: site.enhancer.scheduler.count("comparison") == 0)
    assert [*(site.page / "results").glob("*/going-presets.png")] == []
