"""Auto and RealESRGANer on the degraded test photos: time and similarity to the originals in one
run. `make bench` includes it.

The time is that from the file to the PNG, with the program and its models loaded.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from docs.measure_peers import import_reference, load_reference
from enhance.engine.device_thread import DEVICE_THREAD
from enhance.enhancer import Enhancer
from tests.quality.cases import Case, Upscaled, case_of_file
from tests.quality.degradation import DEGRADATIONS, file_of
from tests.quality.metrics import haarpsi
from tests.quality.photos import PHOTOS, reference_of

PROGRAMS = ("Auto", "RealESRGANer")
_Upscale = Callable[[Path, Path], object]
"""Read a photo from the first path and write the PNG to the second one."""


def measure_auto() -> dict[str, Any]:
    """Return the seconds and the mean HaarPSI of each program, and how many photos there were."""
    try:
        loaded = DEVICE_THREAD.call(lambda: load_reference(*import_reference()))
    except Exception as error:  # With incompatible packages, basicsr raises many errors.
        return {"reason": f"basicsr and realesrgan are not installed ({type(error).__name__})"}

    def enhance(source: Path, result: Path) -> None:
        enlarged, _ = loaded.enhance(cv2.imread(str(source)))
        cv2.imwrite(str(result), enlarged)

    def reference(source: Path, result: Path) -> None:
        # On the thread of the engine, whose OpenMP threads would slow down those of another one.
        with contextlib.redirect_stdout(io.StringIO()):
            DEVICE_THREAD.call(lambda: enhance(source, result))

    with tempfile.TemporaryDirectory() as name, Enhancer("cpu") as enhancer:

        def auto(source: Path, result: Path) -> None:
            enhancer.run(source, output=result)

        programs: dict[str, _Upscale] = dict(zip(PROGRAMS, (auto, reference), strict=True))
        seconds = dict.fromkeys(programs, 0.0)
        scores: dict[str, list[float]] = {program: [] for program in programs}
        for place, (source, case) in enumerate(_photos(Path(name))):
            for program, upscale in programs.items():
                result = source.with_name(f"{source.stem}-{program}.png")
                if place == 0:
                    upscale(source, result)  # The first run loads models and is not counted.
                    result.unlink()
                started = time.perf_counter()
                upscale(source, result)
                seconds[program] += time.perf_counter() - started
                with Image.open(result) as image:
                    pixels = np.asarray(image)
                scores[program].append(haarpsi(case, Upscaled(pixels)))
    figures: dict[str, Any] = {"photos": len(scores["Auto"])}
    for program in programs:
        figures[program] = {
            "seconds": round(seconds[program], 2),
            "haarpsi": round(float(np.mean(scores[program])), 1),
        }
    return figures


def lines(figures: dict[str, Any]) -> str:
    """Return the figures as text."""
    if "reason" in figures:
        return f"Auto and RealESRGANer     not measured: {figures['reason']}"
    auto, reference = (figures[program] for program in PROGRAMS)
    ratio = reference["seconds"] / auto["seconds"]
    return (
        f"Auto, {figures['photos']} photos         {auto['seconds']:8.2f} s   "
        f"HaarPSI {auto['haarpsi']}\n"
        f"RealESRGANer, the same   {reference['seconds']:8.2f} s   HaarPSI {reference['haarpsi']}"
        f"   {ratio:.1f} times as long"
    )


def _photos(folder: Path) -> Iterator[tuple[Path, Case]]:
    """Yield the degraded photos as files, each with its case."""
    for degradation, degrade in DEGRADATIONS.items():
        for photo in PHOTOS:
            original = reference_of(photo)
            content = file_of(original, degrade)
            ending = ".png" if content.startswith(b"\x89PNG") else ".jpg"
            path = folder / f"{degradation} {photo}{ending}"
            path.write_bytes(content)
            yield path, case_of_file(original, content)


if __name__ == "__main__":
    sys.stdout.write(f"{lines(measure_auto())}\n")
