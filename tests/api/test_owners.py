"""Owners: a client with a key owns its results in every session and through every interface, and
nobody else does."""

from __future__ import annotations

import io
import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from enhance.i18n import translate
from enhance.store.secret import read_secret
from enhance.web import regions
from enhance.web.addresses import Addresses
from enhance.web.owners import Owner

from ..site import Site, busy_device, wait_until
from ..unit.pdf_text import text_of
from .calls import FAST, answer_to, listen, status, submit, upload, upload_file, values_for

Connect = Callable[..., Client]


def new_key() -> dict[str, str]:
    return {"x-enhance-key": secrets.token_hex(16)}


def with_client(site: Site, connect: Connect, photo: Path, key: dict[str, str]) -> str:
    """Enhance a photo with `gradio_client` and return the id of the task."""
    _, info = connect(headers=key).predict(
        image=handle_file(photo), preset="anime-fast", api_name="/enhance"
    )
    return info["task_id"]


def with_named_parameters(site: Site, connect: Connect, photo: Path, key: dict[str, str]) -> str:
    """Enhance a photo with `call/v2` and return the id of the task."""
    given = {"image": upload_file(site.url, photo.name, photo.read_bytes()), **FAST}
    called = httpx.post(f"{site.url}gradio_api/call/v2/enhance", json=given, headers=key)
    return json.loads(listen(site, "enhance", called.json()["event_id"]).split("data: ")[-1])[1][
        "task_id"
    ]


def with_form(site: Site, connect: Connect, photo: Path, key: dict[str, str]) -> str:
    """Enhance a photo with a form and return the id of the task."""
    headers, files = {"accept": "application/json", **key}, {"image": photo.read_bytes()}
    answer = httpx.post(
        f"{site.url}api/enhance", files=files, data=FAST, headers=headers, timeout=60
    )
    return answer.json()["info"]["task_id"]


def with_agent(site: Site, connect: Connect, photo: Path, key: dict[str, str]) -> str:
    """Enhance a photo as an agent and return the id of the task."""
    test_agents = pytest.importorskip("tests.api.test_agents")
    arguments = {"image": test_agents.as_data(photo), **FAST}
    return test_agents.answer_to(site.url, "enhance", arguments, **key).structuredContent["info"][
        "task_id"
    ]


@pytest.mark.parametrize("enhance", [with_client, with_named_parameters, with_form, with_agent])
def test_a_key_gets_the_report_of_its_runs_in_another_session_and_others_do_not(
    site, connect, enhance
):
    key, photo = new_key(), site.photo(f"{enhance.__name__}.png", 20, 24)
    task_id = enhance(site, connect, photo, key)

    assert connect(headers=key).predict(task_id=task_id, api_name="/report").endswith(".pdf")
    assert "event: complete" in answer_to(site, "report", [task_id], key)
    for other in (new_key(), {}):
        assert "event: error" in answer_to(site, "report", [task_id], other)
        with pytest.raises(AppError, match="task_id"):
            connect(headers=other).predict(task_id=task_id, api_name="/report")


def test_an_agent_gets_a_report_by_its_key(site, connect):
    test_agents = pytest.importorskip("tests.api.test_agents")
    key = new_key()
    task_id = with_client(site, connect, site.photo("agent-key.png", 20, 24), key)
    answers = [
        test_agents.answer_to(site.url, "report", {"task_id": task_id}, **one)
        for one in (key, new_key(), {})
    ]
    assert [answer.isError for answer in answers] == [False, True, True]


@pytest.mark.parametrize(
    "key", ["", "short", "a" * 129, "a" * 31 + ".", "a" * 40 + "/..", "é" * 32]
)
def test_a_key_that_is_not_valid_is_rejected_with_one_sentence(site, http, errors, key):
    headers = {b"x-enhance-key": key.encode("latin-1"), b"accept-language": b"zh-CN"}
    image = ("photo.png", b"x")
    answers = [
        http.get("config", headers=headers),
        http.post("gradio_api/call/status", json={"data": []}, headers=headers),
        http.post("gradio_api/call/v2/status", json={}, headers=headers),
        http.post("gradio_api/queue/join", json={}, headers=headers),
        http.post("gradio_api/mcp/", json={}, headers=headers),
        http.post("gradio_api/upload", files={"files": image}, headers=headers),
        http.post("api/enhance", files={"image": image}, headers=headers),
    ]
    for answer in answers:
        assert answer.status_code == 400
        assert "x-enhance-key" in answer.json()["error"]
        assert answer.json()["error"].count("。") == 2
    assert errors() == []


def region_of(site: Site, address: str, headers: dict[str, str] | None = None) -> httpx.Response:
    box = {"left": 0, "top": 0, "width": 16, "height": 16, "step": 1}
    return httpx.get(f"{site.url}{address}", params=box, headers=headers)


def addresses_of(site: Site) -> Addresses:
    """Return the addresses as another server of the same data folder signs them."""
    tasks = site.enhancer.tasks
    return Addresses(read_secret(tasks.folder), {"page": site.page, "processed": tasks.processed})


def test_a_signed_address_sends_regions_without_a_header_and_not_to_another_owner(site, connect):
    key = new_key()
    owner = Owner(f"key {key['x-enhance-key']}", "")
    photo = Path(upload(site, "region.png", 16)["path"])
    task_id = with_client(site, connect, site.photo("region.png", 16, 16), key)
    signing = addresses_of(site)
    shown = signing.region_address(owner, "photo", photo)
    result = signing.region_address(owner, "result", site.enhancer.tasks.result_path(task_id))
    assert shown is not None
    assert result is not None
    for address in (shown, result):
        for headers in ({}, key):
            answer = region_of(site, address, headers)
            assert Image.open(io.BytesIO(answer.content)).size == (16, 16)
            assert "private" in answer.headers["cache-control"]
        assert region_of(site, address, new_key()).status_code == 404

    _, token, kind, folder, file = shown.split("/", 4)
    secret = site.enhancer.tasks.folder / ".enhance-secret"
    digest, expires, signature = token.split(".")
    guesses = [
        f"regions/{digest}.{expires}.{'0' * 64}/{kind}/{folder}/{file}",
        f"regions/{digest}.{expires}9.{signature}/{kind}/{folder}/{file}",
        f"regions/{'0' * 64}.{expires}.{signature}/{kind}/{folder}/{file}",
        f"regions/{token}/result/{folder}/{file}",
        f"regions/{token}/{kind}/processed/{task_id}.png",
        f"regions/{token}/{kind}/{folder}/{Path(file).parent}/other.png",
        f"regions/{token}/{kind}/{folder}/x/%2e%2e/{file}",
        f"regions/{token}/{kind}/{folder}/%2e%2e/{file}",
        f"regions/{token}/{kind}/{folder}/..%2f..%2f{secret.name}",
        f"regions/{token}/{kind}/{folder}/{secret}",
    ]
    assert {guess: region_of(site, guess).status_code for guess in guesses} == dict.fromkeys(
        guesses, 404
    )


def test_only_the_user_of_a_result_can_see_its_report_and_that_it_was_cached(
    site, connect, tmp_path
):
    owner, stranger = connect(), connect()
    image = handle_file(site.photo("old.png", 24, 28))
    given = {"image": image, "preset": "anime-fast", "api_name": "/enhance"}
    first = owner.predict(**given)[1]
    for client, task_id in ((stranger, first["task_id"]), (owner, "0" * 32), (owner, "../secret")):
        with pytest.raises(AppError):
            client.predict(task_id=task_id, api_name="/report")
    stored = site.enhancer.tasks.processed / f"{first['task_id']}.json"
    stored.write_text(
        stored.read_text().replace(first["finished"], long_ago := "2020-02-02T02:02:02+00:00")
    )

    infos = [client.predict(**given)[1] for client in (stranger, stranger, owner)]

    assert [info["cached"] for info in infos] == [False, True, True]
    assert not any(info["finished"] == long_ago for info in infos)
    assert infos[0]["finished"] == infos[1]["finished"] >= first["finished"]
    assert infos[2]["finished"] == first["finished"]
    for client, info in zip((stranger, stranger, owner), infos, strict=True):
        report = Path(client.predict(task_id=info["task_id"], api_name="/report"))
        assert report.name == "old-4x-report.pdf"
        words = text_of(report.read_bytes(), tmp_path)
        assert (translate("en", "report_cached") in words) == info["cached"]
        assert "2020" not in words
    batch = {"images": [image], "preset": "anime-fast", "api_name": "/batch"}
    assert connect().predict(**batch)[1]["files"][0]["info"]["cached"] is False


def test_an_expired_address_and_one_of_a_deleted_file_are_not_found(site, monkeypatch):
    photo = Path(upload(site, "expired.png", 17)["path"])
    owner = Owner("session a", "")
    address = addresses_of(site).region_address(owner, "photo", photo)
    assert address is not None
    assert region_of(site, address).status_code == 200
    monkeypatch.setattr("enhance.web.addresses.VALID_SECONDS", -7200)
    expired = addresses_of(site).region_address(owner, "photo", photo)
    monkeypatch.undo()
    assert expired is not None
    assert region_of(site, expired).status_code == 404
    gone = addresses_of(site).region_address(owner, "photo", photo.with_name("gone.png"))
    assert gone is not None
    assert region_of(site, gone).status_code == 404


def test_invented_keys_and_sessions_get_no_larger_share_of_the_queue(site):
    values = values_for("enhance", upload(site, "keys.png", 36))
    with busy_device(site.enhancer.scheduler):
        sessions = [f"invented {number}" for number in range(15)]
        answers = [
            submit(site, "enhance", values, new_key(), session_hash=name) for name in sessions
        ]
        wait_until(lambda: status(site)["waiting"] == 15)
        extra = answer_to(site, "enhance", values, new_key())
        assert "event: error" in extra
        answers.append(
            submit(site, "enhance", values, {**new_key(), "x-forwarded-for": "203.0.113.9"})
        )
        wait_until(lambda: status(site)["waiting"] == 16)
    assert all("event: complete" in answer.result() for answer in answers)


def test_invented_owners_get_no_larger_share_of_the_regions(site, monkeypatch):
    photo, signing = Path(upload(site, "owners.png", 18)["path"]), addresses_of(site)
    addresses = [
        signing.region_address(Owner(f"session {n}", ""), "photo", photo) for n in range(60)
    ]
    released, create = threading.Event(), regions.encode_for_screen

    def create_later(*given: Any) -> Any:
        released.wait(60)
        return create(*given)

    monkeypatch.setattr(regions, "encode_for_screen", create_later)
    statuses = Counter[int]()

    def request(address: str | None) -> None:
        assert address is not None
        statuses[region_of(site, address).status_code] += 1

    with ThreadPoolExecutor(60) as threads:
        sent = [threads.submit(request, address) for address in addresses]
        wait_until(lambda: statuses[429] >= 60 - regions._PER_ADDRESS)
        released.set()
    assert all(one.exception() is None for one in sent)
    assert statuses == {200: regions._PER_ADDRESS, 429: 60 - regions._PER_ADDRESS}
