"""Progress on standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from typing import Self

    from tqdm import tqdm

_BAR = "{desc} {percentage:3.0f}%|{bar}|{postfix}"


class ProgressOutput:
    """Progress as a bar if standard error is a terminal, as JSON lines, or not at all.

    `kind` is "bar", "json" or "none".
    """

    def __init__(self, kind: str = "bar"):
        from tqdm import tqdm

        self._is_json = kind == "json"
        self._last_line = ""
        is_hidden = kind != "bar" or not sys.stderr.isatty()
        self._bar: tqdm[NoReturn] = tqdm(total=100, leave=False, bar_format=_BAR, disable=is_hidden)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def clear(self) -> None:
        """Clear the line of the bar, before other text is printed."""
        self._bar.clear()

    def update(
        self, share: float, seconds_left: float | None, file: str = "", position: str = ""
    ) -> None:
        """Show the share that is done, 0 to 1, the seconds left, and the current file with its
        position."""
        if self._is_json:
            self._print_line(share, seconds_left, file)
        else:
            self._move_bar(share, seconds_left, file, position)

    def _print_line(self, share: float, seconds_left: float | None, file: str) -> None:
        if seconds_left is not None:
            seconds_left = round(seconds_left, 1)
        facts = {"file": file, "share": round(share, 3), "seconds_left": seconds_left}
        line = json.dumps(facts, ensure_ascii=False)
        if line != self._last_line:
            print(line, file=sys.stderr, flush=True)
        self._last_line = line

    def _move_bar(self, share: float, seconds_left: float | None, file: str, position: str) -> None:
        if position:
            file += f" ({position})"
        if file:
            self._bar.set_description_str(file, refresh=False)
        left = ""
        if seconds_left is not None:
            left = f" {seconds_left:.0f} s left"
        self._bar.set_postfix_str(left, refresh=False)
        self._bar.n = round(100 * share, 1)
        self._bar.refresh()
