"""How near to the truth the presets come: `make quality`, a table for docs/fidelity.md and a short one for README.

Photos are made four times smaller by averaging, spoilt in seven ways and enlarged again. The presets' values were
chosen on some photos (`--tuning`); the tables are of others. `--docs` puts them between the marks in both files.
"""

from __future__ import annotations

import argparse
import io
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import gradio
import numpy as np
import piq
import torch
from PIL import Image
from skimage import data

from enhance import Enhancer, Settings
from enhance.output.result import FidelityMeter, ResultRows
from enhance.picture import Picture
from enhance.pipeline import Scene

ROOT = Path(__file__).parents[1]
MARKS = "<!-- quality -->", "<!-- /quality -->"

_GRADIO = Path(gradio.__file__).parent / "media_assets" / "images"
_PIQ: tuple[Callable[..., Any], ...] = (piq.ssim, piq.haarpsi, piq.fsim, piq.gmsd, piq.mdsi)
Pixels = np.ndarray
"""uint8 [H, W, 3] RGB."""


def _of_gradio(name: str) -> Pixels:
    """A photo that Gradio carries, made smaller so that its own JPEG does not show."""
    pixels = np.asarray(Image.open(_GRADIO / name).convert("RGB"))
    return cv2.resize(pixels, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)


TUNING: dict[str, Callable[[], Pixels]] = {
    "astronaut": lambda: data.astronaut()[10:298, 100:388],
    "coffee": lambda: data.coffee()[40:328, 200:488],
    "rocket": lambda: data.rocket()[60:348, 180:468],
}
"""Photos that the presets' values were chosen on."""
REPORTED: dict[str, Callable[[], Pixels]] = {
    "cat": lambda: data.chelsea()[0:288, 80:368],
    "motorcycle": lambda: data.stereo_motorcycle()[0][120:408, 260:548],
    "tower": lambda: _of_gradio("tower.jpg")[100:388, :280],
    "cheetah": lambda: _of_gradio("cheetah.jpg")[:256, 60:348],
}
"""Photos that the tables are of."""


def _blurred(pixels: Pixels, sigma: float) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), sigma)


def _noisy(pixels: Pixels, sigma: float) -> Pixels:
    grain = np.random.default_rng(1).normal(0, sigma, pixels.shape)
    return np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)


def _as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    code = io.BytesIO()
    Image.fromarray(pixels).save(code, "JPEG", quality=quality)
    return np.asarray(Image.open(code))


DEGRADATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "sharp": lambda x: x,
    "blur 0.6, noise 3": lambda x: _noisy(_blurred(x, 0.6), 3),
    "noise 6": lambda x: _noisy(x, 6),
    "soft (blur 1.0)": lambda x: _blurred(x, 1.0),
    "JPEG 60": lambda x: _as_jpeg(x, 60),
    "JPEG 85": lambda x: _as_jpeg(x, 85),
    "phone": lambda x: _as_jpeg(_noisy(_blurred(x, 0.6), 4), 80),
}
"""By name; phone is blur 0.6, noise 4, JPEG 80."""


@dataclass(frozen=True, eq=False)
class Case:
    """One photo, spoilt in one way: the truth, what is given of it, and what a network makes of that."""

    photo: str
    degradation: str
    truth: Pixels
    given: Pixels
    network: Pixels


@dataclass(frozen=True)
class Measures:
    """How near a result is to the truth and to what was given; less is better of gmsd, mdsi and flat."""

    psnr: float
    ssim: float
    haarpsi: float
    fsim: float
    gmsd: float
    mdsi: float
    keep: float
    flat: float
    fidelity_db: float = math.nan


def cases(photos: Sequence[str], degradations: Sequence[str], enhancer: Enhancer, model: str) -> Iterator[Case]:
    """Every photo spoilt in every way, and enlarged by the network."""
    for photo in photos:
        truth = np.ascontiguousarray({**TUNING, **REPORTED}[photo]())
        truth = truth[: truth.shape[0] // 4 * 4, : truth.shape[1] // 4 * 4]
        small = cv2.resize(truth, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        for degradation in degradations:
            given = DEGRADATIONS[degradation](small)
            yield Case(photo, degradation, truth, given, enhancer.upscale(given, model))


def finished(case: Case, settings: Settings) -> tuple[Pixels, float]:
    """The result of a case with these settings, and its fidelity in dB."""
    picture = picture_of(case.photo, case.given)
    seen = picture.reduced(settings.reduce)
    photo = Scene().photo(seen, settings, seen.noise)
    result = ResultRows(picture, lambda first, last: case.network[first:last], settings, photo)
    rows, meter = result.rows(0, result.size[0]), FidelityMeter(result)
    meter.add(rows)
    return rows, meter.decibels()


def picture_of(name: str, rgb: Pixels) -> Picture:
    return Picture(name, "0" * 64, 0, "PNG", "RGB", rgb, None, False, None, None)


def bicubic(case: Case) -> Pixels:
    """What is given, enlarged without a network."""
    return cv2.resize(case.given, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)


def measure(case: Case, result: Pixels, fidelity_db: float = math.nan) -> Measures:
    """What a result is worth; HaarPSI, FSIM, GMSD, MDSI and SSIM are those of piq, times 100."""
    pair = [torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255 for pixels in (result, case.truth)]
    ssim, haarpsi, fsim, gmsd, mdsi = (100 * float(how(*pair)) for how in _PIQ)
    down = cv2.resize(result.astype(np.float32), case.given.shape[1::-1], interpolation=cv2.INTER_AREA)
    keep = _psnr(down, case.given)
    flat = _flat(result, case.truth)
    return Measures(_psnr(result, case.truth), ssim, haarpsi, fsim, gmsd, mdsi, keep, flat, fidelity_db)


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(float(np.mean((one.astype(np.float64) - other) ** 2)), 1e-12)))


def _flat(result: Pixels, truth: Pixels) -> float:
    """How much more the smooth parts of the truth ripple in the result than in the truth: levels, RMS."""
    ripples = []
    for pixels in (truth, result):
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
        ripples.append(grey - cv2.GaussianBlur(grey, (0, 0), 3))
    spread = np.sqrt(cv2.blur(ripples[0] ** 2, (15, 15)))
    smooth = spread <= max(2.0, float(np.quantile(spread, 0.1)))
    true, made = (float(np.sqrt(np.mean(one[smooth] ** 2))) for one in ripples)
    return made - true


Table = dict[tuple[str, str], Measures]
"""The mean over the photos, by degradation and by what made the result."""


def mean_of(measured: Sequence[Measures]) -> Measures:
    return Measures(**{name: float(np.mean([vars(one)[name] for one in measured])) for name in vars(measured[0])})


def examine(found: Sequence[Case], ways: dict[str, Settings]) -> Table:
    """Bicubic and every one of the `ways` on all cases of one network."""
    table: dict[tuple[str, str], list[Measures]] = {}
    for case in found:
        table.setdefault((case.degradation, "bicubic"), []).append(measure(case, bicubic(case)))
        for name, settings in ways.items():
            table.setdefault((case.degradation, name), []).append(measure(case, *finished(case, settings)))
    return {key: mean_of(measured) for key, measured in table.items()}


def full_table(table: Table) -> str:
    """All of it, in Markdown."""
    lines = [
        "| photo was | by | PSNR | SSIM | HaarPSI | FSIM | GMSD | MDSI | keep | flat | fidelity_db |",
        "| --- | --- " + "| ---: " * 9 + "|",
    ]
    before = None
    for (degradation, name), one in table.items():
        measures = [one.psnr, one.ssim, one.haarpsi, one.fsim, one.gmsd, one.mdsi, one.keep]
        figures = [*(f"{value:.1f}" for value in measures), f"{one.flat:+.2f}"]
        figures.append("" if math.isnan(one.fidelity_db) else f"{one.fidelity_db:.1f}")
        lines.append(f"| {degradation if degradation != before else ''} | {name} | {' | '.join(figures)} |")
        before = degradation
    return "\n".join(lines)


def short_table(table: Table) -> str:
    """The mean over all degradations, in Markdown."""
    names = dict.fromkeys(name for _, name in table)
    lines = ["| mean of all | HaarPSI ↑ | FSIM ↑ | GMSD ↓ | MDSI ↓ | keep, dB ↑ |", "| --- " + "| ---: " * 5 + "|"]
    for name in names:
        one = mean_of([measures for (_, other), measures in table.items() if other == name])
        figures = (one.haarpsi, one.fsim, one.gmsd, one.mdsi, one.keep)
        lines.append(f"| {name} | {' | '.join(f'{value:.1f}' for value in figures)} |")
    return "\n".join(lines)


def soft_table(photos: Sequence[str], enhancer: Enhancer, preset: str = "gentle") -> str:
    """Photos that were made soft, brought back at their own size, by how far they were reduced first; in Markdown.

    Made smaller by averaging and enlarged again; those that are moved by a pixel lie on no grid.
    """
    lines = [
        "| photo was | reduce | PSNR | SSIM | HaarPSI | FSIM | GMSD | MDSI |",
        "| --- | ---: " + "| ---: " * 6 + "|",
    ]
    for softness, moved in itertools.product((2, 4), (0, 1)):
        for reduce in (1, 2, 4):
            settings, measured = Settings.from_preset(preset, reduce=reduce, scale=1), []
            for name in photos:
                truth = np.ascontiguousarray({**TUNING, **REPORTED}[name]())
                truth = truth[: truth.shape[0] // 8 * 8, : truth.shape[1] // 8 * 8]
                small = cv2.resize(truth, None, fx=1 / softness, fy=1 / softness, interpolation=cv2.INTER_AREA)
                soft = cv2.resize(small, truth.shape[1::-1], interpolation=cv2.INTER_CUBIC)
                truth, soft = (np.ascontiguousarray(one[moved:, moved:]) for one in (truth, soft))
                seen = picture_of(name, soft).reduced(reduce)
                case = Case(name, "soft", truth, soft, enhancer.upscale(seen.rgb, settings.model))
                measured.append(measure(case, *finished(case, settings)))
            one = mean_of(measured)
            figures = [one.psnr, one.ssim, one.haarpsi, one.fsim, one.gmsd, one.mdsi]
            kind = f"soft by {softness}{', moved' if moved else ''}"
            lines.append(f"| {kind} | {reduce} | {' | '.join(f'{value:.1f}' for value in figures)} |")
    return "\n".join(lines)


def put_between_marks(path: Path, text: str) -> None:
    before, _, rest = path.read_text("utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    path.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", "utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one photo and three degradations")
    parser.add_argument("--tuning", action="store_true", help="the photos that the values were chosen on")
    parser.add_argument("--soft", action="store_true", help="soft photos alone, reduced first or not")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/fidelity.md and README.md")
    options = parser.parse_args(arguments)
    photos = list(TUNING if options.tuning else REPORTED)
    degradations = list(DEGRADATIONS)
    if options.quick:
        photos, degradations = photos[:1], ["sharp", "noise 6", "JPEG 60"]
    if options.soft:
        sys.stdout.write(f"{soft_table(photos, Enhancer('cpu'))}\n")
        return
    ways = {name: Settings.from_preset(name) for name in ("original", "gentle")}
    found = list(cases(photos, degradations, Enhancer("cpu"), ways["gentle"].model))
    table = examine(found, ways)
    sys.stdout.write(f"{full_table(table)}\n\n{short_table(table)}\n")
    if options.docs:
        put_between_marks(ROOT / "docs" / "fidelity.md", full_table(table))
        put_between_marks(ROOT / "README.md", short_table(table))


if __name__ == "__main__":
    main()
