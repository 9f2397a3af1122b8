"""The text and the images of PDF reports."""

import secrets
import shutil
import subprocess

import pytest
from PIL import Image


def text_of(document, folder, *, page=None):
    """Return the text of a PDF, or of one of its pages."""
    pages = []
    if page is not None:
        pages = ["-f", str(page), "-l", str(page)]
    return _poppler("pdftotext", document, folder, pages, "-")


def lines_of(document, folder):
    """Return the lines of a PDF from top to bottom; texts side by side are in one line."""
    return _poppler("pdftotext", document, folder, ["-layout"], "-").splitlines()


def images_of(document, folder):
    """Return the images of a PDF in their order."""
    target = folder / secrets.token_hex(4)
    target.mkdir()
    _poppler("pdfimages", document, folder, ["-png"], str(target / "image"))
    return [Image.open(path) for path in sorted(target.iterdir())]


def facts_of(document, folder):
    """Return title, page sizes and fonts of a PDF, as poppler prints them."""
    return _poppler("pdfinfo", document, folder) + _poppler("pdffonts", document, folder)


def _poppler(tool, document, folder, options=(), *target):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    path = document
    if isinstance(document, bytes):
        path = folder / f"{secrets.token_hex(4)}.pdf"
        path.write_bytes(document)
    done = subprocess.run([tool, *options, path, *target], capture_output=True, check=True)
    assert not done.stderr, done.stderr
    return done.stdout.decode()
