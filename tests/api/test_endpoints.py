"""The endpoints: results, info, previews, formats, progress, cancel, and error messages."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from enhance import PRESETS, Settings

from ..site import photo, wait_until

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


def test_omitted_settings_have_the_values_of_the_preset(site, client):
    file = handle_file(site.photo("defaults.png", 30, 30))
    _, info = client.predict(image=file, **ENHANCE)
    expected = Settings.from_preset("anime-fast").as_dict()
    assert info["settings"] == {name: expected[name] for name in info["settings"]}
    _, info = client.predict(image=file, saturation=1.5, scale=2, **ENHANCE)
    assert (info["settings"]["saturation"], info["output"]["width"]) == (1.5, 60)
    _, info = client.predict(image=file, preset="original", contrast=1.2, api_name="/enhance")
    assert (info["settings"]["tuning"], info["settings"]["contrast"]) == (True, 1.2)
    _, info = client.predict(image=file, tuning=False, sharpen=0.5, **ENHANCE)
    assert info["settings"]["tuning"] is False


def test_long_side_megapixels_reduce_and_print_set_the_size_and_the_file_name(site, client):
    file = handle_file(site.photo("sized.png", 20, 30))
    for given, name, size in (
        ({"long_side": 75}, "sized-75px.png", (75, 50)),
        ({"megapixels": 0.0054}, "sized-0.0054mp.png", (90, 60)),
        ({"reduce": 4}, "sized-1x.png", (30, 20)),
        ({"print_width": 1.016, "dpi": 150}, "sized-1.016cm.png", (60, 40)),
        (
            {"print_width": 1.016, "print_height": 1.016, "dpi": 150, "print_fit": "border"},
            "sized-1.016x1.016cm.png",
            (60, 60),
        ),
    ):
        path, info = client.predict(image=file, **given, **ENHANCE)
        assert (Path(path).name, Image.open(path).size) == (name, size)
        assert info["settings"] | given == info["settings"]
        before, after, preview = client.predict(image=file, size=12, **given, **PREVIEW)
        side = 12 * size[0] // 30
        assert Image.open(before).size == Image.open(after).size == (side, side)
        assert preview["signature"] == info["signature"]


def test_a_preview_shows_the_requested_area(site, client):
    file = handle_file(site.photo("square.png", 150, 200))
    before, after, info = client.predict(image=file, x=10, y=140, size=64, **PREVIEW)
    assert Image.open(before).size == Image.open(after).size == (256, 256)
    assert info["preview"] == {"left": 0, "top": 86, "width": 64, "height": 64}


def test_a_16_bit_image_has_a_16_bit_result(site, client):
    deep = site.files / "deep.png"
    Image.fromarray((np.arange(24 * 24, dtype=np.uint16) * 100).reshape(24, 24)).save(deep)
    path, info = client.predict(image=handle_file(deep), **ENHANCE)
    _, after, _ = client.predict(image=handle_file(deep), **PREVIEW)
    assert (Image.open(path).mode, Image.open(after).mode, info["precision"]) == ("I;16", "I;16", "fp32")


def test_another_format_uses_the_cached_result(site, client):
    image = handle_file(site.photo("IMG_0042.png", 40, 48))
    answers = [client.predict(image=image, format="jpeg", quality=80, **ENHANCE) for _ in range(2)]
    assert [info["cached"] for _, info in answers] == [False, True]
    assert answers[0][1]["task_id"] != answers[1][1]["task_id"]
    for path, info in answers:
        content, image_file = Path(path).read_bytes(), Image.open(path)
        assert (Path(path).name, image_file.format, image_file.size) == ("IMG_0042-4x.jpg", "JPEG", (192, 160))
        facts = {"path": None, "bytes": len(content), "format": "jpeg", "quality": 80, "notes": []}
        assert info["output"] | facts == info["output"]
        assert info["output"]["sha256"] == hashlib.sha256(content).hexdigest()
    digest = site.enhancer.tasks.info(answers[0][1]["task_id"])["output"]["sha256"]
    assert len(list(site.enhancer.tasks.encoded.glob(f"{digest}-*"))) == 1
    assert answers[0][1]["signature"] == client.predict(image=image, **ENHANCE)[1]["signature"]
    previews = [client.predict(image=image, size=16, **PREVIEW, **options) for options in ({}, {"format": "avif"})]
    assert Path(previews[0][1]).read_bytes() == Path(previews[1][1]).read_bytes()


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_the_location_is_removed_on_request(site, client, format):
    exif, path = Image.Exif(), site.files / f"here-{format}.jpg"
    exif[0x010F] = "Lantern"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 24.0)})
    Image.fromarray(np.full((12, 16, 3), 99, np.uint8)).save(path, exif=exif, dpi=(240, 240))
    for choice, maker, located in (("no-location", "Lantern", False), ("none", None, False), ("keep", "Lantern", True)):
        result_file, info = client.predict(image=handle_file(path), format=format, metadata=choice, **ENHANCE)
        with Image.open(result_file) as image:
            tags, dpi = image.getexif(), tuple(map(round, image.info["dpi"]))
            assert (tags.get(0x010F), bool(tags.get_ifd(0x8825)), dpi) == (maker, located, (240, 240))
        assert info["output"]["sha256"] == hashlib.sha256(Path(result_file).read_bytes()).hexdigest()
        assert "gps" not in str(info).lower()


def test_presets_and_status_describe_the_server(site, client):
    presets = {preset["name"]: preset for preset in client.predict(api_name="/presets")}
    assert list(presets) == list(PRESETS)
    assert presets["gentle"]["available"]
    assert not presets["face"]["available"]
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
    sizes, jobs = {"one": (30, 44), "two": (44, 30), "three": (36, 36)}, {}
    for name, (height, width) in sizes.items():
        jobs[name] = connect().submit(image=handle_file(site.photo(f"{name}.png", height, width)), **ENHANCE)
    for name, job in jobs.items():
        path, info = job.result(timeout=60)
        assert info["input"]["name"] == f"{name}.png"
        expected = site.enhancer.upscale(photo(*sizes[name]), model="realesr-animevideov3")
        assert np.array_equal(pixels(path), expected)


def expect_error(client, endpoint: str, message: str, **arguments) -> None:
    with pytest.raises(AppError, match=message):
        client.predict(api_name=f"/{endpoint}", **arguments)


def test_a_bad_setting_is_an_error_message(site, client):
    image = handle_file(site.photo("bad.png", 8, 8))
    for given, words in (
        ({"preset": "sharper"}, "sharper"),
        ({"strength": 3}, "strength .* 0 to 1"),
        ({"scale": 17}, "scale .* 1 to 16"),
        ({"scale": 2, "long_side": 16}, "scale, long_side, megapixels"),
        ({"long_side": 129}, "long_side.* 129 .*128"),
        ({"scale": 2, "reduce": 3}, "1.33"),
        ({"tile": 1}, "tile .* 64 to 1024"),
        ({"tuning": "no"}, "tuning"),
        ({"tuning": 0}, "tuning"),
        ({"format": "bmp"}, "bmp.*png, jpeg, webp, avif"),
        ({"quality": 0}, "quality .* 1 to 100"),
        ({"quality": 92.5}, "quality .* 1 to 100"),
        ({"metadata": "all"}, "all"),
    ):
        expect_error(client, "enhance", words, image=image, **given)


@pytest.mark.parametrize("endpoint", ["preview", "compare"])
def test_a_bad_area_is_an_error_message(site, client, endpoint):
    image = handle_file(site.photo("bad.png", 8, 8))
    for given in ({"size": "64"}, {"size": True}, {"size": 513}, {"x": "left"}):
        expect_error(client, endpoint, next(iter(given)), image=image, **given)


@pytest.mark.parametrize("endpoint", ["enhance", "batch"])
def test_an_input_that_is_not_an_upload_is_an_error_message_and_not_in_the_log(client, capfd, endpoint):
    name = "images" if endpoint == "batch" else "image"
    for given in ("photo.jpg", "https://example.com/photo.jpg", 5, {"path": "/photo.jpg"}, [None], []):
        expect_error(client, endpoint, name, **{name: given})
        if endpoint == "batch":
            expect_error(client, endpoint, name, **{name: [given]})
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a<img src=x onerror=alert(1)>.png", "a&lt;img src=x onerror=alert(1)&gt;.png"),
        ('it\'s & "that".png', 'it\'s &amp; "that".png'),
        ("holiday\u202egpj.exe.png", "holidaygpj.exe.png"),
    ],
)
def test_a_file_name_in_an_error_is_escaped(site, connect, monkeypatch, name, shown):
    monkeypatch.setattr("gradio_client.utils.strip_invalid_filename_characters", lambda name, **_: name)
    upload = httpx.post(f"{site.url}gradio_api/upload", files={"files": (name, b"no image")}).json()[0]
    english, chinese = connect(), connect(headers={"accept-language": "zh-CN,zh;q=0.9"})
    for client in (english, chinese):
        for given in (handle_file(site.text(name)), {"path": upload, "meta": {"_type": "gradio.FileData"}}):
            with pytest.raises(AppError) as error:
                client.predict(image=given, api_name="/enhance")
            assert shown in str(error.value).replace("%22", '"')
            assert any("\u4e00" <= letter <= "\u9fff" for letter in str(error.value).replace(shown, "")) == (
                client is chinese
            )


@pytest.mark.usefixtures("with_x2plus")
def test_a_2x_preset_has_its_scale_in_results_previews_and_limits(site, client):
    file = handle_file(site.photo("twice.png", 21, 27))
    path, info = client.predict(image=file, preset="gentle-2x", api_name="/enhance")
    _, after, _ = client.predict(image=file, preset="gentle-2x", size=12, api_name="/preview")
    assert path.endswith("twice-2x.png")
    assert Image.open(path).size == (info["output"]["width"], info["output"]["height"]) == (54, 42)
    assert Image.open(after).size == (24, 24)
    scales = {one["name"]: one["scale"] for one in client.predict(api_name="/presets")}
    assert scales["gentle-2x"] == 2
    expect_error(client, "enhance", "scale .* 1 to 2", image=file, preset="gentle-2x", scale=3)


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
    for fit, enlarges in (("contain", False), ("crop", True)):
        paper = {"print_width": 0.65, "print_height": 0.65, "dpi": 254, "print_fit": fit}
        answer = client.predict(image=file, **paper, api_name="/analyse")
        assert answer["settings"]["print_fit"] == fit
        assert (answer["settings"]["preset"] != "resize") is enlarges, "the photo is 70 x 60 px, the paper 65 x 65"
