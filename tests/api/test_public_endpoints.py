"""The public endpoints and parameters, and files that they do not reveal."""

import os
from urllib.parse import quote

import pytest

from ..site import ADDED_SETTINGS, SETTINGS
from .calls import ENDPOINTS, answer_to


def test_the_public_endpoints_and_all_their_parameters_are_described(client, http):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    paths = http.get("gradio_api/openapi.json").json()["paths"]
    assert set(endpoints) == ENDPOINTS
    for endpoint, described in endpoints.items():
        assert described["description"], endpoint
        path = next(one for name, one in paths.items() if name.endswith(endpoint))
        shown = path["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
        for one in described["parameters"]:
            name, meaning = one["parameter_name"], one["python_type"]["description"]
            assert meaning, (endpoint, name)
            if one["type"].get("deprecated"):
                assert name not in shown
            elif name not in ("image", "images"):  # Gradio describes how to send a file
                assert shown[name]["description"] == meaning
    types = {one["parameter_name"]: one["type"] for one in endpoints["/enhance"]["parameters"]}
    assert (types["contrast"]["minimum"], types["contrast"]["maximum"]) == (0.5, 1.5)


RECTANGLE = dict.fromkeys(("left", "top", "width", "height"))


@pytest.mark.parametrize(
    ("endpoint", "image", "first", "last"),
    [
        ("/enhance", "image", {}, {"job": ""}),
        ("/preview", "image", {"x": None, "y": None, "size": 128}, {**RECTANGLE, "largest": False}),
        ("/batch", "images", {}, {"largest": False, "job": ""}),
    ],
)
def test_parameters_have_their_names_and_defaults(client, endpoint, image, first, last):
    file, *others = client.view_api(return_format="dict")["named_endpoints"][endpoint]["parameters"]
    defaults = {one["parameter_name"]: one.get("parameter_default") for one in others}
    assert file["parameter_name"] == image
    assert list(defaults.items()) == list((first | SETTINGS | ADDED_SETTINGS | last).items())
    assert all(one["parameter_has_default"] for one in others)


@pytest.mark.parametrize("kind", ["result", "upload", "network", "report", "marker", "secret"])
def test_stored_files_are_not_served_and_not_accepted_as_reports(site, http, stored, kind):
    path = stored[kind]
    relative = os.path.relpath(path, site.page)
    assert path.is_file()
    for form in (
        path,
        f"/{path}",
        f"%2F{quote(str(path)[1:], safe='')}",
        f"{site.page}/{relative}".replace("..", "%2E%2E"),
        f"{site.page}/results/../{relative}",
        f"{path}/.",
    ):
        for route in ("file=", "file/"):
            answer = http.get(f"gradio_api/{route}{form}", follow_redirects=True)
            assert answer.status_code in (400, 403, 404), answer.url
    for task_id in (path.stem, str(path), f"../{path.parent.name}/{path.stem}"):
        assert "event: error" in answer_to(site, "report", [task_id])


def test_the_health_check_works(http):
    answer = http.get("healthz")
    assert answer.status_code == 200
    assert answer.json() == {"alive": True, "ready": True, "version": "0.1.0"}
