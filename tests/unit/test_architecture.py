"""How the modules lean on each other: no circles, Gradio in one room only, and no room on a later one."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("picture", "scenes", "inference", "output", "tasks", "report")
"""The way of a picture through the package; none of these imports one that comes after it."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {name_of(path): path for package in ("enhance", "weights") for path in (ROOT / package).rglob("*.py")}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}


def imported(name: str) -> Iterator[str]:
    """What a module imports, at its top, inside functions and for types alone; a name of a package is its module's."""
    package = name if PATHS[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inside = f"{module}.{alias.name}"
                yield inside if inside in PATHS else module


IMPORTS = {name: set(imported(name)) - {name} for name in PATHS}


def circle_through(start: str) -> list[str]:
    """The shortest way from a module back to itself; empty where there is none."""
    ways, seen = [[start]], set()
    while ways:
        way = ways.pop(0)
        for other in sorted(IMPORTS[way[-1]] & PATHS.keys()):
            if other == start:
                return [*way, start]
            if other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []


def room(name: str) -> str:
    return name.split(".")[1] if name.startswith("enhance.") else ""


def test_no_modules_import_each_other_in_a_circle():
    circles = {" -> ".join(circle) for name in PATHS if (circle := circle_through(name)) and min(circle) == circle[0]}
    assert sorted(circles) == []


def test_only_the_page_knows_gradio():
    for name, others in IMPORTS.items():
        if not name.startswith("enhance.web"):
            assert {other for other in others if other.split(".")[0] in ("gradio", "gradio_client")} == set(), name


def test_the_weights_stand_alone():
    for name in PATHS:
        if name.startswith("weights"):
            assert {other for other in IMPORTS[name] if other.split(".")[0] == "enhance"} == set(), name


@pytest.mark.parametrize("place", range(len(ROOMS)), ids=ROOMS)
def test_a_room_leans_on_earlier_ones_only(place):
    later = ROOMS[place + 1 :]
    leaning = {
        f"{name} -> {other}"
        for name, others in IMPORTS.items()
        for other in others
        if room(name) == ROOMS[place] and room(other) in later
    }
    assert sorted(leaning) == []


def test_nothing_below_the_page_leans_on_it():
    """Only the command line opens its door, by `serve`."""
    for name, others in IMPORTS.items():
        if not name.startswith("enhance.web"):
            opened = {"enhance.web"} if name == "enhance.__main__" else set()
            assert {other for other in others if other.startswith("enhance.web")} == opened, name


def test_the_door_of_the_page_loads_no_gradio_before_it_is_opened():
    code = "import sys, app, enhance.__main__, enhance.web; print('gradio' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "False\n"


def test_no_two_classes_share_a_name():
    names = Counter(
        node.name
        for name, tree in TREES.items()
        if name.startswith("enhance")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []
