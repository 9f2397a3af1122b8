"""The choice of a preset for an image from its analysis, by `RULES`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ..preset_names import RESIZE
from ..settings import REFERENCE_PRESET
from ..size import Size
from . import Analysis

CLEAN_NOISE = 2.45
"""Photos downscaled by 2 to 4 have less, photos with a noise of 3 have more."""
CLEAN_QUALITY = 88
BALANCED = "balanced"
BALANCED_NOISE = 4.0
"""The noise from which `fast` is better than `balanced`."""
BALANCED_QUALITY = 80
"""The JPEG quality from which `balanced` is better than `fast` with the values for compressed
photos."""
SMOOTH = 0.83
"""The smoothness from which the noise that `balanced` keeps is worse than the detail that `fast`
loses."""
COMPRESSED_NOISE = 1.0
"""The noise from which `balanced` is worse for a compressed photo, because compression removed a
part of the noise."""
CLEAN_BLUR = 0.35
"""The blur from which `fast` is better than `precise`: a Gaussian blur of 0.6 px. At 0.5 px,
`precise` is better."""
BLURRED_NOISE = 0.8
"""Noise of a blurred photo that only correlated grain explains: the blur removes white noise."""
GRAIN_NOISE = 3.0
STRONG_NOISE = 7.0
"""The noise from which `gentle` is chosen instead of `fast`, which is better at 6 and worse at
10."""
LINES = 0.74
"""The coherence from which the network of `fast` misses lines of a compressed photo."""
SMALL_PIXELS = 1_000_000
"""The largest photo for whose lines the network of `gentle` is worth its time, about a minute on
two cores."""
SOFT = 3
"""Downscaling a photo that is soft by 2 measured worse than bicubic upscaling."""
REDUCE = 2
"""The largest reduction that measured better, also for softer photos (docs/fidelity.md)."""

AVERAGED = 4
"""The reduction from which averages alone remove noise and artifacts as well as a network."""

LONG_SECONDS = 120
"""From this duration of a run on, a faster preset is suggested."""


@dataclass(frozen=True)
class Choice:
    """A preset with the key of its reason, and the settings that differ from those of the preset.

    `reduce` is the factor by which the photo is downscaled first.
    """

    preset: str
    reason: str
    reduce: int = 1
    tuning: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """The preset for images that meet a condition, and settings that differ from those of the
    preset."""

    condition: Callable[[Analysis], bool]
    preset: str
    reason: str
    tuning: Mapping[str, float] = field(default_factory=dict)


def _was_compressed(analysis: Analysis) -> bool:
    return analysis.jpeg_quality is not None


def _quality(analysis: Analysis) -> int:
    return analysis.jpeg_quality or 100


def is_compressed(analysis: Analysis) -> bool:
    return _quality(analysis) < CLEAN_QUALITY


def _has_compressed_lines(analysis: Analysis) -> bool:
    is_small = analysis.size.pixels <= SMALL_PIXELS
    return is_small and is_compressed(analysis) and analysis.coherence >= LINES


def _is_slightly_compressed(analysis: Analysis) -> bool:
    """Return whether a compressed photo is so good that `balanced` does not enlarge its artifacts
    or its noise."""
    is_good = BALANCED_QUALITY <= _quality(analysis) < CLEAN_QUALITY
    return is_good and analysis.noise < COMPRESSED_NOISE and not _is_soft(analysis)


def _is_soft(analysis: Analysis) -> bool:
    return analysis.blur >= CLEAN_BLUR or analysis.softness >= SOFT


def _is_slightly_noisy(analysis: Analysis) -> bool:
    """Return whether an uncompressed photo has so little noise, and so much detail, that `balanced`
    is better."""
    has_little_noise = CLEAN_NOISE <= analysis.noise < BALANCED_NOISE
    return analysis.jpeg_quality is None and has_little_noise and analysis.smoothness < SMOOTH


def _is_noisy(analysis: Analysis) -> bool:
    return analysis.noise >= CLEAN_NOISE


def _has_grain(analysis: Analysis) -> bool:
    """Return whether there is film grain. Compression artifacts can look like grain."""
    if is_compressed(analysis):
        return False
    is_blurred_noise = analysis.blur >= CLEAN_BLUR and analysis.noise >= BLURRED_NOISE
    return is_blurred_noise or (analysis.grain > 0 and analysis.noise >= GRAIN_NOISE)


_COMPRESSED = {"strength": 0.5, "fidelity": 0.0, "sharpen": 0.0}
"""The networks keep the blocks of a JPEG, and Fidelity adds its other artifacts
(docs/fidelity.md)."""
_NEARLY_CLEAN = {"strength": 0.7, "fidelity": 1.0}
"""With the values of `balanced`, such a photo loses detail that `precise` keeps."""
_UNSHARPENED = {"sharpen": 0.0}

RULES = {
    "drawing": (
        Rule(is_compressed, "anime", "compressed_drawing"),
        Rule(_is_noisy, "fast", "noisy_drawing"),
        Rule(lambda analysis: True, "precise", "clean_drawing"),
    ),
    # All text gets `precise`, because the other networks change more characters (docs/fidelity.md).
    # However, `precise` keeps the noise.
    "text": (
        Rule(is_compressed, "precise", "compressed_text"),
        Rule(_is_noisy, "precise", "noisy_text"),
        Rule(lambda analysis: True, "precise", "clean_text"),
    ),
    "photo": (
        Rule(_has_grain, "gentle", "grainy_photo"),
        Rule(_is_slightly_compressed, BALANCED, "slightly_compressed_photo"),
        Rule(_has_compressed_lines, "gentle", "compressed_lines", _COMPRESSED | {"strength": 0.75}),
        # Compression removes noise. Strong noise in a compressed photo is therefore texture that
        # `gentle` would replace.
        Rule(is_compressed, "fast", "compressed_photo", _COMPRESSED),
        Rule(lambda analysis: analysis.noise >= STRONG_NOISE, "gentle", "noisy_photo"),
        Rule(_is_slightly_noisy, BALANCED, "slightly_noisy_photo"),
        Rule(_is_noisy, "fast", "slightly_noisy_photo"),
        Rule(_is_soft, "fast", "soft_photo"),
        Rule(_was_compressed, BALANCED, "slightly_compressed_photo", _NEARLY_CLEAN),
        Rule(lambda analysis: True, "precise", "clean_photo"),
    ),
}
"""The first rule for the kind of an image that applies decides. If `balanced` is not available, its
rules do not apply."""


def choose(analysis: Analysis, available: Collection[str], size: Size | None = None) -> Choice:
    """Return what to run for an image, with the presets that are available; `gentle` replaces
    another one.

    `size` is that of the result, by default four times that of the image. A soft photo is
    downscaled first if the result is small enough.
    """
    size = size or analysis.size.scale(4)
    rule = next(
        rule
        for rule in RULES[analysis.kind]
        if rule.condition(analysis) and (rule.preset != BALANCED or BALANCED in available)
    )
    if size.fits_into(analysis.size):
        return _choose_small(analysis, rule.reason, available, size)
    reduce = 1
    if analysis.softness >= SOFT and size.width <= 4 / REDUCE * analysis.width:
        reduce = REDUCE
    if rule.preset in available:
        return Choice(rule.preset, rule.reason, reduce, rule.tuning)
    return Choice(REFERENCE_PRESET, rule.reason, reduce)


def _choose_small(
    analysis: Analysis, reason: str, available: Collection[str], size: Size
) -> Choice:
    """Return what to run for a result that is no larger than the image.

    Noise and compression artifacts are removed by a network before the image is downscaled, except
    from text, whose characters it could change. They are never sharpened. A clean image needs no
    network.
    """
    tuning = _UNSHARPENED
    if is_compressed(analysis):
        preset = BALANCED
    elif _has_grain(analysis) or analysis.noise >= BALANCED_NOISE:
        preset = "fast"
    elif _is_noisy(analysis):
        preset = BALANCED
        tuning = _UNSHARPENED | {"fidelity": 1.0}
    else:
        return Choice(RESIZE, "large_enough")
    is_averaged = AVERAGED * size.width <= analysis.width
    if analysis.kind == "text" or is_averaged or preset not in available:
        return Choice(RESIZE, reason, tuning=_UNSHARPENED)
    return Choice(preset, reason, tuning=tuning)


def faster_preset(preset: str, analysis: Analysis, available: Collection[str]) -> str | None:
    """Return a faster preset of those `available` whose HaarPSI is at most 1 lower, or None if
    there is none.

    `anime-fast` is 3 lower than `anime` on compressed drawings. `fast` is 2 lower than `gentle` on
    photos with grain and 4.9 lower on compressed photos of lines. For text, `precise` is suggested
    although it is more than 1 lower on faint compressed print, because it changes fewer characters.
    It keeps the noise, so `fast` is suggested for noisy text.
    """
    choice = choose(analysis, available)
    is_best = choice.reason in ("grainy_photo", "compressed_lines")
    if is_best or preset not in ("gentle", "original", "face", "dehaze"):
        return None
    is_slow_or_noisy = choice.preset in ("gentle", "anime") or choice.reason == "noisy_text"
    faster = "fast" if is_slow_or_noisy else choice.preset
    return faster if faster in available else None
