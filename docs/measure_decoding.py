"""What the worker process costs a normal photo: `.venv/bin/python docs/measure_decoding.py` prints it.

Both ways in turn, and the median, because machines are busy. The first picture of all also starts the process (0.4 s),
which the page does before anyone comes.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from enhance.images import read_picture
from enhance.images.decode import decode

TIMES = 25


def main() -> None:
    coarse = np.random.default_rng(1).integers(0, 256, (500, 667, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((4000, 3000), Image.Resampling.BICUBIC)
    with tempfile.TemporaryDirectory() as folder:
        jpeg, png = Path(folder, "12 MP.jpg"), Path(folder, "640 x 480.png")
        photo.save(jpeg, quality=90)
        photo.crop((0, 0, 640, 480)).save(png)
        for path in (jpeg, png):
            read_picture(path)
            pairs = [(_time(lambda: _here(path)), _time(lambda: read_picture(path))) for _ in range(TIMES)]  # noqa: B023
            here, worker = (statistics.median(times) for times in zip(*pairs, strict=True))
            more = statistics.median(second - first for first, second in pairs)
            sys.stdout.write(f"{path.name}: in process {here:.1f} ms, worker {worker:.1f} ms, {more:+.1f} ms\n")


def _here(path: Path) -> object:
    return list(decode(path, 400_000_000, None, lambda need: None).strips)


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
