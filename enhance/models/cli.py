"""The command line of the model files: `python -m weights COMMAND`, each with --json.

list | fetch [NAME...] [--all] | verify | add FILE [--name NAME] | remove NAME

Exit status 0 when everything asked for is in order, 1 when something is not, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from ..errors import EnhanceError, StorageError
from .files import forget_digests
from .manifest import Model
from .records import attempts
from .sources import by_hand
from .store import Holding, Store, ensure, inspect, verify
from .user_models import forget, own_models

DEFAULT_SET = ("realesrgan-x4plus", "realesrgan-x4plus-anime", "realesr-animevideov3")
WELCOME = ("span-x4",)
"""What is fetched with those, and no failure where it cannot be had: its preset says what is missing."""

_REDRAW_SECONDS = 0.2


def main(arguments: Sequence[str] | None = None, store: Store | None = None) -> int:
    """Runs one command and gives its exit status; `store` is the program's own unless given."""
    store = store or Store()
    parser = _parser()
    chosen = parser.parse_args(arguments)
    unknown = [name for name in getattr(chosen, "names", []) if name not in store.models]
    if unknown:
        parser.error(f"there is no model {unknown[0]!r}; the models are {', '.join(store.models)}")
    if getattr(chosen, "all", False) and chosen.names:
        parser.error("give either names or --all")
    if getattr(chosen, "name", None) is not None and chosen.file.is_dir():
        parser.error("a folder's models are called after their files; give --name with one file")
    try:
        records, show, status = chosen.command(chosen, store)
    except EnhanceError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the bytes that have arrived are kept for the next fetch.", file=sys.stderr)
        return 1
    print(json.dumps(records, indent=2) if chosen.json else show(records))
    return status


def program() -> NoReturn:
    """Run the command line and exit with its status."""
    sys.exit(main())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m weights",
        description="Lists, fetches, verifies, adds and removes the model files in ENHANCE_WEIGHTS.",
    )
    commands = parser.add_subparsers(required=True, metavar="list | fetch | verify | add | remove")
    usual = ", ".join((*DEFAULT_SET, *WELCOME))
    parts = [
        ("list", _list, "every model, whether it is here, and what it is for"),
        ("fetch", _fetch, f"get models; without NAME those that suit every machine: {usual}"),
        ("verify", _verify, "read every file that is here again and set aside what is corrupt"),
        ("add", _add, "make a model of your own a preset: ESRGAN, Compact, SPAN, or Upscayl's .param with its .bin"),
        ("remove", _remove, "take a model of your own away, with its file in the weights folder"),
    ]
    for name, command, text in parts:
        part = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        part.add_argument("--json", action="store_true", help="print a JSON array on standard output")
        part.set_defaults(command=command)
        if command is _fetch:
            part.add_argument("names", nargs="*", metavar="NAME", help="a model's name, see list")
            part.add_argument("--all", action="store_true", help="every model")
        elif command is _add:
            part.add_argument(
                "file", type=Path, metavar="FILE", help="a .pth, .safetensors or .param, or a folder of .param"
            )
            part.add_argument("--name", help="what the preset is called; otherwise it is called after the file")
        elif command is _remove:
            part.add_argument("own", metavar="NAME", help="the name of a model of your own, see list")
    return parser


Records = list[dict[str, object]]
Outcome = tuple[Records, Callable[[Records], str], int]


def _list(chosen: argparse.Namespace, store: Store) -> Outcome:
    records = [_record(inspect(name, store), store.folder) for name in _all_names(store)]

    def show(records: Records) -> str:
        table = _table(records, ("name", "size", "status", "source", "purpose"))
        missing = [record for record in records if record.get("by_hand") or record.get("tried")]
        return "\n\n".join([table, *([_missing(missing, store.folder)] if missing else [])])

    return records, show, 0


def _missing(records: Records, folder: Path) -> str:
    """How to bring what is not here, and what was tried the last time, by source."""
    lines = [
        "What is not here `python -m weights fetch NAME` brings where there is a network; "
        f"a file put into {folder} by hand under its name is used too:"
    ]
    for record in records:
        by_hand: Any = record["by_hand"]
        lines.append(
            f"  {record['name']}: {by_hand['file']} from {by_hand['url']}" if by_hand else f"  {record['name']}"
        )
        tried: Any = record["tried"]
        lines += [f"    tried {one['source']}: {one['error']}" for one in tried]
    return "\n".join(lines)


def _all_names(store: Store) -> list[str]:
    return [*store.models, *own_models(store.folder)]


def _fetch(chosen: argparse.Namespace, store: Store) -> Outcome:
    names = list(store.models) if chosen.all else chosen.names
    optional = () if names else WELCOME
    records, status = [], 0
    for name in dict.fromkeys(names or [*DEFAULT_SET, *WELCOME]):
        line = _ProgressLine(name)
        error = None
        try:
            ensure(name, line, store)
        except EnhanceError as failure:
            error, status = str(failure), status if name in optional else 1
        line.close()
        if error:
            print(error, file=sys.stderr)
        records.append({**_record(inspect(name, store), store.folder), "error": error})
    return records, lambda records: _table(records, ("name", "size", "status", "source")), status


def _verify(chosen: argparse.Namespace, store: Store) -> Outcome:
    forget_digests()
    records, status = [], 0
    for name in _all_names(store):
        held, aside = verify(name, store)
        lost = held.model.own and not held.located
        status = 1 if aside or lost else status
        if held.located or aside or lost:
            state = "corrupt" if aside else held.status
            records.append({**_record(held, store.folder), "status": state, "set_aside": [str(path) for path in aside]})

    def show(records: Records) -> str:
        if not records:
            return "No model file is here yet; `python -m weights fetch` gets the ones that are needed."
        return _table(records, ("name", "size", "status", "source"))

    return records, show, status


def _add(chosen: argparse.Namespace, store: Store) -> Outcome:
    from .adding import add, files_in

    records, status = [], 0
    for file in files_in(chosen.file):
        try:
            model = add(file, chosen.name, store.folder)
        except StorageError:
            raise
        except EnhanceError as error:
            if not chosen.file.is_dir():
                raise
            print(error, file=sys.stderr)
            status = 1
        else:
            records.append(_record(inspect(model.name, store), store.folder))
    return records, lambda records: _table(records, ("name", "scale", "size", "network", "source")), status


def _remove(chosen: argparse.Namespace, store: Store) -> Outcome:
    model = forget(chosen.own, store.folder)
    return [{"name": model.name, "file": model.file}], lambda records: f"{model.name} is removed.", 0


def _record(held: Holding, folder: Path) -> dict[str, object]:
    model, located = held.model, held.located
    return {
        "name": model.name,
        "status": held.status,
        "bytes": located.path.stat().st_size if located else model.bytes,
        "path": str(located.path) if located else None,
        "sha256": located.sha256 if located else None,
        "source": located.source if located else None,
        "network": model.network,
        "licence": model.licence,
        "purpose": model.purpose or f"Your own: {model.network}, {model.scale}x, from {model.origin}.",
        **({"own": True, "scale": model.scale} if model.own else {}),
        **({} if located or model.own else _ways(model, folder)),
    }


def _ways(model: Model, folder: Path) -> dict[str, object]:
    """Why a model is not here as far as it was tried, and the file that can be put there by hand."""
    file = by_hand(model)
    return {
        "tried": [asdict(attempt) for attempt in attempts(folder, model.name)],
        "by_hand": {**asdict(file), "folder": str(folder)} if file else None,
    }


def _table(records: Records, columns: Sequence[str]) -> str:
    rows = [list(columns)]
    for record in records:
        cells = {**record, "size": f"{record['bytes'] / 1e6:.1f} MB", "scale": f"{record.get('scale')}x"}  # type: ignore[operator]
        rows.append([str(cells[column] or "-") for column in columns])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


class _ProgressLine:
    """One line on standard error that is redrawn while a file arrives; on anything but a terminal, only its end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._text = ""
        self._drawn_at = 0.0

    def __call__(self, done: int, total: int) -> None:
        self._text = f"{self._name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB ({100 * done // total} %)"
        if sys.stderr.isatty() and time.monotonic() - self._drawn_at > _REDRAW_SECONDS:
            self._drawn_at = time.monotonic()
            print(f"\r{self._text}\x1b[K", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._text:
            print(f"\r{self._text}\x1b[K" if sys.stderr.isatty() else self._text, file=sys.stderr)
