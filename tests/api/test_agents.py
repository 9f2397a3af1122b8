"""The endpoints as tools of the Model Context Protocol, called by its own client."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from enhance import Enhancer
from enhance.config import Config, version
from enhance.formats.encoding import FORMATS
from enhance.settings import RANGES, all_presets
from enhance.web.api import Endpoints
from enhance.web.owners import KEY_HEADER

from ..site import ADDED_SETTINGS, SETTINGS, photo, served, wait_until
from .calls import ENDPOINTS, FAST, META, REMOTE, upload_file
from .test_server_side_requests import Elsewhere, elsewhere

pytest.importorskip("mcp", reason="the package mcp is not installed: agents cannot be served")

__all__ = ["elsewhere"]


def in_session(server: str, *steps: Any, **headers: str) -> list[Any]:
    """Return what each of these steps returns, in one session of a client. A name is a field of the
    server's start."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def run_steps() -> list[Any]:
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


def answer_to(server: str, tool: str, arguments: dict[str, Any], **headers: str) -> Any:
    """Return the answer of a tool."""
    return in_session(server, lambda session: session.call_tool(tool, arguments), **headers)[0]


def call(server: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool; return its outputs by name, and the bytes of the images in its answer as
    `images`."""
    answer = answer_to(server, tool, arguments)
    assert not answer.isError, answer.content
    images = [base64.b64decode(part.data) for part in answer.content if part.type == "image"]
    return answer.structuredContent | {"images": images}


def error_of(server: str, tool: str, arguments: dict[str, Any], **headers: str) -> str:
    answer = answer_to(server, tool, arguments, **headers)
    assert answer.isError, answer.content
    return answer.content[0].text


def as_data(path: Path, name: str = "") -> str:
    head = f"data:image/png;name={name}" if name else "data:image/png"
    return f"{head};base64,{base64.b64encode(path.read_bytes()).decode()}"


def check_description(server: Any, tools: dict[str, Any]) -> None:
    """Check how a server describes itself, its tools and their parameters."""
    assert (server.name, server.version) == ("Enhance", version())
    assert {f"/{name}" for name in tools} == ENDPOINTS
    assert {*tools} == {name for name in vars(Endpoints) if not name.startswith("_")}
    for name, tool in tools.items():
        assert tool.description, name
        assert tool.annotations.idempotentHint
        assert tool.annotations.readOnlyHint == (
            name not in ("enhance", "batch", "cancel", "forget")
        )
        for parameter, schema in tool.inputSchema["properties"].items():
            assert schema.get("description") or parameter == "output", (name, parameter)


def test_the_server_describes_itself_and_every_tool_and_parameter(site):
    info, instructions, listed = in_session(
        site.url, "serverInfo", "instructions", lambda session: session.list_tools()
    )
    tools = {tool.name: tool for tool in listed.tools}
    check_description(info, tools)
    assert "data: URL" in instructions
    properties = tools["enhance"].inputSchema["properties"]
    assert list(properties) == ["image", *SETTINGS, *ADDED_SETTINGS, "job"]
    assert tools["cancel"].inputSchema["required"] == ["job"]
    assert tools["enhance"].inputSchema["required"] == ["image"]
    assert {"left", "print_width"} <= (
        of_preview := tools["preview"].inputSchema["properties"]
    ).keys()
    assert "format" not in of_preview
    assert tools["enhance"].outputSchema["required"] == ["result", "info"]
    for name, limits in RANGES.items():
        assert (properties[name]["minimum"], properties[name]["maximum"]) == limits
    assert properties["preset"]["enum"] == list(all_presets())
    assert properties["format"]["enum"] == list(FORMATS)
    assert (properties["tile"]["type"], properties["tile"]["default"]) == ("integer", 192)
    assert tools["batch"].inputSchema["properties"]["images"]["items"] == {"type": "string"}


def test_an_agent_follows_lists_cancels_and_forgets_its_jobs(site):
    owner, image = (
        {KEY_HEADER: "k" * 40},
        as_data(site.photo("agent-job.png", 24, 20), "agent-job.png"),
    )
    arguments = {"image": image, "job": "agent-job-1", **FAST}
    answers = [answer_to(site.url, "enhance", arguments, **owner) for _ in range(2)]
    infos = [answer.structuredContent["info"] for answer in answers]
    assert infos[0] == infos[1]

    (entry,) = answer_to(site.url, "runs", {}, **owner).structuredContent["answer"]
    assert (entry["id"], entry["state"], entry["task_id"]) == (
        "agent-job-1",
        "done",
        infos[0]["task_id"],
    )
    assert entry["thumbnail"] is None, "models would read every byte"
    assert answer_to(site.url, "runs", {}).structuredContent["answer"] == []
    assert "has this id" in error_of(site.url, "forget", {"id": "agent-job-1"})
    cancelled = answer_to(site.url, "cancel", {"job": "agent-job-2"}, **owner)
    assert cancelled.structuredContent["answer"]["state"] == "cancelled"
    assert "was cancelled" in error_of(
        site.url, "enhance", {**arguments, "job": "agent-job-2"}, **owner
    )
    forgotten = answer_to(site.url, "forget", {"id": "agent-job-1"}, **owner)
    assert forgotten.structuredContent["answer"] == ["agent-job-1"]
    assert answer_to(site.url, "runs", {}, **owner).structuredContent["answer"] == []


def test_a_preview_of_a_data_url_is_returned_with_its_addresses(site):
    path = site.files / "large.png"
    Image.new("RGB", (700, 700)).save(path, compress_level=0)  # more than other requests can have
    answer = call(site.url, "preview", image=as_data(path, "my%20cat.png"), size=16, **FAST)
    for side, shown in zip(("before", "after"), answer["images"], strict=True):
        address = answer[side]
        assert address.startswith(f"{site.url}gradio_api/file=")
        assert address.endswith(f"my%20cat-{side}.png")
        assert httpx.get(address).content == shown
    assert answer["info"]["preview"] == {"left": 342, "top": 342, "width": 16, "height": 16}
    assert str(site.files.parent) not in json.dumps(answer["info"])


def test_a_rectangle_is_previewed_and_the_output_format_is_ignored(site):
    rectangle = {"left": 2, "top": 3, "width": 8, "height": 6}
    image = as_data(site.photo("rectangle.png", 16, 16))
    answer = call(site.url, "preview", image=image, **rectangle, **FAST, format="jpeg")
    assert answer["info"]["preview"] == rectangle
    assert answer["info"]["window"] == {"left": 8, "top": 12, "width": 32, "height": 24}
    assert answer["after"].endswith(".png")


def test_an_agent_gets_the_plan_of_a_run(site):
    image = as_data(site.photo("plan.png", 24, 32))
    answer = call(site.url, "analyse", image=image, preset="anime-fast", scale=99)["answer"]
    (solution,) = answer["problem"]["solutions"]
    plan = call(site.url, "analyse", image=image, preset="anime-fast", **solution["values"])[
        "answer"
    ]
    run = call(site.url, "enhance", image=image, preset="anime-fast", **solution["values"])["info"]
    assert plan["signature"] == run["signature"]
    assert plan["result"] == {"width": 512, "height": 384}


def test_an_upload_is_enhanced_and_has_a_report(site):
    content = site.photo("by agent.png", 20, 24).read_bytes()
    path = upload_file(site.url, "by agent.png", content)["path"]
    expected = site.enhancer.upscale(photo(20, 24), model="realesr-animevideov3")
    for given in (path, f"{site.url}gradio_api/file={path.replace(' ', '%20')}"):
        answer = call(site.url, "enhance", image=given, scale=None, **FAST)
        assert answer["result"].endswith("by%20agent-4x.png")
        result_file = site.files / "taken.png"
        result_file.write_bytes(httpx.get(answer["result"]).content)
        assert np.array_equal(np.asarray(Image.open(result_file)), expected)
        assert answer["images"] == [result_file.read_bytes()]
        info = answer["info"]
        assert (info["status"], info["output"]["path"], info["output"]["width"]) == (
            "done",
            None,
            96,
        )
    task = {"task_id": info["task_id"]}
    report = call(site.url, "report", **task)["pdf"]
    assert report.endswith("by%20agent-4x-report.pdf")
    assert httpx.get(report).content.startswith(b"%PDF")
    assert error_of(site.url, "report", task, **REMOTE), (
        "a report is available only to the client of the run"
    )


def test_a_run_ends_when_its_client_disconnects(site, http):
    image, runs = as_data(site.photo("disconnected.png", 60, 60)), site.enhancer.calls["run"]
    params = {"name": "enhance", "arguments": {"image": image, **FAST}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"accept": "application/json, text/event-stream"}
    with site.enhancer.paused("run"):
        with http.stream("POST", "gradio_api/mcp/", json=body, headers=headers):
            wait_until(lambda: site.enhancer.calls["run"] > runs)
            assert site.enhancer.status()["waiting"] == 1
        wait_until(lambda: site.enhancer.status()["waiting"] == 0)


def test_a_batch_reports_progress_and_returns_its_files_and_info(site):
    received = []

    async def receive(progress: float, total: float | None, message: str | None) -> None:
        received.append(progress)

    images = [as_data(site.photo(f"{n}.png", 12, 12 + n), f"{n}.png") for n in (1, 2)]
    arguments = {"images": images, **FAST}
    (answer,) = in_session(
        site.url, lambda one: one.call_tool("batch", arguments, progress_callback=receive)
    )
    info = answer.structuredContent["info"]
    assert received
    assert httpx.get(answer.structuredContent["zip"]).content.startswith(b"PK")
    assert (info["done"], [one["name"] for one in info["files"]]) == (2, ["1.png", "2.png"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "sharper"}, "sharper"),
        ({"strength": 3}, "0 to 1"),
        ({"image": "data:image/png;base64,AAAA"}, "image.png"),
        ({"image": "no address"}, "/gradio_api/upload"),
        ({"nope": 1}, "nope"),
    ],
)
def test_a_bad_call_is_an_error_message_in_the_language_of_the_client(site, given, message):
    arguments = {"image": as_data(site.photo("bad.png", 8, 8)), **given}
    assert message in error_of(site.url, "enhance", arguments)
    chinese = error_of(site.url, "enhance", arguments, **{"accept-language": "zh-CN"})
    assert message in chinese or message == "0 to 1"
    assert re.search("[一-鿿]", chinese)


def test_data_urls_are_limited_and_leave_no_files(site):
    before = set(site.page.rglob("*"))
    image = as_data(site.photo("u.png", 8, 9))
    for tool, arguments, message in (
        ("batch", {"images": ["data:,QUJD"] * 20 + ["nothing"]}, ""),
        ("batch", {"images": ["data:,QUJD"] * 201}, "The limit is 200"),
        ("enhance", {"image": image, "preset": "sharper"}, ""),
    ):
        assert message in error_of(site.url, tool, arguments)
        assert not [path for path in set(site.page.rglob("*")) - before if path.is_file()]


def test_files_of_the_server_are_not_read(site):
    secret, runs = site.photo("../secret.png", 16, 16), site.enhancer.calls["run"]
    file = {"path": str(secret), "meta": META}
    for image in (str(secret), f"file={secret}", f"/gradio_api/file={secret}", file, [str(secret)]):
        assert error_of(site.url, "enhance", {"image": image})
    assert error_of(site.url, "enhance", {"image": as_data(secret), "preset": file})
    assert site.enhancer.calls["run"] == runs


def wrong_arguments(url: str) -> list[tuple[str, dict[str, Any]]]:
    """Return tools with arguments that each have a mistake. `url` is an address that a client
    names."""
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
        "data:image/png;base64,A",
    ]
    odd += [
        "data:;name=\0;base64,AA==",
        0,
        -1,
        1.5,
        True,
        None,
        {},
        {"path": url, "meta": META},
        {"url": url},
        [],
    ]
    odd += [
        [[]],
        [url],
        [{"path": url}],
        f"{url}?/gradio_api/file={url}",
        f"data:{url}",
        [{"path": "x"}] * 201,
    ]
    parameters = (("enhance", "image"), ("batch", "images"), ("report", "task_id"))
    calls: list[tuple[str, dict[str, Any]]] = [
        (tool, {name: one}) for tool, name in parameters for one in odd
    ]
    for name in ("preset", "size"):
        calls += [("preview", {"image": "x", name: one}) for one in odd]
    return [
        *calls,
        ("enhance", {}),
        ("status", {"a": 1}),
        ("nothing", {}),
        ("enhance", {"a" * 5000: 1}),
    ]


async def check_wrong_arguments(session: Any, calls: list[tuple[str, dict[str, Any]]]) -> None:
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


def test_an_image_for_which_the_disk_has_no_space_is_an_error_of_the_tool(tmp_path):
    image = f"data:image/png;base64,{'A' * 10_000_000}"
    with served(Enhancer("cpu", config=Config(data=tmp_path / "data", max_disk=4_000_000))) as url:
        for tool, arguments in (
            ("enhance", {"image": image}),
            ("batch", {"images": ["data:,QUJD", image]}),
        ):
            assert "disk space" in error_of(url, tool, arguments)
        assert (tmp_path / "data").is_dir()
        assert not list((tmp_path / "data").rglob("*/image*"))
