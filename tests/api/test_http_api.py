"""`POST /api/enhance`: an image in a form, the result as the response."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import validate
from PIL import Image

from enhance.output.formats import FORMATS
from enhance.settings import RANGES

from ..site import ADDED_SETTINGS, SETTINGS, Site, busy_device, wait_until
from .calls import status

FAST = {"preset": "anime-fast"}


def post(url: str, path: Path | None, headers: dict[str, str] | None = None, /, **fields: object) -> httpx.Response:
    files = {"image": (path.name, path.read_bytes())} if path else {"nothing": ("nothing.png", b"")}
    data = {name: str(value) for name, value in fields.items()}
    return httpx.post(f"{url}api/enhance", files=files, data=data, headers=headers, timeout=60)


def uploads(site: Site) -> set[Path]:
    return {path for path in site.page.iterdir() if path.name not in ("visitors", "results")}


def test_the_response_is_the_result_in_the_requested_format(site):
    before = uploads(site)
    answer = post(site.url, site.photo("plain.png", 20, 24), None, format="jpeg", scale=2, tuning="false", **FAST)

    assert answer.status_code == 200
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.size) == ("JPEG", (48, 40))
    headers = answer.headers
    assert headers["content-type"] == "image/jpeg"
    assert headers["content-disposition"] == 'attachment; filename="plain-2x.jpg"'
    assert (headers["enhance-preset"], len(headers["enhance-signature"])) == ("anime-fast", 64)
    assert "sandbox" in headers["content-security-policy"]
    assert b"DigitalSourceType" in answer.content
    plain = post(site.url, site.photo("plain.png", 20, 24), None, format="jpeg", label="false", **FAST)
    assert b"DigitalSourceType" not in plain.content
    wait_until(lambda: uploads(site) == before)


def test_json_has_info_and_a_link(site):
    answer = post(site.url, site.photo("linked.png", 16, 16), {"accept": "application/json"}, **FAST).json()

    assert (answer["info"]["input"]["name"], answer["info"]["output"]["width"]) == ("linked.png", 64)
    assert str(site.page) not in str(answer)
    result = httpx.get(site.url.rstrip("/") + answer["url"])
    with Image.open(io.BytesIO(result.content)) as image:
        assert image.size == (64, 64)
    for wrong in ("/api/results/x/y.png", f"/api/results/{'0' * 32}/linked-4x.png", answer["url"] + "/../../x"):
        assert httpx.get(site.url.rstrip("/") + wrong).status_code == 404


def test_each_mistake_gets_a_sentence(site):
    image = site.photo("mistake.png", 16, 16)
    for path, fields, number, words in (
        (None, {}, 400, "image"),
        (image, {"sharpness": 1}, 400, "sharpness"),
        (image, {"scale": "large"}, 400, "large"),
        (image, {"scale": 99}, 400, "99"),
        (image, {"preset": "vivid"}, 400, "vivid"),
        (image, {"preset": "x" * 2000}, 400, "form"),
        (image, {"tuning": "perhaps"}, 400, "perhaps"),
        (site.text("text.png"), {}, 400, "text.png"),
    ):
        answer = post(site.url, path, None, **fields)
        assert answer.status_code == number, answer.text
        assert words in answer.json()["error"]
    assert httpx.post(f"{site.url}api/enhance", json={"image": "x"}).status_code == 400
    assert httpx.get(f"{site.url}api/enhance").status_code == 405
    chinese = post(site.url, None, {"accept-language": "zh-CN"}).json()["error"]
    assert "表单" in chinese


def test_the_form_is_described_in_the_openapi_document(site):
    document = httpx.get(f"{site.url}gradio_api/openapi.json").json()

    path = document["paths"]["/api/enhance"]
    validate(document | {"paths": {"/api/enhance": path}})  # Gradio's own path of /batch is not valid.
    assert "/gradio_api/call/v2/enhance" in document["paths"]
    form = path["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    fields = form["properties"]
    assert (form["required"], fields["image"]["format"]) == (["image"], "binary")
    assert [*fields] == ["image", *SETTINGS, *ADDED_SETTINGS]
    assert (fields["contrast"]["minimum"], fields["contrast"]["maximum"]) == RANGES["contrast"]
    assert fields["format"]["enum"] == [*FORMATS]
    given = {name: one["default"] for name, one in fields.items() if "default" in one} | FAST | {"tuning": "false"}
    assert post(site.url, site.photo("described.png", 16, 16), None, **given).status_code == 200


def test_a_full_queue_is_status_429_with_a_time(site):
    with ExitStack() as stack:
        for count in range(15):
            stack.enter_context(site.enhancer.scheduler.admit(("address 127.0.0.1", f"session {count}"), "run", 20))
        answer = post(site.url, site.photo("late.png", 16, 16), None, **FAST)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 60


def test_a_run_is_cancelled_when_its_client_disconnects(site):
    path, before = site.photo("gone.png", 33, 33), uploads(site)
    waits_briefly = httpx.Timeout(60, read=1)
    with busy_device(site.enhancer.scheduler):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{site.url}api/enhance", files={"image": path.read_bytes()}, data=FAST, timeout=waits_briefly)
        wait_until(lambda: status(site)["waiting"] == 0)
    wait_until(lambda: uploads(site) == before)
