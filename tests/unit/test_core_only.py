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


COMMANDS = {
    "app": "app",
    "run photo.png -o large.png --report": "report",
    "weights add own.safetensors": "models",
    "run photo.png -o large.png --ray local": "ray",
    "run s3://bucket/photo.jpg -o large.png": "s3",
}
"""Commands that need an extra, and its name."""

CODE = f"""
import enhance
assert set(dir(enhance)) == set(enhance.__all__)

import numpy as np
enhancer = enhance.Enhancer("cpu")
face = next(one for one in enhancer.presets() if one["name"] == "face")
assert face["reason"].startswith("The package spandrel is not installed."), face
assert enhancer.analyse("photo.png").kind == "photo"
for name in ("out.jpg", "out.webp", "out.tif"):
    enhancer.run("photo.png", "anime-fast", output=name)
assert enhance.enhance(np.full((12, 16, 3), 90, np.uint8), "anime-fast").shape == (48, 64, 3)

import enhance.presets
from enhance.cli import main
for command in {[*COMMANDS]}:
    assert main(command.split()) in (1, 2), command
enhance.presets.available_presets = lambda: ("auto", "anime-fast")
assert main(["run", "photo.png", "-o", "large.png", "--preset", "anime-fast"]) == 0
assert main(["analyse", "photo.png", "--json"]) == 0
assert main(["compare", "photo.png", "-o", "sheet.png", "--size", "16"]) == 0
assert main(["weights", "list"]) == 0
"""


def test_library_and_command_line_work_and_a_missing_extra_is_one_sentence_with_its_command(
    photo_file,
):
    folder = photo_file.parent
    (folder / "own.safetensors").touch()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(
        [sys.executable, "-c", HIDE + CODE],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    names = {path.name for path in folder.iterdir()}
    assert {"out.jpg", "out.webp", "out.tif", "large.png", "sheet.png"} <= names
    messages = [line for line in ended.stderr.splitlines() if "pip install" in line]
    for message, extra in zip(messages, COMMANDS.values(), strict=True):
        assert f'pip install "enhance-photos[{extra}]"' in message
    assert "Traceback" not in ended.stderr
