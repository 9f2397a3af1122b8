"""README and docs/: the commands, links, variables and generated parts are correct."""

from __future__ import annotations

import re
import shlex
from itertools import dropwhile
from pathlib import Path

import pytest
import yaml

from docs import count_memory
from enhance.cli import parse_arguments
from enhance.models import manifest
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


def read(name):
    return (ROOT / name).read_text("utf-8")


def commands(document):
    """Yield each command in the blocks and backticks of a document, as words without leading
    variables."""
    text = document.read_text("utf-8")
    lines = re.findall(r"`((?:[A-Z_]+=\S+ )?(?:make|python3?|pip) [^`\n]+)`", text)
    if document not in COOKBOOKS:
        for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if not block.startswith(NO_COMMANDS):
                lines += filter(str.strip, block.splitlines())
    for line in lines:
        for part in line.split(" && "):
            words = shlex.split(part.strip().removesuffix("&"), comments=True)
            yield [*dropwhile(lambda word: re.match(r"[A-Z_]+=", word), words)]


def check(program, *words):
    """Check the arguments of a command. pip is not run, because it would change the environment of
    the tests."""
    if program == "make":
        (targets,) = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
        for word in words:
            name, equals, _ = word.partition("=")
            if equals:
                assert f"$({name})" in read("Makefile")
            else:
                assert name in targets.split()
    elif program == "pip":
        assert all((ROOT / name).is_file() for name in words if name.endswith(".txt"))
        for extra in re.findall(r"\.\[(\w+)\]", " ".join(words)):
            assert f"\n{extra} = [" in read("pyproject.toml")
    elif program == "python" and words[0] == "-m":
        check_module(*words[1:])
    elif program == "python":
        assert (ROOT / words[0]).is_file()
    else:
        assert program == "enhance"
        assert getattr(parse_arguments(words), "preset", "gentle") in PRESETS


def check_module(module, *words):
    if module == "enhance":
        check("enhance", *words)
    elif module == "weights":
        check("enhance", "weights", *words)
    else:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_exists(document):
    found = [words for words in commands(document) if words and words[0] not in OTHERS]
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
    described = {*re.findall(r"\w+", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))}
    own = {name for name in described if name.startswith("ENHANCE_")}
    assert own == {*re.findall(r'"(ENHANCE_[A-Z_]+)"', sources)}
    image = read("Dockerfile").split("ENV ")[1].split("\n\n")[0]
    not_passed = {"GRADIO_TEMP_DIR", "HF_HOME", "HF_HUB_CACHE", *re.findall(r"(\w+)=/?\w", image)}
    service = yaml.safe_load(read("compose.yaml"))["services"]["enhance"]
    assert {*service["environment"]} == described - not_passed


def test_the_notice_names_each_shipped_model():
    assert {*manifest()} <= {*re.findall(r"[\w.-]+", read("NOTICE"))}


def test_the_table_of_memory_is_up_to_date():
    assert count_memory.table() in read("docs/streaming.md")
