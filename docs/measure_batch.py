"""Overhead of a batch without its images: `python -m docs.measure_batch 10000` prints it for 10,000
files."""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from PIL import Image

from enhance import Enhancer, Settings
from enhance.info import Result
from enhance.jobs.batch import RunningBatch
from enhance.jobs.inputs import find_images


class NullEnhancer:
    """An enhancer that does nothing."""

    max_pixels, max_bytes = 1_000_000, 1_000_000

    def run(self, source: Path, *_: Any, output: Path, **__: Any) -> Result:
        info: Any = {"output": {"path": str(output)}, "cached": False}
        return Result(output, info, output)


def measure(files: int) -> tuple[float, float]:
    """Return the seconds to list and to process `files` small JPEG files."""
    image = io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "JPEG")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "in")
        folder.mkdir()
        for number in range(files):
            (folder / f"{number}.jpg").write_bytes(image.getvalue() + b"%d" % number)
        began = time.perf_counter()
        batch = find_images([folder], Path(name, "out"))
        listed = time.perf_counter()
        RunningBatch(cast(Enhancer, NullEnhancer()), Settings("gentle"), batch).run()
        return listed - began, time.perf_counter() - listed


if __name__ == "__main__":
    for count in map(int, sys.argv[1:] or ("1000", "10000")):
        listing, running = measure(count)
        sys.stdout.write(
            f"{count:,} files: listed in {listing:.2f} s, processed in {running:.2f} s\n"
        )
