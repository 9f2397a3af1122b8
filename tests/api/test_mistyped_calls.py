"""A mistyped call gets a sentence that says what is wrong with it, in the caller's language."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from ..site import SETTINGS
from .test_endpoints_surface import answer_to

META = {"_type": "gradio.FileData"}
VALUES = [*SETTINGS.values()]
FOREIGN = {"path": "private.png", "meta": META}
CALLS: list[tuple[str, Any, int, str]] = [
    ("call/v2/enhance", {"nope": 1}, 400, "enhance has no parameter called “nope”. Use these: image, preset, scale"),
    ("call/v2/enhance", {"nope" * 999: 1}, 400, "enhance has no parameter called “" + "nope" * 20 + "…”."),
    ("call/v2/presets", {"nope": 1}, 400, "presets has no parameters, but “nope” was sent."),
    ("call/v2/enhance", {}, 400, "enhance requires the parameter image."),
    ("call/v2/enhance", [1], 400, "The request is not a JSON object."),
    ("call/v2/enhance", {"image": FOREIGN}, 400, "The file was not uploaded to this server."),
    ("call/v2/nothing", {"image": 1}, 404, "There is no endpoint called “nothing”. Use one of these: enhance, "),
    ("call/nothing", {"data": []}, 404, "There is no endpoint called “nothing”."),
    ("call/open", {"data": []}, 404, "There is no endpoint called “open”."),
    ("run/nothing", {"data": []}, 404, "There is no endpoint called “nothing”."),
    ("run/enhance", {"data": []}, 404, "enhance is not available at this address. Use /gradio_api/call/enhance."),
    ("run/presets", {"data": [], "fn_index": 99999}, 404, "There is no function with the fn_index 99999."),
    ("queue/join", {"data": [], "fn_index": 99999, "session_hash": "a"}, 404, "There is no function with the fn_index"),
    ("queue/join", {"data": [], "fn_index": "x", "session_hash": "a"}, 404, "There is no function with the fn_index x"),
    ("queue/join", {"data": [], "fn_index": [], "session_hash": "a"}, 404, "There is no function with the fn_index"),
    ("queue/join", {"data": [], "session_hash": "a"}, 404, "There is no function with the fn_index None."),
    ("queue/join", {"data": VALUES, "fn_index": 0}, 400, "The request has the wrong form"),
    ("queue/join", {"data": [], "fn_index": 0, "session_hash": "a"}, 400, "enhance accepts a list of 17 values, but 0"),
    ("call/enhance", {"data": "x"}, 400, "The request has no list called “data”."),
    ("call/enhance", {"image": None}, 400, "The request has no list called “data”."),
    ("call/enhance", None, 400, "The request is not a JSON object."),
    ("call/enhance", {"data": [None]}, 400, "enhance accepts a list of 17 values, but 1 were sent."),
    ("call/enhance", {"data": [None, *VALUES, 1]}, 400, "enhance accepts a list of 17 values, but 18 were sent."),
    ("call/enhance", {"data": [FOREIGN, *VALUES]}, 400, "The file was not uploaded to this server."),
    ("call/enhance", {"data": [[FOREIGN], *VALUES]}, 400, "The file was not uploaded to this server."),
    ("call/enhance", {"data": [{"path": "a", "meta": 3}, *VALUES]}, 400, "The file was not uploaded to this server."),
    ("call/enhance", {"data": [{"path": "\0", "meta": META}, *VALUES]}, 400, "The file was not uploaded to this"),
    ("call/batch", {"data": [[FOREIGN], *VALUES]}, 400, "The file was not uploaded to this server."),
    ("call/enhance", {"data": [None, *VALUES], "session_hash": []}, 400, "The request has the wrong form"),
    ("cancel", {"session_hash": "a"}, 400, "The request has the wrong form"),
    ("reset", {}, 400, "The request has the wrong form"),
]


@pytest.mark.parametrize(("way", "body", "status", "said"), CALLS)
def test_a_mistyped_call_is_refused_with_a_sentence(site, way, body, status, said):
    answer = httpx.post(f"{site.url}gradio_api/{way}", json=body)
    assert (answer.status_code, answer.json()["detail"][: len(said)]) == (status, said)
    assert answer.json()["error"] == answer.json()["detail"]
    answer = httpx.post(f"{site.url}gradio_api/{way}", json=body, headers={"accept-language": "zh-CN"})
    assert answer.status_code == status
    assert re.search("[一-鿿].*。请", answer.json()["detail"]), answer.text


@pytest.mark.parametrize("image", ["photo.jpg", 5, {"path": "private.png"}, {"url": "x", "meta": META}])
def test_what_is_no_file_in_place_of_an_image_is_no_image(site, image):
    assert "The request contains no image" in answer_to(site, "enhance", [image, *VALUES])
    assert "The request contains no images" in answer_to(site, "batch", [[image], *VALUES])


def test_an_unknown_event_is_refused_with_a_sentence(site):
    for way in ("call/enhance", "call/v2/enhance"):
        answer = httpx.get(f"{site.url}gradio_api/{way}/nothing")
        assert (answer.status_code, answer.json()["detail"].startswith("There is no job with the")) == (404, True)
    event = httpx.post(f"{site.url}gradio_api/call/presets", json={"data": []}).json()["event_id"]
    assert "event: complete" in httpx.get(f"{site.url}gradio_api/call/presets/{event}").text
    assert httpx.get(f"{site.url}gradio_api/call/presets/{event}").status_code == 404
