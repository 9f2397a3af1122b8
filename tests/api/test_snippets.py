"""The snippets of README and docs/, with the address of the test server and small photos."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from PIL import Image

from ..site import Site, photo
from ..unit.test_documents import DOCUMENTS, RUN, blocks
from .test_agents import server

__all__ = ["server"]

PAGE = "http://127.0.0.1:7860"


def snippets(begins: str) -> list[str]:
    """Return the different blocks of all documents that begin with this text."""
    found = {block: None for document in DOCUMENTS for block in blocks(document) if block.startswith(begins)}
    assert found, begins
    return list(found)


@pytest.fixture
def with_a_photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo(20, 24)).save("photo.jpg")


@pytest.mark.usefixtures("with_a_photo")
@pytest.mark.parametrize("snippet", snippets(RUN[0]))
def test_the_snippet_of_the_library_works(snippet, tmp_path, capsys):
    exec(compile(snippet, "README", "exec"), {})
    assert capsys.readouterr().out.split()[0].endswith(".png")
    with Image.open(tmp_path / "photo-4x.jpg") as image:
        assert image.size == (96, 80)


@pytest.mark.usefixtures("with_a_photo")
@pytest.mark.parametrize("snippet", snippets(RUN[1]))
def test_the_snippet_of_the_client_works(site: Site, snippet):
    names: dict = {}
    exec(compile(snippet.replace(PAGE, site.url.rstrip("/")), "README", "exec"), names)
    assert names["info"]["output"]["width"] == 96
    with Image.open(names["png"]) as image:
        assert image.size == (96, 80)


@pytest.mark.usefixtures("with_a_photo")
def test_the_snippets_of_the_library_page_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ENHANCE_DATA", str(tmp_path / "data"))
    Image.fromarray(photo(16, 16)).save("other.png")
    text = (Path(__file__).parents[2] / "docs" / "library.md").read_text("utf-8").replace('"fast"', '"anime-fast"')
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "library.md", "exec"), names)
    assert "(48, 40) (80, 96, 3)" in capsys.readouterr().out
    assert names["result"].array.shape == (64, 64, 3)
    assert (tmp_path / "large.jpg").exists()


TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")


def snippets_of_api(language: str, address: str) -> list[str]:
    """Return the blocks of a language for the server at this address, with a preset that is installed."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    fast = [block.replace('"fast', '"anime-fast').replace('\\"fast', '\\"anime-fast') for block in blocks]
    return [block.replace("http://127.0.0.1:7860", address.rstrip("/")) for block in fast]


@pytest.fixture
def folder(site, tmp_path: Path, monkeypatch) -> Path:
    """The working directory of the snippets, with their photos."""
    with Image.open(site.photo("cookbook.png", 72, 80)) as image:
        image.save(tmp_path / "photo.jpg")
        image.crop((0, 0, 16, 16)).save(tmp_path / "other.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*command: str, seconds: float = 60) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("folder")
def test_the_python_snippets_work(site, closing_threads):
    *cookbook, _ = snippets_of_api("python", site.url)
    names: dict[str, Any] = {}
    for block in cookbook:
        exec(compile(block, "docs/api.md", "exec"), names)
    client = names["client"]
    assert isinstance(client, Client)
    closing_threads.submit(client.close)
    assert Path(names["report"]).read_bytes().startswith(b"%PDF")
    assert Path(names["before"]).stat().st_size > 0
    assert names["file"].endswith("photo-4x.png")
    assert (names["info"]["done"], names["archive"].endswith(".zip")) == (2, True)


@pytest.mark.usefixtures("folder")
def test_the_commands_download_the_result_and_its_report(site, folder):
    plain, by_name, with_session = snippets_of_api("bash", site.url)
    assert '"url": "/api/results/' in run("bash", "-eu", "-c", plain).replace('":"', '": "')
    with Image.open(folder / "photo-2x.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (160, 144))
    assert "photo-2x.png" in run("bash", "-eu", "-c", by_name)
    assert "photo-4x-report.pdf" in run("bash", "-eu", "-c", with_session)


@pytest.mark.long
def test_the_javascript_runs_in_node(site, folder):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    options = ("--silent", "--prefer-offline", "--no-audit", "--no-fund", "--fetch-retries=0")
    try:
        subprocess.run(["npm", "install", *options, "@gradio/client"], check=True, timeout=60, capture_output=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("npm cannot fetch @gradio/client here")
    (folder / "cookbook.mjs").write_text(snippets_of_api("javascript", site.url)[0])
    address, width = run("node", "cookbook.mjs").split()
    assert address.startswith(site.url)
    assert width == "160"


@pytest.mark.usefixtures("folder")
def test_the_agent_connects_to_the_documented_server(server, capsys):
    (settings, _), agent = snippets_of_api("json", server), snippets_of_api("python", server)[-1]
    assert json.loads(settings)["mcpServers"]["enhance"]["url"] in agent
    with ThreadPoolExecutor(1) as apart:  # Earlier browser tests leave an event loop in this thread.
        apart.submit(exec, compile(agent, "docs/api.md", "exec"), {}).result()
    address, width = capsys.readouterr().out.split()
    assert address.endswith("photo-2x.png")
    assert width == "160"
