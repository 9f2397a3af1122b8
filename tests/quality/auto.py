"""What Auto chooses for degraded photos, compared with each preset and with the best preset of each case."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage import data

from docs.measure_peers import import_reference, run_reference
from enhance import Enhancer, Settings
from enhance.analysis import Analysis, analyse
from enhance.analysis.auto import choose
from enhance.device_thread import DEVICE_THREAD

from .cases import Case, Networks, Upscaled, bicubic, upscaled
from .metrics import GMSD, HAARPSI, PSNR, SSIM, block_steps, grid_steps
from .photos import GREY, REPORTED, TUNING, Pixels, downscaled, reference_of

_PRESETS = ("original", "gentle", "fast", "precise")
_SEED = 5

Degrade = Callable[[Pixels], bytes]
"""Returns the file of a degraded photo."""


def _as_png(pixels: Pixels) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def as_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _phone(pixels: Pixels) -> bytes:
    """Blur, shot noise, colour noise and JPEG 75."""
    noise, light = np.random.default_rng(_SEED), cv2.GaussianBlur(pixels, (0, 0), 0.5).astype(np.float32)
    shot = noise.normal(size=light.shape) * 0.25 * np.sqrt(light + 1)
    colour = 3 * cv2.GaussianBlur(noise.normal(size=light.shape), (0, 0), 1)
    return as_jpeg(light + shot + colour + noise.normal(0, 1.5, light.shape), 75)


def _web(pixels: Pixels) -> bytes:
    """Sharpening and JPEG 50."""
    light = pixels.astype(np.float32)
    return as_jpeg(light + 0.6 * (light - cv2.GaussianBlur(light, (0, 0), 1)), 50)


def _soft(pixels: Pixels) -> bytes:
    """Blur and correlated grain."""
    grain = cv2.GaussianBlur(np.random.default_rng(_SEED).normal(size=pixels.shape[:2]), (0, 0), 0.8)
    light = cv2.GaussianBlur(pixels, (0, 0), 1.1) + (5 * grain / grain.std())[..., None]
    return _as_png(np.clip(np.rint(light), 0, 255).astype(np.uint8))


DEGRADATIONS: Mapping[str, Degrade] = {"clean": _as_png, "phone": _phone, "web": _web, "soft": _soft}
COMPRESSED: Mapping[str, Degrade] = {
    **{f"JPEG {quality}": partial(as_jpeg, quality=quality) for quality in (75, 60, 50, 40)},
    "sharpened, JPEG 50": _web,
    "phone, JPEG 75": _phone,
}


def table(enhancer: Enhancer, networks: Networks) -> str:
    """Return the mean HaarPSI of each preset, of Auto and of the best preset of each case, in Markdown.

    The work is that of the network, compared with gentle's.
    """
    photos = {name: source for name, source in (TUNING | REPORTED).items() if name not in GREY}
    work = {preset["name"]: preset["relative_time"] or 0.0 for preset in enhancer.presets()}
    scores: dict[str, dict[str, list[float]]] = {}
    shares: dict[str, list[float]] = {name: [work[name]] for name in _PRESETS} | {"bicubic": [0.0], "Auto": []}
    shares["the best of each case"] = []
    for degradation, degrade in DEGRADATIONS.items():
        for source in photos.values():
            case = case_of(reference_of(source), degrade)
            found = {name: HAARPSI.of(case, upscaled(case, Settings(name), networks)) for name in _PRESETS}
            choice, best = choose(analyse(case.image), _PRESETS), max(_PRESETS, key=found.__getitem__)
            chosen = Settings().resolved(choice.preset, **choice.tuning)
            auto = HAARPSI.of(case, upscaled(case, chosen, networks))
            rows = {"bicubic": HAARPSI.of(case, bicubic(case)), **found, "Auto": auto}
            rows["the best of each case"] = found[best]
            shares["Auto"].append(work[choice.preset])
            shares["the best of each case"].append(work[best])
            for name, score in rows.items():
                scores.setdefault(name, {}).setdefault(degradation, []).append(score)
    lines = [f"| HaarPSI | {' | '.join(DEGRADATIONS)} | mean | work |", f"| --- |{' ---: |' * (len(DEGRADATIONS) + 2)}"]
    for name, columns in scores.items():
        means = [float(np.mean(column)) for column in columns.values()]
        figures = " | ".join(f"{mean:.1f}" for mean in [*means, float(np.mean(means))])
        lines.append(f"| {name} | {figures} | {np.mean(shares[name]):.2f} |")
    return "\n".join(lines)


def blocks_table(networks: Networks) -> str:
    """Return the mean HaarPSI of compressed photos, and the steps at the borders of their blocks, in Markdown.

    The last column has the steps of the photos without compression, with the preset, or by Auto with the values for
    compressed photos. The last rows compare the results of photos that are moved by 0 to 7 px, and have the mean and
    the largest value of the photos.
    """
    photos = {name: source for name, source in (TUNING | REPORTED).items() if name not in ("page", "text")}
    degradations = {**COMPRESSED, "no compression": _as_png}
    lines = [f"| | {' | '.join(degradations)} |", f"| --- |{' ---: |' * len(degradations)}"]
    found: dict[str, list[str]] = {}
    for degrade in degradations.values():
        cases = [case_of(reference_of(source), degrade) for source in photos.values()]
        for name in ("gentle", "fast", "Auto"):
            results = [(case, upscaled(case, _block_settings(name, case), networks)) for case in cases]
            steps = np.mean([block_steps(result.pixels, 4 * 8) for _, result in results])
            haarpsi = np.mean([HAARPSI.of(*pair) for pair in results])
            cell = f"{haarpsi:.1f}, {steps:.2f}" if degrade is not _as_png else f"{steps:.2f}"
            found.setdefault(name, []).append(cell)
    for name in ("gentle", "Auto"):
        cells = found.setdefault(f"{name}, without content", [])
        for degradation, degrade in degradations.items():
            if name == "gentle" and not degradation.startswith("JPEG"):  # Eight slow runs for each photo.
                cells.append("")
                continue
            steps = [_grid_steps(reference_of(source), degrade, name, networks) for source in photos.values()]
            cells.append(f"{np.mean(steps):.2f}, {max(steps):.2f}")
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in found.items())])


def _grid_steps(reference: Pixels, degrade: Degrade, name: str, networks: Networks) -> float:
    """Return the steps at the borders of blocks in results of a preset or Auto, apart from those of the photo there."""
    cases = moved_cases(reference, degrade)
    return grid_steps([upscaled(one, _block_settings(name, one), networks).pixels for one in cases], 4 * 8)


def moved_cases(reference: Pixels, degrade: Degrade) -> list[Case]:
    """Return 8 cases of equal size, the next one always moved by a pixel of the degraded photo."""
    height, width = (side // 32 * 32 - 32 for side in reference.shape[:2])
    parts = (reference[first : first + height, first : first + width] for first in range(0, 32, 4))
    return [case_of(np.ascontiguousarray(part), degrade) for part in parts]


def peer_table(enhancer: Enhancer) -> str:
    """Return the time and the quality of Auto and of RealESRGANer for a portrait of 96 px, in Markdown.

    Auto's time is that from the file to the PNG, RealESRGANer's that from pixels to pixels. Raises ImportError if
    basicsr and realesrgan are not installed.
    """
    network, upscaler = import_reference()
    reference = np.ascontiguousarray(data.astronaut()[:384, 64:448])
    case = Case(reference, downscaled(reference))
    with tempfile.TemporaryDirectory() as folder:
        photo, output = Path(folder) / "photo.png", Path(folder) / "result.png"
        photo.write_bytes(_as_png(case.degraded))

        def run() -> tuple[float, Pixels]:
            started = time.perf_counter()
            enhancer.run(photo, output=output)
            seconds, result = time.perf_counter() - started, np.asarray(Image.open(output))
            output.unlink()
            return seconds, result

        run()  # The first run loads the model.
        seconds, result = min((run() for _ in range(2)), key=lambda one: one[0])
    peer_seconds, peer = DEVICE_THREAD.call(lambda: run_reference(case.degraded, network, upscaler))
    metrics = (PSNR, SSIM, HAARPSI, GMSD)
    lines = [f"| | seconds | {' | '.join(one.name for one in metrics)} |", f"| --- |{' ---: |' * (len(metrics) + 1)}"]
    for name, time_taken, pixels in (("RealESRGANer", peer_seconds, peer), ("Auto", seconds, result)):
        figures = [f"{time_taken:.2f}", *(f"{one.of(case, Upscaled(pixels)):.1f}" for one in metrics)]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _block_settings(name: str, case: Case) -> Settings:
    if name != "Auto":
        return Settings(name)
    choice = choose(analyse(case.image) if case.tables[0] else Analysis(72, 72, jpeg_quality=40), _PRESETS)
    return Settings().resolved(choice.preset, **choice.tuning)


def case_of(reference: Pixels, degrade: Degrade) -> Case:
    """Return a photo that is downscaled by 4, degraded and saved."""
    height, width = reference.shape[:2]
    small = Image.fromarray(reference).resize((width // 4, height // 4), Image.Resampling.LANCZOS)
    with Image.open(io.BytesIO(degrade(np.asarray(small)))) as image:
        tables = getattr(image, "quantization", {})
        degraded = np.asarray(image.convert("RGB"))
    return Case(reference, degraded, (tuple(tables.get(0, ())), tuple(tables.get(1, ()))))
