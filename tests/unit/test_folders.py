"""Folders: which files are processed, in which order, their names, and several processes on one
folder."""

import hashlib
import json
import os
import unicodedata
from pathlib import Path
from unittest.mock import Mock

import pytest
from PIL import Image

from enhance import Settings, SettingsError, StorageError
from enhance.images.listing import list_images
from enhance.jobs.batch import RunningBatch
from enhance.jobs.inputs import Shard, find_images
from enhance.metadata.provenance import origin_of
from enhance.pipeline import RunOptions

from .forks import can_fork
from .runs import FAST, cached, contents, image, names, run, start

RAW = Settings("anime-fast")


def places(*inputs, **options):
    return [item.relative_path.as_posix() for item in find_images(inputs, **options).files]


def test_hidden_and_other_files_are_skipped_and_damaged_images_and_links_fail(tmp_path, capsys):
    folder = tmp_path / "in"
    for name in ("a/x.png", ".hidden.png", ".cache/y.png"):
        image(folder / name)
    for name in ("notes.txt", "broken.jpg"):
        (folder / name).write_bytes(b"no image")
    for name, target in (("circle", "."), ("1.png", "2.png"), ("2.png", "1.png")):
        (folder / name).symlink_to(folder / target)

    *printed, skipped = run(capsys, folder, "-o", tmp_path / "out", status=1)

    assert skipped == {"status": "passed over", "hidden": 2, "others": 2}
    states = {one["input"]["name"]: one["status"] for one in printed}
    failed = {"1.png": "failed", "2.png": "failed", "broken.jpg": "failed"}
    assert states == {"x.png": "done", **failed}
    assert names(tmp_path / "out") == ["a/x.png"]


def test_the_order_does_not_depend_on_disk_or_locale_and_each_file_is_processed_once(tmp_path):
    for name in ("b.png", "a/z.png", "a.png", "Z.png", "é.png", "z.png"):
        image(tmp_path / name)

    found = places(tmp_path, tmp_path / "a.png", tmp_path / "a/../a.png")
    assert found == ["Z.png", "a.png", "a/z.png", "b.png", "z.png", "é.png"]


def test_an_unreadable_folder_fails(tmp_path, monkeypatch, capsys):
    photo = image(tmp_path / "in/a.png")
    # Permissions do not apply to root.
    monkeypatch.setattr(os, "scandir", Mock(side_effect=PermissionError(13, "Permission denied")))

    failed, done = run(capsys, photo.parent, photo, "-o", tmp_path / "out", status=1)

    assert "No permission to read the folder in" in failed["error"]
    assert done["status"] == "done"


def test_a_folder_whose_files_cannot_be_opened_is_listed(tmp_path, monkeypatch):
    path = image(tmp_path / "in/inner/a.png")
    status = os.stat

    def stat(path, **options):
        if Path(path).parent.name == "inner":
            raise PermissionError(13, "Permission denied")
        return status(path, **options)

    monkeypatch.setattr(os, "stat", stat)

    (listed,) = list_images([tmp_path / "in"], Mock(return_value=False)).images
    assert listed.path == path


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
    folder = tmp_path / "in"
    output = tmp_path / "out"
    for shade, name in enumerate(results):
        image(folder / name, shade)
    output.mkdir()
    (output / "b.png").write_bytes(b"somebody's")

    for is_cached in (False, True):
        printed = run(capsys, folder, "-o", output)
        folder = folder.rename(tmp_path / "moved")
        paths = {Path(one["output"]["path"]): one["cached"] for one in printed}
        assert paths == {output / name: is_cached for name in results.values()}
    before = contents(output)
    assert before.keys() == {*results.values(), "b.png"}

    image(folder / "c.png", 99)  # A camera can use the same file name again.
    assert cached(run(capsys, folder, "-o", output))["c-png-2.png"] is False
    assert before.items() <= contents(output).items()
    assert before["b.png"] == b"somebody's"


def test_a_list_names_the_files_and_failures_can_be_tried_again(tmp_path, capsys):
    good = image(tmp_path / "a.png")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    settings = {"preset": "anime-fast", "scale": 2}
    entries = [
        {"input": str(good), "output": "sub/b.jpg", "settings": settings},
        {"input": str(bad), "output": "c"},
    ]
    files = tmp_path / "list.jsonl"
    files.write_text("\n".join(map(json.dumps, entries)))
    failures = tmp_path / "failures.jsonl"
    output = tmp_path / "out"

    assert start("--files", files, "--failures", failures, "-o", output) == 1
    image(bad, 1)
    assert start("--files", failures, "-o", output) == 0

    assert names(output) == ["c.png", "sub/b.png"]
    assert Image.open(output / "sub/b.png").size == (16, 16)


def test_a_failure_is_listed_even_if_nobody_reads_its_message(tmp_path, monkeypatch):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    failures = tmp_path / "failures.jsonl"
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "w", buffering=1) as closed:
        monkeypatch.setattr("sys.stderr", closed)
        assert start(bad, "--failures", failures, "-o", f"{tmp_path}/out/") == 1

    assert json.loads(failures.read_text())["input"] == str(bad)


@pytest.mark.parametrize(
    "line",
    ["no object", '{"output": "a"}', '{"input": "a.png", "output": "../a"}'],
)
def test_a_malformed_line_of_a_list_is_named(tmp_path, capsys, line):
    files = tmp_path / "list.jsonl"
    files.write_text(f'{{"input": "a.png"}}\n\n{line}\n')

    assert start("--files", files) == 2
    assert f"Line 3 of {files} cannot be used (" in capsys.readouterr().err


def test_a_file_stays_in_its_shard_whatever_the_others_are(tmp_path):
    for number in range(8):
        image(tmp_path / f"{number}.png")
    shards = [places(tmp_path, shard=Shard.parse(f"{number}/3")) for number in (1, 2, 3)]
    assert shards == [["4.png", "5.png", "6.png"], ["0.png", "2.png", "3.png"], ["1.png", "7.png"]]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/", "1/2/3", "-1/3", "١/٣", "1/" + 5000 * "9"])
def test_a_wrong_shard_is_an_error_of_the_settings(text):
    with pytest.raises(SettingsError, match="shard"):
        Shard.parse(text)


def test_shards_name_files_with_equal_names_as_one_run_does(tmp_path, capsys):
    files = ("0/a.png", "1/a.png", "2/a.bmp")
    inputs = [image(tmp_path / file, shade) for shade, file in enumerate(files)]

    for number in (1, 2):
        run(capsys, *inputs, "-o", tmp_path / "parts", f"--shard={number}/2")
    run(capsys, *inputs, "-o", tmp_path / "whole")

    assert names(tmp_path / "whole") == ["a-bmp.png", "a-png-2.png", "a-png.png"]
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


@can_fork
def test_two_processes_on_one_folder_lose_nothing(forks, tmp_path):
    """Both can enhance a file. Photos with the same name and other content keep both results."""
    folders = (tmp_path / "one", tmp_path / "two")
    for number, folder in enumerate(folders):
        image(folder / "a.png", 10 + number, 24)
        for shade in range(6):
            image(folder / f"{shade}.png", shade, 24)
    photos = contents(tmp_path).values()
    output = tmp_path / "out"

    runs = [forks.start("run", *FAST, folder, "-o", output) for folder in folders]
    assert [process.wait() for process in runs] == [0, 0]

    assert names(output) == [*names(folders[0])[:-1], "a-2.png", "a.png"]
    inputs = {origin_of(output / name).input_sha256 for name in names(output)}
    assert inputs == {hashlib.sha256(photo).hexdigest() for photo in photos}


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_takes_the_name_during_the_run_stays(
    enhancer, tmp_path, monkeypatch, has_links
):
    other = image(tmp_path / "other.png", 7)
    content = enhancer.run(other, RAW, output=tmp_path / "b.png").path.read_bytes()
    if not has_links:  # as on FAT
        monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError(1, "Not permitted")))
    image(tmp_path / "in/a.png")
    output = tmp_path / "out"
    batch = find_images([tmp_path / "in"], output)

    def save_a_file(*_):
        (output / "a.png").write_bytes(content)

    (item,) = RunningBatch(enhancer, RAW, batch, on_compute=save_a_file).run().files

    assert item.result == output / "a-2.png"
    assert (output / "a.png").read_bytes() == content
    assert Image.open(output / "a-2.png").size == (32, 32)
    assert names(output) == ["a-2.png", "a.png"]


def test_an_output_file_that_appears_during_the_run_is_replaced_only_if_it_is_a_result(
    enhancer, tmp_path
):
    source = image(tmp_path / "in.png")
    output = tmp_path / "out.jpg"
    earlier = enhancer.run(source, RAW.changed(sharpen=1), output=output).path.read_bytes()

    def run_while_this_appears(content):
        output.unlink()
        options = RunOptions(on_compute=lambda _: output.write_bytes(content))
        return enhancer.run(source, RAW, output=output, options=options)

    result = run_while_this_appears(earlier)
    assert origin_of(output).signature == result.info["signature"]
    with pytest.raises(StorageError, match="already exists"):
        run_while_this_appears(b"somebody's")
    assert contents(tmp_path).keys() == {"in.png", "out.jpg"}
    assert output.read_bytes() == b"somebody's"
