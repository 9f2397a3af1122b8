"""Memory and time of very large images, processed by the command line: `python
docs/measure_giants.py`.

For each image it prints the peak memory of all processes together, and how much of it is not
file-backed, so that the system cannot release it. It then compares areas of the result with
previews. `--sizes 2000x40000 1x5000` selects sizes, and `--alpha --bits 16 --more report` adds
work. The largest image takes many minutes and 15 GB of disk, or 40 GB with transparency and 16
bits.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from enhance.enhancer import Enhancer
from enhance.formats.png import PngHeader, create_png
from enhance.formats.png_reader import PngReader
from enhance.images import read_image
from enhance.settings import Settings
from enhance.size import Size

ROOT = Path(__file__).parents[1]
SIZES = ("1x5000", "5000x1", "2000x40000", "10000x10000")
_AREA, _STRIP = 64, 256


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure the memory and time of very large images."
    )
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WxH")
    parser.add_argument(
        "--ending", default=".jpg", help="format of the input: .jpg (default), .png or another"
    )
    parser.add_argument("--alpha", action="store_true", help="with transparency, as PNG")
    parser.add_argument(
        "--bits", type=int, choices=(8, 16), default=8, help="bit depth; 16 for PNG only"
    )
    parser.add_argument("--preset", default="anime-fast")
    parser.add_argument("--reduce", type=int, choices=(1, 2, 4), default=1)
    parser.add_argument(
        "--more", nargs="+", default=[], help="options of `enhance run`, without dashes"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="folder for the files (default: the temporary folder of the system)",
    )
    options = parser.parse_args()
    ending = ".png" if options.alpha or options.bits == 16 else options.ending
    settings = Settings.from_preset(options.preset, reduce=options.reduce)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for size in options.sizes:
            width, height = map(int, size.split("x"))
            source, result = Path(folder, f"input{ending}"), Path(folder, "result.png")
            _draw(source, width, height, 4 if options.alpha else 3, options.bits)
            command = [
                sys.executable,
                "-m",
                "enhance",
                "run",
                source,
                "-o",
                result,
                "--preset",
                options.preset,
            ]
            command += ["--reduce", options.reduce, *(f"--{option}" for option in options.more)]
            peak, kept, seconds = _watched([str(word) for word in command])
            worst = _largest_difference(source, result, settings)
            sys.stdout.write(
                f"{size}{ending}: {peak / 1e6:,.0f} MB peak memory, {kept / 1e6:,.0f} MB of it "
                f"not file-backed, "
                f"{seconds:,.0f} s; largest difference {worst:.2g} of 255\n"
            )
            sys.stdout.flush()
            result.unlink()


def _draw(path: Path, width: int, height: int, channels: int, bits: int) -> None:
    """Write an image of soft spots of colour, and of opacity if there are four channels."""
    small = max(1, height // 6), max(1, width // 6), channels
    spots = np.random.default_rng(1).integers(0, 256, small, dtype=np.uint8)
    image = Image.fromarray(spots).resize((width, height), Image.Resampling.BICUBIC)
    if path.suffix != ".png":
        image.save(path, quality=92)
        return
    with create_png(path, PngHeader(Size(width, height), channels, bits)) as writer:
        for top in range(0, height, _STRIP):
            rows = np.asarray(image.crop((0, top, width, min(top + _STRIP, height))))
            writer.write(rows if bits == 8 else rows.astype(np.uint16) * np.uint16(257))


def _watched(command: Sequence[str]) -> tuple[int, int, float]:
    """Run the command and return its peak memory, the part of it that is not file-backed, and the
    seconds."""
    started, peak, kept = time.perf_counter(), 0, 0
    with subprocess.Popen(command, cwd=ROOT) as process:
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            taken = [0, 0]
            for one in [parent, *_children(parent)]:
                try:
                    memory = one.memory_info()
                except psutil.Error:
                    continue
                taken[0] += memory.rss
                taken[1] += memory.rss - getattr(memory, "shared", 0)
            peak, kept = max(peak, taken[0]), max(kept, taken[1])
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(process.returncode)
    return peak, kept, time.perf_counter() - started


def _children(parent: psutil.Process) -> list[psutil.Process]:
    try:
        return parent.children(recursive=True)
    except psutil.Error:
        return []


def _largest_difference(source: Path, result: Path, settings: Settings) -> float:
    """Return the largest difference between the result and previews of it, in 8-bit levels."""
    image, enhancer, scale = read_image(source), Enhancer(), 4 // settings.reduce
    places = sorted((top, left) for top in _places(image.height) for left in _places(image.width))
    with PngReader(result) as rows:
        if rows.size != image.size.scale(scale):
            raise ValueError(f"The result has the size {rows.size}.")
        worst = 0.0
        for top, left in places:
            preview = enhancer.preview(
                image, settings, x=left + _AREA / 2, y=top + _AREA / 2, size=_AREA
            )
            box = preview.region.box
            columns = slice(scale * box.left, scale * (box.left + box.width))
            part = rows.rows(scale * box.top, scale * (box.top + box.height))[:, columns]
            difference = np.abs(part.astype(int) - preview.after).max()
            worst = max(worst, float(difference) * 255 / image.levels)
    return worst


def _places(length: int) -> list[int]:
    return sorted({0, max(0, length // 2 - _AREA), max(0, length - _AREA)})


if __name__ == "__main__":
    main()
