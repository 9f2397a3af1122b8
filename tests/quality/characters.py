"""Which presets change characters: rendered text is degraded, upscaled and read again.

A character is read by comparing its place with all characters of its font. It counts as changed if
a result shows another character although bicubic upscaling shows the right one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from enhance import Settings
from enhance.presets import available_presets
from enhance.restore.fidelity import fidelity_grade

from .cases import Case, Networks, bicubic, jpeg_case, upscaled
from .degradation import blurred, noisy
from .photos import Pixels, downscaled
from .tables import row, rule

CHARACTERS = "0123456789ABCDEFGHJKLNPQRSTUVXYZabcdefghjknopqrstuvxyz"
"""Digits, and letters of similar width."""
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmss10")
SIZES = 7, 10
PRESETS = ("original", "gentle", "fast", "balanced", "precise", "anime", "anime-fast")
_FOLDER = Path(matplotlib.__file__).parent / "mpl-data" / "fonts" / "ttf"
_PAPER = 235
_FACTOR, _MARGIN = 4, 8
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
    def lines(self) -> list[str]:
        random = np.random.default_rng([self.size, *self.font.encode()])
        return ["".join(random.choice([*CHARACTERS], self.columns)) for _ in range(self.rows)]

    @property
    def _cell(self) -> tuple[int, int]:
        """The height and width of a character's place, in pixels of the result."""
        return round(1.4 * self.size) * _FACTOR, round(0.8 * self.size) * _FACTOR

    def _places(self) -> Iterator[tuple[str, int, int]]:
        """Yield each character with the top and left of its place in the result."""
        height, width = self._cell
        for number, line in enumerate(self.lines):
            for column, character in enumerate(line):
                yield (
                    character,
                    _FACTOR * _MARGIN + number * height,
                    _FACTOR * _MARGIN + column * width,
                )

    def _glyph(self, character: str) -> np.ndarray:
        """Return the ink of one character in its place, float32 0..1."""
        height, width = self._cell
        image = Image.new("L", (width, height))
        font = ImageFont.truetype(str(_FOLDER / f"{self.font}.ttf"), self.size * _FACTOR)
        ImageDraw.Draw(image).text((width / 2, 0.75 * height), character, 255, font, anchor="ms")
        return np.asarray(image, np.float32) / 255

    def image(self, contrast: float) -> Pixels:
        """Return the text at the size of a result, in grey ink on paper."""
        (height, width), border = self._cell, 2 * _FACTOR * _MARGIN
        ink = np.zeros((self.rows * height + border, self.columns * width + border), np.float32)
        for character, top, left in self._places():
            ink[top : top + height, left : left + width] = self._glyph(character)
        return cv2.cvtColor(np.rint(_PAPER - contrast * ink).astype(np.uint8), cv2.COLOR_GRAY2RGB)

    def read(self, pixels: Pixels) -> np.ndarray:
        """Return how much more each place resembles its own character than the nearest other one.

        This is a difference of correlations, float64 [rows * columns]. It is negative if another
        character is read.
        """
        grey, (height, width) = (
            cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32),
            self._cell,
        )
        templates = _normalised(
            np.stack([-self._glyph(character).ravel() for character in CHARACTERS])
        )
        advantages = []
        for character, top, left in self._places():
            place = grey[
                top - _SHIFT : top + height + _SHIFT, left - _SHIFT : left + width + _SHIFT
            ]
            views = np.lib.stride_tricks.sliding_window_view(place, (height, width)).reshape(
                -1, height * width
            )
            found = (_normalised(views) @ templates.T).max(axis=0)
            own = CHARACTERS.index(character)
            advantages.append(float(found[own] - np.delete(found, own).max()))
        return np.array(advantages)


def _normalised(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


@dataclass(frozen=True)
class Print:
    """How text is printed, photographed and saved."""

    contrast: float = 200
    blur: float = 0
    noise: float = 0
    quality: int | None = None

    def case(self, text: Text) -> Case:
        """Return the text, and the photo of it at a quarter of its size."""
        reference = text.image(self.contrast)
        degraded = downscaled(reference)
        degraded = blurred(degraded, self.blur) if self.blur else degraded
        degraded = noisy(degraded, self.noise) if self.noise else degraded
        return (
            jpeg_case(reference, degraded, self.quality)
            if self.quality
            else Case(reference, degraded)
        )


GRADES = {"free": "low", "fair": "fair", "good": "high", "very": "very high"}
_FAINT = 45
PRINTS = {
    "clean": Print(),
    "blur 0.6": Print(blur=0.6),
    "noise 8": Print(noise=8),
    "JPEG 50": Print(quality=50),
    "faint": Print(_FAINT),
    "faint, noise 8": Print(_FAINT, noise=8),
    "faint, JPEG 75": Print(_FAINT, quality=75),
    "faint, blur 0.6, JPEG 75": Print(_FAINT, blur=0.6, quality=75),
}


@dataclass(frozen=True)
class Reading:
    """How many of the characters that bicubic upscaling shows clearly a result changed, and its
    fidelity."""

    clear: int
    changed: int
    worst_db: float


def read(text: Text, case: Case, preset: str, networks: Networks) -> Reading:
    """Return the reading of the result of a preset."""
    is_clear, result = (
        text.read(bicubic(case).pixels) > _CLEAR,
        upscaled(case, Settings(preset), networks),
    )
    is_changed = is_clear & (text.read(result.pixels) < -_CLEAR)
    return Reading(int(is_clear.sum()), int(is_changed.sum()), result.fidelity_worst_db)


def tables(networks: Networks) -> tuple[str, str]:
    """Return two tables in Markdown: the characters that each preset changes, and the fidelity of
    these results."""
    presets = [name for name in PRESETS if name in available_presets()]
    readings: dict[str, dict[str, list[Reading]]] = {preset: {} for preset in presets}
    for name, form in PRINTS.items():
        for text in (Text(font, size) for font in FONTS for size in SIZES):
            case = form.case(text)
            for preset in presets:
                readings[preset].setdefault(name, []).append(read(text, case, preset, networks))
    return _changes_table(readings), _grades_table(readings)


def _changes_table(readings: Mapping[str, Mapping[str, list[Reading]]]) -> str:
    lines = [row("changed by", *PRINTS, "all"), rule(1, len(PRINTS) + 1)]
    clear = [sum(one.clear for one in column) for column in readings["gentle"].values()]
    lines.append(row("characters", *map(str, clear), str(sum(clear))))
    for preset, columns in readings.items():
        changed = [sum(one.changed for one in column) for column in columns.values()]
        lines.append(row(preset, *map(str, changed), str(sum(changed))))
    return "\n".join(lines)


def _grades_table(readings: Mapping[str, Mapping[str, list[Reading]]]) -> str:
    """Return the share of results with changed characters, and of changed characters, by the grade
    of the results."""
    results = [
        one for columns in readings.values() for column in columns.values() for one in column
    ]
    lines = [row("", "results", "with changed characters", "changed characters"), rule(1, 3)]
    for grade, label in GRADES.items():
        group = [one for one in results if fidelity_grade(one.worst_db) == grade]
        wrong = _share(sum(one.changed > 0 for one in group), len(group))
        changed = _share(sum(one.changed for one in group), sum(one.clear for one in group))
        lines.append(row(label, str(len(group)), wrong, changed))
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{part}, {100 * part / whole:.1f}%" if whole else ""
