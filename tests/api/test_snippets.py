"""The snippets of README and docs/, with a small photo and the address of the test server."""

from __future__ import annotations

import pytest
from PIL import Image

from ..site import Site, photo
from ..unit.test_documents import DOCUMENTS, RUN, blocks

PAGE = "http://127.0.0.1:7860"


def snippets(begins: str) -> list[str]:
    """Return the different blocks of all documents that begin with this text."""
    found = {block: None for document in DOCUMENTS for block in blocks(document) if block.startswith(begins)}
    assert found, begins
    return list(found)


@pytest.fixture(autouse=True)
def with_a_photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo(20, 24)).save("photo.jpg")


@pytest.mark.parametrize("snippet", snippets(RUN[0]))
def test_the_snippet_of_the_library_works(snippet, tmp_path, capsys):
    exec(compile(snippet, "README", "exec"), {})
    assert capsys.readouterr().out.split()[0].endswith(".png")
    with Image.open(tmp_path / "photo-4x.jpg") as image:
        assert image.size == (96, 80)


@pytest.mark.parametrize("snippet", snippets(RUN[1]))
def test_the_snippet_of_the_client_works(site: Site, snippet):
    names: dict = {}
    exec(compile(snippet.replace(PAGE, site.url.rstrip("/")), "README", "exec"), names)
    assert names["info"]["output"]["width"] == 96
    with Image.open(names["png"]) as image:
        assert image.size == (96, 80)
