"""Which presets change characters: rendered text is degraded, upscaled and read again.

A character is read by comparing its place with all characters of its font. It counts as changed if
a result shows another character although bicubic upscaling shows the right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from enhance import Settings
from enhance.presets import available_presets
from enhance.restore.fidelity import fidelity_grade
from tests.progress import Progress

from .cases import Networks, bicubic, upscaled
from .degradation import Degrade, as_jpeg, as_png, blurred, case_of, noisy
from .photos import Pixels
from .tables import row, rule

CHARACTERS = "0123456789ABCDEFGHJKLNPQRSTUVXYZabcdefghjknopqrstuvxyz"
"""Digits, and letters of similar width."""
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmss10")
SIZES = 7, 10
PRESETS = ("original", "gentle", "fast", "balanced", "precise", "anime", "anime-fast")
_PAPER = 235
_BORDER = 32
_SHIFT = 3
"""How far from its place a character is searched, in pixels of the result."""
_CLEAR = 0.02
"""By how much the correlation of one character must exceed those of all others."""


@dataclass(frozen=True)
class Text:
    """Characters in rows and columns. `size` is that of the font in pixels of the photo."""

    font: str
    size: int
    rows: int = 3
    columns: int = 12

    @property
    def characters(self) -> np.ndarray:
        random = np.random.default_rng([self.size, *self.font.encode()])
        return random.choice([*CHARACTERS], (self.rows, self.columns))

    def glyph(self, character: str) -> np.ndarray:
        """Return the ink of one character in its place in the result, float32 0..1."""
        height = 4 * round(1.4 * self.size)
        width = 4 * round(0.8 * self.size)
        file = Path(mpl.get_data_path(), "fonts", "ttf", f"{self.font}.ttf")
        image = Image.new("L", (width, height))
        font = ImageFont.truetype(file, 4 * self.size)
        ImageDraw.Draw(image).text((width / 2, 0.75 * height), character, 255, font, anchor="ms")
        return np.asarray(image, np.float32) / 255

    def image(self, contrast: float) -> Pixels:
        """Return the text at the size of a result, in grey ink on paper."""
        glyphs = [[self.glyph(character) for character in line] for line in self.characters]
        grey = np.rint(_PAPER - contrast * np.pad(np.block(glyphs), _BORDER)).astype(np.uint8)
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)

    def read(self, pixels: Pixels) -> np.ndarray:
        """Return how much more each place resembles its own character than the nearest other one.

        This is a difference of correlations. It is negative if another character is read.
        """
        outside = _BORDER - _SHIFT
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)[outside:, outside:]
        glyphs = {character: -self.glyph(character) for character in CHARACTERS}
        height, width = glyphs["0"].shape
        advantages: list[float] = []
        for (line, column), own in np.ndenumerate(self.characters):
            below = grey[line * height :, column * width :]
            place = below[: height + 2 * _SHIFT, : width + 2 * _SHIFT]
            found = {
                character: cv2.matchTemplate(place, glyph, cv2.TM_CCOEFF_NORMED).max()
                for character, glyph in glyphs.items()
            }
            advantages.append(found.pop(own) - max(found.values()))
        return np.array(advantages)


PRINTS: dict[str, Degrade] = {
    "clean": as_png,
    "blur 0.6": lambda photo: as_png(blurred(photo, 0.6)),
    "noise 8": lambda photo: as_png(noisy(photo, 8)),
    "JPEG 50": partial(as_jpeg, quality=50),
    "faint": as_png,
    "faint, noise 8": lambda photo: as_png(noisy(photo, 8)),
    "faint, JPEG 75": partial(as_jpeg, quality=75),
    "faint, blur 0.6, JPEG 75": lambda photo: as_jpeg(blurred(photo, 0.6), 75),
}
"""The degradations of prints."""
GRADES = {"free": "low", "fair": "fair", "good": "high", "very": "very high"}


def read(text: Text, form: str, preset: str, networks: Networks) -> dict[str, object]:
    """Return how many of the characters that bicubic upscaling of a print shows clearly the result
    of a preset changed, and its fidelity."""
    contrast = 45 if form.startswith("faint") else 200
    case = case_of(text.image(contrast), PRINTS[form])
    result = upscaled(case, Settings(preset), networks)
    is_clear = text.read(bicubic(case).pixels) > _CLEAR
    is_changed = is_clear & (text.read(result.pixels) < -_CLEAR)
    return {
        "form": form,
        "preset": preset,
        "clear": is_clear.sum(),
        "changed": is_changed.sum(),
        "worst_db": result.fidelity_worst_db,
    }


def tables(networks: Networks, progress: Progress) -> tuple[str, str]:
    """Return two tables in Markdown: the characters that each preset changes, and the fidelity of
    these results. Each font is a part of the progress."""
    presets = [name for name in PRESETS if name in available_presets()]
    results: list[dict[str, object]] = []
    for font in FONTS:
        with progress.part(f"text, {font}"):
            results += [
                read(Text(font, size), form, preset, networks)
                for size in SIZES
                for form in PRINTS
                for preset in presets
            ]
    readings = pd.DataFrame(results)
    return _changes_table(readings), _grades_table(readings)


def _changes_table(readings: pd.DataFrame) -> str:
    changed = readings.groupby(["preset", "form"], sort=False).changed.sum().unstack()
    clear = readings[readings.preset == PRESETS[0]].groupby("form").clear.sum()
    counts = pd.concat([clear.to_frame("characters").T, changed])[[*PRINTS]]
    counts["all"] = counts.sum(axis=1)
    lines = [row("changed by", *counts), rule(1, len(PRINTS) + 1)]
    lines += [row(*map(str, line)) for line in counts.itertuples(name=None)]
    return "\n".join(lines)


def _grades_table(readings: pd.DataFrame) -> str:
    """Return the share of results with changed characters, and of changed characters, by the grade
    of the results."""
    lines = [row("", "results", "with changed characters", "changed characters"), rule(1, 3)]
    for grade, label in GRADES.items():
        group = readings[readings.worst_db.map(fidelity_grade) == grade]
        wrong = _share((group.changed > 0).sum(), len(group))
        changed = _share(group.changed.sum(), group.clear.sum())
        lines.append(row(label, str(len(group)), wrong, changed))
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{part}, {100 * part / whole:.1f}%" if whole else ""
