"""The endpoints as tools of the Model Context Protocol, called by its own client."""

import asyncio
import base64
import io
import json
from contextlib import ExitStack
from datetime import timedelta

import httpx
import numpy as np
import pytest
from PIL import Image

from enhance.config import version
from enhance.settings import RANGES, all_presets

from ..site import ADDED_SETTINGS, SETTINGS, photo, wait_until
from .calls import ENDPOINTS, FAST, META, REMOTE, upload_file
from .test_server_side_requests import Elsewhere, elsewhere
from .users import new_key

pytest.importorskip("mcp", reason="the package mcp is not installed: agents cannot be served")

__all__ = ["elsewhere"]


def in_session(server, *steps, **headers):
    """Return what each of these steps returns, in one session of a client. A name is a field of the
    server's start."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def run_steps():
        async with (
            httpx.AsyncClient(headers=headers, timeout=60) as client,
            streamable_http_client(f"{server}gradio_api/mcp/", http_client=client) as (
                read,
                write,
                _,
            ),
            ClientSession(read, write) as session,
        ):
            started = await session.initialize()
            return [
                getattr(started, step) if isinstance(step, str) else await step(session)
                for step in steps
            ]

    return asyncio.run(run_steps())


def answer_to(server, tool, arguments, **headers):
    """Return the answer of a tool."""
    return in_session(server, lambda session: session.call_tool(tool, arguments), **headers)[0]


def call(server, tool, headers=None, /, **arguments):
    """Call a tool; return its outputs by name, and the bytes of the images in its answer as
    `images`."""
    answer = answer_to(server, tool, arguments, **headers or {})
    assert not answer.isError, answer.content
    images = [base64.b64decode(part.data) for part in answer.content if part.type == "image"]
    return answer.structuredContent | {"images": images}


def error_of(server, tool, arguments, **headers):
    answer = answer_to(server, tool, arguments, **headers)
    assert answer.isError, answer.content
    return answer.content[0].text


def as_data(path, name=""):
    head = f"data:image/png;name={name}" if name else "data:image/png"
    return f"{head};base64,{base64.b64encode(path.read_bytes()).decode()}"


def check_description(server, tools):
    """Check how a server describes itself, its tools and their parameters."""
    assert (server.name, server.version) == ("Enhance", version())
    assert {f"/{name}" for name in tools} == ENDPOINTS
    for name, tool in tools.items():
        assert tool.description, name
        changes = name in ("enhance", "batch", "cancel", "forget")
        assert tool.annotations.readOnlyHint != changes
        for parameter, schema in tool.inputSchema["properties"].items():
            assert schema.get("description") or parameter == "output", (name, parameter)


def test_the_server_describes_itself_and_every_tool_and_parameter(site):
    info, instructions, listed = in_session(
        site.url, "serverInfo", "instructions", lambda session: session.list_tools()
    )
    tools = {tool.name: tool for tool in listed.tools}
    check_description(info, tools)
    assert "data: URL" in instructions
    enhance = tools["enhance"].inputSchema
    properties = enhance["properties"]
    assert [*properties] == ["image", *SETTINGS, *ADDED_SETTINGS, "job"]
    assert enhance["required"] == ["image"]
    for name, limits in RANGES.items():
        assert (properties[name]["minimum"], properties[name]["maximum"]) == limits
    assert properties["preset"]["enum"] == [*all_presets()]
    assert tools["batch"].inputSchema["properties"]["images"]["items"] == {"type": "string"}


def test_an_agent_follows_and_lists_its_own_jobs(site):
    owner = new_key()
    image = as_data(site.photo("agent-job.png", 24, 20), "agent-job.png")
    given = {"image": image, "job": "agent-job-1", **FAST}
    info = call(site.url, "enhance", owner, **given)["info"]
    assert call(site.url, "enhance", owner, **given)["info"] == info
    (entry,) = call(site.url, "runs", owner)["answer"]
    assert (entry["id"], entry["task_id"]) == ("agent-job-1", info["task_id"])
    assert entry["thumbnail"] is None, "models would read every byte"
    assert call(site.url, "runs")["answer"] == []


def test_a_preview_of_a_data_url_is_returned_with_its_addresses(site):
    path = site.files / "large.png"
    Image.new("RGB", (700, 700)).save(path, compress_level=0)  # more than other requests can have
    image = as_data(path, "my%20cat.png")
    rectangle = {"left": 2, "top": 3, "width": 8, "height": 6}
    answer = call(site.url, "preview", image=image, **rectangle, **FAST)
    for side, shown in zip(("before", "after"), answer["images"], strict=True):
        assert answer[side].endswith(f"my%20cat-{side}.png")
        assert httpx.get(answer[side]).content == shown
    assert answer["info"]["preview"] == rectangle
    assert str(site.files.parent) not in json.dumps(answer["info"])


def test_an_upload_is_enhanced_and_has_a_report(site):
    content = site.photo("by agent.png", 20, 24).read_bytes()
    path = upload_file(site.url, "by agent.png", content)["path"]
    expected = site.enhancer.upscale(photo(20, 24), model="realesr-animevideov3")
    for given in (path, f"{site.url}gradio_api/file={path.replace(' ', '%20')}"):
        answer = call(site.url, "enhance", image=given, scale=None, **FAST)
        (result,) = answer["images"]
        assert httpx.get(answer["result"]).content == result
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(result))), expected)
    task = {"task_id": answer["info"]["task_id"]}
    assert httpx.get(call(site.url, "report", **task)["pdf"]).content.startswith(b"%PDF")
    assert error_of(site.url, "report", task, **REMOTE), "the owner is the address"


def test_a_run_ends_when_its_client_disconnects(site, http):
    image = as_data(site.photo("disconnected.png", 60, 60))
    runs = site.enhancer.calls["run"]
    params = {"name": "enhance", "arguments": {"image": image, **FAST}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"accept": "application/json, text/event-stream"}
    with site.enhancer.paused("run"):
        with http.stream("POST", "gradio_api/mcp/", json=body, headers=headers):
            wait_until(lambda: site.enhancer.calls["run"] > runs)
            assert site.enhancer.status()["running"] == 1
        wait_until(lambda: site.enhancer.status()["running"] == 0)


def test_a_batch_reports_progress_and_returns_its_files_and_info(site):
    received = []
    images = [as_data(site.photo(f"{n}.png", 12, 12 + n), f"{n}.png") for n in (1, 2)]
    given = {"images": images, **FAST}
    with ExitStack() as until_progress:
        until_progress.enter_context(site.enhancer.paused("run"))

        async def receive(progress, *_):
            received.append(progress)
            until_progress.close()

        options = {"progress_callback": receive, "read_timeout_seconds": timedelta(seconds=60)}
        (answer,) = in_session(site.url, lambda one: one.call_tool("batch", given, **options))
    assert received
    assert httpx.get(answer.structuredContent["zip"]).content.startswith(b"PK")
    assert answer.structuredContent["info"]["done"] == 2


def test_data_urls_are_limited_and_leave_no_files(site):
    before = set(site.page.rglob("*"))
    image = as_data(site.photo("u.png", 8, 9))
    for tool, arguments, message in (
        ("batch", {"images": ["data:,QUJD"] * 20 + ["nothing"]}, ""),
        ("batch", {"images": ["data:,QUJD"] * 200 + ["nothing"]}, "The limit is 200"),
        ("enhance", {"image": image, "preset": "sharper"}, ""),
    ):
        assert message in error_of(site.url, tool, arguments)
        assert not [path for path in set(site.page.rglob("*")) - before if path.is_file()]


def test_files_of_the_server_are_not_read(site):
    secret = site.photo("../secret.png", 16, 16)
    runs = site.enhancer.calls["run"]
    file = {"path": str(secret), "meta": META}
    for image in (str(secret), f"/gradio_api/file={secret}", file, [str(secret)]):
        assert error_of(site.url, "enhance", {"image": image})
    assert error_of(site.url, "enhance", {"image": as_data(secret), "preset": file})
    assert site.enhancer.calls["run"] == runs


def wrong_arguments(url):
    """Return tools with arguments that each have a mistake. `url` is an address that a client
    names."""
    odd = [url, "", "a\0b", "x" * 5000, "data:", "data:,\0", f"data:{url}"]
    odd += ["data:image/png;base64,A", f"{url}?/gradio_api/file={url}", 1.5, None, {}, [[]], [url]]
    odd += [[{"path": "x"}] * 201, {"url": url}, {"path": url, "meta": META}]
    calls = [("enhance", {}), ("status", {"a": 1}), ("nothing", {}), ("enhance", {"a" * 5000: 1})]
    for one in odd:
        calls += [("enhance", {"image": one}), ("batch", {"images": one})]
        calls += [("report", {"task_id": one}), ("preview", {"image": "x", "preset": one})]
    return calls


async def check_wrong_arguments(session, calls):
    """Check that each of these calls is an error of its tool, and that none fetches an address."""
    for tool, arguments in calls:
        answer = await session.call_tool(tool, arguments)
        assert answer.isError, (tool, arguments)
        assert answer.content[0].text
        assert "unexpected" not in answer.content[0].text, (tool, arguments)
    assert not (await session.call_tool("status", {})).isError
    assert Elsewhere.requests == []


def test_every_wrong_argument_is_an_error_of_the_tool_and_no_address_is_fetched(site, elsewhere):
    in_session(site.url, lambda session: check_wrong_arguments(session, wrong_arguments(elsewhere)))
