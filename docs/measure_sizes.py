"""Prints the bytes per pixel of results in each format and quality, for `BYTES_PER_PIXEL`.

Run `python -m docs.measure_sizes`. The photos are those of the quality tables with colour, at 4x with the preset fast.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from enhance import Enhancer, Settings
from enhance.output.formats import BYTES_PER_PIXEL, Encoding, export
from tests.quality.photos import GREY, REPORTED


def main() -> None:
    enhancer = Enhancer()
    with TemporaryDirectory() as folder:
        results = [
            enhancer.run(source(), Settings("fast"), output=Path(folder, f"{name}.png"))
            for name, source in REPORTED.items()
            if name not in GREY
        ]
        for format, known in BYTES_PER_PIXEL.items():
            for quality, _ in known:
                encoding, sizes = Encoding(format, quality), []
                for result in results:
                    target = result.path.with_suffix(f".copy{encoding.file_format.ending}")
                    export(result.path, target, encoding)
                    output = result.info["output"]
                    sizes.append(target.stat().st_size / (output["width"] * output["height"]))
                    target.unlink()
                figures = statistics.geometric_mean(sizes), min(sizes), max(sizes)
                sys.stdout.write(f"{format:<5}{quality:>4}{''.join(f'{figure:8.3f}' for figure in figures)}\n")


if __name__ == "__main__":
    main()
