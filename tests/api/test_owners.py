"""Owners: a client with a key owns its results in every session and through every interface, and
nobody else does."""

import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from gradio_client.exceptions import AppError

from enhance.i18n import translate
from enhance.store.secret import read_secret
from enhance.web import regions
from enhance.web.addresses import Addresses
from enhance.web.owners import Owner

from ..site import wait_until
from ..unit.pdf_text import text_of
from .calls import FAST, REMOTE, upload
from .users import User, new_key


def by_client(site, user, photo):
    """Enhance a photo with `gradio_client` and return the id of the task."""
    return user.call("enhance", photo)[1]["task_id"]


def by_form(site, user, photo):
    files = {"image": photo.read_bytes()}
    answer = httpx.post(f"{site.url}api/enhance", files=files, data=FAST, headers=user.headers)
    return answer.headers["enhance-task-id"]


def by_agent(site, user, photo):
    agents = pytest.importorskip("tests.api.test_agents")
    arguments = {"image": agents.as_data(photo), **FAST}
    answer = agents.answer_to(site.url, "enhance", arguments, **user.headers)
    return answer.structuredContent["info"]["task_id"]


@pytest.mark.parametrize("enhance", [by_client, by_form, by_agent])
def test_a_key_gets_the_report_of_its_runs_through_every_interface_and_others_do_not(
    site, owner, connect, enhance
):
    agents = pytest.importorskip("tests.api.test_agents")
    photo = site.photo(f"{enhance.__name__}.png", 20, 24)
    task_id = enhance(site, owner, photo)

    assert owner.again().call("report", task_id).endswith(".pdf")
    for other in (User(connect), User(connect, {})):
        with pytest.raises(AppError, match="task_id"):
            other.call("report", task_id)
    errors = [
        agents.answer_to(site.url, "report", {"task_id": task_id}, **headers).isError
        for headers in (owner.headers, new_key(), {})
    ]
    assert errors == [False, True, True]


@pytest.mark.parametrize("key", ["", "a" * 31 + "."])
def test_a_key_that_is_not_valid_is_rejected_by_every_route(http, key):
    headers = {"x-enhance-key": key, "accept-language": "zh-CN"}
    image = {"image": ("photo.png", b"x")}
    answers = [http.get("config", headers=headers)]
    for route in ("call/status", "call/v2/status", "queue/join", "mcp/"):
        answers.append(http.post(f"gradio_api/{route}", json={}, headers=headers))
    for route in ("gradio_api/upload", "api/enhance"):
        answers.append(http.post(route, files=image, headers=headers))
    for answer in answers:
        assert answer.status_code == 400
        assert re.search("x-enhance-key.*[一-鿿]", answer.json()["error"])


def status_of_region(site, address, headers=None):
    box = {"left": 0, "top": 0, "width": 16, "height": 16, "step": 1}
    answer = httpx.get(f"{site.url}{address}", params=box, headers=headers)
    if answer.status_code == 200:
        assert "private" in answer.headers["cache-control"]
    return answer.status_code


def test_an_address_sends_regions_without_a_header_and_not_to_another_owner(site, owner):
    _, info = owner.call("enhance", site.photo("region.png", 16, 16))
    for address in info["regions"].values():
        assert status_of_region(site, address) == 200
        assert status_of_region(site, address, owner.headers) == 200
        assert status_of_region(site, address, new_key()) == 404

    _, token, kind, folder, file = info["regions"]["photo"].split("/", 4)
    secret = site.enhancer.tasks.folder / ".enhance-secret"
    digest, expires, signature = token.split(".")
    for guess in (
        f"{digest}.{expires}.{'0' * 64}/{kind}/{folder}/{file}",
        f"{digest}.{expires}9.{signature}/{kind}/{folder}/{file}",
        f"{'0' * 64}.{expires}.{signature}/{kind}/{folder}/{file}",
        f"{token}/result/{folder}/{file}",
        f"{token}/{kind}/processed/{info['task_id']}.png",
        f"{token}/{kind}/{folder}/x/%2e%2e/{file}",
        f"{token}/{kind}/{folder}/..%2f..%2f{secret.name}",
        f"{token}/{kind}/{folder}/{secret}",
    ):
        assert status_of_region(site, f"regions/{guess}") == 404, guess


def test_only_the_user_of_a_result_can_see_its_report_and_that_it_was_cached(
    site, owner, connect, tmp_path
):
    photo = site.photo("old.png", 24, 28)
    stranger = User(connect)
    _, first = owner.call("enhance", photo)
    for task_id in (first["task_id"], "../secret"):
        with pytest.raises(AppError):
            stranger.call("report", task_id)
    stored = site.enhancer.tasks.processed / f"{first['task_id']}.json"
    long_ago = "2020-02-02T02:02:02+00:00"
    stored.write_text(stored.read_text().replace(first["finished"], long_ago))

    users = stranger, stranger, owner
    infos = [user.call("enhance", photo)[1] for user in users]

    assert [info["cached"] for info in infos] == [False, True, True]
    assert infos[0]["finished"] == infos[1]["finished"] >= first["finished"]
    assert infos[2]["finished"] == first["finished"]
    for user, info in zip(users, infos, strict=True):
        report = Path(user.call("report", info["task_id"]))
        words = text_of(report.read_bytes(), tmp_path)
        assert (translate("en", "report_cached") in words) == info["cached"]
        assert "2 February 2020" not in words


def test_owners_and_invented_owners_of_an_address_get_no_larger_share_of_the_regions(
    site, monkeypatch
):
    photo = Path(upload(site, "owners.png", 18)["path"])
    signing = Addresses(read_secret(site.enhancer.tasks.folder), {"page": site.page})
    released = threading.Event()
    create = regions.encode_for_screen

    def create_later(*given):
        released.wait(60)
        return create(*given)

    monkeypatch.setattr(regions, "encode_for_screen", create_later)
    statuses = Counter[int]()

    def request(owner, headers=None):
        address = signing.region_address(Owner(f"session {owner}", ""), "photo", photo)
        statuses[status_of_region(site, str(address), headers)] += 1

    with ThreadPoolExecutor(60) as threads:
        for _ in range(10):
            threads.submit(request, "one owner")
        wait_until(lambda: statuses[429] == 10 - 8)
        for number in range(30):
            threads.submit(request, f"owner {number}")
        wait_until(lambda: statuses[429] == 2 + 30 - (24 - 8))
        elsewhere = threads.submit(request, "one more", REMOTE)
        released.set()
        elsewhere.result()
    assert statuses == {200: 24 + 1, 429: 16}
