"""`POST /api/enhance`: an image in a form, the result as the response."""

import io
from contextlib import ExitStack

import httpx
import pytest
from openapi_spec_validator import validate
from PIL import Image

from enhance.settings import RANGES

from ..site import ADDED_SETTINGS, SETTINGS, busy_device, wait_until
from .calls import FAST, status


@pytest.fixture
def post(http):
    def post_form(path, headers=None, /, **fields):
        files = {"image": (path.name, path.read_bytes())}
        return http.post("api/enhance", files=files, data=fields, headers=headers)

    return post_form


def uploads(site):
    return {path for path in site.page.iterdir() if path.name not in ("visitors", "results")}


def test_the_response_is_the_result_in_the_requested_format(site, post):
    before = uploads(site)
    photo = site.photo("plain.png", 20, 24)
    answer = post(photo, format="jpeg", scale="2", tuning="false", **FAST)

    assert answer.status_code == 200
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.size) == ("JPEG", (48, 40))
    headers = answer.headers
    assert headers["content-type"] == "image/jpeg"
    assert headers["content-disposition"] == 'attachment; filename="plain-2x.jpg"'
    assert headers["enhance-preset"] == "anime-fast"
    assert "sandbox" in headers["content-security-policy"]
    wait_until(lambda: uploads(site) == before)


def test_json_has_info_and_a_link(site, http, post):
    photo = site.photo("linked.png", 16, 16)
    answer = post(photo, {"accept": "application/json"}, **FAST).json()

    assert answer["info"]["input"]["name"] == "linked.png"
    assert str(site.page) not in str(answer)
    with Image.open(io.BytesIO(http.get(answer["url"]).content)) as image:
        assert image.size == (64, 64)
    for wrong in (f"/api/results/{'0' * 32}/linked-4x.png", answer["url"] + "/../../x"):
        assert http.get(wrong).status_code == 404


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"sharpness": "1"}, "sharpness"), ({"scale": "large"}, "large"), ({"preset": "x"}, "x")],
)
def test_each_mistake_is_reported_in_a_message(site, post, fields, words):
    answer = post(site.photo("mistake.png", 16, 16), **fields)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]


def test_a_form_without_an_image_is_rejected(site, http, post):
    assert "text.png" in post(site.text("text.png")).json()["error"]
    files = {"nothing": ("nothing.png", b"")}
    chinese = http.post("api/enhance", files=files, headers={"accept-language": "zh-CN"})
    assert "表单" in chinese.json()["error"]
    assert http.post("api/enhance", json={"image": "x"}).status_code == 400


def test_the_form_is_described_in_the_openapi_document(http):
    document = http.get("gradio_api/openapi.json").json()

    validate(document)
    assert "/gradio_api/call/v2/enhance" in document["paths"]
    form = document["paths"]["/api/enhance"]["post"]
    fields = form["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert fields["image"]["format"] == "binary"
    assert [*fields] == ["image", *SETTINGS, *ADDED_SETTINGS, "job"]
    assert (fields["contrast"]["minimum"], fields["contrast"]["maximum"]) == RANGES["contrast"]
    result = form["responses"]["200"]["content"]
    assert result["image/jpeg"]["schema"]["format"] == "binary"
    assert {*result["application/json"]["schema"]["properties"]} == {"url", "info"}
    error = form["responses"]["default"]["content"]["application/json"]["schema"]
    assert "error" in error["properties"]


def test_a_full_queue_is_status_429_with_a_time(site, post):
    with ExitStack() as stack:
        for count in range(15):
            caller = ("address 127.0.0.1", f"session {count}")
            stack.enter_context(site.enhancer.scheduler.admit(caller, "run", 20))
        answer = post(site.photo("late.png", 16, 16), **FAST)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 60


def test_a_run_is_cancelled_when_its_client_disconnects(site):
    before = uploads(site)
    # Its own size, because a cached result does not wait for the device.
    files = {"image": site.photo("gone.png", 41, 29).read_bytes()}
    brief = httpx.Timeout(60, read=1)
    with busy_device(site.enhancer.scheduler):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{site.url}api/enhance", files=files, data=FAST, timeout=brief)
        wait_until(lambda: status(site)["waiting"] == 0)
    wait_until(lambda: uploads(site) == before)
