"""README and docs/: the commands, links, variables and generated parts are correct."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
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
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
RUN = ("from enhance import", "from gradio_client import")
"""The first words of the blocks that tests/api/test_snippets.py runs unchanged."""
COOKBOOKS = ROOT / "docs" / "api.md", ROOT / "docs" / "library.md"
"""Each block uses results of the earlier ones; tests/api/test_snippets.py runs them."""
NO_COMMANDS = (*RUN, "x86_64, ", "app.py  ", "upstream ", "location ", "#!/bin/bash", "apiVersion", "FROM ")
"""What a block begins with that is run there, an output, a tree, or the settings of another program."""


@dataclass(frozen=True)
class Command:
    """A command of a document, without its comment, and the variables that are set before it."""

    words: tuple[str, ...]
    variables: tuple[str, ...]

    @property
    def line(self) -> str:
        return " ".join((*self.variables, *self.words))


def blocks(document: Path) -> list[str]:
    """Return the fenced blocks of a document; none of the cookbooks, which have their own tests."""
    if document in COOKBOOKS:
        return []
    text = document.read_text("utf-8")
    return [block for _, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def commands(document: Path) -> Iterator[Command]:
    """Yield the commands of a document, in blocks and between backticks."""
    lines = [line for block in blocks(document) if not block.startswith(NO_COMMANDS) for line in block.splitlines()]
    text = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines += [
        one for one in re.findall(r"`([^`\n]+)`", text) if re.match(r"([A-Z_]+=\S+ )?(make|python3?|pip) \S", one)
    ]
    for line in filter(None, (one.strip() for one in lines)):
        for part in line.split(" && "):
            words = shlex.split(part.removesuffix("&").strip(), comments=True)
            count = next(place for place, word in enumerate(words) if not re.match(r"[A-Z_]+=", word))
            yield Command(tuple(words[count:]), tuple(words[:count]))


def check_make(words: tuple[str, ...]) -> None:
    (targets,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    names = [word for word in words if "=" not in word]
    assert set(names) <= set(targets.split())
    for variable in (word.partition("=")[0] for word in words if "=" in word):
        assert f"$({variable})" in MAKEFILE


def check_python(words: tuple[str, ...]) -> None:
    if words[:2] == ("-m", "weights"):
        weights_parser().parse_args(words[2:])
    elif words[:2] == ("-m", "enhance"):
        check_enhance(words[2:])
    elif words[:1] == ("app.py",):
        check_enhance(("app", *words[1:]))
    elif words[:1] == ("-m",):
        module = ROOT / words[1].replace(".", "/")
        assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()
    else:
        assert (ROOT / words[0]).is_file()


def check_enhance(words: tuple[str, ...]) -> None:
    if words[:1] == ("weights",):
        weights_parser().parse_args(words[1:])
    else:
        assert getattr(parse_arguments(words), "preset", "gentle") in PRESETS


def check_pip(words: tuple[str, ...]) -> None:
    """Check the arguments without running pip, which would change the environment of the tests."""
    assert words[0] == "install"
    for name, after in pairwise(words):
        if name == "-r":
            assert (ROOT / after).is_file()
        if found := re.fullmatch(r"\.\[(\w+)\]", after):
            assert f"\n{found[1]} = [" in PYPROJECT


def check_docker(words: tuple[str, ...]) -> None:
    """Check the arguments without running Docker, which is not installed on every computer."""
    if words[0] == "compose":
        assert words[1:3] == ("up", "-d")
        assert set(words[3:]) <= set(SERVICES)
    else:
        assert words[0] in ("build", "run")


def check_curl(words: tuple[str, ...]) -> None:
    """Check that the address is that of the page. tests/api requests it."""
    assert re.fullmatch(r"http://127\.0\.0\.1:7860/(metrics|healthz)", words[-1])


def check_debian(words: tuple[str, ...]) -> None:
    """Check the arguments without installing packages, which requires root."""
    assert words[0] == "install"


def check_ray(words: tuple[str, ...]) -> None:
    """Check the arguments. tests/unit/test_cluster.py starts and stops Ray."""
    assert words[0] in ("start", "stop")


CHECKS = {
    "ray": check_ray,
    "make": check_make,
    "python": check_python,
    "enhance": check_enhance,
    "pip": check_pip,
    "docker": check_docker,
    "curl": check_curl,
    "apt-get": check_debian,
}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_exists(document):
    found = list(commands(document))
    for command in found:
        try:
            CHECKS[command.words[0]](command.words[1:])
        except (AssertionError, SystemExit, KeyError) as error:
            pytest.fail(f"{command.line}: {error!r}")
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


def test_the_table_of_models_by_name_is_up_to_date():
    assert make_catalogue.table() in (ROOT / "docs" / "models.md").read_text("utf-8")


def test_the_table_of_gpu_memory_is_up_to_date():
    assert count_memory.table() in (ROOT / "docs" / "streaming.md").read_text("utf-8")
