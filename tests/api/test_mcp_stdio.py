"""`enhance mcp`: tools over standard input and output, for agents of this computer."""

from __future__ import annotations

import os
import sys
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
from .programs import write_photo
from .test_agents import check_description, check_wrong_arguments, wrong_arguments
from .test_server_side_requests import elsewhere

pytest.importorskip("mcp")
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

__all__ = ["elsewhere"]


def test_an_agent_of_this_computer_uses_paths_and_gets_error_messages(tmp_path, elsewhere):
    source = write_photo(tmp_path / "photo.png", 40, 48)
    foreign = write_photo(tmp_path / "mine.png", 40, 48)
    missing = tmp_path / "none.png"
    output = tmp_path / "large.jpg"
    steps = []
    working_directory = tmp_path / "agent"
    working_directory.mkdir()
    environment = {
        **os.environ,
        "ENHANCE_DEVICE": "cpu",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(Path.cwd()),
        "XDG_DATA_HOME": str(tmp_path),
    }
    environment.pop("ENHANCE_DATA", None)
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "enhance", "mcp"],
        env=environment,
        cwd=working_directory,
    )

    async def progress(done: float, *_: Any) -> None:
        steps.append(done)

    async def use(session: ClientSession) -> None:
        started = await session.initialize()
        assert "never changes the photo" in str(started.instructions)
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        check_description(started.serverInfo, tools)
        properties = tools["enhance"].inputSchema["properties"]
        assert properties["image"]["description"] == "Path of an image file."
        assert "output" in properties

        async def call(tool: str, callback: Any = None, **arguments: Any) -> Any:
            answer = await session.call_tool(tool, arguments, progress_callback=callback)
            assert not answer.isError, answer.content
            return answer.structuredContent

        analysis = await call("analyse", image=str(source), scale=2)
        assert analysis["answer"]["auto"]["analysis"]["width"] == 48
        shown = await call("preview", image=str(source), size=16, **FAST)
        assert shown["info"]["preview"]["width"] == 16
        done = await call("enhance", progress, image=str(source), output=str(output), **FAST)
        assert done["result"] == str(output)
        with Image.open(output) as image:
            assert (image.format, image.size) == ("JPEG", (192, 160))
        output.unlink()
        plain = await call("enhance", image=str(source), **FAST)
        with Image.open(plain["result"]) as image:
            assert (image.format, image.size) == ("PNG", (192, 160))
        report = await call("report", task_id=plain["info"]["task_id"])
        assert Path(report["pdf"]).read_bytes().startswith(b"%PDF")
        named = {"image": str(source), "job": "named-run", "output": str(output)}
        assert (await call("enhance", **named, **FAST))["info"]["cached"] is True
        assert output.exists()

        images = [str(source), str(missing)]
        batch = await call("batch", images=images, job="named-batch", **FAST)
        files = batch["info"]["files"]
        assert [file["state"] for file in files] == ["done", "failed"]
        assert missing.name in files[1]["error"]
        entries = (await call("runs"))["answer"]
        assert {entry["id"] for entry in entries} == {"named-batch", "named-run"}

        for arguments, words in (
            ({"image": str(missing)}, "none.png"),
            ({"image": str(source), "scale": 99}, "99"),
            ({"image": str(source), "output": str(foreign), **FAST}, "not created by this program"),
        ):
            answer: Any = await session.call_tool("enhance", arguments)
            assert answer.isError
            assert words in answer.content[0].text
        # An address is the path of a missing file, which does not stop a batch.
        wrong = [one for one in wrong_arguments(elsewhere) if one[1] != {"images": [elsewhere]}]
        await check_wrong_arguments(session, wrong)

    async def run() -> None:
        async with stdio_client(server) as streams, ClientSession(*streams) as session:
            await use(session)

    anyio.run(run)
    assert steps
    assert np.array_equal(np.asarray(Image.open(foreign)), photo(40, 48))
    assert not [*working_directory.iterdir()]
    with TaskStore(tmp_path / "enhance" / "data").database.transaction() as db:
        owners = {whose for (whose,) in db.execute("SELECT whose FROM entries")}
    assert owners
    guessed = {Owner(f"session {name}", "").digest for name in ("local", "", "None")}
    assert not owners & guessed, "no client of a server gets the results"
