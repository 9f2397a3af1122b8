"""`enhance mcp`: tools over standard input and output, for agents of this computer."""

import os
import sys
from pathlib import Path

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
        "ENHANCE_DATA": str(tmp_path / "data"),
    }
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "enhance", "mcp"],
        env=environment,
        cwd=working_directory,
    )

    async def progress(done, *_):
        steps.append(done)

    async def use(session):
        started = await session.initialize()
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        check_description(started.serverInfo, tools)
        properties = tools["enhance"].inputSchema["properties"]
        assert properties["image"]["description"] == "Path of an image file."
        assert "output" in properties

        async def call(tool, callback=None, **arguments):
            answer = await session.call_tool(tool, arguments, progress_callback=callback)
            assert not answer.isError, answer.content
            return answer.structuredContent

        analysis = await call("analyse", image=str(source), scale=2)
        assert analysis["answer"]["auto"]["analysis"]["width"] == 48
        done = await call("enhance", progress, image=str(source), output=str(output), **FAST)
        assert done["result"] == str(output)
        with Image.open(output) as image:
            assert (image.format, image.size) == ("JPEG", (192, 160))
        plain = await call("enhance", image=str(source), job="named-run", **FAST)
        report = await call("report", task_id=plain["info"]["task_id"])
        assert Path(report["pdf"]).read_bytes().startswith(b"%PDF")

        images = [str(source), str(missing)]
        batch = await call("batch", images=images, **FAST)
        assert [file["state"] for file in batch["info"]["files"]] == ["done", "failed"]
        for arguments, words in (
            ({"image": str(missing)}, "none.png"),
            ({"image": str(source), "output": str(foreign), **FAST}, "not created by this program"),
        ):
            answer = await session.call_tool("enhance", arguments)
            assert answer.isError
            assert words in answer.content[0].text
        # An address is the path of a missing file, which does not stop a batch.
        wrong = [one for one in wrong_arguments(elsewhere) if one[1] != {"images": [elsewhere]}]
        await check_wrong_arguments(session, wrong)

    async def run():
        async with stdio_client(server) as streams, ClientSession(*streams) as session:
            await use(session)

    anyio.run(run)
    assert steps
    assert np.array_equal(np.asarray(Image.open(foreign)), photo(40, 48))
    assert not [*working_directory.iterdir()]
    with TaskStore(tmp_path / "data").database.transaction() as db:
        owners = {whose for (whose,) in db.execute("SELECT whose FROM entries")}
    assert owners
    guessed = {Owner(f"session {name}", "").digest for name in ("local", "", "None")}
    assert not owners & guessed, "no client of a server gets the results"
