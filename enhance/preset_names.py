"""The names of the presets that ship."""

from __future__ import annotations

from typing import Literal, get_args

RESIZE = "resize"
"""The preset without a network, which only `auto` chooses: for results that are no larger than the
image."""
PresetName = Literal[
    "auto",
    "gentle",
    "original",
    "anime",
    "anime-fast",
    "face",
    "dehaze",
    "fast",
    "precise",
    "balanced",
    "gentle-2x",
]
"""The names of PRESETS, so that type checkers find wrong ones. User models: `Settings(name)`."""
PRESET_NAMES = (*get_args(PresetName), RESIZE)
"""The names that a user model cannot have."""
