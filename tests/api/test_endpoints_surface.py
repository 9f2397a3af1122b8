"""What the API shows, and what it does not let through."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

PUBLIC = {"/enhance", "/preview", "/batch", "/report", "/presets", "/status"}
SETTINGS = {
    "preset": "gentle",
    "scale": 4,
    "tuning": True,
    "strength": None,
    "denoise": None,
    "sharpen": None,
    "saturation": None,
    "contrast": None,
    "tile": 192,
}


def test_only_the_promised_endpoints_are_public_and_each_is_described(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == PUBLIC
    for name, described in endpoints.items():
        assert described["description"], name


@pytest.mark.parametrize(
    ("endpoint", "own"), [("/enhance", {}), ("/preview", {"x": None, "y": None, "size": 128}), ("/batch", {})]
)
def test_parameters_have_their_promised_names_and_defaults(client, endpoint, own):
    parameters = client.view_api(return_format="dict")["named_endpoints"][endpoint]["parameters"]
    assert [one["parameter_name"] for one in parameters] == [
        "images" if endpoint == "/batch" else "image",
        *own,
        *SETTINGS,
    ]
    assert {one["parameter_name"]: one.get("parameter_default") for one in parameters[1:]} == own | SETTINGS
    assert all(one["parameter_has_default"] for one in parameters[1:])


@pytest.mark.parametrize("endpoint", ["enhance", "preview", "batch"])
@pytest.mark.parametrize(
    "image",
    [
        "{secret}",
        {"path": "{secret}"},
        {"path": "{secret}", "meta": {"_type": "gradio.FileData"}},
        {"path": "{secret}", "url": "file://{secret}", "meta": {"_type": "gradio.FileData"}},
    ],
)
def test_a_path_of_the_server_is_refused(site, tmp_path, endpoint, image):
    secret = site.photo("../secret.png", 16, 16)
    body = json.loads(json.dumps(image).replace("{secret}", str(secret)))
    square = [None, None, 16] if endpoint == "preview" else []
    body = [body] if endpoint == "batch" else body
    runs = site.enhancer.runs + site.enhancer.previews

    called = httpx.post(
        f"{site.url}gradio_api/call/{endpoint}", json={"data": [body, *square, *SETTINGS.values()]}, timeout=20
    )

    answer = called.text
    if called.status_code == 200:
        event = called.json()["event_id"]
        answer = httpx.get(f"{site.url}gradio_api/call/{endpoint}/{event}", timeout=20).text
        assert "event: error" in answer
    assert "processed" not in answer
    assert site.enhancer.runs + site.enhancer.previews == runs


def test_results_and_uploads_of_the_data_folder_are_not_served(site, client):
    for path in (site.enhancer.tasks.folder / "processed" / "x.png", Path("/etc/passwd")):
        assert httpx.get(f"{site.url}gradio_api/file={path}").status_code in (403, 404)


def test_the_health_check_answers_without_a_login(site):
    answer = httpx.get(f"{site.url}healthz")
    assert (answer.status_code, answer.text) == (200, "ok")
