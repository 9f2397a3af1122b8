"""Each private part of Gradio that the app changes or reads, so that a new version of Gradio shows what broke."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.http_server
import gradio.utils
import httpx
import pytest
import safehttpx
from gradio import route_utils
from gradio.data_classes import FileData
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from enhance.web import gradio_changes as changes


class ScopeRecorder:
    """Middleware that keeps the scopes of requests."""

    scopes: list[Scope] = []  # noqa: RUF012

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.scopes.append(scope)
        await self._app(scope, receive, send)


EVENTS: list[str | None] = []


def describe(image: str | None) -> str:
    EVENTS.append(changes.current_event())
    return repr(image)


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Iterator[tuple[gr.Blocks, str]]:
    """A small app with a login and one endpoint, and its address."""
    changes.change_gradio()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        with gr.Blocks() as demo:
            file, answer, button = gr.File(label="image"), gr.Textbox(), gr.Button()
            changes.accept_any_file_value(file)
            changes.describe_input(file, {"type": "string", "description": "An image."})
            button.click(describe, file, answer, api_name="describe", show_progress="hidden")
        middleware = [Middleware(ScopeRecorder)]
        options: dict[str, Any] = {"auth": ("ada", "secret"), "app_kwargs": {"middleware": middleware}}
        _, url, _ = demo.launch(quiet=True, prevent_thread_lock=True, **options)
        yield demo, url
        demo.close()


@pytest.fixture(scope="module")
def client(app: tuple[gr.Blocks, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app[1], timeout=30) as client:
        client.get("/config")
        assert client.post("/login", data={"username": "ada", "password": "secret"}).is_success
        yield client


def test_addresses_of_clients_are_not_fetched():
    changes.change_gradio()
    for function in (safehttpx.get, safehttpx.async_validate_url):
        with pytest.raises(PermissionError):
            asyncio.run(function("http://example.com/image.png"))


def test_a_file_input_makes_no_temporary_file(tmp_path, monkeypatch):
    changes.change_gradio()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert gr.File().preprocess(FileData(path="/a/b.png")) == "/a/b.png"
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_of_an_upload_are_deleted_unless_they_were_moved(tmp_path):
    changes.change_gradio()
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\nx\r\n'

    async def stream() -> AsyncGenerator[bytes, None]:
        yield part % b"a" + part % b"b" + b"--x--\r\n"

    headers = Headers({"content-type": "multipart/form-data; boundary=x"})
    with changes.delete_files_of_request():
        parser = route_utils.GradioMultiPartParser(headers, stream(), upload_dir=tmp_path, max_file_size=9)
        left, moved = (one.file for one in asyncio.run(parser.parse()).getlist("files") if not isinstance(one, str))
        Path(moved.name or "").rename(tmp_path / "upload.png")
    assert [path.name for path in tmp_path.iterdir()] == ["upload.png"]
    assert left.closed


def test_only_the_scale_accepts_a_number_that_is_not_a_choice():
    changes.change_gradio()
    assert gr.Radio([1, 2], elem_id="scale").preprocess(4) == 4
    with pytest.raises(gr.Error):
        gr.Radio([1, 2], elem_id="reduce").preprocess(4)


def test_an_update_replaces_the_one_before_it():
    changes.change_gradio()
    new = {"__type__": "update"}
    assert gradio.utils.diff({**new, "visible": True}, new) == [("replace", [], new)]
    assert gradio.utils.diff(new, new) == []


def test_apps_are_launched_with_the_given_server_class(monkeypatch):
    monkeypatch.setattr(gradio.http_server, "Server", gradio.http_server.Server)
    own = type("Server", (gradio.http_server.Server,), {})
    changes.use_server_class(own)
    assert gradio.http_server.Server is own


def test_hidden_progress_is_assigned_to_one_component(app):
    demo, _ = app
    component = next(iter(demo.blocks.values()))
    changes.show_hidden_progress_on(demo, component)
    assert [event.show_progress_on for event in demo.fns.values() if event.api_name == "describe"] == [[component]]


def test_components_functions_and_uploads_of_an_app_are_found(app, client):
    demo, _ = app
    assert all(demo.blocks[changes.component_id(block)] is block for block in demo.blocks.values())
    assert [one.api_name for one in changes.functions_of(demo).values()] == ["describe"]
    (path,) = client.post("/gradio_api/upload", files={"files": ("a.png", b"abc")}).json()
    assert path in changes.uploaded_files(demo)


def test_only_events_of_the_queue_exist(app, client):
    demo, _ = app
    event = client.post("/gradio_api/call/describe", json={"data": [None]}).json()["event_id"]
    assert changes.has_event(demo, event)
    assert not changes.has_event(demo, "another")


def test_a_value_that_is_no_file_becomes_none_and_a_function_gets_its_event(client):
    event = client.post("/gradio_api/call/describe", json={"data": ["no file"]}).json()["event_id"]
    assert '["None"]' in client.get(f"/gradio_api/call/describe/{event}").text
    assert EVENTS[-1] == event


def test_the_schema_of_a_parameter_is_documented(app):
    (parameter,) = app[0].get_api_info()["named_endpoints"]["/describe"]["parameters"]
    assert parameter["type"]["description"] == "An image."


def test_named_parameters_replace_the_keyword_arguments_of_a_function():
    @changes.name_parameters(("size", "x"), {"size": 128})
    def endpoint(image: str, **given: Any) -> dict[str, Any]:
        return given

    with gr.Blocks():
        inputs: Any = {"size": gr.Number(), "x": gr.Number()}
        gr.Button().click(endpoint, None, gr.JSON(), inputs_kwargs={"image": gr.Textbox(), **inputs})
    assert endpoint("a", size=1) == {"size": 1}


def test_requests_show_their_app_and_login(app, client):
    demo, url = app
    ScopeRecorder.scopes.clear()
    httpx.get(f"{url}config")
    client.get("/config")
    stranger, user = ScopeRecorder.scopes
    assert changes.blocks_of(user) is demo
    assert changes.share_url(user) == ""
    assert changes.is_ready(user)
    assert changes.root_url(Request(user), "/config") == url.rstrip("/")
    assert changes.has_login(user)
    assert [changes.is_logged_in(scope) for scope in (stranger, user)] == [False, True]


def test_the_time_for_a_shutdown_is_limited(app):
    changes.limit_shutdown(app[0], 1)
    assert app[0].server.config.timeout_graceful_shutdown == 1


def test_the_language_script_comes_first_in_the_page(app, client):
    page = client.get("/").text
    assert "enhance-lang" in page[page.index("<head>") : page.index("</script>")]


def test_a_session_has_no_copies_of_the_components(app, client):
    call = client.post("/gradio_api/call/describe", json={"data": [None], "session_hash": "small"}).json()
    assert "complete" in client.get(f"/gradio_api/call/describe/{call['event_id']}").text
    session = app[0].state_holder.session_data["small"]
    assert list(session.components) == []
    assert session.blocks_config.blocks.keys() == app[0].blocks.keys()
