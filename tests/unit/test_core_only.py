"""The library without the packages of its extras, which an import hook hides in a process of its
own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXTRAS = (
    "gradio",
    "jinja2",
    "prometheus_client",
    "mcp",
    "fpdf",
    "spandrel",
    "torchvision",
    "rawpy",
    "s3fs",
    "ray",
)
HIDE = f"""
import sys
from importlib.machinery import PathFinder

class OtherPackages(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            return None
        return super().find_spec(name, path, target)

sys.meta_path = [OtherPackages if one is PathFinder else one for one in sys.meta_path]
"""


def run_core(code, folder):
    """Run code in a process in which the packages of the extras are hidden."""
    command = [sys.executable, "-c", HIDE + code]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_library_lists_its_public_names_and_upscales_arrays_and_files(tmp_path, photo_file):
    code = f"""
import numpy as np
import enhance

assert set(dir(enhance)) == set(enhance.__all__)
enhancer = enhance.Enhancer("cpu")
face = next(one for one in enhancer.presets() if one["name"] == "face")
assert face["reason"].startswith("The package spandrel is not installed."), face
assert enhancer.analyse({str(photo_file)!r}).kind == "photo"
for name in ("out.jpg", "out.webp", "out.tif"):
    enhancer.run({str(photo_file)!r}, "anime-fast", output=name)
print(enhance.enhance(np.full((12, 16, 3), 90, np.uint8), "anime-fast").shape)
"""
    ended = run_core(code, tmp_path)
    assert ended.stdout == "(48, 64, 3)\n", ended.stderr
    assert {"out.jpg", "out.webp", "out.tif"} <= {path.name for path in tmp_path.iterdir()}


def test_the_command_line_enhances_analyses_compares_and_lists(tmp_path, photo_file):
    code = f"""
import enhance.presets
from enhance.cli import main
enhance.presets.available_presets = lambda: ("auto", "anime-fast")
photo = {str(photo_file)!r}
assert main(["run", photo, "-o", "large.png", "--preset", "anime-fast"]) == 0
assert main(["analyse", photo, "--json"]) == 0
assert main(["compare", photo, "-o", "sheet.png", "--size", "16"]) == 0
assert main(["weights", "list"]) == 0
"""
    ended = run_core(code, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert {"large.png", "sheet.png"} <= {path.name for path in tmp_path.iterdir()}


def test_a_missing_extra_is_one_sentence_with_its_command(photo_file):
    (photo_file.parent / "own.safetensors").touch()
    extras = {
        "app": "app",
        "run photo.png -o large.png --report": "report",
        "weights add own.safetensors": "models",
        "run photo.png -o large.png --ray local": "ray",
        "run s3://bucket/photo.jpg -o large.png": "s3",
    }
    code = f"""
from enhance.cli import main
for command in {list(extras)}:
    assert main(command.split()) in (1, 2), command
"""
    ended = run_core(code, photo_file.parent)
    assert ended.returncode == 0, ended.stderr
    messages = [line for line in ended.stderr.splitlines() if "pip install" in line]
    for message, extra in zip(messages, extras.values(), strict=True):
        assert f'pip install "enhance-photos[{extra}]"' in message
    assert "Traceback" not in ended.stderr
