"""The peak memory of a process that does nothing but upscale one image: `python -m
docs.measure_memory MODEL PRECISION WIDTH HEIGHT` prints it in MB.

Other scripts run this one as a process of its own, because the libraries that they import need
memory too.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]


def peak_memory(model: str, precision: str, width: int, height: int) -> int:
    """Return the peak memory in MB of a process that upscales an image, which is included."""
    call = [sys.executable, "-m", "docs.measure_memory", model, precision, str(width), str(height)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


def main() -> None:
    from enhance.engine.engine import Engine
    from enhance.info import PeakMemory

    model, precision, width, height = sys.argv[1:]
    image = np.random.default_rng(7).integers(0, 256, (int(height), int(width), 3), np.uint8)
    memory = PeakMemory()
    for _ in Engine("cpu", precision).stream(image, model, progress=lambda *_: memory.sample()):
        pass
    sys.stdout.write(f"{memory.sample():.0f}\n")


if __name__ == "__main__":
    main()
