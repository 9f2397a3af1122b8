"""Runs of the command line with a fast network, their images and their results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from enhance.cli import main

FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32"]
Printed = list[dict[str, Any]]


def image(path, shade=0, side=8):
    """Save an image that differs for each shade. It is a PNG, whatever its extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.add.outer(np.arange(side), np.arange(side))[..., None] + np.array(
        [shade, 2 * shade, 0]
    )
    Image.fromarray((pixels % 256).astype(np.uint8)).save(path, format="PNG")
    return path


def contents(folder):
    """Return the content of each file in a folder, by its path below the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def names(folder):
    return list(contents(folder))


def start(*arguments):
    """Run `enhance run` and return its exit status."""
    return main(["run", *map(str, arguments), *FAST])


def run(capsys, *arguments, status=0):
    """Run `enhance run` and return the objects that it prints."""
    capsys.readouterr()
    assert start(*arguments, "--json") == status
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def cached(printed):
    """Return, by the name of each result, whether it existed before the run."""
    return {Path(one["output"]["path"]).name: one["cached"] for one in printed if "output" in one}
