"""Models of one's own: what lies in the weights folder beside those that ship, as `own.toml` there records it.

A weight file is called by its model and its checksum, so no other file is ever written over. It is written before the
record of it, and removed after it: whatever ends the program between, the record names only what is whole.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import WeightsError
from .files import digest, locked, set_aside, storage, write_whole
from .manifest import Model, manifest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

log = logging.getLogger(__name__)

RECORD = "own.toml"
PRESETS = ("gentle", "original", "anime", "anime-fast", "face", "dehaze", "fast", "precise", "gentle-2x")
"""Names that the program gives its presets, which a model of one's own cannot have."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FIELDS = {"network": str, "scale": int, "file": str, "bytes": int, "sha256": str, "origin": str}
_HEAD = "# The models that were added with `python -m weights add`; `python -m weights remove NAME` takes one away.\n"


def own_models(folder: Path) -> dict[str, Model]:
    """The models that were added to `folder`, by name, in the order of adding; none whose name now ships.

    Raises WeightsError when the record of them cannot be understood, StorageError when it cannot be read.
    """
    models = _recorded(folder)
    for name in filter(_ships, models):
        _tell_of_shadowed(name, folder / RECORD)
    return {name: model for name, model in models.items() if not _ships(name)}


@cache
def _tell_of_shadowed(name: str, path: Path) -> None:
    """Said once, not at every look into the record."""
    log.warning("%s ships with the program now: that one is used, not the one in %s", name, path)


def _ships(name: str) -> bool:
    return name in manifest() or name in PRESETS


def _recorded(folder: Path) -> dict[str, Model]:
    """All that the record names."""
    path = folder / RECORD
    with storage(folder):
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except ValueError as error:
            raise WeightsError("weights_own_damaged", path=path) from error
    try:
        return {name: _model(name, table) for name, table in tomllib.loads(text).items()}
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError("weights_own_damaged", path=path) from error


def name_for(path: Path) -> str:
    """A model's name from that of its file: in small letters, with hyphens for what a name cannot have."""
    return re.sub(r"[^a-z0-9._]+", "-", path.stem.lower()).strip("-._")[:64] or "model"


def check_name(name: str) -> None:
    """Raises WeightsError for what is no name, or one that a model that ships or a preset has."""
    if not _NAME.fullmatch(name):
        raise WeightsError("weights_add_no_name", name=name)
    if _ships(name):
        raise WeightsError("weights_add_name_taken", name=name)


def keep(model: Model, content: bytes, folder: Path) -> Model:
    """Writes the weights of a model that is to be one's own, then the record; gives it with the name of its file.

    Raises WeightsError when there is a model of that name already whose file is whole, StorageError when the
    folder cannot be written; then nothing is left behind.
    """
    with locked(folder, "own", waiting=lambda: None):
        models = _recorded(folder)
        held = models.get(model.name)
        if held is not None and _is_whole(folder / held.file, held):
            raise WeightsError("weights_add_name_taken", name=model.name)
        path = folder / model.file
        was_there = path.exists()
        if was_there and not _is_whole(path, model):
            set_aside(path, path.name, "its checksum is not that of the model")
        write_whole(path, content)
        try:
            _write({**models, model.name: model}, folder)
        except BaseException:
            if not was_there:
                path.unlink(missing_ok=True)
            raise
        if held is not None and held.file != model.file and (folder / held.file).exists():
            set_aside(folder / held.file, held.file, "its checksum is not that of the model")
    return model


def forget(name: str, folder: Path) -> Model:
    """Takes one's own model out of the record, and deletes its file; a file that was changed is set aside instead.

    Raises WeightsError for a name of none, StorageError when the folder cannot be written.
    """
    with locked(folder, "own", waiting=lambda: None):
        models = _recorded(folder)
        model = models.pop(name, None)
        if model is None:
            known = ", ".join(models) or "-"
            raise WeightsError(
                "weights_remove_shipped" if name in manifest() else "weights_remove_unknown", name=name, known=known
            )
        _write(models, folder)
        path = folder / model.file
        with storage(folder):
            if _is_whole(path, model):
                path.unlink()
            elif path.exists():
                set_aside(path, path.name, "its checksum is not that of the model")
    return model


def _is_whole(path: Path, model: Model) -> bool:
    with storage(path.parent):
        return path.is_file() and digest(path) == model.sha256


def _model(name: str, table: Mapping[str, Any]) -> Model:
    fields = {field: table[field] for field in _FIELDS}
    if not all(type(fields[field]) is kind for field, kind in _FIELDS.items()) or not _NAME.fullmatch(name):
        raise ValueError(f"{name} is no model")
    if Path(fields["file"]).name != fields["file"]:
        raise ValueError(f"{fields['file']} is no file of a model of one's own")
    return Model(name=name, purpose="", licence="", own=True, **fields)


def _write(models: Mapping[str, Model], folder: Path) -> None:
    tables = [f"[{_text(name)}]\n" + "".join(_lines(model)) for name, model in models.items()]
    write_whole(folder / RECORD, "\n".join([_HEAD, *tables]).encode())


def _lines(model: Model) -> list[str]:
    values = {field: getattr(model, field) for field in _FIELDS}
    return [f"{field} = {_text(value) if isinstance(value, str) else value}\n" for field, value in values.items()]


def _text(value: str) -> str:
    """A TOML string; what cannot be printed is not worth keeping in a name for people."""
    return json.dumps("".join(one if one.isprintable() else "?" for one in value), ensure_ascii=False)
