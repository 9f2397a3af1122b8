"""User models: add, list and remove.

The record `own.toml` in the weights folder has an entry for each.

A model is converted to safetensors with its graph in the metadata. Its file name contains its
checksum, so that no other file is overwritten. The file is written before the record and deleted
after it, so that the record never refers to an incomplete file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import WeightsError
from ..json_object import JsonObject
from ..preset_names import PRESET_NAMES
from ..processes import temporary_folder
from .manifest import UNKNOWN_LICENCE, Model, manifest, tomllib
from .weights_folder import (
    digest,
    folder_errors,
    is_verified,
    locked,
    rename_corrupt,
    write_file,
)

RECORD = "own.toml"
_RECORD_LOCK = ".own"
"""No model can have this name."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FIELDS = {
    "network": str,
    "scale": int,
    "file": str,
    "bytes": int,
    "sha256": str,
    "origin": str,
    "licence": str,
    "author": str,
}
"""The fields of an entry, in their order."""
_HEAD = "# The models that `enhance weights add` has added. "
_HEAD += "`enhance weights remove NAME` removes one.\n"


def own_models(folder: Path) -> dict[str, Model]:
    """Return the user models in `folder` by name, except those whose name a shipped model or preset
    now has.

    Raises WeightsError if the record is damaged and StorageError if it cannot be read.
    """
    models = _read_record(folder)
    return {name: model for name, model in models.items() if not _ships(name)}


def is_name(value: object) -> bool:
    """Return whether a value can be the name of a user model, also with a folder, as of `use`."""
    return isinstance(value, str) and _NAME.fullmatch(Path(value).name) is not None


def check_name(name: str | None, path: Path) -> str:
    """Return the name of a user model, by default that of its file.

    Raises WeightsError if it is not allowed.
    """
    if name is None:
        name = _name_of(path)
    if not _NAME.fullmatch(name):
        raise WeightsError("weights_add_no_name", name=name)
    if _ships(name):
        raise WeightsError("weights_add_name_taken", name=name)
    return name


def add(
    path: Path,
    name: str | None,
    folder: Path,
    *,
    licence: str = UNKNOWN_LICENCE,
    author: str = "",
    origin: str = "",
) -> Model:
    """Convert the network in a .pth, .safetensors or .param file (with its .bin) to a user model in
    `folder`.

    `name` and `origin`, where the file comes from, default to the file name. Raises WeightsError if
    the network cannot be streamed by rows, or the name is not allowed or taken, and StorageError.
    Nothing is written then.
    """
    name = check_name(name, path)
    model, content = _convert(path, name)
    model = replace(model, licence=licence, author=author, origin=origin or model.origin)
    with locked(folder, _RECORD_LOCK):
        models = _read_record(folder)
        earlier = models.get(name)
        if earlier and is_verified(folder / earlier.file, earlier.sha256):
            raise WeightsError("weights_add_name_taken", name=name)
        file = folder / model.file
        write_file(file, content)
        try:
            _write_record({**models, name: model}, folder)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
    return model


def use(path: Path) -> str:
    """Convert a network as `add` does, in a temporary folder, and return its name in that folder,
    with the path of the folder.

    Raises WeightsError and StorageError.
    """
    files = [file for file in (path, path.with_suffix(".bin")) if file.is_file()]
    folder, name = _use(path.absolute(), tuple(map(digest, files)))
    return str(Path(folder.name, name))


@cache  # For the process, at whose end the folder is removed.
def _use(path: Path, checksums: tuple[str, ...]) -> tuple[TemporaryDirectory[str], str]:
    """Convert a network, again if its files have changed and `checksums` are therefore others."""
    model, content = _convert(path, _name_of(path)[:55])  # 64 characters with the 9 that follow
    name = f"{model.name}.{model.sha256[:8]}"
    folder = temporary_folder()
    write_file(Path(folder.name, model.file), content)
    _write_record({name: model}, Path(folder.name))
    return folder, name


def remove(name: str, folder: Path) -> Model:
    """Remove a user model from the record and delete its file.

    A file that has changed is renamed instead. Raises WeightsError for an unknown name and
    StorageError.
    """
    with locked(folder, _RECORD_LOCK):
        models = _read_record(folder)
        model = models.pop(name, None)
        if model is None:
            known = ", ".join(models) or "-"
            raise WeightsError("weights_remove_unknown", name=name, known=known)
        _write_record(models, folder)
        file = folder / model.file
        if is_verified(file, model.sha256):
            with folder_errors(folder):
                file.unlink()
        elif file.exists():
            rename_corrupt(file)
    return model


def _name_of(path: Path) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", path.stem.lower()).strip("-._")[:64] or "model"


def _convert(path: Path, name: str) -> tuple[Model, bytes]:
    """Return the network in a file as a user model, and the content of its weight file.

    Raises WeightsError.
    """
    from safetensors.numpy import save

    from .detect import read_network
    from .tensors import GRAPH

    detected = read_network(path)
    content = save(dict(detected.tensors), {GRAPH: detected.graph.as_json()})
    sha256 = hashlib.sha256(content).hexdigest()
    model = Model(
        name=name,
        purpose="",
        network=detected.network,
        file=f"{name}.{sha256[:8]}.safetensors",
        bytes=len(content),
        sha256=sha256,
        licence=UNKNOWN_LICENCE,
        own=True,
        scale=detected.graph.scale,
        origin=path.name,
    )
    return model, content


# --- The record


def _ships(name: str) -> bool:
    return name in manifest() or name in PRESET_NAMES


def _read_record(folder: Path) -> dict[str, Model]:
    path = folder / RECORD
    with folder_errors(folder):
        if not path.is_file():
            return {}
        content = path.read_bytes()
    try:
        tables = tomllib.loads(content.decode())
        return {name: _model(name, table) for name, table in tables.items()}
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError("weights_own_damaged", path=path) from error


def _model(name: str, table: JsonObject) -> Model:
    fields = {field: kind(table[field]) for field, kind in _FIELDS.items()}
    if not _NAME.fullmatch(name) or Path(fields["file"]).name != fields["file"]:
        raise ValueError(f"not a model: {name}")
    return Model(name=name, purpose="", own=True, **fields)


def _write_record(models: Mapping[str, Model], folder: Path) -> None:
    lines = [_HEAD]
    for name, model in models.items():
        lines.append(f"[{_quote(name)}]")
        lines += [f"{field} = {_quote(getattr(model, field))}" for field in _FIELDS]
        lines.append("")
    write_file(folder / RECORD, "\n".join(lines).encode())


def _quote(value: str | int) -> str:
    """Return a TOML value. Characters of a file name that cannot be printed are replaced."""
    if isinstance(value, str):
        value = "".join(character if character.isprintable() else "?" for character in value)
    # Strings and integers have the same form in JSON and TOML.
    return json.dumps(value, ensure_ascii=False)
