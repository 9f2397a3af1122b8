"""The two networks of the preset `fast` from the authors' ncnn files, if the official files are not
installed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import cast
from unittest import mock

from enhance import models
from enhance.models.weights_folder import digest

STEMS = {
    "realesr-general-x4v3": "RealESRGAN_General_x4_v3",
    "realesr-general-wdn-x4v3": "RealESRGAN_General_WDN_x4_v3",
}


def use_fast_files(find: Callable[[str], Path]) -> AbstractContextManager[object]:
    """Run the preset `fast` with these files, which are not in the manifest. `find` returns the
    path of a file."""
    paths = {name: find(f"{stem}.bin") for name, stem in STEMS.items()}
    manifest = cast(dict[str, models.Model], models.manifest())
    found = {
        name: replace(manifest[name], file=str(path), sha256=digest(path), sources=())
        for name, path in paths.items()
    }
    return mock.patch.dict(manifest, found)
