"""The command line: arguments, output files, messages, exit status and interruptions."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from enhance.cli import main
from enhance.engine.kernels import Convolution
from enhance.metadata import CHOICES

from .forks import COMMAND_LINE, can_fork, wait_for_new_name
from .runs import FAST, contents, image, names, run, start


def test_options_reach_the_settings_and_the_output(photo_file, tmp_path, capsys):
    output = tmp_path / "out.jpg"
    options = ["--strength=0.5", "--saturation=1.5", "--tile=64", "--print=2x1.2cm", "--dpi=100"]

    (info,) = run(capsys, photo_file, "-o", output, *options, "--quality", "80")
    (better,) = run(capsys, photo_file, *options, "--format", "jpeg")

    assert {"strength": 0.5, "saturation": 1.5, "tuning": True}.items() <= info["settings"].items()
    assert info["tile"] == 64
    with Image.open(output) as opened:
        assert (opened.format, opened.size) == ("JPEG", (66, 47))
        assert opened.info["dpi"] == pytest.approx((100, 100), abs=0.1)
    assert info["output"]["bytes"] < better["output"]["bytes"]


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        ("--preset vivid", 2, "Unknown preset “vivid”. Choose from auto, gentle"),
        ("--shard ٢/٥", 2, "such as 2/5"),
        ("-o out.gif", 2, "out.gif has an unsupported extension"),
        ("-o out.jpg --format webp", 2, "extension of out.jpg does not match the format webp"),
        ("other.png -o photo.png", 2, "Choose a folder"),
        ("-o photo.png/", 2, "Choose a folder"),
        ("--failures photo.png", 2, "Use a file name that ends in .jsonl"),
        (". -o -", 2, "support only a single image"),
        ("-o photo.png", 1, "never overwritten"),
        ("-o file/x.png", 1, "Cannot save"),
        ("-o x.png --long-side 897", 1, "Use 896 or less"),
        ("-o pipe.png --report", 1, "device or a pipe"),
        ("LONG.png -o out", 1, "too long"),
    ],
)
def test_an_unusable_option_or_path_is_reported_in_one_line(
    options, status, sentence, photo_file, capsys, monkeypatch
):
    monkeypatch.chdir(photo_file.parent)
    Path("file").write_text("")
    os.mkfifo("pipe.png")
    before = contents(Path())

    words = options.replace("LONG", 300 * "a").split()
    assert main(["run", *FAST, "photo.png", *words]) == status

    *_, message = capsys.readouterr().err.strip().splitlines()
    assert sentence in message
    after = contents(Path())
    after.pop("out/photo.png", None)
    assert after == before
    assert Path("pipe.png").is_fifo()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("run", "required: INPUT or --files"),
        ("bench --json", "make bench"),
        ("run a.png --pages", "Remove it to enhance the first page only"),
        ("run a.png --print-fit border", "Remove --print-fit"),
    ],
)
def test_a_missing_argument_or_a_withdrawn_option_is_a_usage_error(command, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_an_unexpected_error_is_one_sentence_and_the_other_files_are_done(
    photo_file, tmp_path, capsys, monkeypatch
):
    convolve = Convolution.__call__
    errors = [RuntimeError("illegal instruction\nat 0x0")]

    def fail_once(kernel, rows):
        if errors:
            raise errors.pop()
        return convolve(kernel, rows)

    monkeypatch.setattr(Convolution, "__call__", fail_once)
    second = shutil.copy(photo_file, tmp_path / "second.png")

    assert start(photo_file, second, "-o", tmp_path / "out") == 1

    error = capsys.readouterr().err
    assert f"enhance: {photo_file}: An unexpected error occurred" in error
    assert "RuntimeError: illegal instruction at 0x0" in error
    assert "Traceback" not in error
    assert names(tmp_path / "out") == ["second.png"]


@can_fork
@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=pytest.mark.long)])
def test_a_batch_killed_while_it_writes_and_at_random_times_ends_with_the_same_bytes(
    forks, tmp_path, kills
):
    for number in range(3):
        image(tmp_path / f"in/{number}.png", number, 20 + 16 * number)

    def begin(output):
        return forks.start("run", tmp_path / "in", *FAST, "-o", output)

    assert begin(tmp_path / "whole").wait() == 0
    whole = contents(tmp_path / "whole")
    killed = tmp_path / "killed"
    for delay in random.Random(20).choices((0, 0.03, 0.1, 0.3), k=kills):
        before = set(contents(killed))
        batch = begin(killed)
        wait_for_new_name(killed, batch, before)
        time.sleep(delay)
        batch.send_signal(signal.SIGKILL)
        batch.wait()
        for name in contents(killed).keys() & whole.keys():
            assert contents(killed)[name] == whole[name]
        if whole.keys() <= contents(killed).keys():  # so that the next run has work to do
            shutil.rmtree(killed)
    assert begin(killed).wait() == 0

    assert contents(killed) == whole


def test_a_report_replaces_no_foreign_document_and_no_report_of_another_image(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "foreign.pdf").write_bytes(b"%PDF somebody's thesis")

    def enhance(name, shade):
        photo = image(tmp_path / "photo.png", shade)
        assert start(photo, "--report", "-o", output / f"{name}.png") == 0

    enhance("foreign", 0)
    enhance("own", 0)
    before = {name: contents(output)[name] for name in ("foreign.pdf", "own.pdf")}
    enhance("own", 1)

    after = contents(output)
    assert before.items() <= after.items()
    reports = {name for name in after if name.endswith(".pdf")}
    assert reports == {*before, "foreign-report.pdf", "own-report.pdf"}


@can_fork
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/full")
def test_an_output_that_cannot_be_written_is_an_error_with_a_message(forks, photo_file):
    full = "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
    run = forks.start("analyse", photo_file, code=full + COMMAND_LINE)
    assert run.wait() == 1
    assert "Not enough disk space to save standard output" in run.errors.read_text()


@can_fork
def test_a_photo_goes_through_standard_input_and_output(forks, photo_file):
    options = ["--format", "jpeg", "--progress", "json", "--json", *FAST]
    run = forks.start("run", "-", "-o", "-", *options, stdin=photo_file)

    assert run.wait() == 0
    with Image.open(run.output) as opened:
        assert (opened.format, opened.size) == ("JPEG", (224, 160))
    *_, result, progress = map(json.loads, run.errors.read_text().splitlines())
    assert progress == {"file": "-", "share": 1.0, "seconds_left": 0.0}
    assert result["input"]["path"] == "-"


@can_fork
@pytest.mark.skipif(sys.platform == "darwin", reason="file names are text on this system")
def test_names_that_are_no_text_are_printed_with_escapes_and_can_be_tried_again(forks, tmp_path):
    good = image(tmp_path / "in" / os.fsdecode(b"a\xff.png"))
    bad = good.with_name(os.fsdecode(b"bad\xff.png"))
    bad.write_bytes(b"no image")
    failures = tmp_path / "failures.jsonl"
    strict = "import sys\nsys.stdout.reconfigure(encoding='utf-8', errors='strict')\n"

    options = ["-o", tmp_path / "out", "--json", "--failures", failures, *FAST]
    run = forks.start("run", good.parent, *options, code=strict + COMMAND_LINE)

    assert run.wait() == 1
    assert names(tmp_path / "out") == [good.name]
    printed = map(json.loads, run.output.read_text("utf-8").splitlines())
    assert [one["input"]["path"] for one in printed] == [str(bad), str(good)]
    assert json.loads(failures.read_text("utf-8"))["input"] == str(bad)


@pytest.mark.parametrize("name", ["mine.png", "mine.jpg"])
def test_a_result_is_replaced_but_no_foreign_file(photo_file, tmp_path, capsys, name):
    mine = tmp_path / name
    Image.new("RGB", (8, 8), "teal").save(mine)
    before = mine.read_bytes()

    assert start(photo_file, "-o", mine) == 1
    assert mine.read_bytes() == before
    assert f"{mine} already exists and was not created by this program" in capsys.readouterr().err

    mine.write_bytes(b"")  # An empty file only reserves the name.
    for options in ([], ["--no-tuning", "--metadata=none"], []):
        assert start(photo_file, "-o", mine, *options) == 0
        assert Image.open(mine).size == (224, 160)


COMPLETION = """
eval "$(register-python-argcomplete enhance)"
COMP_LINE="enhance $1"
COMP_POINT=${#COMP_LINE}
_python_argcomplete enhance
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("weights fetch span", ["span-x4"]),
        ("run --pre", ["--preset", "--precision"]),
        ("run --metadata ", [*CHOICES]),
        ("run pho", ["photo.png"]),
    ],
)
def test_bash_completes_commands_options_values_and_files(line, words, tmp_path, monkeypatch):
    program = tmp_path / "enhance"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m enhance "$@"\n')
    program.chmod(0o755)
    (tmp_path / "photo.png").touch()
    folders = [str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", ":".join(folders))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))

    shell = ["bash", "-c", COMPLETION, "bash", line]
    completed = subprocess.check_output(shell, cwd=tmp_path, text=True)

    assert [word.strip() for word in completed.split()] == words
