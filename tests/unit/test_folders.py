"""Folders: which files are processed, in which order, their names, and several processes on one folder."""

import json
import os
import shutil
import signal
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import Settings, StorageError
from enhance.batch import BatchRun
from enhance.batch_inputs import Shard, find_images
from enhance.cli import main
from enhance.output.names import ResultNames
from enhance.output.provenance import origin_of

from ..site import wait_until
from .forks import can_fork

FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32"]


def image(path: Path, shade: int = 0, side: int = 8) -> Path:
    """Save an image that differs for each shade."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.add.outer(np.arange(side), np.arange(side))[..., None] + np.array([shade, 2 * shade, 0])
    Image.fromarray((pixels % 256).astype(np.uint8)).save(path, format="PNG")
    return path


def places(*inputs: Path, **options) -> list[str]:
    return [item.relative_path.as_posix() for item in find_images(inputs, **options).items]


def results(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_hidden_and_other_files_are_skipped_and_counted_and_damaged_images_fail(tmp_path, capsys):
    folder = tmp_path / "in"
    for name in ("a/x.png", ".hidden.png", ".cache/y.png", "a/._x.png"):
        image(folder / name)
    for name in ("notes.txt", "Thumbs.db", "a/broken.jpg"):
        (folder / name).write_bytes(b"no image")

    status = main(["run", str(folder), "-o", str(tmp_path / "out"), "--json", *FAST])

    done, failed, passed = [json.loads(line) for line in sorted(capsys.readouterr().out.splitlines(), key=len)[::-1]]
    assert (status, done["status"], results(tmp_path / "out")) == (1, "done", ["a/x.png"])
    assert failed["input"] == {"name": "broken.jpg", "path": str(folder / "a/broken.jpg")}
    assert passed == {"status": "passed over", "hidden": 3, "others": 2}


def test_the_order_does_not_depend_on_disk_or_locale(tmp_path):
    decomposed = unicodedata.normalize("NFD", "é.png")
    for name in ("b.png", "a/z.png", "a.png", "Z.png", decomposed, "z.png"):
        image(tmp_path / name)

    assert places(tmp_path) == ["Z.png", "a.png", "a/z.png", "b.png", "z.png", decomposed]


def test_links_to_folders_are_skipped_and_links_that_lead_nowhere_fail(tmp_path, capsys):
    folder = tmp_path / "in"
    image(folder / "a.png")
    (folder / "circle").symlink_to(folder)
    (folder / "folder.png").symlink_to(folder)
    for name, target in (
        ("gone.png", "nowhere.png"),
        ("itself.png", "itself.png"),
        ("1.png", "2.png"),
        ("2.png", "1.png"),
    ):
        (folder / name).symlink_to(folder / target)
    (folder / "far.png").symlink_to(folder / "a.png/b.png")

    assert places(folder) == ["1.png", "2.png", "a.png", "far.png", "gone.png", "itself.png"]
    for inputs in ([folder], sorted(folder.glob("*.png"))):
        assert main(["run", *map(str, inputs), "-o", str(tmp_path / "out"), "--json", *FAST]) == 1
        printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        done = {one["input"]["name"] for one in printed if one["status"] == "done"}
        failed = {one["input"]["name"] for one in printed if one["status"] == "failed"}
        assert done == {"a.png"}
        assert failed >= {"1.png", "2.png", "far.png", "gone.png", "itself.png"}


def test_an_unreadable_folder_fails(tmp_path, monkeypatch, capsys):
    image(tmp_path / "in/a.png")
    (tmp_path / "in/locked").mkdir()
    scan = os.scandir

    def closed(path):
        if Path(path).name == "locked":  # Permissions do not apply to root.
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)

    assert main(["run", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *FAST]) == 1

    assert "No permission to read the folder in/locked" in capsys.readouterr().err
    assert results(tmp_path / "out") == ["a.png"]


def test_results_inside_the_input_folder_are_not_processed_again(tmp_path):
    folder, output = tmp_path / "in", "a/deep/out"
    for shade, name in enumerate(("a/x.png", "a/x.bmp", "b/x.png")):
        image(folder / name, shade)

    for _ in range(2):
        assert main(["run", str(folder), "-o", str(folder / output), *FAST]) == 0

    assert results(folder / output) == ["a/x-bmp.png", "a/x-png.png", "b/x.png"]


def test_names_are_unique_on_every_file_system_not_too_long_and_recognised(tmp_path, capsys):
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    long = "长" * 83 + "ab"  # 251 bytes and .png
    names = ["a.png", "A.png", f"{composed}.png", f"{decomposed}.png", f"{long}.png", f"{long}.bmp"]
    sources = [image(tmp_path / "in" / name, shade) for shade, name in enumerate(names)]
    expected = ["a.png", "A-2.png", f"{composed}.png", f"{decomposed}-2.png"]
    expected += [f"{'长' * 82}-png.png", f"{'长' * 82}-bmp.png"]

    for _ in range(2):
        assert main(["run", *map(str, sources), "-o", str(tmp_path / "out"), "--json", *FAST]) == 0

    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(one["output"]["path"]).name for one in printed] == 2 * expected
    assert [one["cached"] for one in printed] == [False] * 6 + [True] * 6
    assert results(tmp_path / "out") == sorted(expected)


def test_failures_are_appended_to_no_photo(tmp_path, capsys, monkeypatch):
    photo, bad = image(tmp_path / "photo.jpg"), tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    before = photo.read_bytes()

    assert main(["run", str(bad), "-o", str(tmp_path / "out"), "--failures", str(photo), *FAST]) == 2
    assert "Use a file name that ends in .jsonl" in capsys.readouterr().err
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["run", str(bad), "--failures", str(tmp_path / "new.txt"), *FAST]) == 2
    assert "以 .jsonl 结尾" in capsys.readouterr().err

    assert photo.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.png", "photo.jpg"]


def test_a_list_names_the_files_and_failures_can_be_tried_again(tmp_path, capsys):
    good, bad = image(tmp_path / "a.png"), tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    files, failures, output = tmp_path / "list.jsonl", tmp_path / "failures.jsonl", tmp_path / "out"
    settings = {"preset": "anime-fast", "scale": 2}
    entries = [{"input": str(good), "output": "sub/b.jpg", "settings": settings}, {"input": str(bad), "output": "c"}]
    files.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))

    first = main(["run", "--files", str(files), "--failures", str(failures), "-o", str(output), *FAST])
    failed = json.loads(failures.read_text())
    image(bad, 1)
    again = main(["run", "--files", str(failures), "-o", str(output), *FAST])

    assert (first, again, results(output)) == (1, 0, ["c.png", "sub/b.png"])
    assert Image.open(output / "sub/b.png").size == (16, 16)
    assert "unsupported format" in failed.pop("reason")
    assert failed == entries[1]


def test_a_malformed_line_of_a_list_is_named(tmp_path, capsys):
    files = tmp_path / "list.jsonl"
    for line in (
        "no object",
        '["a.png"]',
        '{"output": "a"}',
        '{"input": "a.png", "output": "../a"}',
        '{"input": "a.png", "settings": {"preset": "none"}}',
        '{"input": "a.png", "settings": {"unknown": 1}}',
    ):
        files.write_text(f'{{"input": "a.png"}}\n\n{line}\n')
        assert main(["run", "--files", str(files), *FAST]) == 2
        assert f"Line 3 of {files} cannot be used (" in capsys.readouterr().err


def test_a_file_stays_in_its_shard_when_others_are_added_or_removed(tmp_path):
    folder = tmp_path / "in"
    for number in range(30):
        image(folder / f"{number % 3}/{number}.png")

    def shards() -> list[set[str]]:
        return [set(places(folder, shard=Shard.parse(f"{number}/3"))) for number in (1, 2, 3)]

    before, everything = shards(), set(places(folder))
    for number in range(15):
        (folder / f"{number % 3}/{number}.png").unlink()
    image(folder / "new.png")

    assert all(before)
    assert set.union(*before) == everything
    assert sum(map(len, before)) == 30
    for earlier, later in zip(before, shards(), strict=True):
        assert later - {"new.png"} == earlier & set(places(folder))


def test_shards_name_files_with_equal_names_as_one_run_does(tmp_path):
    sources = [image(tmp_path / f"{number}/a.{ending}", number) for number, ending in enumerate(("png", "png", "bmp"))]
    inputs = [str(source) for source in sources]

    for number in (1, 2):
        assert main(["run", *inputs, "-o", str(tmp_path / "parts"), f"--shard={number}/2", *FAST]) == 0
    assert main(["run", *inputs, "-o", str(tmp_path / "whole"), *FAST]) == 0

    assert results(tmp_path / "whole") == results(tmp_path / "parts") == ["a-bmp.png", "a-png-2.png", "a-png.png"]
    for name in results(tmp_path / "whole"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_the_shard_auto_ends_with_what_replaces_it(tmp_path, capsys):
    assert main(["run", str(image(tmp_path / "a.png")), "--shard=auto"]) == 2
    assert "--shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0/3", "4/3", "a/b", "1/0", "1", "1/2/3", "-1/2", "1.5/2", "", " 1/2", "٢/٥"])
def test_a_malformed_shard_is_rejected(text, tmp_path, capsys):
    assert main(["run", str(tmp_path), f"--shard={text}"]) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert "such as 2/5" in sentence


def test_an_output_that_ends_in_a_slash_is_a_folder(tmp_path, capsys):
    photo = image(tmp_path / "a.png")

    assert main(["run", str(photo), "-o", f"{tmp_path}/new/", *FAST]) == 0
    assert main(["run", str(photo), "-o", f"{tmp_path}/new.png/", *FAST]) == 0
    assert main(["run", str(photo), "-o", f"{photo}/", *FAST]) == 2

    assert "Choose a folder" in capsys.readouterr().err
    assert results(tmp_path / "new") == results(tmp_path / "new.png") == ["a.png"]


@can_fork
def test_two_processes_on_one_folder_lose_nothing(forks, tmp_path):
    """Both can enhance a file. Photos with the same name and other content keep both results."""
    output, owners = tmp_path / "out", {}
    for folder, first in (("one", 0), ("two", 2)):  # 2 and 3 are in both, a.png has other content in each.
        for shade in range(first, first + 4):
            image(tmp_path / folder / f"{shade}.png", shade, 24)
        image(tmp_path / folder / "a.png", 10 + first, 24)
    own = output / "5.png"
    own.parent.mkdir()
    own.write_bytes(b"somebody's")

    runs = [forks.start("run", "--json", *FAST, tmp_path / folder, "-o", output) for folder in ("one", "two")]

    assert [run.wait() for run in runs] == [0, 0]
    for run in runs:
        for line in run.output.read_text().splitlines():
            info = json.loads(line)
            owners.setdefault(Path(info["output"]["path"]).name, set()).add(info["input"]["sha256"])
    assert sorted(owners) == ["0.png", "1.png", "2.png", "3.png", "4.png", "5-2.png", "a-2.png", "a.png"]
    assert {name: {origin_of(output / name).input_sha256} for name in owners} == owners
    assert own.read_bytes() == b"somebody's"
    assert results(output) == sorted([*owners, own.name])


def test_a_second_run_finds_every_result(tmp_path, capsys):
    for shade, name in enumerate(("a.png", "a.bmp", "sub/a.png", "b.png")):
        image(tmp_path / "in" / name, shade)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/b.png").write_bytes(b"somebody's")
    command = ["run", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--json", *FAST]

    assert main(command) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    capsys.readouterr()
    assert main(command) == 0

    assert [json.loads(line)["cached"] for line in capsys.readouterr().out.splitlines()] == [True] * 4
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")} == before
    assert results(tmp_path / "out") == ["a-bmp.png", "a-png.png", "b-2.png", "b.png", "sub/a.png"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_result_gets_another_name_if_its_own_was_taken_during_the_run(enhancer, tmp_path, monkeypatch, has_links):
    image(tmp_path / "in/a.png")
    taken = tmp_path / "out/a.png"
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_links)

    def save_a_file(*_: object) -> None:
        taken.write_bytes(b"somebody's")

    batch = find_images([tmp_path / "in"], tmp_path / "out")
    done = BatchRun(enhancer, Settings("anime-fast"), batch, on_compute=save_a_file).run()

    assert [(item.state, item.result) for item in done.items] == [("done", tmp_path / "out/a-2.png")]
    assert taken.read_bytes() == b"somebody's"
    assert Image.open(tmp_path / "out/a-2.png").size == (32, 32)
    assert results(tmp_path / "out") == ["a-2.png", "a.png"]


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_an_output_file_that_appeared_during_the_run_is_not_replaced(enhancer, tmp_path, name):
    source, output = image(tmp_path / "in.png"), tmp_path / "out" / name

    def save_a_file(_: object) -> None:
        output.write_bytes(b"somebody's")

    with pytest.raises(StorageError) as error:
        enhancer.run(source, "anime-fast", output=output, on_compute=save_a_file)

    assert error.value.key == "name_taken"
    assert output.read_bytes() == b"somebody's"
    assert results(output.parent) == [name]


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_result_that_appeared_at_the_output_file_during_the_run_is_replaced(enhancer, tmp_path, name):
    source, output = image(tmp_path / "in.png"), tmp_path / "out" / name

    earlier = enhancer.run(source, Settings("anime-fast", sharpen=1), output=tmp_path / name).path

    def save_a_result(_: object) -> None:
        shutil.copy(earlier, output)

    result = enhancer.run(source, "anime-fast", output=output, on_compute=save_a_result)

    assert origin_of(output).signature == result.info["signature"]
    assert results(output.parent) == [name]


def test_a_result_of_another_input_is_not_replaced_if_it_takes_the_name_first(enhancer, tmp_path):
    other = enhancer.run(image(tmp_path / "other.png", 7), "anime-fast", output=tmp_path / "other-4x.png").path

    class LateNames(ResultNames):
        def assign(self, source: Path, target: Path) -> Path:
            output = super().assign(source, target)
            if output.name == "a.png":
                shutil.copy(other, output)  # Another process finishes between the choice of the name and the run.
            return output

    image(tmp_path / "in/a.png")
    (tmp_path / "out").mkdir()
    batch = replace(find_images([tmp_path / "in"], tmp_path / "out"), names=LateNames(tmp_path / "out"))
    done = BatchRun(enhancer, Settings("anime-fast"), batch).run()

    assert [(item.state, item.result) for item in done.items] == [("done", tmp_path / "out/a-2.png")]
    assert (tmp_path / "out/a.png").read_bytes() == other.read_bytes()


def refuse_links(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")  # as FAT does


@can_fork
def test_a_killed_process_is_resumed(forks, tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    for shade in range(3):
        image(folder / f"{shade}.png", shade, 256 if shade == 2 else 24)  # the last takes longer than the signal
    run = forks.start("run", *FAST, folder, "-o", output)
    wait_until(lambda: (output / "0.png").exists())
    run.send_signal(signal.SIGKILL)

    assert run.wait() == -signal.SIGKILL
    assert main(["run", str(folder), "-o", str(output), *FAST]) == 0

    assert [path.name for path in sorted(output.iterdir())] == ["0.png", "1.png", "2.png"]
    assert len(results(folder)) == 3
