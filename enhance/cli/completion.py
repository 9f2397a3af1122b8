"""Completion of the command line in a shell: `eval "$(register-python-argcomplete enhance)"`."""

from __future__ import annotations

from argparse import Action, ArgumentParser
from collections.abc import Iterable
from typing import Any

from argcomplete import autocomplete
from argcomplete.completers import FilesCompleter

from ..settings import PAPERS

FORMATS = ("png", "jpeg", "webp", "avif", "tiff", "jxl")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_VALUES: dict[str, Iterable[str]] = {
    "format": FORMATS,
    "metadata": ("keep", "no-location", "none"),
    "background": ("white", "black"),
    "device": DEVICES,
    "precision": PRECISIONS,
    "print": PAPERS,
    "ray": ("auto", "local"),
}
"""The values of options that have neither paths nor numbers."""


class _Words(FilesCompleter):
    """The possible words of an argument: the names it accepts, nothing for a number, else files."""

    def __call__(self, prefix: str, **shell: Any) -> list[str]:
        # What completion does not need is not imported, because it delays the shell.
        from ..models.weights import WeightStore
        from ..presets import available_presets

        action: Action = shell["action"]
        if action.dest == "preset":
            return list(available_presets())
        if action.dest == "names":
            return list(WeightStore().models)
        if action.type in (int, float):
            return []
        if action.dest in _VALUES:
            return list(_VALUES[action.dest])
        return super().__call__(prefix)


def complete(parser: ArgumentParser) -> None:
    """Print the possible next words and exit, if a shell asks for them."""
    autocomplete(parser, default_completer=_Words())
