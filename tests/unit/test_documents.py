"""README and docs/: the commands, links, variables and generated parts are correct."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile, pairwise
from pathlib import Path

import pytest
import yaml

from docs import count_memory, make_catalogue
from enhance.cli import parse_arguments
from enhance.models.cli import _parser as weights_parser
from enhance.settings import PRESETS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
READMES = ("README.md", "README.zh-CN.md")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
RUN = ("from enhance import", "from gradio_client import")
"""The first words of the blocks that tests/api/test_snippets.py runs unchanged."""
COOKBOOKS = ROOT / "docs" / "api.md", ROOT / "docs" / "library.md"
"""Documents whose blocks use results of earlier blocks. tests/api/test_snippets.py runs them."""
NO_COMMANDS = (*RUN, "x86_64, ", "app.py  ", "upstream ", "location ", "#!/bin/bash", "apiVersion", "FROM ")
"""The first words of blocks without commands to check: snippets of `RUN`, output, trees, settings of other programs."""


def blocks(document: Path) -> list[str]:
    """Return the fenced blocks of a document, except for the cookbooks, which have their own tests."""
    if document in COOKBOOKS:
        return []
    text = document.read_text("utf-8")
    return [block for _, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def commands(document: Path) -> Iterator[list[str]]:
    """Yield each command in the blocks and backticks of a document, as words without leading variables."""
    lines = [line for block in blocks(document) if not block.startswith(NO_COMMANDS) for line in block.splitlines()]
    text = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines += [
        one for one in re.findall(r"`([^`\n]+)`", text) if re.match(r"([A-Z_]+=\S+ )?(make|python3?|pip) \S", one)
    ]
    for line in filter(None, (one.strip() for one in lines)):
        for part in line.split(" && "):
            words = shlex.split(part.removesuffix("&").strip(), comments=True)
            yield [*dropwhile(lambda word: re.match(r"[A-Z_]+=", word), words)]


def check_make(words: list[str]) -> None:
    (targets,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert {word for word in words if "=" not in word} <= {*targets.split()}
    for word in words:
        assert "=" not in word or f"$({word.partition('=')[0]})" in MAKEFILE


def check_python(words: list[str]) -> None:
    if words[:2] == ["-m", "weights"]:
        weights_parser().parse_args(words[2:])
    elif words[:2] == ["-m", "enhance"]:
        check_enhance(words[2:])
    elif words[0] == "app.py":
        check_enhance(["app", *words[1:]])
    elif words[0] == "-m":
        module = ROOT / words[1].replace(".", "/")
        assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()
    else:
        assert (ROOT / words[0]).is_file()


def check_enhance(words: list[str]) -> None:
    if words[0] == "weights":
        weights_parser().parse_args(words[1:])
    else:
        assert getattr(parse_arguments(words), "preset", "gentle") in PRESETS


def check_pip(words: list[str]) -> None:
    """Check the arguments without running pip, which would change the environment of the tests."""
    for name, after in pairwise(words):
        assert name != "-r" or (ROOT / after).is_file()
        found = re.fullmatch(r"\.\[(\w+)\]", after)
        assert not found or f"\n{found[1]} = [" in PYPROJECT


def check_docker(words: list[str]) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    assert words[0] != "compose" or {*words[3:]} <= {*services}


CHECKS = {"make": check_make, "python": check_python, "enhance": check_enhance, "pip": check_pip}
CHECKS["docker"] = check_docker
OTHERS = ("ray", "curl", "apt-get")
"""Commands that change or need something outside of the checkout."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_exists(document):
    found = [words for words in commands(document) if words[0] not in OTHERS]
    for words in found:
        try:
            CHECKS[words[0]](words[1:])
        except (AssertionError, SystemExit, KeyError) as error:
            pytest.fail(f"{' '.join(words)}: {error!r}")
    if document.name in (*READMES, "files.md", "operating.md"):
        assert len(found) > 5


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_has_a_target(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
        if not target.startswith(("https://", "#")):
            assert (document.parent / target.partition("#")[0]).is_file(), target


def test_every_variable_is_documented():
    sources = [path.read_text("utf-8") for path in ROOT.glob("enhance/**/*.py")]
    read = {name for source in sources for name in re.findall(r'"(ENHANCE_[A-Z_]+)"', source)}
    described = set(
        re.findall(r"^\| `(ENHANCE_[A-Z_]+)`", (ROOT / "docs/operating.md").read_text("utf-8"), re.MULTILINE)
    )
    assert described == read


def test_the_container_passes_every_documented_variable():
    table = (ROOT / "docs/operating.md").read_text("utf-8").split("## Environment variables")[1].split("\n## ")[0]
    described = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"\w+", row)}
    of_the_image = {
        *re.findall(r"(\w+)=/?\w", (ROOT / "Dockerfile").read_text("utf-8").split("ENV ")[1].split("\n\n")[0])
    }
    folders = {"GRADIO_TEMP_DIR", "HF_HOME", "HF_HUB_CACHE"}
    service = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]["enhance"]
    assert {*service["environment"]} == described - of_the_image - folders


def test_the_table_of_models_by_name_is_up_to_date():
    assert make_catalogue.table() in (ROOT / "docs" / "models.md").read_text("utf-8")


def test_the_table_of_gpu_memory_is_up_to_date():
    assert count_memory.table() in (ROOT / "docs" / "streaming.md").read_text("utf-8")
