"""Finished runs for the tests of the report, with a sharpened Lanczos upscaling in place of the network."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from enhance.images import SourceImage, read_image
from enhance.output.png import encode_png
from enhance.output.result import ResultRows, Scene
from enhance.settings import Settings


def run_of(path: Path, pixels: np.ndarray, settings: Settings | None = None) -> tuple[SourceImage, ResultRows]:
    """Save the pixels as an image file; return the decoded image and a result for it."""
    path.write_bytes(encode_png(pixels))
    image = read_image(path)
    network = cv2.resize(image.rgb, None, fx=4, fy=4, interpolation=cv2.INTER_LANCZOS4)
    blurred = cv2.GaussianBlur(network, (0, 0), 2.0)
    network = cv2.addWeighted(network, 1.6, blurred, -0.6, 0)
    settings = settings or Settings("gentle")
    photo = Scene().photo(image, settings, image.degradation)
    return image, ResultRows(image, lambda first, last: network[first:last], settings, photo)


def info_of(image: SourceImage, settings: Settings | None = None, **more: object) -> Any:
    """Return the `info` of a finished run."""
    settings = settings or Settings("gentle")
    height, width = image.rgb.shape[:2]
    values = {name: value for name, value in settings.as_dict().items() if name not in ("preset", "tile")}
    return {
        "task_id": "0123456789abcdef0123456789abcdef",
        "status": "done",
        "finished": "2025-03-09T08:05:00+00:00",
        "signature": "5" * 64,
        "preset": settings.preset,
        "settings": values,
        "input": {"name": image.name, "sha256": image.sha256, "width": width, "height": height},
        "output": {
            "path": "/srv/private/0123456789abcdef0123456789abcdef.png",
            "sha256": "7" * 64,
            "bytes": 1234567,
            "width": 4 * width,
            "height": 4 * height,
        },
        "model": {"name": settings.model, "sha256": "3" * 64, "source": "Hugging Face", "licence": "CC-BY-NC-4.0"},
        "device": "cpu",
        "precision": "bf16",
        "tile": 192,
        "seconds": {"decode": 0.02, "network": 12.34, "tuning": 0.4, "encode": 0.25, "total": 13.01},
        "megapixels_per_second": 0.012,
        "peak_memory_mb": 812.4,
        "agreement_db": 61.25,
        "fidelity_db": 39.5,
        "fidelity_worst_db": 24.5,
        "cached": False,
        **more,
    }


def text_of(document: Path | bytes, folder: Path, *, page: int | None = None) -> str:
    """Return the text of a PDF."""
    return _poppler("pdftotext", document, folder, *([] if page is None else ["-f", str(page), "-l", str(page)]))


def facts_of(document: Path | bytes, folder: Path) -> str:
    """Return title, page sizes and fonts of a PDF, as poppler prints them."""
    return _poppler("pdfinfo", document, folder) + _poppler("pdffonts", document, folder)


def _poppler(tool: str, document: Path | bytes, folder: Path, *options: str) -> str:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    if isinstance(document, bytes):
        path = folder / f"{secrets.token_hex(4)}.pdf"
        path.write_bytes(document)
        document = path
    target = ["-"] if tool == "pdftotext" else []
    done = subprocess.run([tool, *options, str(document), *target], capture_output=True, check=True)
    assert not done.stderr, done.stderr
    return done.stdout.decode()
