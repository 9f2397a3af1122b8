"""The text and the images of PDF reports."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image


def text_of(document: Path | bytes, folder: Path, *, page: int | None = None) -> str:
    """Return the text of a PDF."""
    pages = [] if page is None else ["-f", str(page), "-l", str(page)]
    return _poppler("pdftotext", document, folder, pages, "-")


def images_of(document: Path | bytes, folder: Path) -> list[Image.Image]:
    """Return the images of a PDF in their order."""
    target = folder / secrets.token_hex(4)
    target.mkdir()
    _poppler("pdfimages", document, folder, ["-png"], str(target / "image"))
    return [Image.open(path) for path in sorted(target.iterdir())]


def facts_of(document: Path | bytes, folder: Path) -> str:
    """Return title, page sizes and fonts of a PDF, as poppler prints them."""
    return _poppler("pdfinfo", document, folder) + _poppler("pdffonts", document, folder)


def _poppler(
    tool: str, document: Path | bytes, folder: Path, options: Sequence[str] = (), *target: str
) -> str:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    if isinstance(document, bytes):
        path = folder / f"{secrets.token_hex(4)}.pdf"
        path.write_bytes(document)
        document = path
    done = subprocess.run([tool, *options, str(document), *target], capture_output=True, check=True)
    assert not done.stderr, done.stderr
    return done.stdout.decode()
