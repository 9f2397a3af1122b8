"""The command line: arguments, output files, messages, exit status and interruptions."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance.cli import main
from enhance.cli.progress import ProgressOutput
from enhance.engine.kernels import Convolution

from .forks import COMMAND_LINE, Fork, can_fork, wait_for_new_name
from .runs import FAST, contents, image, names, run


def test_the_extension_or_the_format_option_sets_the_format(photo, photo_file, tmp_path, capsys):
    output, clear = tmp_path / "out.jpg", tmp_path / "clear.png"
    Image.fromarray(np.dstack([photo, np.full(photo.shape[:2], 128, np.uint8)])).save(clear)

    assert main(["run", str(photo_file), "-o", str(output), "--quality", "80", *FAST]) == 0
    assert main(["run", str(clear), "--format", "jpeg", "--json", *FAST]) == 0

    printed = capsys.readouterr()
    info = json.loads(printed.out.splitlines()[-1])
    assert [Image.open(path).format for path in (output, info["output"]["path"])] == [
        "JPEG",
        "JPEG",
    ]
    assert Path(info["output"]["path"]).stat().st_size == info["output"]["bytes"]
    assert "clear.png: JPEG does not support transparency" in printed.err


def test_options_reach_the_settings_and_a_print_size_sets_pixels_and_resolution(
    photo_file, tmp_path, capsys
):
    output, sliders = (
        tmp_path / "out.png",
        {"strength": 0.5, "fidelity": 0.7, "sharpen": 0.4, "saturation": 1.5},
    )
    options = [f"--{name}={value}" for name, value in sliders.items()]

    size = ["--print", "2x1.2cm", "--dpi", "100", "--tile", "64"]
    (info,) = run(capsys, photo_file, "-o", output, *options, *size)

    assert (sliders | {"tuning": True, "print_width": 2, "print_height": 1.2}).items() <= info[
        "settings"
    ].items()
    assert info["tile"] == 64
    with Image.open(output) as opened:
        assert opened.size == (66, 47)
        assert opened.info["dpi"] == pytest.approx((100, 100), abs=0.1)


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["--preset", "vivid"], 2, "Unknown preset “vivid”. Choose from auto, gentle"),
        (["--scale", "17"], 2, "Use a number from 1 to 16"),
        (["--device", "meta"], 2, "“meta” is not available"),
        (["--scale", "2", "--long-side", "99"], 2, "Use only one of scale, long_side, megapixels"),
        (["--precision", "fp8"], 2, "Unknown precision “fp8”"),
        (["-o", "out.gif"], 2, "out.gif has an unsupported extension"),
        (
            ["-o", "out.jpg", "--format", "webp"],
            2,
            "The extension of out.jpg does not match the format webp",
        ),
        (["--format", "bmp"], 2, "Unknown format “bmp”. Choose from png, jpeg, webp, avif"),
        (["--format", "jpeg", "--quality", "101"], 2, "Use a whole number from 1 to 100"),
        (["other.png", "-o", "photo.png"], 2, "Choose a folder"),
        ([".", "-o", "-"], 2, "support only a single image"),
        (["-o", "photo.png", *FAST], 1, "never overwritten"),
        (["-o", "file/x.png", *FAST], 1, "Cannot save"),
        (["-o", "x.png", "--long-side", "897", *FAST], 1, "Use 896 or less"),
        (["-o", "pipe.png", *FAST], 1, "device or a pipe"),
        (["-o", "pipe.png", "--report", *FAST], 1, "device or a pipe"),
        (["-o", "LONG.png", *FAST], 1, "too long"),
        (["-o", "LONG/x.png", *FAST], 1, "too long"),
        (["LONG.png", "-o", "out", *FAST], 1, "too long"),
    ],
)
def test_an_unusable_option_or_path_is_reported_in_one_line(
    options, status, sentence, photo_file, capsys, monkeypatch
):
    monkeypatch.chdir(photo_file.parent)
    Path("file").write_text("")
    os.mkfifo("pipe.png")
    before = names(Path())

    given = [one.replace("LONG", 300 * "a") for one in options]
    assert main(["run", "photo.png", *given, "--progress", "none"]) == status

    *_, message = capsys.readouterr().err.strip().splitlines()
    assert sentence in message
    assert [name for name in names(Path()) if not name.startswith("out/")] == before
    assert Path("pipe.png").is_fifo()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["run"], "required: INPUT or --files"),
        (["bench", "--json"], "make bench"),
        (["run", "a.png", "--pages"], "Remove it to enhance the first page only"),
        (["run", "a.png", "--print", "a4", "--print-fit", "border"], "Remove --print-fit"),
        (["analyse", "a.png", "--print-fit", "border"], "Remove --print-fit"),
    ],
)
def test_a_missing_argument_or_a_withdrawn_option_is_a_usage_error(command, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_messages_are_in_the_language_of_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["run", "gone.png"]) == 1
    assert "gone.png 不存在" in capsys.readouterr().err


def test_an_unexpected_error_is_one_sentence_and_the_other_files_are_done(
    photo_file, tmp_path, capsys, monkeypatch
):
    convolve, errors = Convolution.__call__, [RuntimeError("illegal instruction\nat 0x0")]

    def fail_once(kernel, rows):
        if errors:
            raise errors.pop()
        return convolve(kernel, rows)

    monkeypatch.setattr(Convolution, "__call__", fail_once)
    shutil.copy(photo_file, tmp_path / "second.png")

    assert (
        main(
            [
                "run",
                str(photo_file),
                str(tmp_path / "second.png"),
                "-o",
                str(tmp_path / "out"),
                *FAST,
            ]
        )
        == 1
    )

    error = capsys.readouterr().err
    assert f"enhance: {photo_file}: An unexpected error occurred" in error
    assert "RuntimeError: illegal instruction at 0x0" in error
    assert "Traceback" not in error
    assert names(tmp_path / "out") == ["second.png"]


@can_fork
@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=pytest.mark.long)])
def test_a_batch_killed_at_random_times_and_while_it_writes_ends_with_the_same_bytes(
    forks, tmp_path, kills
):
    folder, whole, killed = tmp_path / "in", tmp_path / "whole", tmp_path / "killed"
    for number in range(3):
        image(folder / f"{number}.png", number, 20 + 16 * number)

    def start(output: Path) -> Fork:
        return forks.start("run", folder, *FAST, "-o", output)

    started = time.monotonic()
    assert start(whole).wait() == 0
    undisturbed = time.monotonic() - started
    at_random = [
        undisturbed * moment / 100
        for moment in random.Random(20).choices(range(1, 90), k=kills - kills // 2)
    ]
    ends = []
    for moment in [None] * (kills // 2) + at_random:
        before = {path.name for path in killed.glob("*")}
        batch = start(killed)
        wait_for_new_name(killed, batch, before) if moment is None else time.sleep(moment)
        batch.send_signal(signal.SIGKILL)
        ends.append(batch.wait())
        done = list(killed.glob("[0-9]*.png"))
        for path in done:
            assert path.read_bytes() == (whole / path.name).read_bytes()
        if len(done) == 3:  # so that the next run has work to do
            shutil.rmtree(killed)
    assert start(killed).wait() == 0
    assert set(ends) <= {0, -signal.SIGKILL}
    assert ends.count(-signal.SIGKILL) >= kills // 2

    assert contents(killed) == contents(whole)


def test_a_report_replaces_no_foreign_document_and_no_report_of_another_image(
    photo, photo_file, tmp_path
):
    documents = {tmp_path / "foreign.pdf": b"%PDF somebody's thesis"}
    (tmp_path / "foreign.pdf").write_bytes(b"%PDF somebody's thesis")
    run = ["--report", *FAST, "-o"]
    for _ in range(2):
        assert main(["run", str(photo_file), *run, str(tmp_path / "foreign.png")]) == 0
    assert main(["run", str(photo_file), *run, str(tmp_path / "own.png")]) == 0
    documents[tmp_path / "own.pdf"] = (tmp_path / "own.pdf").read_bytes()
    Image.fromarray(photo[:8]).save(photo_file)

    assert main(["run", str(photo_file), *run, str(tmp_path / "own.png")]) == 0

    assert {path: path.read_bytes() for path in documents} == documents
    assert {*tmp_path.glob("*.pdf")} == {
        *documents,
        tmp_path / "foreign-report.pdf",
        tmp_path / "own-report.pdf",
    }


def test_a_progress_bar_without_a_reader_does_not_block(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Closed())
    bar = ProgressOutput()
    threads = [
        threading.Thread(target=bar.update, args=(share, None), daemon=True) for share in (0.4, 0.8)
    ]
    for thread in threads:
        thread.start()
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/full")
def test_an_output_that_cannot_be_written_is_an_error_with_a_message(photo_file):
    command = [sys.executable, "-m", "enhance", "analyse", photo_file]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 1
    assert "Not enough disk space to save standard output" in done.stderr


@can_fork
def test_a_photo_goes_through_standard_input_and_output(forks, photo_file):
    run = forks.start(
        "run", "-", "-o", "-", "--format", "jpeg", "--progress", "json", *FAST, stdin=photo_file
    )

    assert run.wait() == 0
    with Image.open(run.output) as opened:
        assert (opened.format, opened.size) == ("JPEG", (224, 160))
    lines = [json.loads(line) for line in run.errors.read_text().splitlines()]
    assert lines[-1] == {"file": "-", "share": 1.0, "seconds_left": 0.0}


@can_fork
def test_a_batch_continues_when_its_output_is_closed_and_names_each_file_in_its_progress(
    forks, photo_file, tmp_path
):
    shutil.copy(photo_file, other := tmp_path / "other.png")
    closed = "import os\nreader, writer = os.pipe()\nos.close(reader)\nos.dup2(writer, 1)\n"

    options = ["-o", tmp_path / "out", "--json", "--progress", "json", *FAST]
    run = forks.start("run", photo_file, other, *options, code=closed + COMMAND_LINE)

    assert run.wait() == 0
    progress = [json.loads(line) for line in run.errors.read_text().splitlines()]
    assert {line["file"] for line in progress} >= {"photo.png", "other.png"}
    assert progress[-1]["share"] == 1
    assert names(tmp_path / "out") == ["other.png", "photo.png"]


@can_fork
@pytest.mark.skipif(sys.platform == "darwin", reason="file names are text on this system")
def test_names_that_are_no_text_are_printed_with_escapes_and_can_be_tried_again(
    forks, photo_file, tmp_path
):
    folder, output, failures = tmp_path / "in", tmp_path / "out", tmp_path / "failures.jsonl"
    folder.mkdir()
    shutil.copy(photo_file, folder / os.fsdecode(b"a\xff.png"))
    (folder / os.fsdecode(b"bad\xff.png")).write_bytes(b"no image")
    strict = "import sys\nsys.stdout.reconfigure(encoding='utf-8', errors='strict')\n"

    options = ["--json", "--failures", failures, "--progress", "none", *FAST]
    run = forks.start("run", folder, "-o", output, *options, code=strict + COMMAND_LINE)

    assert run.wait() == 1
    assert [os.fsencode(path.name) for path in output.iterdir()] == [b"a\xff.png"]
    printed = [
        json.loads(line)["input"]["path"] for line in run.output.read_text("utf-8").splitlines()
    ]
    expected = [os.fsencode(folder) + name for name in (b"/bad\xff.png", b"/a\xff.png")]
    assert [os.fsencode(path) for path in printed] == expected
    assert os.fsencode(json.loads(failures.read_text("utf-8"))["input"]) == expected[0]


@pytest.mark.parametrize("name", ["mine.png", "mine.jpg"])
def test_a_result_is_replaced_but_no_foreign_file(photo_file, photo, tmp_path, capsys, name):
    mine = tmp_path / name
    Image.fromarray(photo[:8]).save(mine)
    before, run = mine.read_bytes(), ["run", str(photo_file), "-o", str(mine), *FAST]

    assert main(run) == 1
    assert mine.read_bytes() == before
    assert f"{mine} already exists and was not created by this program" in capsys.readouterr().err

    mine.write_bytes(b"")  # An empty file only reserves the name.
    for more in ([], ["--no-tuning"], ["--no-tuning", "--metadata=none"], []):
        assert main([*run, *more]) == 0
        with Image.open(mine) as result:
            assert result.size == (224, 160)
