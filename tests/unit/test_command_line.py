"""The command line: arguments, output files, messages, exit status and interruptions."""

import io
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enhance.cli import _Progress, main
from enhance.engine.kernels import Convolution

from .forks import COMMAND_LINE, Fork, can_fork, wait_for_new_name

FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_extension_or_the_format_option_sets_the_format(photo, photo_file, tmp_path, capsys):
    output, clear = tmp_path / "out.jpg", tmp_path / "clear.png"
    Image.fromarray(np.dstack([photo, np.full(photo.shape[:2], 128, np.uint8)])).save(clear)

    assert main(["run", str(photo_file), "-o", str(output), "--quality", "80", *FAST]) == 0
    assert main(["run", str(clear), "--format", "jpeg", "--json", *FAST]) == 0

    printed = capsys.readouterr()
    info = json.loads(printed.out.splitlines()[-1])
    assert [Image.open(path).format for path in (output, info["output"]["path"])] == ["JPEG", "JPEG"]
    assert Path(info["output"]["path"]).stat().st_size == info["output"]["bytes"]
    assert "clear.png: JPEG does not support transparency" in printed.err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("out", ".enhance-"))] == ["out.jpg"]


def test_options_reach_the_settings_and_a_print_size_sets_pixels_and_resolution(photo_file, tmp_path, capsys):
    output, sliders = tmp_path / "out.png", {"strength": 0.5, "fidelity": 0.7, "sharpen": 0.4, "saturation": 1.5}
    options = [f"--{name}={value}" for name, value in sliders.items()]
    options += ["--print", "2x1.2cm", "--dpi", "100", "--tile", "64", "--json", *FAST]

    assert main(["run", str(photo_file), "-o", str(output), *options]) == 0

    info = json.loads(capsys.readouterr().out)
    assert (sliders | {"tuning": True, "print_width": 2, "print_height": 1.2}).items() <= info["settings"].items()
    assert info["tile"] == 64
    with Image.open(output) as image:
        assert image.size == (66, 47)
        assert image.info["dpi"] == pytest.approx((100, 100), abs=0.1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--preset", "vivid"], "Unknown preset “vivid”. Choose from auto, gentle"),
        (["--scale", "17"], "Use a number from 1 to 16"),
        (["--device", "meta"], "“meta” is not available"),
        (["--scale", "2", "--long-side", "99"], "Use only one of scale, long_side, megapixels"),
        (["--precision", "fp8"], "Unknown precision “fp8”"),
        (["-o", "out.gif"], "out.gif has an unsupported extension"),
        (["-o", "out.jpg", "--format", "webp"], "The extension of out.jpg does not match the format webp"),
        (["--format", "bmp"], "Unknown format “bmp”. Choose from png, jpeg, webp, avif"),
        (["--format", "jpeg", "--quality", "101"], "Use a whole number from 1 to 100"),
        (["PHOTO", "-o", "PHOTO"], "Choose a folder"),
    ],
)
def test_wrong_usage_prints_one_sentence_and_exits_with_2(options, sentence, photo_file, capsys):
    assert main(["run", str(photo_file), *(option.replace("PHOTO", str(photo_file)) for option in options)]) == 2

    assert sentence in capsys.readouterr().err.strip().splitlines()[-1]
    with pytest.raises(SystemExit) as ended:
        main(["run"])
    assert ended.value.code == 2


def test_a_folder_is_not_written_to_standard_output(photo_file, capsys):
    assert main(["run", str(photo_file.parent), "-o", "-"]) == 2
    assert "support only a single image" in capsys.readouterr().err


def test_a_removed_command_names_its_replacement(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--json"])
    assert ended.value.code == 2
    assert "make bench" in capsys.readouterr().err


def test_an_unusable_path_prints_one_sentence_in_the_language_of_the_terminal(
    photo_file, tmp_path, capsys, monkeypatch
):
    (tmp_path / "file").write_text("")
    cases = [
        ([str(tmp_path / "gone.png"), "-o", str(tmp_path / "x.png")], "gone.png does not exist"),
        ([str(photo_file), "-o", str(tmp_path / "file" / "x.png")], "Cannot save"),
        ([str(photo_file), "-o", str(photo_file)], "never overwritten"),
        ([str(photo_file), "-o", str(tmp_path / "x.png"), "--long-side", "897"], "Use 896 or less"),
    ]
    for arguments, sentence in cases:
        assert main(["run", *arguments, *FAST]) == 1
        error = capsys.readouterr().err
        assert sentence in error
        assert "Traceback" not in error
    assert not list(tmp_path.glob("*.part"))
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(["run", "gone.png"]) == 1
    assert "gone.png 不存在" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("photo.png", "-o", "LONG.png"),
        ("photo.png", "-o", "LONG"),
        ("photo.png", "-o", "LONG/out.png"),
        ("photo.png", "other.png", "-o", "LONG"),
        ("LONG.png", "-o", "out.png"),
        ("LONG.png", "-o", "out"),
        ("LONG.png", "-o", "-"),
    ],
)
def test_a_name_that_is_too_long_is_rejected_in_one_sentence(arguments, photo_file, capsys, monkeypatch):
    monkeypatch.chdir(photo_file.parent)
    shutil.copy(photo_file, "other.png")

    status = main(["run", *(one.replace("LONG", 300 * "a") for one in arguments), "--progress", "none", *FAST])

    error = capsys.readouterr().err
    assert status > 0
    assert "too long" in error or "unsupported extension" in error
    assert "unexpected" not in error
    assert sorted(path.name for path in Path().iterdir()) == ["other.png", "photo.png"]


def test_an_unexpected_error_is_one_sentence_and_the_other_files_are_done(photo_file, tmp_path, capsys, monkeypatch):
    convolve, errors = Convolution.__call__, [RuntimeError("illegal instruction\nat 0x0")]

    def fail_once(kernel, rows):
        if errors:
            raise errors.pop()
        return convolve(kernel, rows)

    monkeypatch.setattr(Convolution, "__call__", fail_once)
    shutil.copy(photo_file, tmp_path / "second.png")

    assert main(["run", str(photo_file), str(tmp_path / "second.png"), "-o", str(tmp_path / "out"), *FAST]) == 1

    error = capsys.readouterr().err
    assert f"enhance: {photo_file}: An unexpected error occurred" in error
    assert "RuntimeError: illegal instruction at 0x0" in error
    assert "Traceback" not in error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["second.png"]


@can_fork
@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=pytest.mark.long)])
def test_a_batch_killed_at_random_times_and_while_it_writes_ends_with_the_same_bytes(forks, photo, tmp_path, kills):
    folder, whole, killed = tmp_path / "in", tmp_path / "whole", tmp_path / "killed"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.tile(photo[:20, :16], (1 + number, 1, 1))).save(folder / f"{number}.png")

    def start(output: Path) -> Fork:
        return forks.start("run", folder, *FAST, "-o", output)

    started = time.monotonic()
    assert start(whole).wait() == 0
    undisturbed = time.monotonic() - started
    at_random = [undisturbed * moment / 100 for moment in random.Random(20).choices(range(1, 90), k=kills - kills // 2)]
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


def test_a_report_replaces_no_foreign_document_and_no_report_of_another_image(photo, photo_file, tmp_path):
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
    assert {*tmp_path.glob("*.pdf")} == {*documents, tmp_path / "foreign-report.pdf", tmp_path / "own-report.pdf"}


def test_a_progress_bar_without_a_reader_does_not_block(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    bar = _Progress()
    threads = [threading.Thread(target=bar.update, args=(share, None), daemon=True) for share in (0.4, 0.8)]
    for thread in threads:
        thread.start()
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


@can_fork
def test_a_photo_goes_through_standard_input_and_output(forks, photo_file):
    run = forks.start("run", "-", "-o", "-", "--format", "jpeg", "--progress", "json", *FAST, stdin=photo_file)

    assert run.wait() == 0
    with Image.open(run.output) as image:
        assert (image.format, image.size) == ("JPEG", (224, 160))
    lines = [json.loads(line) for line in run.errors.read_text().splitlines()]
    assert lines[-1] == {"file": "-", "share": 1.0, "seconds_left": 0.0}


@can_fork
def test_a_batch_continues_when_its_output_is_closed_and_names_each_file_in_its_progress(forks, photo_file, tmp_path):
    shutil.copy(photo_file, other := tmp_path / "other.png")
    closed = "import os\nreader, writer = os.pipe()\nos.close(reader)\nos.dup2(writer, 1)\n"

    options = ["-o", tmp_path / "out", "--json", "--progress", "json", *FAST]
    run = forks.start("run", photo_file, other, *options, code=closed + COMMAND_LINE)

    assert run.wait() == 0
    progress = [json.loads(line) for line in run.errors.read_text().splitlines()]
    assert {line["file"] for line in progress} >= {"photo.png", "other.png"}
    assert progress[-1]["share"] == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"photo.png", "other.png"}


@can_fork
@can_fork
@pytest.mark.skipif(sys.platform == "darwin", reason="file names are text on this system")
def test_names_that_are_no_text_are_printed_with_escapes_and_can_be_tried_again(forks, photo_file, tmp_path):
    folder, output, failures = tmp_path / "in", tmp_path / "out", tmp_path / "failures.jsonl"
    folder.mkdir()
    shutil.copy(photo_file, folder / os.fsdecode(b"a\xff.png"))
    shutil.copy(photo_file, folder / "b.png")
    (folder / os.fsdecode(b"bad\xff.png")).write_bytes(b"no image")
    strict = "import sys\nsys.stdout.reconfigure(encoding='utf-8', errors='strict')\n"

    options = ["--json", "--failures", failures, "--progress", "none", *FAST]
    run = forks.start("run", folder, "-o", output, *options, code=strict + COMMAND_LINE)

    assert run.wait() == 1
    assert {os.fsencode(path.name) for path in output.iterdir()} == {b"a\xff.png", b"b.png"}
    printed = [json.loads(line)["input"]["path"] for line in run.output.read_text("utf-8").splitlines()]
    expected = [os.fsencode(folder) + name for name in (b"/bad\xff.png", b"/a\xff.png", b"/b.png")]
    assert [os.fsencode(path) for path in printed] == expected
    failed = json.loads(failures.read_text("utf-8"))
    assert os.fsencode(failed["input"]) == expected[0]


def test_a_pipe_or_a_device_is_not_replaced(photo_file, tmp_path, capsys):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for more in ([], ["--report"]):
        assert main(["run", str(photo_file), "-o", str(pipe), *FAST, *more]) == 1
        assert "device or a pipe" in capsys.readouterr().err
        assert pipe.is_fifo()


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
