"""A run's `info` as words: every value may be missing, and none of them breaks the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any

from ..picture import Picture
from ..picture.colour import profile_name
from .texts import Texts

Row = tuple[str, str]
Wide = tuple[str, str, str]


def at(info: Mapping[str, Any], *keys: str) -> Any:
    """The value under the keys one inside the other; None where one is missing."""
    value: Any = info
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def finished_at(info: Mapping[str, Any]) -> datetime | None:
    """When the run finished, in this machine's time zone; None if that is not known."""
    try:
        return datetime.fromisoformat(str(at(info, "finished"))).astimezone()
    except ValueError:
        return None


def group(info: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The facts under `key`; none if there are none."""
    value = info.get(key)
    return value if isinstance(value, Mapping) else {}


def number(value: object) -> float | None:
    """The value if it is a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def short(value: float) -> str:
    """A number with the digits that count: 0.00032, 0.123, 1.23, 12.3, 1,234."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}" if size >= 0.01 or size == 0 else f"{value:.2g}"


def file_rows(info: Mapping[str, Any], picture: Picture, size: tuple[int, int], texts: Texts) -> list[Wide]:
    """What there is to say of the two files: label, before, after. `size` is the result's height and width."""
    height, width = size
    output = at(info, "output", "path")
    made = ("L" if picture.grey else "RGB") + ("" if picture.alpha is None else "A")
    return [
        (texts.name, str(at(info, "input", "name") or picture.name), PurePath(str(output or texts.unknown)).name),
        (texts.size, _pixels(picture.width, picture.height, texts), _pixels(width, height, texts)),
        (
            texts.file_size,
            _bytes(picture.bytes, picture.format, texts),
            _bytes(at(info, "output", "bytes"), "PNG", texts),
        ),
        (texts.colour, _colours(picture.mode, picture, texts), _colours(made, picture, texts)),
        ("SHA-256", picture.sha256, str(at(info, "output", "sha256") or texts.unknown)),
    ]


def run_rows(info: Mapping[str, Any], texts: Texts) -> tuple[list[Row], list[Row]]:
    """How the result was made: two columns of label and value."""

    def given(value: object) -> str:
        return texts.unknown if value in (None, "") else str(value)

    scale, speed = number(at(info, "settings", "scale")), number(at(info, "megapixels_per_second"))
    memory, tile = number(at(info, "peak_memory_mb")), number(at(info, "tile"))
    device = [str(part) for part in (at(info, "device"), at(info, "precision")) if part]
    left = [
        (texts.preset, given(texts.preset_name(at(info, "preset")))),
        (texts.scale, texts.unknown if scale is None else f"× {scale:g}"),
        (texts.model, given(at(info, "model", "name"))),
        (texts.source, given(at(info, "model", "source"))),
        (texts.checksum, given(at(info, "model", "sha256"))),
    ]
    right = [
        (texts.device, " · ".join(device) or texts.unknown),
        (texts.tile, texts.unknown if tile is None else texts.tile_value.format(f"{tile:.0f}")),
        (texts.speed, texts.unknown if speed is None else texts.speed_value.format(short(speed))),
        (texts.memory, texts.unknown if memory is None else f"{memory:,.0f} MB"),
        (texts.signature, given(at(info, "signature"))),
    ]
    faces = _count(at(info, "faces"))
    if faces is not None:
        left.insert(2, (texts.faces, str(faces)))
    return left, right


def _pixels(width: int, height: int, texts: Texts) -> str:
    megapixels = texts.megapixels.format(short(width * height / 1e6))
    return f"{texts.pixels.format(f'{width:,}', f'{height:,}')} · {megapixels}"


def _bytes(count: object, kind: str, texts: Texts) -> str:
    exact = number(count)
    return texts.unknown if exact is None else f"{texts.bytes.format(f'{exact:,.0f}')} · {kind}"


def _colours(mode: str, picture: Picture, texts: Texts) -> str:
    kind = {"L": texts.grey, "I": texts.grey, "LA": texts.grey_alpha, "P": texts.palette, "1": texts.grey}
    words = texts.bits.format(kind.get(mode.partition(";")[0], mode.partition(";")[0]), picture.bits)
    profile = profile_name(picture.icc)
    return f"{words} · {profile}" if profile else words


def _count(faces: object) -> int | None:
    """How many faces: from a number, a list of them, or a fact with a count."""
    if isinstance(faces, Mapping):
        faces = faces.get("found", faces.get("count"))
    if isinstance(faces, list | tuple):
        return len(faces)
    return faces if isinstance(faces, int) and not isinstance(faces, bool) else None
