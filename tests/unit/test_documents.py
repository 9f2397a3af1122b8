"""README and docs/: the commands, links, variables and generated parts are correct."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from docs import count_memory
from enhance.cli import parse_arguments
from enhance.models import manifest
from enhance.settings import PRESETS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def read(name):
    return (ROOT / name).read_text("utf-8")


def commands(document):
    """Yield each command of the program and of make in a document, as words without leading
    variables."""
    text = document.read_text("utf-8")
    pattern = r"^(?:[A-Z_]+=\S+ )*(?:python -m )?((?:enhance|make) [^`\n]+)"
    for line in re.findall(pattern, text, re.MULTILINE) + re.findall(r"`(make [^`\n]+)`", text):
        yield shlex.split(line.removesuffix("&"), comments=True)


def check(program, *words):
    """Check the arguments of a command."""
    if program == "enhance":
        assert getattr(parse_arguments(words), "preset", "gentle") in PRESETS
        return
    (targets,) = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
    for word in words:
        name, equals, _ = word.partition("=")
        if equals:
            assert f"$({name})" in read("Makefile")
        else:
            assert name in targets.split()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_exists(document):
    found = [*commands(document)]
    for words in found:
        try:
            check(*words)
        except (AssertionError, SystemExit) as error:
            pytest.fail(f"{' '.join(words)}: {error!r}")
    if document.name in ("README.md", "README.zh-CN.md", "files.md"):
        assert len(found) > 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_has_a_target(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
        if not target.startswith(("https://", "#")):
            assert (document.parent / target.partition("#")[0]).is_file(), target


def test_the_description_on_pypi_has_no_relative_links():
    readme = re.findall(r'^readme = "(.*)"', read("pyproject.toml"), re.MULTILINE)[0]
    assert not re.findall(r"(?<!!)\[[^]]*\]\((?!https://)", read(readme))


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
