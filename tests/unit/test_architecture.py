"""The imports: no circles, Gradio only in `enhance.web`, and no stage imports a later one."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = (
    "",
    "models",
    "metadata",
    "images",
    "formats",
    "analysis",
    "engine",
    "restore",
    "store",
    "report",
)
"""The stages of a run in order; none of these imports a later one."""


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {name_of(path): path for path in (ROOT / "enhance").rglob("*.py")}


def imported(name):
    """Return the imports of a module, including those in functions and for types."""
    for node in ast.walk(ast.parse(PATHS[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            is_package = PATHS[name].name == "__init__.py"
            package = name if is_package else name.rpartition(".")[0]
            module = resolve_name(module, package)
            for alias in node.names:
                inside = f"{module}.{alias.name}"
                yield inside if inside in PATHS else module


@pytest.fixture(scope="module")
def imports():
    return {name: set(imported(name)) - {name} for name in PATHS}


def test_no_circular_imports(imports):
    TopologicalSorter(imports).prepare()  # raises CycleError with the circle


def test_only_the_page_imports_gradio_and_only_the_command_line_the_page(imports):
    for name, others in imports.items():
        if not name.startswith("enhance.web"):
            page = {other for other in others if other.startswith(("gradio", "enhance.web"))}
            assert not page or (name, page) == ("enhance.cli.server", {"enhance.web"})


def test_a_stage_imports_no_later_one(imports):
    for name, others in imports.items():
        stage = stage_of(name)
        later = {other for other in others if stage and stage_of(other) > stage}
        assert later == set(), name


def stage_of(name):
    """Return the number of the stage of a module, or 0."""
    part = f"{name}.".split(".")[1]
    return STAGES.index(part) if part in STAGES else 0


IMPORTS_IN_ORDER = """
import contextlib, importlib, io, sys
from enhance.cli import parse_arguments

def check(names, *unwanted):
    for name in names.split():
        importlib.import_module(name)
    print(*(f"{names} imports {one}" for one in unwanted if one in sys.modules))

with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    parse_arguments(["--help"])
check("enhance.cli", "torch", "cv2", "PIL", "numpy", "huggingface_hub", "ray", "gradio")
check("enhance.models", "torch", "numpy", "huggingface_hub", "gradio")
check("enhance enhance.presets", "torch", "huggingface_hub", "gradio")
from enhance import PRESETS, Enhancer, Settings
check("enhance.restore.dehaze enhance.restore.faces", "torch", "ray", "gradio", "fsspec")
check("enhance.jobs.batch enhance.jobs.cluster", "torch", "ray", "gradio", "fsspec")
check("app enhance.web", "gradio")
"""
"""Print what is imported too early, in one process."""


def test_heavy_packages_are_imported_only_where_they_are_used():
    command = [sys.executable, "-c", IMPORTS_IN_ORDER]
    assert subprocess.check_output(command, cwd=ROOT, text=True).split() == []
