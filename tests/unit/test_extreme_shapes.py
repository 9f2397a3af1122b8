"""Images of extreme shapes: each is processed or rejected with one sentence, and none crashes the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from enhance.errors import PictureError
from enhance.images import inspect
from enhance.images.header import MAX_SIDE

from .picture_files import flat_png

ROOT = Path(__file__).parents[2]
PAGE_PIXELS = 100_000_000
EVERYTHING = """
import sys
from pathlib import Path
from enhance import Enhancer, EnhanceError, Settings
from enhance.images import inspect, read_picture

path, output = Path(sys.argv[1]), Path(sys.argv[2])
try:
    inspect(path, max_pixels=100_000_000)
    picture = read_picture(path, max_pixels=100_000_000, folder=output)
    enhancer = Enhancer("cpu", data=output)
    enhancer.hints(picture)
    picture.noise, picture.softness
    for preset in ("anime-fast", "dehaze"):
        settings = Settings.from_preset(preset, scale=1)
        enhancer.estimate(picture.width, picture.height, settings)
        enhancer.estimate_memory(picture.width, picture.height, settings)
    enhancer.preview(picture, "anime-fast")
    if picture.width * picture.height <= 100_000:
        result = enhancer.run(path, Settings.from_preset("anime-fast"), output=output / "result.png")
        enhancer.write_report(result, picture, output / "report.pdf")
except EnhanceError as error:
    print(error)
"""


def flat(path: Path, width: int, height: int) -> Path:
    path.write_bytes(flat_png(width, height))
    return path


def through_everything(path: Path) -> str:
    """Return the output of a process that previews, upscales and reports the file. It must not crash."""
    output = path.parent / "out"
    output.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING, str(path), str(output)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("long", "across"), [(40_000, 2), (MAX_SIDE, 1), (MAX_SIDE, 200)])
@pytest.mark.parametrize("wide", [True, False], ids=["wide", "tall"])
def test_the_longest_sides_are_processed(tmp_path, across, long, wide):
    size = (long, across) if wide else (across, long)
    assert through_everything(flat(tmp_path / "strip.png", *size)) == ""


@pytest.mark.parametrize("size", [(PAGE_PIXELS, 1), (1, PAGE_PIXELS), (2, PAGE_PIXELS // 2), (MAX_SIDE + 1, 1)])
def test_a_longer_side_is_rejected_with_the_limit(tmp_path, size):
    path = flat(tmp_path / "strip.png", *size)

    assert through_everything(path) == (
        f"strip.png is too large: {size[0]:,} × {size[1]:,} px. "
        "The limit is 500,000 px for each side. Crop or resize the image.\n"
    )


def test_the_command_line_takes_long_scans(tmp_path):
    assert inspect(flat(tmp_path / "scan.png", 200, 100_000)).height == 100_000


def test_a_side_beyond_the_limit_is_an_error_of_the_file(tmp_path):
    with pytest.raises(PictureError, match="too large"):
        inspect(flat(tmp_path / "strip.png", 1, MAX_SIDE + 1))
