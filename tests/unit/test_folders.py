"""Folders: which files are processed, in which order, their names, and several processes on one folder."""

import json
import os
import signal
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance import StorageError
from enhance.batch_inputs import find_images
from enhance.cli import main
from enhance.images import Shard
from enhance.output.claims import Claims
from enhance.output.names import ResultNames
from enhance.processes import this_process

from ..site import wait_until
from .forks import can_fork
from .hub_server import limit_file_size

FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32"]
CLAIMS = ".enhance-claims"


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


def test_links_to_folders_are_skipped_and_broken_links_fail(tmp_path):
    image(tmp_path / "in/a.png")
    (tmp_path / "in/circle").symlink_to(tmp_path / "in")
    (tmp_path / "in/gone.png").symlink_to(tmp_path / "nowhere.png")

    assert places(tmp_path / "in") == ["a.png", "gone.png"]


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

    assert results(folder / output) == ["a/x-2.png", "a/x.png", "b/x.png"]


def test_names_are_unique_on_every_file_system_not_too_long_and_recognised(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    long = "长" * 83 + "ab"  # 251 bytes and .png
    names = ["a.png", "A.png", f"{composed}.png", f"{decomposed}.png", f"{long}.png", f"{long}.bmp"]
    sources = [image(tmp_path / "in" / name, shade) for shade, name in enumerate(names)]
    result_names = ResultNames(tmp_path / "out")

    with result_names:
        paths = [result_names.assign(source, Path(source.name)) for source in sources]
        assert [path and path.name for path in paths] == [
            *("a.png", "A-2.png", f"{composed}.png", f"{decomposed}-2.png"),
            *(f"{long}.png", f"{'长' * 83}-2.png"),
        ]
        assert all(path and len(os.fsencode(path.name)) <= 255 for path in paths)
    for _ in range(2):
        assert main(["run", *map(str, sources[4:]), "-o", str(tmp_path / "out"), *FAST]) == 0
    assert results(tmp_path / "out") == sorted([f"{'长' * 83}-2.png", f"{long}.png"])


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


def test_shards_divide_the_list_by_number_or_by_the_position_in_a_job_array(tmp_path, monkeypatch):
    for name in "abcdefg":
        image(tmp_path / f"{name}.png")

    shares = [places(tmp_path, shard=Shard.parse(f"{number}/3")) for number in (1, 2, 3)]

    assert shares == [["a.png", "d.png", "g.png"], ["b.png", "e.png"], ["c.png", "f.png"]]
    for variables, shard in (
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "5"}, Shard(3, 5)),
        ({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "5"}, Shard(1, 5)),
        ({"JOB_COMPLETION_INDEX": "4", "ENHANCE_SHARDS": "5"}, Shard(5, 5)),
        ({"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "2"}, Shard(1, 2)),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "1", "AWS_BATCH_JOB_ARRAY_SIZE": "2"}, Shard(2, 2)),
    ):
        with monkeypatch.context() as job:
            for name, value in variables.items():
                job.setenv(name, value)
            assert Shard.parse("auto") == shard


@pytest.mark.parametrize("text", ["0/3", "4/3", "a/b", "1/0", "1", "1/2/3", "-1/2", "1.5/2", "", " 1/2", "٢/٥"])
def test_a_malformed_shard_is_rejected(text, tmp_path, capsys):
    assert main(["run", str(tmp_path), f"--shard={text}"]) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert "such as 2/5" in sentence


HERE = this_process().split("-")[0]
DEAD, THERE = f"{HERE}-999999999-1", "elsewhere-1-1"
"""A process of this machine that is dead, and one of another machine."""


def claim_for(process: str, folder: Path, what: str = "x", age: float = 0) -> None:
    """Create the claim of a process that is `age` seconds old."""
    before = {*folder.glob("*")}
    assert Claims(folder).claim(what)
    for path in {*folder.iterdir()} - before:
        path.write_text(process)
        os.utime(path, (time.time() - age, time.time() - age))


def test_a_claim_is_valid_until_its_process_is_dead(tmp_path):
    folder, mine = tmp_path / CLAIMS, Claims(tmp_path / CLAIMS)
    claim_for(DEAD, folder, "of a dead process")
    claim_for(THERE, folder, "of another machine", age=100)
    claim_for(THERE, folder, "of a machine that is silent", age=400)

    assert mine.claim("of a dead process")
    assert not mine.claim("of another machine")
    assert mine.claim("of a machine that is silent")
    assert not Claims(folder).claim("of a dead process")


def test_a_process_killed_while_claiming_blocks_no_file(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from enhance.output import claims\n"
        "claims.this_process = lambda: os._exit(9)\n"
        "claims.Claims(Path(sys.argv[1])).claim('a file')"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / CLAIMS)]).returncode == 9
    claims = Claims(tmp_path / CLAIMS)
    assert claims.claim("a file")
    claims.close()
    assert not (tmp_path / CLAIMS).exists()


def test_a_full_disk_leaves_no_claim(tmp_path):
    claims = Claims(tmp_path / CLAIMS)
    with limit_file_size(0), pytest.raises(StorageError):
        claims.claim("a file")
    assert claims.claim("a file")


def test_close_removes_claims_of_dead_processes_only(tmp_path):
    folder = tmp_path / CLAIMS
    claim_for(DEAD, folder)
    Claims(folder).close()
    assert not folder.exists()

    other = Claims(folder)
    assert other.claim("x")
    Claims(folder).close()
    assert len(list(folder.iterdir())) == 1


def test_a_claim_that_is_released_while_it_is_checked_has_one_owner(tmp_path, monkeypatch):
    claim_for(DEAD, tmp_path)
    first, second, third = (Claims(tmp_path) for _ in range(3))
    assert first.claim("x")

    def exists_before_release(path: Path) -> bool:
        exists = path.exists()
        first.release()
        return exists

    monkeypatch.setattr(second, "_exists", exists_before_release)

    assert second.claim("x")
    assert not third.claim("x")


@can_fork
def test_shards_started_twice_write_each_file_once(forks, tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    for shade in range(4):  # Two of each stem, in different shards.
        image(folder / f"{shade // 2}.{('bmp', 'png')[shade % 2]}", shade, 24)

    runs = [
        forks.start("run", "--json", *FAST, folder, "-o", output, "--shard", shard) for shard in ("1/2", "1/2", "2/2")
    ]

    assert [run.wait() for run in runs] == [0, 0, 0]
    printed = [json.loads(line) for run in runs for line in run.output.read_text().splitlines()]
    computed = Counter(one["output"]["path"] for one in printed if one["status"] == "done" and not one["cached"])
    assert computed == Counter(str(path) for path in output.rglob("*") if path.is_file())
    assert results(output) == sorted(f"{stem}{number}.png" for stem in range(2) for number in ("", "-2"))
    assert len(results(folder)) == 4


@can_fork
def test_a_killed_shard_is_resumed_at_once(forks, tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    for shade in range(3):
        image(folder / f"{shade}.png", shade, 256 if shade == 2 else 24)  # the last takes longer than the signal
    run = forks.start("run", *FAST, folder, "-o", output, "--shard", "1/1")
    wait_until(lambda: (output / CLAIMS).exists() and any((output / CLAIMS).iterdir()))
    run.send_signal(signal.SIGKILL)

    assert (run.wait(), (output / CLAIMS).exists()) == (-signal.SIGKILL, True)
    assert main(["run", str(folder), "-o", str(output), *FAST]) == 0

    assert [path.name for path in sorted(output.iterdir())] == ["0.png", "1.png", "2.png"]
    assert len(results(folder)) == 3


def test_a_file_claimed_by_another_process_is_skipped(tmp_path, capsys):
    for shade in range(2):
        image(tmp_path / f"in/{shade}.png", shade)
    other = ResultNames(tmp_path / "out")
    assert other.assign(tmp_path / "in/0.png", Path("0.png")) == tmp_path / "out/0.png"

    assert main(["run", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *FAST]) == 0

    assert "Another process is working on 1 of the files" in capsys.readouterr().err
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [CLAIMS, "1.png"]


def test_a_file_that_another_process_has_finished_is_not_enhanced_again(tmp_path):
    first, second = (image(tmp_path / f"in/a.{ending}", shade) for shade, ending in enumerate(("bmp", "png")))
    mine, other = (ResultNames(tmp_path / "out") for _ in range(2))
    done = other.assign(first, Path(first.name))
    assert done
    assert mine.assign(first, Path(first.name)) is None
    assert mine.assign(second, Path(second.name)) == tmp_path / "out/a-2.png"
    assert main(["run", str(first), "-o", str(done), *FAST]) == 0
    other.release(first)

    assert mine.assign(first, Path(first.name)) == done


def test_a_result_is_found_behind_names_that_are_free(tmp_path):
    sources = [image(tmp_path / f"in/a.{ending}", shade) for shade, ending in enumerate(("bmp", "jpg", "png"))]
    output = tmp_path / "out"
    names = find_images([tmp_path / "in"], output).names
    assert names
    assert names.assign(sources[0], Path("a.bmp")) == output / "a.png"
    # Another process has claimed a-2.png and failed.
    assert main(["run", str(sources[2]), "-o", str(output / "a-3.png"), *FAST]) == 0

    assert names.assign(sources[2], Path("a.png")) == output / "a-3.png"
