"""The public endpoints and parameters, and files that they do not reveal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from gradio_client import Client, handle_file

from app import build_demo
from enhance import PRESETS

from ..site import ADDED_SETTINGS, SETTINGS
from ..user_models import add_models
from .calls import ENDPOINTS, VALUES, answer_to, fill_in


def test_only_the_documented_endpoints_are_public(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == ENDPOINTS
    for name, described in endpoints.items():
        assert described["description"], name


@pytest.mark.parametrize(
    ("endpoint", "own"), [("/enhance", {}), ("/preview", {"x": None, "y": None, "size": 128}), ("/batch", {})]
)
def test_parameters_have_their_names_and_defaults(client, endpoint, own):
    parameters = client.view_api(return_format="dict")["named_endpoints"][endpoint]["parameters"]
    assert [one["parameter_name"] for one in parameters] == [
        "images" if endpoint == "/batch" else "image",
        *own,
        *SETTINGS,
        *ADDED_SETTINGS,
        *(["name_pattern"] if endpoint == "/batch" else []),
    ]
    defaults = {one["parameter_name"]: one.get("parameter_default") for one in parameters[1:]}
    assert defaults.pop("name_pattern", None) is None
    assert defaults == own | SETTINGS | ADDED_SETTINGS
    assert all(one["parameter_has_default"] for one in parameters[1:])


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
    assert range_of(endpoints, "contrast") == (0.5, 1.5)
    assert "Literal['auto', 'gentle', " in text


def range_of(endpoints: dict[str, Any], name: str) -> tuple[float, float]:
    schema = next(one["type"] for one in endpoints["/enhance"]["parameters"] if one["parameter_name"] == name)
    return schema["minimum"], schema["maximum"]


def test_a_user_model_is_one_of_the_presets(site):
    with add_models("compact-2x"):
        parameters = build_demo(site.enhancer).get_api_info()["named_endpoints"]["/enhance"]["parameters"]
    assert parameters[1]["type"]["enum"] == [*PRESETS, "compact-2x"]


@pytest.mark.parametrize("endpoint", ["enhance", "preview", "compare", "batch"])
@pytest.mark.parametrize(
    "image",
    [
        "{secret}",
        {"path": "{secret}"},
        {"path": "{secret}", "meta": {"_type": "gradio.FileData"}},
        {"path": "{secret}", "url": "file://{secret}", "meta": {"_type": "gradio.FileData"}},
    ],
)
def test_a_path_of_the_server_is_rejected(site, tmp_path, endpoint, image):
    secret = site.photo("../secret.png", 16, 16)
    body = fill_in(image, secret=str(secret))
    square = [None, None, 16] if endpoint in ("preview", "compare") else []
    body = [body] if endpoint == "batch" else body
    values = [] if endpoint == "compare" else VALUES
    calls = site.enhancer.calls.copy()

    answer = answer_to(site, endpoint, [body, *square, *values])

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


KINDS = pytest.mark.parametrize("kind", ["result", "upload", "network", "report"])


@KINDS
@pytest.mark.parametrize("way", ["{path}", "{relative}", "{doubled}", "%2F{encoded}", "{through}"])
def test_files_of_the_data_folder_are_not_served(site, stored, kind, way):
    path, page = stored[kind], site.page
    assert path.is_file()
    assert page.is_dir()
    forms = {
        "path": path,
        "relative": os.path.relpath(path),
        "doubled": f"/{path}",
        "encoded": quote(str(path)[1:], safe=""),
        "through": f"{page}/{os.path.relpath(path, page)}".replace("..", "%2E%2E"),
    }
    for route in ("file=", "file/"):
        answer = httpx.get(f"{site.url}gradio_api/{route}{way.format(**forms)}", follow_redirects=True)
        assert answer.status_code in (400, 403, 404), answer.url


@KINDS
@pytest.mark.parametrize(
    "image",
    [
        "{path}",
        {"path": "{path}"},
        {"path": "{path}", "meta": {"_type": "gradio.FileData"}},
        {"path": "{path}", "url": "{site}gradio_api/file={path}", "meta": {"_type": "gradio.FileData"}},
        {"path": None, "url": "{site}gradio_api/file={path}", "meta": {"_type": "gradio.FileData"}},
    ],
)
def test_files_of_the_data_folder_are_not_accepted_as_input(site, stored, kind, image):
    runs = site.enhancer.calls.copy()

    answer = answer_to(site, "enhance", [fill_in(image, path=str(stored[kind]), site=site.url), *VALUES])

    assert "event: complete" not in answer
    assert site.enhancer.calls == runs


@KINDS
def test_files_of_the_data_folder_are_not_reports(site, stored, kind):
    for task_id in (stored[kind].stem, str(stored[kind]), f"../{stored[kind].parent.name}/{stored[kind].stem}"):
        answer = answer_to(site, "report", [task_id])
        assert "event: error" in answer


def test_the_health_check_works(site):
    answer = httpx.get(f"{site.url}healthz")
    assert answer.status_code == 200
    assert answer.json() == {"alive": True, "ready": True, "version": "0.1.0"}
