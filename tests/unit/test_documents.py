"""README and docs/: the commands, links, variables and generated parts are correct."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile, pairwise
from pathlib import Path

import pytest
import yaml

from docs import count_memory
from enhance.cli import parse_arguments
from enhance.cli.weights import _parser as weights_parser
from enhance.settings import PRESETS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
RUN = ("from enhance import", "from gradio_client import")
"""The first words of the blocks that tests/api/test_snippets.py runs unchanged."""
COOKBOOKS = ROOT / "docs" / "api.md", ROOT / "docs" / "library.md"
"""Documents whose blocks use results of earlier blocks. tests/api/test_snippets.py runs them."""
NO_COMMANDS = (
    *RUN,
    "x86_64, ",
    "app.py  ",
    "upstream ",
    "location ",
    "#!/bin/bash",
    "apiVersion",
    "FROM ",
)
"""The first words of blocks without commands to check: snippets of `RUN`, output, trees, settings
of other programs."""
OTHERS = ("ray", "curl", "apt-get", "docker")
"""Commands that change or need something outside of the checkout."""


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(document: Path) -> list[str]:
    """Return the fenced blocks of a document, except for the cookbooks, which have their own
    tests."""
    if document in COOKBOOKS:
        return []
    text = document.read_text("utf-8")
    return [
        block for _, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def commands(document: Path) -> Iterator[list[str]]:
    """Yield each command in the blocks and backticks of a document, as words without leading
    variables."""
    lines = [
        line
        for block in blocks(document)
        if not block.startswith(NO_COMMANDS)
        for line in block.splitlines()
    ]
    text = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines += [
        found[0] for found in re.findall(r"`((?:[A-Z_]+=\S+ )?(make|python3?|pip) [^`\n]+)`", text)
    ]
    for line in filter(None, map(str.strip, lines)):
        for part in line.split(" && "):
            words = shlex.split(part.removesuffix("&").strip(), comments=True)
            yield [*dropwhile(lambda word: re.match(r"[A-Z_]+=", word), words)]


def check(program: str, *words: str) -> None:
    """Check the arguments of a command. pip is not run, because it would change the environment of
    the tests."""
    if program == "make":
        variables = [word.partition("=")[0] for word in words if "=" in word]
        assert all(f"$({name})" in read("Makefile") for name in variables)
        (targets,) = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
        assert {word for word in words if "=" not in word} <= {*targets.split()}
    elif program == "pip":
        files = [after for name, after in pairwise(words) if name == "-r"]
        assert all((ROOT / name).is_file() for name in files)
        extras = re.findall(r"\.\[(\w+)\]", " ".join(words))
        assert all(f"\n{extra} = [" in read("pyproject.toml") for extra in extras)
    elif program == "python" and words[0] == "-m":
        check_module(*words[1:])
    elif program == "python":
        assert (ROOT / words[0]).is_file()
    elif words[0] == "weights":
        weights_parser().parse_args(words[1:])
    else:
        assert program == "enhance"
        assert getattr(parse_arguments(words), "preset", "gentle") in PRESETS


def check_module(module: str, *words: str) -> None:
    if module == "enhance":
        check("enhance", *words)
    elif module == "weights":
        check("enhance", "weights", *words)
    else:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_exists(document):
    found = [words for words in commands(document) if words[0] not in OTHERS]
    for words in found:
        try:
            check(*words)
        except (AssertionError, SystemExit) as error:
            pytest.fail(f"{' '.join(words)}: {error!r}")
    if document.name in ("README.md", "README.zh-CN.md", "files.md", "operating.md"):
        assert len(found) > 5


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_has_a_target(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
        if not target.startswith(("https://", "#")):
            assert (document.parent / target.partition("#")[0]).is_file(), target


def test_every_variable_is_documented_and_passed_to_the_container():
    sources = "".join(path.read_text("utf-8") for path in ROOT.glob("enhance/**/*.py"))
    table = read("docs/operating.md").split("## Environment variables")[1].split("\n## ")[0]
    rows = "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    described = {*re.findall(r"\w+", rows)}
    assert {*re.findall(r'"(ENHANCE_[A-Z_]+)"', sources)} == {*re.findall(r"ENHANCE_\w+", rows)}
    of_the_image = {
        *re.findall(r"(\w+)=/?\w", read("Dockerfile").split("ENV ")[1].split("\n\n")[0])
    }
    folders = {"GRADIO_TEMP_DIR", "HF_HOME", "HF_HUB_CACHE"}
    service = yaml.safe_load(read("compose.yaml"))["services"]["enhance"]
    assert {*service["environment"]} == described - of_the_image - folders


def test_the_table_of_memory_is_up_to_date():
    assert count_memory.table() in read("docs/streaming.md")
