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

from enhance.cli import _Progress, main

from .forks import Fork, wait_for_new_name

FAST = ["--preset", "anime-fast", "--device", "cpu", "--precision", "fp32"]


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


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


def test_sliders_reach_the_settings(photo_file, tmp_path, capsys):
    sliders = ["--scale", "2", "--strength", "0.5", "--fidelity", "0.7", "--sharpen", "0.4", "--saturation", "1.5"]
    sliders += ["--contrast", "0.9"]
    arguments = ["run", str(photo_file), "-o", str(tmp_path / "out.png"), "--json", "--tile", "64", *sliders, *FAST]

    assert main(arguments) == 0

    info = json.loads(capsys.readouterr().out)
    wanted = {"scale": 2, "tuning": True, "strength": 0.5, "fidelity": 0.7, "sharpen": 0.4}
    wanted |= {"saturation": 1.5, "contrast": 0.9}
    assert wanted.items() <= info["settings"].items()
    assert info["tile"] == 64


@pytest.mark.parametrize(
    ("options", "size"), [(["--long-side", "100"], (71, 100)), (["--megapixels", "0.01"], (85, 118)), ([], (160, 224))]
)
def test_the_result_has_the_requested_size(photo_file, tmp_path, options, size):
    assert main(["run", str(photo_file), "-o", str(tmp_path / "out.png"), *options, *FAST]) == 0
    assert pixels(tmp_path / "out.png").shape == (*size, 3)


def test_results_in_the_input_folder_replace_no_originals(photo, tmp_path):
    Image.fromarray(photo[:8, :8]).save(tmp_path / "a.png")
    Image.fromarray(photo[8:16, :8]).save(tmp_path / "a.bmp")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    for _ in range(2):
        assert main(["run", str(tmp_path), "-o", str(tmp_path), *FAST]) == 0

    assert all(path.read_bytes() == content for path, content in before.items())
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["a-2.png", "a-3.png", "a.bmp", "a.png"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "PHOTO", "--preset", "vivid"], "Unknown preset “vivid”. Choose from auto, gentle"),
        (["run", "PHOTO", "--scale", "17"], "Use a number from 1 to 16"),
        (["run", "PHOTO", "--device", "tpu"], "“tpu” is not available"),
        (["run", "PHOTO", "--device", "meta"], "“meta” is not available"),
        (["run", "PHOTO", "--strength", "-1"], "Use a number from 0 to 1"),
        (["run", "PHOTO", "--scale", "nan"], "Use a number from 1 to 16"),
        (["run", "PHOTO", "--scale", "2", "--long-side", "99"], "Use only one of scale, long_side, megapixels"),
        (["run", "PHOTO", "--long-side", "0"], "Use a number from 1 to 999999"),
        (["run", "PHOTO", "--megapixels", "-1"], "Use a number from 0.0001"),
        (["run", "PHOTO", "--precision", "fp8"], "Unknown precision “fp8”"),
        (["run", "PHOTO", "-o", "out.gif"], "out.gif has an unsupported extension"),
        (
            ["run", "PHOTO", "-o", "out.jpg", "--format", "webp"],
            "The extension of out.jpg does not match the format webp",
        ),
        (["run", "PHOTO", "--format", "bmp"], "Unknown format “bmp”. Choose from png, jpeg, webp, avif"),
        (
            ["run", "PHOTO", "--format", "jpeg", "--quality", "101"],
            "Use a whole number from 1 to 100",
        ),
        (["run", "PHOTO", "PHOTO", "-o", "PHOTO"], "Choose a folder"),
    ],
)
def test_wrong_usage_prints_one_sentence_and_exits_with_2(arguments, sentence, photo_file, capsys):
    arguments = [str(photo_file) if argument == "PHOTO" else argument for argument in arguments]

    assert main(arguments) == 2

    error = capsys.readouterr().err.strip().splitlines()
    assert sentence in error[-1]


@pytest.mark.parametrize("arguments", [[], ["run"], ["shine"], ["run", "x", "--scale", "big"]])
def test_argparse_usage_errors_have_status_2(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_an_unusable_path_prints_one_sentence_and_exits_with_1(photo_file, tmp_path, capsys):
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


def test_an_unexpected_error_prints_one_sentence_and_exits_with_1(photo_file, tmp_path, capsys, monkeypatch):
    def wrap(kernel, rows):
        raise RuntimeError("illegal instruction\nat 0x0")

    monkeypatch.setattr("enhance.engine.kernels.Convolution.__call__", wrap)

    assert main(["run", str(photo_file), "-o", str(tmp_path / "x.png"), *FAST]) == 1

    error = capsys.readouterr().err
    assert f"enhance: {photo_file}: An unexpected error occurred" in error
    assert "RuntimeError: illegal instruction at 0x0" in error
    assert "Traceback" not in error
    assert list(tmp_path.glob("*x.png")) == list(tmp_path.rglob("*.part")) == []


def test_messages_are_in_the_language_of_the_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")

    assert main(["run", str(tmp_path / "gone.png"), "-o", str(tmp_path / "x.png")]) == 1
    assert "gone.png 不存在" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork processes")
@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.long)])
def test_a_batch_killed_at_random_times_and_while_it_writes_ends_with_the_same_bytes(forks, photo, tmp_path, kills):
    folder, whole, killed = tmp_path / "in", tmp_path / "whole", tmp_path / "killed"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(np.tile(photo[:20, :16], (1 + number, 1, 1))).save(folder / f"{number}.png")

    def start(output: Path) -> Fork:
        return forks.start("run", folder, *FAST, "-o", output)

    started = time.monotonic()
    assert start(whole).wait() == 0
    undisturbed = time.monotonic() - started
    at_random = [undisturbed * moment / 100 for moment in random.Random(20).choices(range(1, 90), k=kills - kills // 3)]
    ends = []
    for moment in [None] * (kills // 3) + at_random:
        before = {path.name for path in killed.glob("*")}
        batch = start(killed)
        wait_for_new_name(killed, batch, before) if moment is None else time.sleep(moment)
        batch.send_signal(signal.SIGKILL)
        ends.append(batch.wait())
        done = list(killed.glob("[0-9]*.png"))
        for path in done:
            assert path.read_bytes() == (whole / path.name).read_bytes()
        if len(done) == 4:  # so that the next run has work to do
            shutil.rmtree(killed)
    assert start(killed).wait() == 0
    assert set(ends) <= {0, -signal.SIGKILL}
    assert ends.count(-signal.SIGKILL) >= kills // 3

    assert {path.name: path.read_bytes() for path in killed.iterdir()} == {
        path.name: path.read_bytes() for path in whole.iterdir()
    }


def test_a_report_replaces_no_foreign_document(photo_file, tmp_path):
    (tmp_path / "out.pdf").write_bytes(b"%PDF somebody's thesis")
    arguments = ["run", str(photo_file), "-o", str(tmp_path / "out.png"), "--report", *FAST]

    for _ in range(2):
        assert main(arguments) == 0

    assert (tmp_path / "out.pdf").read_bytes() == b"%PDF somebody's thesis"
    assert [path.name for path in tmp_path.glob("out-*")] == ["out-report.pdf"]


def test_a_report_replaces_no_report_of_another_image(photo, tmp_path):
    for left, name in enumerate(("a", "b")):
        Image.fromarray(photo[:8, 8 * left : 8 * left + 8]).save(tmp_path / f"{name}.png")
    assert main(["run", str(tmp_path / "a.png"), "-o", str(tmp_path / "x.png"), "--report", *FAST]) == 0
    first = (tmp_path / "x.pdf").read_bytes()

    assert main(["run", str(tmp_path / "b.png"), "-o", str(tmp_path / "x.png"), "--report", *FAST]) == 0

    assert (tmp_path / "x.pdf").read_bytes() == first
    assert (tmp_path / "x-report.pdf").exists()


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


def test_a_photo_goes_through_standard_input_and_output(photo_file, tmp_path):
    command = [sys.executable, "-m", "enhance", "run", "-", "-o", "-", "--format", "jpeg", "--progress", "json", *FAST]
    done = subprocess.run(command, input=photo_file.read_bytes(), capture_output=True, check=True)

    with Image.open(io.BytesIO(done.stdout)) as image:
        assert (image.format, image.size) == ("JPEG", (224, 160))
    lines = [json.loads(line) for line in done.stderr.decode().splitlines()]
    assert lines[-1] == {"file": "-", "share": 1.0, "seconds_left": 0.0}


def test_progress_as_json_names_each_file(photo_file, tmp_path, capsys):
    other = tmp_path / "other.png"
    other.write_bytes(photo_file.read_bytes())
    assert main(["run", str(photo_file), str(other), "-o", str(tmp_path / "out"), "--progress", "json", *FAST]) == 0

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["file"] for line in lines} >= {"photo.png", "other.png"}
    assert lines[-1]["share"] == 1


@pytest.mark.parametrize(("size", "dpi", "pixels"), [("2x1.2cm", "100", (66, 47)), ("0.5x in", "150", (75, 54))])
def test_a_print_size_sets_pixels_and_resolution(photo_file, tmp_path, size, dpi, pixels):
    output = tmp_path / "print.png"
    assert main(["run", str(photo_file), "-o", str(output), "--print", size, "--dpi", dpi, *FAST]) == 0
    with Image.open(output) as image:
        assert image.size == pixels
        assert image.info["dpi"] == pytest.approx((float(dpi), float(dpi)), abs=0.1)


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
