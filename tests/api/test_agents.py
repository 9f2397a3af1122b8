"""The endpoints as tools of the Model Context Protocol, called by its own client."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from enhance import Enhancer
from enhance.config import Config, version
from enhance.output.formats import FORMATS
from enhance.settings import RANGES, all_presets

from ..site import ADDED_SETTINGS, SETTINGS, photo, served, wait_until
from .calls import ENDPOINTS, META
from .test_server_side_requests import Elsewhere, elsewhere

pytest.importorskip("mcp", reason="the package mcp is not installed: agents cannot be served")

__all__ = ["elsewhere"]

FAST = {"preset": "anime-fast"}


@pytest.fixture(scope="module")
def server(site) -> str:
    return site.url


def in_session(server: str, *steps: Any, **headers: str) -> list[Any]:
    """Return what each of these steps returns, in one session of a client. A name is a field of the server's start."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def run_steps() -> list[Any]:
        async with (
            httpx.AsyncClient(headers=headers, timeout=60) as client,
            streamable_http_client(f"{server}gradio_api/mcp/", http_client=client) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            started = await session.initialize()
            return [getattr(started, step) if isinstance(step, str) else await step(session) for step in steps]

    return asyncio.run(run_steps())


def answer_to(server: str, tool: str, arguments: dict[str, Any], **headers: str) -> Any:
    """Return the answer of a tool."""
    return in_session(server, lambda session: session.call_tool(tool, arguments), **headers)[0]


def call(server: str, tool: str, **arguments: Any) -> list[Any]:
    """Call a tool; return addresses and messages as text, info as objects, images as bytes."""
    return read(answer_to(server, tool, arguments))


def read(answer: Any) -> list[Any]:
    assert not answer.isError, answer.content
    return [
        base64.b64decode(part.data)
        if part.type == "image"
        else (json.loads(part.text) if part.text[:1] in "{[" else part.text)
        for part in answer.content
    ]


def error_of(server: str, tool: str, **arguments: Any) -> str:
    answer = answer_to(server, tool, arguments)
    assert answer.isError, answer.content
    return answer.content[0].text


def post(server: str, tool: str, **arguments: Any) -> AbstractContextManager[httpx.Response]:
    """Call a tool outside a session and disconnect at the end of the block."""
    params = {"name": tool, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"accept": "application/json, text/event-stream"}
    return httpx.stream("POST", f"{server}gradio_api/mcp/", json=body, headers=headers, timeout=60)


def as_data(path: Path, name: str = "") -> str:
    head = f"data:image/png;name={name}" if name else "data:image/png"
    return f"{head};base64,{base64.b64encode(path.read_bytes()).decode()}"


def test_the_server_describes_itself_and_every_tool_and_parameter(server):
    info, instructions, listed = in_session(server, "serverInfo", "instructions", lambda session: session.list_tools())
    tools = {tool.name: tool for tool in listed.tools}

    assert (info.name, info.version) == ("Enhance", version())
    assert "data: URL" in instructions
    assert {f"/{name}" for name in tools} == ENDPOINTS
    assert {name for name, tool in tools.items() if not tool.annotations.readOnlyHint} == {"enhance", "batch"}
    for tool in tools.values():
        assert tool.description, tool.name
        assert tool.annotations.idempotentHint
        assert not tool.annotations.openWorldHint
        for name, schema in tool.inputSchema["properties"].items():
            assert schema["description"], (tool.name, name)
    properties = tools["enhance"].inputSchema["properties"]
    assert list(properties) == ["image", *SETTINGS, *ADDED_SETTINGS]
    assert tools["enhance"].inputSchema["required"] == ["image"]
    assert tools["enhance"].outputSchema["required"] == ["result", "info"]
    for name, limits in RANGES.items():
        assert (properties[name]["minimum"], properties[name]["maximum"]) == limits
    assert properties["preset"]["enum"] == list(all_presets())
    assert properties["format"]["enum"] == list(FORMATS)
    assert (properties["scale"]["type"], properties["tile"]["type"]) == ("number", "integer")
    assert properties["tile"]["default"] == 192
    assert tools["batch"].inputSchema["properties"]["images"]["items"] == {"type": "string"}


def test_a_client_receives_structured_content(site, server):
    presets = answer_to(server, "presets", {})
    enhanced = answer_to(server, "enhance", {"image": as_data(site.photo("structured.png", 20, 24)), **FAST})

    assert [one["name"] for one in presets.structuredContent["answer"]] == list(all_presets())
    assert enhanced.structuredContent["info"]["output"]["width"] == 96
    assert httpx.get(enhanced.structuredContent["result"]).status_code == 200


def test_a_preview_of_a_data_url_is_returned_with_its_addresses(site, server):
    image = as_data(site.photo("agent.png", 40, 48), "my%20cat.png")
    before, first, after, second, info = call(server, "preview", image=image, size=16, **FAST)
    for shown, address, name in ((before, first, "my%20cat-before.png"), (after, second, "my%20cat-after.png")):
        assert address.startswith(f"{server}gradio_api/file=")
        assert address.endswith(name)
        assert httpx.get(address).content == shown
    assert info["preview"] == {"left": 16, "top": 12, "width": 16, "height": 16}
    assert str(site.files.parent) not in json.dumps(info)


def test_an_upload_is_enhanced_and_has_a_report(site, server):
    file = site.photo("by agent.png", 20, 24)
    upload = httpx.post(f"{server}gradio_api/upload", files={"files": (file.name, file.read_bytes())}).json()[0]
    expected = site.enhancer.upscale(photo(20, 24), model="realesr-animevideov3")
    for given in (upload, f"{server}gradio_api/file={upload.replace(' ', '%20')}"):
        shown, address, info = call(server, "enhance", image=given, scale=None, **FAST)
        assert address.endswith("by%20agent-4x.png")
        result_file = site.files / "taken.png"
        result_file.write_bytes(httpx.get(address).content)
        assert np.array_equal(np.asarray(Image.open(result_file)), expected)
        assert shown == result_file.read_bytes()
        assert (info["status"], info["output"]["path"], info["output"]["width"]) == ("done", None, 96)
    (report,) = call(server, "report", task_id=info["task_id"])
    assert report.endswith("by%20agent-4x-report.pdf")
    assert httpx.get(report).content.startswith(b"%PDF")
    others = answer_to(server, "report", {"task_id": info["task_id"]}, **{"x-forwarded-for": "203.0.113.7"})
    assert others.isError, "a report is available only to the client of the run"


def test_a_client_receives_progress(site, server):
    received = []

    async def receive(progress: float, total: float | None, message: str | None) -> None:
        received.append(progress)

    arguments = {"image": as_data(site.photo("progress.png", 100, 120)), "format": "jpeg", **FAST}
    (answer,) = in_session(server, lambda one: one.call_tool("enhance", arguments, progress_callback=receive))
    address, info = read(answer)
    assert received
    assert address.endswith("image-4x.jpg")
    assert (info["status"], info["input"]["name"]) == ("done", "image.png")


def test_a_large_image_fits_into_a_request(site, server):
    path = site.files / "large.png"
    Image.new("RGB", (700, 700)).save(path, compress_level=0)  # more than other requests can have
    (facts,) = call(server, "analyse", image=as_data(path))
    assert facts["auto"]["analysis"]["width"] == 700


def test_a_run_ends_when_its_client_disconnects(site, server):
    image, runs = as_data(site.photo("disconnected.png", 60, 60)), site.enhancer.calls["run"]
    with site.enhancer.paused("run"):
        with post(server, "enhance", image=image, **FAST):
            wait_until(lambda: site.enhancer.calls["run"] > runs)
            assert site.enhancer.status()["waiting"] == 1
        wait_until(lambda: site.enhancer.status()["waiting"] == 0)


def test_a_batch_returns_its_files_and_info(site, server):
    pictures = [as_data(site.photo(f"{n}.png", 12, 12 + n), f"{n}.png") for n in (1, 2)]
    archive, info = call(server, "batch", images=pictures, **FAST)
    assert httpx.get(archive).content.startswith(b"PK")
    assert (info["done"], [one["name"] for one in info["files"]]) == (2, ["1.png", "2.png"])


def test_a_bad_call_is_an_error_message_in_the_language_of_the_client(site, server):
    image = as_data(site.photo("bad.png", 8, 8))
    for given, message in (
        ({"preset": "sharper"}, "sharper"),
        ({"strength": 3}, "0 to 1"),
        ({"image": "data:image/png;base64,AAAA"}, "image.png"),
        ({"image": "data:image/png"}, "/gradio_api/upload"),
        ({"image": "data:image/png;base64,A"}, "/gradio_api/upload"),
        ({"image": None}, "/gradio_api/upload"),
        ({"nope": 1}, "nope"),
    ):
        assert message in error_of(server, "enhance", **{"image": image, **given}), given
    assert "image" in error_of(server, "enhance", preset="gentle")
    assert "status" in error_of(server, "status", a=1)
    assert "nothing" in error_of(server, "nothing")
    for given in ({"preset": "sharper"}, {"image": "no address"}):
        answer = answer_to(server, "enhance", {"image": image, **given}, **{"accept-language": "zh-CN"})
        assert re.search("[一-鿿]", answer.content[0].text), answer.content


def test_data_urls_are_limited_and_leave_no_files(site, server):
    before = set(site.page.rglob("*"))
    assert error_of(server, "batch", images=["data:,QUJD"] * 20 + ["nothing"])
    assert error_of(server, "enhance", image=as_data(site.photo("u.png", 8, 9)), preset="sharper")
    assert not [path for path in set(site.page.rglob("*")) - before if path.is_file()]
    assert "The limit is 200" in error_of(server, "batch", images=["data:,QUJD"] * 201)
    assert not [path for path in set(site.page.rglob("*")) - before if path.is_file()]


def test_files_of_the_server_are_not_read(site, server):
    secret, runs = site.photo("../secret.png", 16, 16), site.enhancer.calls["run"]
    file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    for image in (str(secret), f"file={secret}", f"/gradio_api/file={secret}", file, [str(secret)]):
        assert error_of(server, "enhance", image=image)
    assert error_of(server, "enhance", image=as_data(secret), preset=file)
    assert site.enhancer.calls["run"] == runs


def wrong_arguments(url: str) -> list[tuple[str, dict[str, Any]]]:
    """Return tools with arguments that each have a mistake. `url` is an address that a client names."""
    odd: list[Any] = [
        url,
        f" {url}",
        "",
        "\0",
        "a\0b",
        "x" * 5000,
        "..",
        "data:",
        "data:,\0",
        "data:;name=\0;base64,AA==",
    ]
    odd += [0, -1, 1.5, True, None, {}, {"path": url, "meta": META}, {"url": url}, [], [[]], [url], [{"path": url}]]
    odd += [f"{url}?/gradio_api/file={url}", f"data:{url}", {"path": "x" * 5000}, [{"path": "x"}] * 201]
    calls: list[tuple[str, dict[str, Any]]] = [("enhance", {"image": one}) for one in odd]
    calls += [("batch", {"images": one}) for one in odd]
    calls += [("report", {"task_id": one}) for one in odd]
    calls += [(tool, {"image": "x", "preset": one}) for tool in ("enhance", "preview") for one in odd]
    calls += [("preview", {"image": "x", "size": one}) for one in odd]
    return [*calls, ("enhance", {}), ("status", {"a": 1}), ("nothing", {}), ("enhance", {"a" * 5000: 1})]


def test_every_wrong_argument_is_an_error_of_the_tool_and_no_address_is_fetched(server, elsewhere):
    async def call_all(session: Any) -> None:
        for tool, arguments in wrong_arguments(elsewhere):
            answer = await session.call_tool(tool, arguments)
            assert answer.isError, (tool, arguments)
            assert answer.content[0].text
            assert "unexpected" not in answer.content[0].text, (tool, arguments)
        assert not (await session.call_tool("status", {})).isError

    in_session(server, call_all)
    assert Elsewhere.requests == []


def test_an_image_for_which_the_disk_has_no_space_is_an_error_of_the_tool(tmp_path):
    image = f"data:image/png;base64,{'A' * 10_000_000}"
    with served(Enhancer("cpu", config=Config(data=tmp_path / "data", max_disk=4_000_000))) as url:
        for tool, arguments in (("enhance", {"image": image}), ("batch", {"images": ["data:,QUJD", image]})):
            assert "disk space" in error_of(url, tool, **arguments)
        assert (tmp_path / "data").is_dir()
        assert not list((tmp_path / "data").rglob("*/image*"))
