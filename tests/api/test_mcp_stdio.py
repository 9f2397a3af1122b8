"""`enhance mcp`: tools over standard input and output, for agents of this computer."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from PIL import Image

from enhance.store import TaskStore
from enhance.web.owners import Owner

from ..site import photo
from .calls import FAST
from .test_agents import check_description, check_wrong_arguments, wrong_arguments
from .test_server_side_requests import elsewhere

pytest.importorskip("mcp")
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

__all__ = ["elsewhere"]


def in_session(folder: Path, work: Callable[[Any, Any], Awaitable[None]]) -> None:
    """Start the server and call `work` with a session and the server's answer to its start."""
    environment = {
        **os.environ,
        "ENHANCE_DATA": str(folder / "data"),
        "ENHANCE_DEVICE": "cpu",
        "LC_ALL": "C.UTF-8",
    }
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "enhance", "mcp"], env=environment
    )

    async def run() -> None:
        async with stdio_client(command) as (read, write), ClientSession(read, write) as session:
            await work(session, await session.initialize())

    anyio.run(run)


def test_an_agent_analyses_previews_and_enhances_a_file_and_gets_error_messages(
    tmp_path, elsewhere
):
    source, output, foreign = tmp_path / "photo.png", tmp_path / "large.jpg", tmp_path / "mine.png"
    for path in (source, foreign):
        Image.fromarray(photo(40, 48)).save(path)
    steps = []

    async def work(session: Any, server: Any) -> None:
        assert "never changes the photo" in server.instructions
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        check_description(server.serverInfo, tools)
        properties = tools["enhance"].inputSchema["properties"]
        assert (properties["image"]["description"], "output" in properties) == (
            "Path of an image file.",
            True,
        )

        async def call(tool: str, progress_callback: Any = None, **arguments: Any) -> Any:
            return await session.call_tool(
                tool, {"image": str(source), **arguments}, progress_callback=progress_callback
            )

        analysis = await call("analyse", scale=2)
        assert analysis.structuredContent["answer"]["auto"]["analysis"]["width"] == 48
        shown = await call("preview", size=16, **FAST)
        assert shown.content[0].type == "image"
        assert shown.structuredContent["info"]["preview"]["width"] == 16

        async def progress(done: float, total: float | None, _message: str | None) -> None:
            steps.append((done, total))

        done = await call("enhance", progress, output=str(output), **FAST)
        assert done.structuredContent["result"] == str(output)
        plain = await call("enhance", **FAST)
        with Image.open(plain.structuredContent["result"]) as image:
            assert (image.format, image.size) == ("PNG", (192, 160))
        task = {"task_id": plain.structuredContent["info"]["task_id"]}
        report = await session.call_tool("report", task)
        assert Path(report.structuredContent["pdf"]).read_bytes().startswith(b"%PDF")

        for arguments, words in (
            ({"image": str(tmp_path / "none.png")}, "none.png"),
            ({"scale": 99}, "99"),
            ({"output": str(foreign), **FAST}, "was not created by this program"),
        ):
            answer = await call("enhance", **arguments)
            assert answer.isError
            assert words in answer.content[0].text
        # An address is the path of a missing file, which does not stop a batch.
        wrong = [one for one in wrong_arguments(elsewhere) if one[1] != {"images": [elsewhere]}]
        await check_wrong_arguments(session, wrong)

    in_session(tmp_path, work)
    with Image.open(output) as image:
        assert (image.format, image.size) == ("JPEG", (192, 160))
    assert steps
    assert np.array_equal(np.asarray(Image.open(foreign)), photo(40, 48))


def test_named_jobs_skip_a_missing_file_write_the_output_and_belong_to_no_client_of_a_server(
    tmp_path,
):
    source = tmp_path / "photo.png"
    Image.fromarray(photo(20, 24)).save(source)
    images = [str(source), str(tmp_path / "none.png")]

    async def work(session: Any, _: Any) -> None:
        answer = await session.call_tool("batch", {"images": images, "job": "named-batch", **FAST})
        files = answer.structuredContent["info"]["files"]
        assert [file["state"] for file in files] == ["done", "failed"]
        assert "none.png" in files[1]["error"]
        (batch,) = (await session.call_tool("runs", {})).structuredContent["answer"]
        assert batch["id"] == "named-batch"
        output = tmp_path / "large.jpg"
        call = {"image": str(source), "job": "named-run", "output": str(output), **FAST}
        answer = await session.call_tool("enhance", call)
        assert answer.structuredContent["result"] == str(output)
        assert answer.structuredContent["info"]["cached"] is True
        with Image.open(output) as image:
            assert (image.format, image.size) == ("JPEG", (96, 80))

    in_session(tmp_path, work)
    tasks = TaskStore(tmp_path / "data")
    with tasks.database.transaction() as db:
        owners = {whose for (whose,) in db.execute("SELECT whose FROM entries")}
    guessed = {Owner(f"session {name}", "").digest for name in ("local", "", "None")}
    assert owners
    assert not owners & guessed
