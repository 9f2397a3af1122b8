"""The public endpoints and parameters, and files that they do not reveal."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from gradio_client import Client, handle_file

from app import build_demo
from enhance import PRESETS

from ..site import ADDED_SETTINGS, SETTINGS
from ..user_models import add_models
from .calls import ENDPOINTS, META, VALUES, answer_to, fill_in


def test_only_the_documented_endpoints_are_public(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == ENDPOINTS
    for name, described in endpoints.items():
        assert described["description"], name


@pytest.mark.parametrize(
    ("endpoint", "own"), [("/enhance", {}), ("/preview", {"x": None, "y": None, "size": 128}), ("/batch", {})]
)
def test_parameters_have_their_names_and_defaults(client, endpoint, own):
    first, *others = client.view_api(return_format="dict")["named_endpoints"][endpoint]["parameters"]
    defaults = {one["parameter_name"]: one.get("parameter_default") for one in others}
    assert first["parameter_name"] == ("images" if endpoint == "/batch" else "image")
    assert list(defaults.items()) == list((own | SETTINGS | ADDED_SETTINGS).items())
    assert all(one["parameter_has_default"] for one in others)


def test_every_parameter_is_described_in_all_documents_of_the_api(site, client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    paths = httpx.get(f"{site.url}gradio_api/openapi.json").json()["paths"]
    text = client.view_api(return_format="str")
    for endpoint, described in endpoints.items():
        path = next(one for name, one in paths.items() if name.endswith(endpoint))
        shown = path["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
        for one in described["parameters"]:
            name, meaning = one["parameter_name"], one["python_type"]["description"]
            assert meaning in text, (endpoint, name)
            if name not in ("image", "images"):  # Gradio describes how to send a file
                assert shown[name]["description"] == meaning
    types = {one["parameter_name"]: one["type"] for one in endpoints["/enhance"]["parameters"]}
    assert (types["contrast"]["minimum"], types["contrast"]["maximum"]) == (0.5, 1.5)
    assert "Literal['auto', 'gentle', " in text


def test_a_user_model_is_one_of_the_presets(site):
    with add_models("compact-2x"):
        parameters = build_demo(site.enhancer).get_api_info()["named_endpoints"]["/enhance"]["parameters"]
    assert parameters[1]["type"]["enum"] == [*PRESETS, "compact-2x"]


FILES = [
    "{path}",
    {"path": "{path}"},
    {"path": "{path}", "meta": META},
    {"path": "{path}", "url": "file://{path}", "meta": META},
    {"path": "{path}", "url": "{site}gradio_api/file={path}", "meta": META},
    {"path": None, "url": "{site}gradio_api/file={path}", "meta": META},
]
"""Inputs that refer to a file of the server, in every form."""


@pytest.mark.parametrize("endpoint", ["enhance", "preview", "compare", "batch"])
def test_a_path_of_the_server_is_rejected(site, endpoint):
    secret, calls = site.photo("../secret.png", 16, 16), site.enhancer.calls.copy()
    area = [None, None, 16] if endpoint in ("preview", "compare") else []
    for file in FILES:
        image = fill_in([file] if endpoint == "batch" else file, path=str(secret), site=site.url)
        answer = answer_to(site, endpoint, [image, *area, *([] if endpoint == "compare" else VALUES)])
        assert "event: complete" not in answer
        assert "processed" not in answer
    assert site.enhancer.calls == calls


@pytest.fixture(scope="module")
def stored(site) -> dict[str, Path]:
    """Files that the data folder stores of another user's run, one of each kind."""
    client = Client(site.url, download_files=False, verbose=False, analytics_enabled=False)
    image = handle_file(site.photo("private.png", 24, 24))
    _, info = client.predict(image=image, preset="anime-fast", api_name="/enhance")
    client.predict(task_id=info["task_id"], api_name="/report")
    client.close()
    tasks = site.enhancer.tasks
    upload = tasks.upload_path(info["input"]["sha256"], "private.png")
    newest = max(tasks.network.glob("*.raw"), key=lambda path: path.stat().st_mtime)
    (report,) = tasks.reports.glob(f"{info['task_id']}-*.pdf")
    return {"result": tasks.result_path(info["task_id"]), "upload": upload, "network": newest, "report": report}


@pytest.mark.parametrize("kind", ["result", "upload", "network", "report"])
def test_files_of_the_data_folder_are_not_served_and_not_accepted_as_inputs_or_reports(site, stored, kind):
    path, page, calls = stored[kind], site.page, site.enhancer.calls.copy()
    assert path.is_file()
    through = f"{page}/{os.path.relpath(path, page)}".replace("..", "%2E%2E")
    for form in (path, os.path.relpath(path), f"/{path}", f"%2F{quote(str(path)[1:], safe='')}", through):
        for route in ("file=", "file/"):
            answer = httpx.get(f"{site.url}gradio_api/{route}{form}", follow_redirects=True)
            assert answer.status_code in (400, 403, 404), answer.url
    for file in FILES:
        answer = answer_to(site, "enhance", [fill_in(file, path=str(path), site=site.url), *VALUES])
        assert "event: complete" not in answer
    for task_id in (path.stem, str(path), f"../{path.parent.name}/{path.stem}"):
        assert "event: error" in answer_to(site, "report", [task_id])
    assert site.enhancer.calls == calls


def test_the_health_check_works(site):
    answer = httpx.get(f"{site.url}healthz")
    assert answer.status_code == 200
    assert answer.json() == {"alive": True, "ready": True, "version": "0.1.0"}
