"""Folders: which files are processed, in which order, their names, and several processes on one
folder."""

import json
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from enhance import Settings, StorageError
from enhance.cli import main
from enhance.jobs.batch import RunningBatch
from enhance.jobs.inputs import Shard, find_images
from enhance.metadata.provenance import origin_of
from enhance.pipeline import RunOptions

from .forks import can_fork
from .runs import FAST, cached, contents, image, names, run


def places(*inputs: Path, **options) -> list[str]:
    return [item.relative_path.as_posix() for item in find_images(inputs, **options).files]


def test_hidden_and_other_files_are_skipped_and_damaged_images_and_links_fail(tmp_path, capsys):
    folder = tmp_path / "in"
    for name in ("a/x.png", ".hidden.png", ".cache/y.png", "a/._x.png"):
        image(folder / name)
    for name in ("notes.txt", "Thumbs.db", "a/broken.jpg"):
        (folder / name).write_bytes(b"no image")
    for name, target in {
        "circle": ".",
        "folder.png": ".",
        "1.png": "2.png",
        "2.png": "1.png",
    }.items():
        (folder / name).symlink_to(folder / target)

    printed = run(capsys, folder, "-o", tmp_path / "out", status=1)

    assert printed.pop() == {"status": "passed over", "hidden": 3, "others": 4}
    states = {one["input"]["path"]: one["status"] for one in printed}
    failed = {str(folder / name): "failed" for name in ("1.png", "2.png", "a/broken.jpg")}
    assert states == {**failed, str(folder / "a/x.png"): "done"}
    assert names(tmp_path / "out") == ["a/x.png"]


def test_the_order_does_not_depend_on_disk_or_locale_and_each_file_is_processed_once(tmp_path):
    decomposed = unicodedata.normalize("NFD", "é.png")
    for name in ("b.png", "a/z.png", "a.png", "Z.png", decomposed, "z.png"):
        image(tmp_path / name)

    again = (tmp_path / "a.png", tmp_path / "a" / ".." / "a.png")
    assert places(tmp_path, *again) == ["Z.png", "a.png", "a/z.png", "b.png", "z.png", decomposed]


def test_an_unreadable_folder_fails(tmp_path, monkeypatch, capsys):
    image(tmp_path / "in/a.png")
    (tmp_path / "in/locked").mkdir()
    scan = os.scandir

    def closed(path):
        if Path(path).name == "locked":  # Permissions do not apply to root.
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)

    failed, done = run(capsys, tmp_path / "in", "-o", tmp_path / "out", status=1)

    assert "No permission to read the folder in/locked" in failed["error"]
    assert done["status"] == "done"


def test_names_are_unique_on_every_file_system_and_the_next_run_finds_every_result(
    tmp_path, capsys
):
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    long = "长" * 83 + "ab"  # 251 bytes and .png
    results = {
        "A.png": "A.png",
        "a.png": "a-2.png",
        "b.png": "b-2.png",  # b.png is another file
        "c.bmp": "c-bmp.png",
        "c.png": "c-png.png",
        "d/a.png": "d/a.png",
        f"{decomposed}.png": f"{decomposed}.png",
        f"{composed}.png": f"{composed}-2.png",
        f"{long}.bmp": f"{'长' * 82}-bmp.png",
        f"{long}.png": f"{'长' * 82}-png.png",
    }
    folder, output = tmp_path / "in", tmp_path / "out"
    for shade, name in enumerate(results):
        image(folder / name, shade)
    output.mkdir()
    (output / "b.png").write_bytes(b"somebody's")

    first = run(capsys, folder, "-o", output)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.png")}
    again = run(capsys, folder.rename(tmp_path / "moved"), "-o", output)

    for printed, is_cached in ((first, False), (again, True)):
        paths = [Path(one["output"]["path"]).relative_to(output).as_posix() for one in printed]
        assert paths == list(results.values())
        assert {one["cached"] for one in printed} == {is_cached}
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.png")} == before
    assert names(output) == sorted([*results.values(), "b.png"])
    assert (output / "b.png").read_bytes() == b"somebody's"

    earlier = (output / "c-png.png").read_bytes()
    image(tmp_path / "moved/c.png", 99)  # A camera can use the same file name again.
    assert [
        name
        for name, was in cached(run(capsys, tmp_path / "moved", "-o", output)).items()
        if not was
    ] == ["c-png-2.png"]
    assert (output / "c-png.png").read_bytes() == earlier


def test_a_list_names_the_files_and_failures_can_be_tried_again(tmp_path, capsys):
    good, bad = image(tmp_path / "a.png"), tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    files, failures, output = tmp_path / "list.jsonl", tmp_path / "failures.jsonl", tmp_path / "out"
    settings = {"preset": "anime-fast", "scale": 2}
    entries = [
        {"input": str(good), "output": "sub/b.jpg", "settings": settings},
        {"input": str(bad), "output": "c"},
    ]
    files.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))

    run(capsys, "--files", files, "--failures", failures, "-o", output, status=1)
    failed = json.loads(failures.read_text())
    image(bad, 1)
    run(capsys, "--files", failures, "-o", output)

    assert names(output) == ["c.png", "sub/b.png"]
    assert Image.open(output / "sub/b.png").size == (16, 16)
    assert "unsupported format" in failed.pop("reason")
    assert failed == entries[1]


@pytest.mark.parametrize(
    "line",
    [
        "no object",
        '["a.png"]',
        '{"output": "a"}',
        '{"input": "a.png", "output": "../a"}',
        '{"input": "a.png", "settings": {"preset": "none"}}',
    ],
)
def test_a_malformed_line_of_a_list_is_named(tmp_path, capsys, line):
    files = tmp_path / "list.jsonl"
    files.write_text(f'{{"input": "a.png"}}\n\n{line}\n')

    assert main(["run", "--files", str(files), *FAST]) == 2
    assert f"Line 3 of {files} cannot be used (" in capsys.readouterr().err


def test_failures_are_appended_to_no_photo(tmp_path, capsys, monkeypatch):
    photo = image(tmp_path / "photo.jpg")
    before = contents(tmp_path)

    for language, sentence in (
        ("en_GB.UTF-8", "Use a file name that ends in .jsonl"),
        ("zh_CN.UTF-8", "以 .jsonl 结尾"),
    ):
        monkeypatch.setenv("LC_ALL", language)
        assert main(["run", "gone.png", "--failures", str(photo), *FAST]) == 2
        assert sentence in capsys.readouterr().err

    assert contents(tmp_path) == before


def test_a_file_stays_in_its_shard_when_others_are_added_or_removed(tmp_path):
    for number in range(12):
        image(tmp_path / f"{number}.png")

    def shards() -> list[list[str]]:
        return [places(tmp_path, shard=Shard.parse(f"{number}/3")) for number in (1, 2, 3)]

    before = shards()
    image(tmp_path / "new.png")
    (tmp_path / "1.png").unlink()

    assert before == [
        ["4.png", "5.png", "6.png", "9.png"],
        ["0.png", "2.png", "3.png"],
        ["1.png", "10.png", "11.png", "7.png", "8.png"],
    ]
    assert [{*later} - {"new.png"} for later in shards()] == [
        {*earlier} - {"1.png"} for earlier in before
    ]


def test_shards_name_files_with_equal_names_as_one_run_does(tmp_path, capsys):
    inputs = [
        image(tmp_path / f"{number}/a.{ending}", number)
        for number, ending in enumerate(("png", "png", "bmp"))
    ]

    for number in (1, 2):
        run(capsys, *inputs, "-o", tmp_path / "parts", f"--shard={number}/2")
    run(capsys, *inputs, "-o", tmp_path / "whole")

    assert names(tmp_path / "whole") == ["a-bmp.png", "a-png-2.png", "a-png.png"]
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "a/b", "1/0", "1", "1/2/3", "-1/2", "1.5/2", "", " 1/2", "٢/٥", "auto"]
)
def test_a_malformed_shard_is_rejected_with_an_example(text, tmp_path, capsys):
    assert main(["run", str(tmp_path), f"--shard={text}"]) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert ("--shard $SLURM_ARRAY_TASK_ID/" if text == "auto" else "such as 2/5") in sentence


def test_an_output_that_ends_in_a_slash_is_a_folder(tmp_path, capsys):
    photo = image(tmp_path / "a.png")

    run(capsys, photo, "-o", f"{tmp_path}/new.png/")
    assert main(["run", str(photo), "-o", f"{photo}/", *FAST]) == 2

    assert "Choose a folder" in capsys.readouterr().err
    assert names(tmp_path / "new.png") == ["a.png"]


@can_fork
def test_two_processes_on_one_folder_lose_nothing(forks, tmp_path):
    """Both can enhance a file. Photos with the same name and other content keep both results."""
    output, owners = tmp_path / "out", {}
    for folder, first in (
        ("one", 0),
        ("two", 2),
    ):  # 2 and 3 are in both, a.png has other content in each.
        for shade in range(first, first + 4):
            image(tmp_path / folder / f"{shade}.png", shade, 24)
        image(tmp_path / folder / "a.png", 10 + first, 24)
    own = output / "5.png"
    own.parent.mkdir()
    own.write_bytes(b"somebody's")

    runs = [
        forks.start("run", "--json", *FAST, tmp_path / folder, "-o", output)
        for folder in ("one", "two")
    ]

    assert [process.wait() for process in runs] == [0, 0]
    for process in runs:
        for line in process.output.read_text().splitlines():
            info = json.loads(line)
            owners.setdefault(Path(info["output"]["path"]).name, set()).add(info["input"]["sha256"])
    assert sorted(owners) == [
        "0.png",
        "1.png",
        "2.png",
        "3.png",
        "4.png",
        "5-2.png",
        "a-2.png",
        "a.png",
    ]
    assert {name: {origin_of(output / name).input_sha256} for name in owners} == owners
    assert own.read_bytes() == b"somebody's"
    assert names(output) == sorted([*owners, own.name])


def refuse_links(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")  # as FAT does


@pytest.fixture
def result_of_another_photo(enhancer, tmp_path) -> bytes:
    return enhancer.run(
        image(tmp_path / "other.png", 7), "anime-fast", output=tmp_path / "b.png"
    ).path.read_bytes()


@pytest.mark.parametrize("has_links", [True, False])
@pytest.mark.parametrize("is_result", [True, False])
def test_a_file_that_takes_the_name_during_the_run_stays(
    enhancer, tmp_path, monkeypatch, result_of_another_photo, has_links, is_result
):
    content = result_of_another_photo if is_result else b"somebody's"
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_links)
    image(tmp_path / "in/a.png")

    batch = find_images([tmp_path / "in"], tmp_path / "out")
    on_compute = lambda *_: (tmp_path / "out/a.png").write_bytes(content)  # noqa: E731
    (item,) = (
        RunningBatch(enhancer, Settings("anime-fast"), batch, on_compute=on_compute).run().files
    )

    assert (item.state, item.result) == ("done", tmp_path / "out/a-2.png")
    assert (tmp_path / "out/a.png").read_bytes() == content
    assert Image.open(tmp_path / "out/a-2.png").size == (32, 32)
    assert names(tmp_path / "out") == ["a-2.png", "a.png"]


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_an_output_file_that_appears_during_the_run_is_replaced_only_if_it_is_a_result(
    enhancer, tmp_path, name
):
    source, output = image(tmp_path / "in.png"), tmp_path / "out" / name
    earlier = enhancer.run(source, Settings("anime-fast", sharpen=1), output=tmp_path / name).path

    result = enhancer.run(
        source,
        "anime-fast",
        output=output,
        options=RunOptions(on_compute=lambda _: shutil.copy(earlier, output)),
    )
    assert origin_of(output).signature == result.info["signature"]
    output.unlink()
    with pytest.raises(StorageError, match="already exists"):
        enhancer.run(
            source,
            "anime-fast",
            output=output,
            options=RunOptions(on_compute=lambda _: output.write_bytes(b"somebody's")),
        )

    assert contents(output.parent) == {name: b"somebody's"}
