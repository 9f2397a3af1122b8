"""The snippets of README and docs/, with the address of the test server and small photos."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from ..site import photo
from ..unit.test_documents import DOCUMENTS

PAGE = "http://127.0.0.1:7860"
DOCS = Path(__file__).parents[2] / "docs"
COOKBOOKS = DOCS / "api.md", DOCS / "library.md"
"""Documents whose blocks use results of earlier blocks."""

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory of the snippets, with their photos."""
    image = Image.fromarray(photo(24, 28))
    image.save(tmp_path / "photo.jpg")
    image.crop((0, 0, 16, 16)).save(tmp_path / "other.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def snippets(begins):
    """Return the different blocks that begin with this text, of all documents but the cookbooks."""
    texts = [one.read_text("utf-8") for one in DOCUMENTS if one not in COOKBOOKS]
    pattern = rf"^```\w*\n({begins}.*?)^```$"
    found = re.findall(pattern, "\n".join(texts), re.MULTILINE | re.DOTALL)
    assert found, begins
    return list(dict.fromkeys(found))


def cookbook(document, language, address=PAGE):
    """Return the blocks of a language for the server at this address, with a preset that is
    installed."""
    text = (DOCS / document).read_text("utf-8").replace(PAGE, address.rstrip("/"))
    return re.findall(
        rf"^```{language}\n(.*?)^```",
        text.replace('"fast', '"anime-fast'),
        re.MULTILINE | re.DOTALL,
    )


def execute(*snippets):
    names = {}
    for snippet in snippets:
        exec(compile(snippet, "snippet", "exec"), names)
    return names


@pytest.mark.parametrize("snippet", snippets("from enhance import"))
def test_the_snippet_of_the_library_works(snippet, folder, capsys):
    execute(snippet)
    assert capsys.readouterr().out.split()[0].endswith(".png")
    with Image.open(folder / "photo-4x.jpg") as image:
        assert image.size == (112, 96)


@pytest.mark.parametrize("snippet", snippets("from gradio_client import"))
def test_the_snippet_of_the_client_works(site, snippet):
    names = execute(snippet.replace(PAGE, site.url.rstrip("/")))
    assert names["info"]["output"]["width"] == 112
    with Image.open(names["png"]) as image:
        assert image.size == (112, 96)


def test_the_snippets_of_the_library_page_work(folder, capsys):
    names = execute(*cookbook("library.md", "python"))
    assert "(56, 48) (96, 112, 3)" in capsys.readouterr().out
    assert names["result"].array.shape == (64, 64, 3)
    assert (folder / "large.jpg").exists()


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_snippets_work(site, closing_threads):
    names = execute(*cookbook("api.md", "python", site.url))
    for client in (names["client"], names["owner"]):
        closing_threads.submit(client.close)
    assert Path(names["report"]).read_bytes().startswith(b"%PDF")
    assert Path(names["before"]).stat().st_size > 0
    assert names["file"].endswith("photo-4x.png")
    assert names["archive"].endswith(".zip")
    assert names["jpeg"].endswith("photo-4x.jpg")


def test_the_commands_download_the_result(site, folder):
    plain, by_events = cookbook("api.md", "bash", site.url)
    assert '"url": "/api/results/' in run("bash", "-eu", "-c", plain).replace('":"', '": "')
    with Image.open(folder / "photo-2x.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (56, 48))
    assert "photo-2x.png" in run("bash", "-eu", "-c", by_events)


def test_the_documented_settings_of_an_agent_are_those_of_the_server(site):
    settings, _ = cookbook("api.md", "json", site.url)
    assert json.loads(settings)["mcpServers"]["enhance"]["url"] == f"{site.url}gradio_api/mcp/"
