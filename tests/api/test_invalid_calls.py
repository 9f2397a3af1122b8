"""Mistyped calls get a message with the mistake, in the language of the client."""

import re

import pytest

from enhance.web.params import API_SETTINGS

from .calls import META, VALUES

COUNT = str(len(("image", *API_SETTINGS, "job")))
FOREIGN = {"path": "private.png", "meta": META}
CALLS = [
    ("call/v2/enhance", {"nope": 1}, 400, "nope"),
    ("call/v2/enhance", {"image": None, "print_fit": "border"}, 400, "print_fit"),
    ("call/v2/batch", {"images": [], "name_pattern": "{n}"}, 400, "photo-4x.png"),
    ("call/v2/enhance", {}, 400, "image"),
    ("call/v2/enhance", {"image": FOREIGN}, 400, ""),
    ("call/nothing", {"data": []}, 404, "nothing"),
    ("queue/join", {"data": [], "fn_index": 99999, "session_hash": "a"}, 404, "fn_index"),
    ("call/enhance", {"data": "x"}, 400, "data"),
    ("call/enhance", {"data": [None, *VALUES, *[1] * 9]}, 400, COUNT),
    ("call/batch", {"data": [[FOREIGN], *VALUES]}, 400, ""),
]


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize(("route", "body", "status", "word"), CALLS)
def test_a_mistyped_call_is_rejected_with_a_message(http, route, body, status, word, language):
    answer = http.post(f"gradio_api/{route}", json=body, headers={"accept-language": language})
    detail = answer.json()["detail"]
    assert answer.status_code == status
    assert answer.json()["error"] == detail
    assert word in detail
    assert bool(re.search("[一-鿿]", detail)) == (language == "zh-CN")


def test_the_queue_accepts_only_the_functions_of_endpoints(http, indexes):
    config = http.get("config").json()
    private = [one["id"] for one in config["dependencies"] if one["id"] not in indexes.values()]
    assert private, "the events of the page"
    for index in (*private, -1, 1.5, "enhance"):
        call = {"data": [None] * 60, "fn_index": index, "session_hash": "a"}
        assert http.post("gradio_api/queue/join", json=call).status_code == 404
