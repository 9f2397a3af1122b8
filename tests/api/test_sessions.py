"""Sessions: limits that end no session in use, and results that stay private."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError

from enhance.i18n import translate
from enhance.settings import Settings
from enhance.web import preview
from enhance.web.owners import KEY_HEADER
from enhance.web.preview import state_of
from enhance.web.session import Session
from enhance.web.sessions import MAX_SESSIONS, MAX_SESSIONS_OF_ADDRESS, Sessions

from ..unit.pdf_text import text_of


def request(name: str, address: str, user: str | None = None, **headers: str) -> gr.Request:
    client = SimpleNamespace(host=address)
    return cast(gr.Request, SimpleNamespace(session_hash=name, username=user, client=client, headers=headers))


def test_many_pages_of_one_address_end_no_session_of_another(tmp_path):
    sessions = Sessions(tmp_path)
    other, own = sessions.get(request("other", "a")), sessions.get(request("own", "b"))
    setattr(own, "run", SimpleNamespace(is_over=False))  # noqa: B010 - a running job
    for number in range(2 * MAX_SESSIONS):
        sessions.get(request(f"page {number}", "b"))
    assert len(sessions) <= MAX_SESSIONS_OF_ADDRESS + 2
    assert sessions.get(request("other", "a")) is other
    assert sessions.get(request("own", "b")) is own


def test_a_tab_gets_its_session_again_only_for_the_same_owner(tmp_path):
    sessions, key, other_key = Sessions(tmp_path), {KEY_HEADER: "a" * 32}, {KEY_HEADER: "b" * 32}
    first = sessions.open(request("1", "a", **key), "tab")
    assert sessions.open(request("2", "b", **key), "tab") is first
    others = [request("3", "a", **other_key), request("4", "a"), request("5", "a", "ada", **key)]
    assert first not in [sessions.open(other, "tab") for other in others]
    assert sessions.open(request("6", "a", **key), "another tab") is not first


def test_pages_of_many_addresses_end_no_session_with_a_running_job(tmp_path):
    sessions = Sessions(tmp_path)
    working = []
    for number, part in enumerate(("run", "batch", "preview_request")):
        session = sessions.get(request(part, f"w{number}"))
        setattr(session, part, cast(Any, SimpleNamespace(is_over=False, stop=SimpleNamespace(set=lambda: None))))
        working.append((part, number, session))
    for number in range(2 * MAX_SESSIONS):
        sessions.get(request(f"page {number}", f"address {number}"))
    assert len(sessions) <= MAX_SESSIONS + 1
    for part, number, session in working:
        assert sessions.get(request(part, f"w{number}")) is session


def test_only_the_user_of_a_result_can_see_its_report_and_that_it_was_cached(site, connect, tmp_path):
    owner, stranger = connect(), connect()
    image = handle_file(site.photo("old.png", 24, 28))
    given = {"image": image, "preset": "anime-fast", "api_name": "/enhance"}
    first = owner.predict(**given)[1]
    for client, task_id in ((stranger, first["task_id"]), (owner, "0" * 32), (owner, "../secret")):
        with pytest.raises(AppError):
            client.predict(task_id=task_id, api_name="/report")
    stored = site.enhancer.tasks.processed / f"{first['task_id']}.json"
    stored.write_text(stored.read_text().replace(first["finished"], long_ago := "2020-02-02T02:02:02+00:00"))

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


def test_the_previews_of_many_pages_have_a_limited_size(call, monkeypatch):
    previews, page, other = call.services.previews, call.session, Session(call.session.folder.with_name("other"))
    photo, settings = previews.read(page.upload.path), Settings.from_preset("anime-fast")
    previews.set_photo(other, photo, settings, other.begin_choice())
    list(previews.make(page, settings))
    size = size_of(page)
    monkeypatch.setattr(preview, "_MAX_BYTES", size)

    list(previews.make(other, settings))
    assert (size_of(page), size_of(other)) == (0, size)
    assert [state_of(one) for one in (page, other)] == ["matches", "matches"]

    shown = page.preview_images
    list(previews.adjust(page, settings.changed(contrast=1.3)))
    assert (size_of(page), size_of(other)) == (size, 0)
    assert state_of(page) == "matches"
    assert page.preview_images.signature != shown.signature


def size_of(session: Session) -> int:
    kept = session.preview
    assert kept is not None
    return kept.before.nbytes + kept.after.nbytes + kept.region.network.nbytes
