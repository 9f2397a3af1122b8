"""How long work tells of itself."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, float | None], object]
"""Called between steps with: rows done, rows in all, seconds left (None while unknown)."""
