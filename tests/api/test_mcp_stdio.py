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

from enhance.config import version

from ..site import photo
from .calls import ENDPOINTS
from .test_agents import wrong_arguments
from .test_server_side_requests import Elsewhere, elsewhere

pytest.importorskip("mcp")
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

__all__ = ["elsewhere"]

FAST = {"preset": "anime-fast"}


def in_session(folder: Path, work: Callable[[Any, Any], Awaitable[None]]) -> None:
    """Start the server and call `work` with a session and the server's answer to its start."""
    environment = {**os.environ, "ENHANCE_DATA": str(folder / "data"), "ENHANCE_DEVICE": "cpu", "LC_ALL": "C.UTF-8"}
    command = StdioServerParameters(command=sys.executable, args=["-m", "enhance", "mcp"], env=environment)

    async def run() -> None:
        async with stdio_client(command) as (read, write), ClientSession(read, write) as session:
            await work(session, await session.initialize())

    anyio.run(run)


def test_an_agent_analyses_previews_and_enhances_a_file_and_gets_sentences_as_errors(tmp_path):
    source, output, foreign = tmp_path / "photo.png", tmp_path / "large.jpg", tmp_path / "mine.png"
    for path in (source, foreign):
        Image.fromarray(photo(40, 48)).save(path)
    steps = []

    async def work(session: Any, server: Any) -> None:
        assert (server.serverInfo.name, server.serverInfo.version) == ("Enhance", version())
        assert "never changes the photo" in server.instructions
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert {f"/{name}" for name in tools} == ENDPOINTS
        for name, tool in tools.items():
            assert tool.annotations.readOnlyHint == (name not in ("enhance", "batch"))
            assert tool.annotations.idempotentHint
            assert tool.description
            assert tool.outputSchema
        properties = tools["enhance"].inputSchema["properties"]
        assert (properties["image"]["description"], "output" in properties) == ("Path of an image file.", True)

        analysis = await session.call_tool("analyse", {"image": str(source), "scale": 2})
        assert analysis.structuredContent["answer"]["auto"]["analysis"]["width"] == 48
        shown = await session.call_tool("preview", {"image": str(source), "size": 16, **FAST})
        assert shown.content[0].type == "image"
        assert shown.structuredContent["info"]["preview"]["width"] == 16

        async def progress(done: float, total: float | None, _message: str | None) -> None:
            steps.append((done, total))

        arguments = {"image": str(source), "output": str(output), **FAST}
        done = await session.call_tool("enhance", arguments, progress_callback=progress)
        assert done.structuredContent["result"] == str(output)
        plain = await session.call_tool("enhance", {"image": str(source), **FAST})
        with Image.open(plain.structuredContent["result"]) as image:
            assert (image.format, image.size) == ("PNG", (192, 160))
        report = await session.call_tool("report", {"task_id": plain.structuredContent["info"]["task_id"]})
        assert Path(report.structuredContent["pdf"]).read_bytes().startswith(b"%PDF")

        for arguments, words in (
            ({"image": str(tmp_path / "none.png")}, "none.png"),
            ({"image": str(source), "scale": 99}, "99"),
            ({"image": str(source), "preset": "vivid"}, "vivid"),
            ({"image": str(source), "output": str(foreign), **FAST}, "was not created by this program"),
        ):
            answer = await session.call_tool("enhance", arguments)
            assert answer.isError
            assert words in answer.content[0].text

    in_session(tmp_path, work)
    with Image.open(output) as image:
        assert (image.format, image.size) == ("JPEG", (192, 160))
    assert steps
    assert np.array_equal(np.asarray(Image.open(foreign)), photo(40, 48))


def test_every_wrong_argument_is_an_error_of_the_tool_and_no_address_is_fetched(tmp_path, elsewhere):
    async def work(session: Any, _: Any) -> None:
        for tool, arguments in wrong_arguments(elsewhere):
            if arguments == {"images": [elsewhere]}:
                continue  # The path of a missing file, which does not stop a batch.
            answer = await session.call_tool(tool, arguments)
            assert answer.isError, (tool, arguments)
            assert "unexpected" not in answer.content[0].text, (tool, arguments)
        assert not (await session.call_tool("status", {})).isError

    in_session(tmp_path, work)
    assert Elsewhere.requests == []
