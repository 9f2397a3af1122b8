"""The endpoints: results, info, formats, progress, cancel, and error messages."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import PRESETS
from enhance.i18n import LANGUAGES

from ..site import photo, wait_until
from .calls import REMOTE, answer_to, upload_file, values_for
from .users import User


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_enhance_returns_the_pixels_of_the_network_and_the_info(site, owner):
    file = site.photo("api.png", 20, 24)
    content = file.read_bytes()
    path, info = owner.call("enhance", file, preset="original")

    assert path.endswith("api-4x.png")
    assert np.array_equal(pixels(path), site.enhancer.upscale(photo(20, 24)))
    size = {"name": "api.png", "width": 24, "height": 20, "mode": "RGB"}
    file_facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert info["input"] == size | file_facts
    expected = {"width": 96, "height": 80, "path": None}
    assert info["output"] | expected == info["output"]
    assert {*info["seconds"]} == {"wait", "decode", "network", "tuning", "encode", "total"}


@pytest.mark.parametrize(
    ("given", "name", "size"),
    [
        ({"megapixels": 0.0054}, "sized-0.0054mp.png", (90, 60)),
        ({"print_width": 1.016, "print_height": 1.27, "dpi": 150}, "sized-1.3x0.8cm.png", (75, 50)),
    ],
)
def test_the_size_decides_the_name(site, owner, given, name, size):
    path, _ = owner.call("enhance", site.photo("sized.png", 20, 30), **given)
    assert (Path(path).name, Image.open(path).size) == (name, size)


def test_a_result_in_another_format_is_cached_and_keeps_the_metadata_that_are_requested(
    site, owner
):
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 24.0)})
    file = site.files / "IMG_0042.jpg"
    Image.new("RGB", (16, 12), "grey").save(file, exif=exif)
    for metadata, is_cached in (("no-location", False), ("keep", True)):
        path, info = owner.call("enhance", file, format="jpeg", quality=80, metadata=metadata)
        content = Path(path).read_bytes()
        with Image.open(path) as image:
            assert (Path(path).name, image.format) == ("IMG_0042-4x.jpg", "JPEG")
            assert bool(image.getexif().get_ifd(0x8825)) == (metadata == "keep")
        facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert info["output"] | facts == info["output"]
        assert "gps" not in str(info).lower()
        assert info["cached"] == is_cached


def test_presets_describe_the_server(owner, http):
    presets = {preset["name"]: preset for preset in owner.call("presets")}
    assert [*presets] == [*PRESETS]
    assert presets["gentle"]["available"]

    answer = http.post("gradio_api/run/presets", json={"data": []}, headers=REMOTE)
    reasons = {one["reason"] for one in answer.json()["data"][0]}
    assert presets["face"]["reason"]
    assert presets["face"]["reason"] not in reasons, "only this computer shows how to install it"


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
    ("name", "shown"),
    [
        ("a<img src=x onerror=alert(1)>.png", "a&lt;img src=x onerror=alert(1)&gt;.png"),
        ("holiday\u202egpj.exe.png", "holidaygpj.exe.png"),
    ],
)
def test_a_file_name_in_an_error_is_escaped_in_every_language(site, monkeypatch, name, shown):
    monkeypatch.setattr(
        "gradio_client.utils.strip_invalid_filename_characters", lambda name, **_: name
    )
    values = values_for("enhance", upload_file(site.url, name, b"no image"))
    for language in LANGUAGES:
        assert shown in answer_to(site, "enhance", values, {"accept-language": language})


def test_compare_returns_a_sheet_and_the_facts_of_each_preset(site, owner):
    file = site.photo("compared.png", 40, 48)
    place = {"x": 20, "y": 20, "size": 16}
    path, info = owner.call("compare", file, **place)

    sheet = pixels(path)
    assert sheet.shape[:2] == (info["output"]["height"], info["output"]["width"])
    names = [one["name"] for one in info["presets"]]
    assert ["auto", *names] == [one["name"] for one in owner.call("presets") if one["available"]]
    before, after, _ = owner.call("preview", file, preset=names[0], **place)
    assert np.array_equal(sheet[24:88, 24:88], pixels(before))
    assert np.array_equal(sheet[24:88, 308:372], pixels(after))
