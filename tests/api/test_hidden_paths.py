"""No message for a remote user contains a path of the server, by whichever way the call came."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from enhance.errors import EnhanceError, PictureError, SettingsError, StorageError, WeightsError
from enhance.i18n import LANGUAGES
from enhance.web import run
from enhance.web import upload as upload_step
from enhance.web.views import Call

from ..site import Site
from . import test_agents as agents
from .calls import FAST_VALUES, answer_to, upload

ROOT = Path("/srv/secret-data")
REMOTE = {"x-forwarded-for": "203.0.113.7"}
UNREADABLE = OSError(f"cannot identify image file '{ROOT}/a.png'")
ERRORS: dict[str, EnhanceError] = {
    "disk_short": StorageError("disk_short", folder=ROOT, free="1 MB", needed="2 MB"),
    "not_permitted": StorageError("not_permitted", name="a.png", folder=ROOT),
    "not_written": StorageError("not_written", name="a.png", folder=ROOT, reason=OSError(5, "?")),
    "own_input": StorageError("own_input", output=ROOT / "a.png"),
    "faces_detector_missing": WeightsError("faces_detector_missing", path=ROOT / "a.onnx"),
    "weights_folder_full": StorageError("weights_folder_full", folder=ROOT),
    "an error without a number": PictureError("image_unopened", name="a.png", reason=UNREADABLE),
    "an error inside": SettingsError("model_unusable", reason=WeightsError("weights_changed", name="a", path=ROOT)),
    "errors in a list": EnhanceError(
        "weights_skipped", name="a", reason=[StorageError("weights_folder_none", folder=ROOT)]
    ),
}


def gradio(site: Site, photo: Path, headers: dict[str, str]) -> str:
    return answer_to(site, "enhance", [upload(site, photo.name), *FAST_VALUES], headers)


def batch(site: Site, photo: Path, headers: dict[str, str]) -> str:
    return answer_to(site, "batch", [[upload(site, photo.name)], *FAST_VALUES], headers)


def http(site: Site, photo: Path, headers: dict[str, str]) -> str:
    with photo.open("rb") as file:
        return httpx.post(f"{site.url}api/enhance", files={"image": file}, headers=headers, timeout=60).text


def agent(site: Site, photo: Path, headers: dict[str, str]) -> str:
    pytest.importorskip("mcp")
    with photo.open("rb") as file:
        path = httpx.post(f"{site.url}gradio_api/upload", files={"files": file}).json()[0]
    answer = agents.answer_to(site.url, "enhance", {"image": f"{site.url}gradio_api/file={path}"}, **headers)
    return json.dumps(answer.content[0].text)


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("way", [gradio, batch, http, agent])
def test_a_remote_client_sees_no_path(site: Site, way: Callable[..., str], name: str):
    photo, error = site.photo("paths.png", 16, 16), ERRORS[name]
    with site.enhancer.failing("run", error):
        for language in LANGUAGES:
            answer = way(site, photo, {**REMOTE, "accept-language": language})
            assert "secret-data" not in answer
        administrator = way(site, photo, {})
    assert str(ROOT) in administrator


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_no_path(call: Call, language: str, name: str):
    enhancer: Any = call.services.enhancer
    request: Any = call.request
    request.headers = {"accept-language": language}
    with enhancer.failing("run", ERRORS[name]):
        run.start_run(call)
        message = str(list(run.follow_run(call))[-1][call.page.run.progress])
    assert "problem" in message
    assert "secret-data" not in message


@pytest.mark.parametrize("name", ERRORS)
def test_the_estimate_shows_no_path(call: Call, name: str):
    enhancer: Any = call.services.enhancer
    with enhancer.failing("estimate", ERRORS[name]):
        message = upload_step.estimate(call)[call.page.upload.estimate]
    assert "note" in message
    assert "secret-data" not in message


@pytest.mark.parametrize(
    ("name", "status"), [("faces_detector_missing", 503), ("disk_short", 507), ("not_permitted", 507)]
)
def test_an_error_of_the_server_has_the_same_status_for_every_client(site: Site, name: str, status: int):
    photo = site.photo("status.png", 16, 16)
    with site.enhancer.failing("run", ERRORS[name]):
        for headers in ({}, REMOTE):
            with photo.open("rb") as file:
                answer = httpx.post(f"{site.url}api/enhance", files={"image": file}, headers=headers, timeout=60)
            assert answer.status_code == status


def test_the_command_line_shows_paths():
    for error in ERRORS.values():
        assert str(ROOT) in str(error)


def test_a_remote_user_learns_how_much_space_is_missing(call: Call):
    request: Any = call.request
    error = call.services.visible_error(request, ERRORS["disk_short"])
    for language in LANGUAGES:
        assert {"1 MB", "2 MB"} <= set(re.findall(r"\d MB", error.message(language)))
