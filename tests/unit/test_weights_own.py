"""Models of one's own: added, listed, checked before each load, removed; and what is refused leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from enhance import PRESETS
from enhance.errors import StorageError, WeightsError
from enhance.models import Store, ensure, locate, own_models, read_state_dict, user_models
from enhance.models.adding import add
from enhance.models.cli import main
from tests.own_models import NETWORKS, random_state

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "weights")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model as it is downloaded, 2x."""
    torch.save({"params": random_state(NETWORKS["compact-2x"]())}, path := tmp_path / "2x Some_Model (v1.5).pth")
    return path


NAME = "2x-some_model-v1.5"


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*") if path.suffix != ".lock")


def test_an_added_model_is_listed_found_and_removed(store: Store, file: Path, capsys: pytest.CaptureFixture):
    before = file.read_bytes()
    assert main(["add", str(file), "--json"], store) == 0
    (record,) = json.loads(capsys.readouterr().out)

    assert {key: record[key] for key in ("name", "network", "scale", "source", "own", "status")} == {
        "name": NAME,
        "network": "srvgg",
        "scale": 2,
        "source": file.name,
        "own": True,
        "status": "verified",
    }
    located = locate(NAME, store)
    assert located
    assert (located.path, located.sha256) == (Path(record["path"]), record["sha256"])
    assert set(read_state_dict(located)) == set(random_state(NETWORKS["compact-2x"]()))
    assert main(["list"], store) == 0
    assert f"Your own: srvgg, 2x, from {file.name}." in capsys.readouterr().out
    assert main(["remove", NAME], store) == 0
    assert left_in(store.folder) == ["own.toml"]
    assert locate_error(NAME, store) == "weights_unknown_model"
    assert file.read_bytes() == before


def locate_error(name: str, store: Store) -> str:
    with pytest.raises(WeightsError) as error:
        locate(name, store)
    return error.value.key


def test_the_record_says_name_network_scale_size_and_checksum(store: Store, file: Path):
    made = add(file, "mine", store.folder)

    (line,) = user_models.tomllib.loads((store.folder / "own.toml").read_text()).items()

    size = (store.folder / made.file).stat().st_size
    fields = {"network": "srvgg", "scale": 2, "file": made.file, "bytes": size, "sha256": made.sha256}
    assert line == ("mine", {**fields, "origin": file.name})


def test_a_changed_file_is_never_loaded_but_set_aside_and_can_be_added_again(store: Store, file: Path, capsys):
    made = add(file, "mine", store.folder)
    located = locate("mine", store)
    assert located
    located.path.write_bytes(b"something else")

    assert locate("mine", store) is None
    with pytest.raises(WeightsError, match="has changed since it was verified"):
        read_state_dict(located)
    assert main(["verify"], store) == 1
    assert "corrupt" in capsys.readouterr().out
    assert (store.folder / f"{made.file}.corrupt").read_bytes() == b"something else"
    with pytest.raises(WeightsError, match=r"add it again with `enhance weights add FILE --name mine`"):
        ensure("mine", store=store)
    assert main(["verify"], store) == 1  # it is still missing
    assert add(file, "mine", store.folder) == made
    assert main(["verify"], store) == 0


def test_a_file_that_lies_in_the_weights_folder_itself_is_kept(store: Store, file: Path):
    store.folder.mkdir()
    inside = store.folder / "mine.pth"
    inside.write_bytes(file.read_bytes())

    add(inside, None, store.folder)
    user_models.forget("mine", store.folder)

    assert inside.read_bytes() == file.read_bytes()


def evil(path: Path) -> Path:
    class Code:
        def __reduce__(self):
            return os.system, (f"touch {path.with_name('ran')}",)

    torch.save({"params": Code()}, path)
    return path


def sparse(path: Path) -> Path:
    with path.open("wb") as big:
        big.truncate(2 << 30)
    return path


def saved(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def compact(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**random_state(NETWORKS["compact-2x"]()), **changes}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


BAD = {
    "nothing there": (lambda path: path, "cannot be read"),
    "no model": (lambda path: written(path, b"<html>404</html>"), "cannot be read as a model"),
    "empty": (lambda path: written(path, b""), "cannot be read as a model"),
    "a folder": (lambda path: path.mkdir() or path, r"contains no \.param file"),
    "code": (evil, "objects other than tensors"),
    "2 GB": (sparse, "is too large"),
    "no tensors": (lambda path: saved(path, {"epoch": 3}), "contains no supported network"),
    "a list": (lambda path: saved(path, [torch.zeros(3)]), "contains no supported network"),
    "another network": (lambda path: saved(path, {"fc.weight": torch.zeros(3, 3)}), "contains no supported network"),
    "a tensor of another shape": (
        lambda path: saved(path, compact(**{"body.2.weight": torch.zeros(8, 8, 5, 5)})),
        r"the tensor body\.2\.weight is missing",
    ),
    "one too many": (lambda path: saved(path, compact(extra=torch.zeros(1))), "the tensor extra is missing, unknown"),
    "five channels": (
        lambda path: saved(path, compact(**{"body.0.weight": torch.zeros(8, 5, 3, 3)})),
        "the tensor|channels",
    ),
    "no numbers": (
        lambda path: saved(path, compact(**{"body.0.bias": torch.full((8,), float("nan"))})),
        "infinite or undefined values",
    ),
    "more in memory than in the file": (
        lambda path: saved(path, compact(**{"body.0.bias": torch.zeros(1).expand(1 << 30)})),
        "is too large",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_model_is_refused_in_one_sentence_and_leaves_nothing(kind, tmp_path, store, capsys):
    make, complaint = BAD[kind]
    path = make(tmp_path / "model.pth")

    assert main(["add", str(path)], store) == 1

    printed = capsys.readouterr()
    assert re.search(complaint, printed.err), printed.err
    assert printed.err.count("\n") == 1
    assert left_in(store.folder) == []
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_file_that_is_cut_off_is_refused(share: float, ending: str, store: Store, file: Path, tmp_path: Path):
    made = add(file, "mine", store.folder)
    whole = (file if ending == "pth" else store.folder / made.file).read_bytes()
    cut = written(tmp_path / f"cut.{ending}", whole[: int(share * len(whole))])

    with pytest.raises(WeightsError, match=r"cannot be read as a model"):
        add(cut, None, store.folder)
    assert list(own_models(store.folder)) == ["mine"]


NCNN = """7767517
3 3
Input in 0 1 data
Convolution conv 1 1 data wide 0=12 1=3 4=1 5=1 6=324
PixelShuffle up 1 1 wide output 0=2
"""


def test_a_param_without_its_bin_or_with_another_is_refused(tmp_path: Path, store: Store):
    param = tmp_path / "small.param"
    param.write_text(NCNN)
    with pytest.raises(WeightsError, match=r"weights small\.bin of small\.param are missing"):
        add(param, None, store.folder)
    for size, complaint in ((4 + 4 * 324, "ends after"), (4 + 4 * 324 + 4 * 13, "but the layers need")):
        written(tmp_path / "small.bin", bytes(size))
        with pytest.raises(WeightsError, match=complaint):
            add(param, None, store.folder)
    assert left_in(store.folder) == []


def test_a_folder_adds_all_its_pairs_and_says_which_it_could_not(tmp_path: Path, store: Store, capsys):
    folder = tmp_path / "custom models"
    folder.mkdir()
    for name, text in (("A", NCNN), ("B", NCNN.replace("PixelShuffle", "Reorg")), ("C", NCNN), ("alone", NCNN)):
        (folder / f"{name}.param").write_text(text)
        if name != "alone":
            written(folder / f"{name}.bin", bytes(4 + 4 * 324 + 4 * 12))

    assert main(["add", str(folder)], store) == 1

    assert "B.param contains the unsupported layer Reorg (up, line 5)" in capsys.readouterr().err
    assert list(own_models(store.folder)) == ["a", "c"]


@pytest.mark.parametrize(
    "name", ["", "-x", ".x", "A", "a b", "a/b", "../a", "x" * 65, "ä", "yunet", "gentle", "precise"]
)
def test_what_is_no_name_or_is_taken_is_refused(name: str, store: Store, file: Path):
    with pytest.raises(WeightsError, match=r"cannot be the name of a model|already used by a model or a preset"):
        add(file, name, store.folder)
    assert left_in(store.folder) == []


def test_no_model_of_ones_own_can_take_a_presets_name():
    assert set(PRESETS) <= set(user_models.PRESETS)


def test_a_name_that_exists_is_refused_and_what_it_names_stays(store: Store, file: Path):
    made = add(file, "mine", store.folder)

    with pytest.raises(WeightsError, match="The name mine is already used"):
        add(file, "mine", store.folder)

    assert own_models(store.folder) == {"mine": made}


def test_models_that_are_added_at_once_are_all_kept(store: Store, file: Path):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda number: add(file, f"mine-{number}", store.folder), range(8)))

    assert own_models(store.folder) == {model.name: model for model in made}


def test_of_two_processes_that_add_one_name_one_does(tmp_path: Path, store: Store):
    param = tmp_path / "small.param"
    param.write_text(NCNN)
    written(tmp_path / "small.bin", bytes(4 + 4 * 324 + 4 * 12))
    command = [sys.executable, "-m", "weights", "add", str(param), "--name", "mine"]
    environment = {**os.environ, "ENHANCE_WEIGHTS": str(store.folder)}
    both = [subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        process.communicate()

    assert sorted(process.returncode for process in both) == [0, 1]
    assert locate("mine", store)
    assert len(left_in(store.folder)) == 2


def test_a_full_disk_leaves_what_was_there(store: Store, file: Path):
    add(file, "first", store.folder)
    before = left_in(store.folder)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, most))
    try:
        with pytest.raises(StorageError, match="weights folder"):
            add(file, "second", store.folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, handler)

    assert left_in(store.folder) == before
    assert list(own_models(store.folder)) == ["first"]


@pytest.mark.parametrize("text", ["[", "x = 1\n", '[mine]\nfile = "../../etc/passwd"\n', "\xff"])
def test_a_damaged_record_is_said_and_harms_no_model_that_ships(text: str, store: Store, capsys):
    store.folder.mkdir()
    (store.folder / "own.toml").write_text(text, encoding="latin-1")

    assert main(["list"], store) == 1
    assert "correct or delete" in capsys.readouterr().err
    assert locate("realesrgan-x4plus", store) is None


@pytest.mark.parametrize("name", ["span-x4", "precise"], ids=["model", "preset"])
def test_a_name_that_ships_by_now_costs_the_other_models_nothing(name: str, store: Store, file: Path, caplog):
    add(file, "mine", store.folder)
    added = add(file, "other", store.folder)
    record = store.folder / "own.toml"
    record.write_text(record.read_text().replace('["other"]', f'["{name}"]'))

    assert [list(own_models(store.folder)) for _ in range(3)] == [["mine"]] * 3
    assert [said.args[0] for said in caplog.records] == [name]
    assert add(file, "second", store.folder).name == "second"
    assert main(["remove", name], store) == 0
    assert list(user_models.tomllib.loads(record.read_text())) == ["mine", "second"]
    assert not (store.folder / added.file).exists()


FAR_SIGHTED = {
    "RCAN": ({"n_resgroups": 1, "n_resblocks": 1, "n_feats": 8, "reduction": 4}, "averages over the whole image"),
    "NAFNet": (
        {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]},
        "averages over the whole image",
    ),
    "SwinIR": ({"embed_dim": 6, "depths": [1], "num_heads": [1], "window_size": 4}, "its attention"),
    "HAT": ({"embed_dim": 6, "depths": [1], "num_heads": [1], "window_size": 4}, "its attention"),
    "OmniSR": ({"num_feat": 8, "res_num": 1}, "its attention"),
    "PLKSR": ({"dim": 8, "n_blocks": 1}, "layers other than 3x3 convolutions"),
}


@pytest.mark.parametrize("name", FAR_SIGHTED)
def test_a_network_that_rows_cannot_stream_is_refused_by_its_name_and_the_reason(name, tmp_path, store):
    options, reason = FAR_SIGHTED[name]
    module = __import__(f"spandrel.architectures.{name}", fromlist=[name])
    path = saved(tmp_path / "model.pth", getattr(module, name)(**options).state_dict())

    with pytest.raises(WeightsError, match=rf"model\.pth contains a {name} network.*{reason}"):
        add(path, None, store.folder)
