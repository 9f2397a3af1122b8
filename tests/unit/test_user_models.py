"""User models: added, listed, verified before each load and removed. A rejected file changes
nothing."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from spandrel.architectures.SwinIR import SwinIR

from enhance import PRESETS
from enhance.errors import StorageError, WeightsError
from enhance.models import WeightStore, ensure, locate, own_models
from enhance.models.user_models import add, remove
from tests.unit.hub_server import limit_file_size, weight_files, weights_command
from tests.user_models import random_network, save_model

NAME = "2x-some_model-v1.5"


@pytest.fixture
def store(tmp_path):
    return WeightStore(tmp_path / "weights")


@pytest.fixture
def file(tmp_path):
    """A downloaded 2x model."""
    return save_model("compact-2x", tmp_path / "2x Some_Model (v1.5).pth")


def error_of(path, store, name=None):
    with pytest.raises(WeightsError) as error:
        add(path, name, store.folder)
    return error.value


def test_an_added_model_is_listed_located_and_removed(store, file, capsys):
    before = file.read_bytes()
    assert weights_command(["add", str(file), "--json"], store) == 0
    (record,) = json.loads(capsys.readouterr().out)

    facts = {"name": NAME, "network": "srvgg", "scale": 2, "own": True, "status": "verified"}
    assert record == {**record, **facts, "source": file.name}
    assert ensure(NAME, store=store).sha256 == record["sha256"]
    assert weights_command(["list"], store) == 0
    assert f"srvgg, 2x, from {file.name}." in capsys.readouterr().out
    assert weights_command(["remove", NAME], store) == 0
    assert weight_files(store.folder) == {"own.toml"}
    assert NAME not in own_models(store.folder)
    assert file.read_bytes() == before


def test_a_changed_file_is_not_loaded_but_renamed_and_can_be_added_again(store, file):
    model = add(file, "mine", store.folder)
    (store.folder / model.file).write_bytes(b"something else")

    assert locate("mine", store) is None
    assert weights_command(["verify"], store) == 1
    (corrupt,) = store.folder.glob(f"{model.file}.*.corrupt")
    assert corrupt.read_bytes() == b"something else"
    with pytest.raises(WeightsError) as error:
        ensure("mine", store=store)
    assert error.value.key == "weights_own_gone"
    assert add(file, "mine", store.folder) == model


def test_a_source_file_in_the_weights_folder_is_kept(store):
    store.folder.mkdir()
    source = save_model("compact-2x", store.folder / "mine.pth")
    before = source.read_bytes()

    add(source, None, store.folder)
    remove("mine", store.folder)

    assert source.read_bytes() == before


# --- Rejected files


class Code:
    def __reduce__(self):
        return os.system, ("touch executed",)


def compact(**changes):
    return {**random_network("compact-2x").state_dict(), **changes}


BAD = {
    "code": ({"params": Code()}, "unreadable"),
    "keys that are no names": ({"params": {1: torch.zeros(3)}}, "unknown"),
    "unknown network": ({"fc.weight": torch.zeros(3, 3)}, "unknown"),
    "wrong shape": (compact(**{"body.2.weight": torch.zeros(8, 8, 5, 5)}), "damaged"),
    "NaN": (compact(**{"body.0.bias": torch.full((8,), float("nan"))}), "not_finite"),
    "expanded tensor": (compact(**{"body.0.bias": torch.zeros(1).expand(1 << 30)}), "damaged"),
    "an architecture that cannot be streamed": (
        SwinIR(embed_dim=6, depths=[1], num_heads=[1], window_size=4).state_dict(),
        "unsupported",
    ),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_a_bad_file_is_rejected_and_changes_nothing(
    content, reason, tmp_path, store, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pth"
    torch.save(content, path)

    assert error_of(path, store).key == f"weights_add_{reason}"
    assert weights_command(["add", str(path)], store) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert weight_files(store.folder) == set()
    assert not (tmp_path / "executed").exists()


def test_a_missing_an_incomplete_and_a_large_file_are_rejected(store, file):
    whole = file.read_bytes()
    file.unlink()
    assert error_of(file, store).key == "weights_add_no_file"
    file.write_bytes(whole[:-9])
    assert error_of(file, store).key == "weights_add_unreadable"
    os.truncate(file, 2 << 30)
    assert error_of(file, store).key == "weights_add_large"
    assert not own_models(store.folder)


NCNN = """7767517
3 3
Input in 0 1 data
Convolution conv 1 1 data wide 0=12 1=3 4=1 5=1 6=324
PixelShuffle up 1 1 wide output 0=2
"""
NCNN_BYTES = 4 + 4 * 324 + 4 * 12
UNSUPPORTED = {
    "text": "Reshape up 1 1 wide output 6=w,-1",
    "scale": "Interp up 1 1 wide output 0=1 1=1e300 2=1e300",
    "constant": "MemoryData one 0 1 one 0=1 1=1 2=1\nConcat up 2 1 one wide output 0=0",
}


def save_ncnn(path, text=NCNN, size=NCNN_BYTES):
    path.write_text(text)
    path.with_suffix(".bin").write_bytes(bytes(size))
    return path


@pytest.mark.parametrize(
    ("text", "size", "reason"),
    [
        (NCNN, NCNN_BYTES - 4, "ncnn_other_size"),
        (NCNN, NCNN_BYTES + 4, "ncnn_other_size"),
        (NCNN.replace("6=324", "6=many"), NCNN_BYTES, "ncnn_odd_line"),
    ],
)
def test_a_damaged_param_or_bin_file_is_rejected(text, size, reason, tmp_path, store):
    error = error_of(save_ncnn(tmp_path / "small.param", text, size), store)

    assert error.values["reason"].key == reason
    assert weight_files(store.folder) == set()


def test_a_network_without_convolutions_is_not_damaged(tmp_path, store):
    text = NCNN.replace("Convolution conv", "InnerProduct conv")
    assert error_of(save_ncnn(tmp_path / "small.param", text), store).key.endswith("other_layer")


@pytest.mark.parametrize("layers", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_an_unsupported_layer_is_named_whatever_its_settings(layers, tmp_path, store):
    text = NCNN.replace("PixelShuffle up 1 1 wide output 0=2", layers)
    error = error_of(save_ncnn(tmp_path / "small.param", text, NCNN_BYTES + 4), store)

    kind = layers.splitlines()[-1].split()[0]
    assert (error.key, error.values["kind"]) == ("weights_add_other_layer", kind)


# --- Names and the record


@pytest.mark.parametrize("name", ["", ".x", "A", "../a", "x" * 65, "ä", "yunet", *PRESETS])
def test_a_bad_or_taken_name_is_rejected(name, store, file):
    assert error_of(file, store, name).key in ("weights_add_no_name", "weights_add_name_taken")
    assert weight_files(store.folder) == set()


def test_one_of_two_callers_that_add_the_same_name_succeeds(store, file):
    begin = Barrier(2)

    def add_mine(_):
        begin.wait(60)
        try:
            return add(file, "mine", store.folder).name
        except WeightsError as error:
            return error.key

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(add_mine, range(2))) == ["mine", "weights_add_name_taken"]


@pytest.mark.parametrize(
    ("limit", "author"), [(200, ""), (100_000, "A. Author" * 20_000)], ids=["weights", "record"]
)
def test_a_full_disk_changes_nothing(limit, author, store, file):
    add(file, "first", store.folder)
    before = weight_files(store.folder)
    with limit_file_size(limit), pytest.raises(StorageError):
        add(file, "second", store.folder, author=author)

    assert weight_files(store.folder) == before
    assert list(own_models(store.folder)) == ["first"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[", ""),
        ("bytes = ", 'bytes = "nine" #'),
        ('file = "', 'file = "../'),
        ('"mine"', '"../mine"'),
        ("#", "\xff"),
    ],
)
def test_a_damaged_record_is_reported_and_does_not_affect_shipped_models(
    old, new, file, store, capsys
):
    add(file, "mine", store.folder)
    record = store.folder / "own.toml"
    record.write_text(record.read_text().replace(old, new), encoding="latin-1")

    assert weights_command(["list"], store) == 1
    assert "own.toml" in capsys.readouterr().err
    assert locate("realesrgan-x4plus", store) is None
