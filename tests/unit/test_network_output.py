"""The network's output between network and PNG."""

import errno
import tempfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from enhance.errors import StorageError
from enhance.files import PartFile
from enhance.inference.engine import Engine
from enhance.inference.network_output import NetworkOutput, OutputShape, cut, laid_out, most_slabs
from enhance.settings import Recipe
from weights.networks import rrdbnet, srvgg


def made(dtype, columns: bool, path: Path | None = None) -> NetworkOutput:
    return NetworkOutput.create(OutputShape(17, 23, np.dtype(dtype).name, columns), path=path)


def filled(output: NetworkOutput, picture: np.ndarray) -> NetworkOutput:
    length = picture.shape[1 if output.shape.columns else 0]
    for first in range(0, length, 5):
        last = min(first + 5, length)
        output.add(picture[:, first:last] if output.shape.columns else picture[first:last])
    return output


@pytest.fixture(params=[np.uint8, np.uint16], ids=["8 bit", "16 bit"])
def picture(request) -> np.ndarray:
    return np.random.default_rng(1).integers(0, np.iinfo(request.param).max, (17, 23, 3), request.param)


@pytest.mark.parametrize("columns", [False, True], ids=["down", "across"])
@pytest.mark.parametrize("place", ["memory", "file", "kept"])
def test_rows_come_back_as_the_strips_went_in(picture, columns, place, tmp_path, monkeypatch):
    if place == "file":
        monkeypatch.setattr("enhance.inference.network_output.IN_MEMORY", 0)
    path = tmp_path / "output.raw" if place == "kept" else None

    with filled(made(picture.dtype, columns, path), picture) as output:
        assert np.array_equal(output.rows(0, 17), picture)
        assert np.array_equal(output.rows(4, 12), picture[4:12])
        assert np.array_equal(output.rows(16, 17), picture[16:])


@pytest.mark.parametrize("columns", [False, True], ids=["down", "across"])
def test_a_kept_output_is_opened_again(picture, columns, tmp_path):
    path = tmp_path / "output.raw"
    with filled(made(picture.dtype, columns, path), picture) as output:
        output.keep()

    with NetworkOutput.open(path) as again:
        assert np.array_equal(again.rows(3, 15), picture[3:15])


def test_a_output_that_was_not_kept_leaves_nothing(picture, tmp_path):
    with filled(made(picture.dtype, False, tmp_path / "output.raw"), picture):
        assert not (tmp_path / "output.raw").exists()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("piece", [slice(0, -30), slice(0, 0), slice(40, None)], ids=["end", "all", "start"])
def test_a_file_with_a_missing_piece_is_refused_in_words(picture, tmp_path, piece):
    path = tmp_path / "output.raw"
    with filled(made(picture.dtype, False, path), picture) as output:
        output.keep()
    path.write_bytes(path.read_bytes()[piece])

    with pytest.raises(StorageError, match="run the picture again"):
        NetworkOutput.open(path)


def test_a_full_disk_is_said_in_words():
    with made(np.uint8, False) as output, Path("/dev/full").open("wb", buffering=0) as full:
        output._file = full
        with pytest.raises(StorageError, match="disk is full"):
            output.add(np.zeros((5, 23, 3), np.uint8))


@pytest.fixture
def no_temporary_files(monkeypatch):
    """The system's temporary folder has no room for anything."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    monkeypatch.setattr("enhance.inference.network_output.IN_MEMORY", 0)


def test_a_large_kept_output_is_opened_again_without_any_room_of_its_own(picture, tmp_path, no_temporary_files):
    path = tmp_path / "output.raw"
    with filled(made(picture.dtype, False, path), picture) as output:
        output.keep()
        assert np.array_equal(output.rows(2, 9), picture[2:9])
    before = list(tmp_path.iterdir())

    with NetworkOutput.open(path) as again:
        assert np.array_equal(again.rows(0, 17), picture)
        assert list(tmp_path.iterdir()) == before


def test_a_large_output_without_room_is_said_in_words(no_temporary_files):
    with pytest.raises(StorageError, match="disk is full"):
        made(np.uint8, False)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are not told here")
def test_the_file_is_closed_when_it_gets_its_name(picture, tmp_path, monkeypatch):
    keep, open_then = PartFile.keep, []

    def watched(part: PartFile) -> None:
        open_then.extend(fd for fd in Path("/proc/self/fd").iterdir() if fd.exists() and fd.samefile(part.part))
        keep(part)

    monkeypatch.setattr(PartFile, "keep", watched)
    with filled(made(picture.dtype, False, tmp_path / "output.raw"), picture) as output:
        output.keep()

    assert open_then == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_that_is_full_at_the_end_leaves_nothing(picture, tmp_path, monkeypatch):
    opened = PartFile.open

    def on_a_full_disk(part, mode):
        opened(part, mode).close()
        return Path("/dev/full").open("r+b")

    monkeypatch.setattr(PartFile, "open", on_a_full_disk)

    def fill() -> None:
        with made(picture.dtype, False, tmp_path / "output.raw") as output:
            filled(output, picture)

    with pytest.raises(StorageError, match="disk is full"):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(150, 24), (24, 150)], ids=["portrait", "landscape"])
@pytest.mark.parametrize("model", ["realesr-animevideov3", "span-x4"])
@pytest.mark.parametrize(("dtype", "precision"), [(np.uint16, "fp32"), (np.uint8, "bf16")])
def test_the_slabs_of_a_picture_join_into_the_output_of_one_run(size, model, dtype, precision, tmp_path):
    photo = skimage.data.astronaut()[: size[0], 180 : 180 + size[1]]
    rgb = photo.astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    engine = Engine("cpu", precision)

    with laid_out(rgb, tmp_path, Recipe(model), tile=192, count=3) as slabs:
        for slab in slabs:
            slab.make(engine.stream)
        joined = np.concatenate([strip for slab in slabs for strip in slab.strips()], axis=int(size[1] > size[0]))

    apart = np.abs(joined.astype(int) - engine.enlarge(rgb, model))
    assert apart.max() <= 1  # of 65535 that is 1.5e-5
    assert np.mean(apart > 0) < 0.01
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fold", "rows"), [(1, 1000), (2, 1000), (2, 1001)])
def test_slabs_are_the_whole_picture_once_and_see_all_that_counts(fold, rows):
    graph = rrdbnet(1, unshuffle=fold)

    slabs = cut(rows, 3, graph)

    assert [first for first, *_ in slabs] == [0, *(last for _, last, *_ in slabs[:-1])]
    assert slabs[-1][1] == rows
    assert max(last - first for first, last, *_ in slabs) - min(last - first for first, last, *_ in slabs) <= fold + 1
    assert all(first % fold == top % fold == 0 for first, _, top, _ in slabs)
    for first, last, top, bottom in slabs:
        assert (top, bottom) == (max(0, first - graph.sight), min(rows, last + graph.sight))


def test_a_picture_of_few_rows_has_few_slabs_and_one_that_is_not_tall_enough_is_not_cut():
    graph = srvgg(3)
    assert len(cut(2, 5, graph)) == 2
    assert [most_slabs(graph, times * 2 * graph.sight, workers=3) for times in (0, 1, 2, 3, 9)] == [1, 1, 2, 3, 3]
