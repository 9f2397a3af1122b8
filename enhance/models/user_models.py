"""User models: add, list and remove. The record `own.toml` in the weights folder has an entry for each.

A model is converted to safetensors with its graph in the metadata. Its file name contains its checksum, so that no
other file is overwritten. The file is written before the record and deleted after it, so that the record never refers
to an incomplete file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WeightsError
from .files import digest, locked, rename_corrupt, storage_errors, write_file
from .graphs import Graph
from .manifest import Model, manifest

if TYPE_CHECKING:
    from .detect import Detected

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_log = logging.getLogger(__name__)

RECORD = "own.toml"
PRESETS = (
    "auto",
    "resize",
    "gentle",
    "original",
    "anime",
    "anime-fast",
    "face",
    "dehaze",
    "fast",
    "precise",
    "gentle-2x",
)
"""Names of presets, which a user model cannot have."""

LARGEST = 1 << 30
"""The maximum bytes of a file and of its tensors. The largest models in use have a quarter of that."""
_LARGEST_SCALE = 16

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FIELDS = {"network": str, "scale": int, "file": str, "bytes": int, "sha256": str, "origin": str}
_HEAD = "# The models that `enhance weights add` has added. `enhance weights remove NAME` removes one.\n"


def own_models(folder: Path) -> dict[str, Model]:
    """Return the user models in `folder` by name, except those whose name a shipped model or preset now has.

    Raises WeightsError if the record is damaged and StorageError if it cannot be read.
    """
    models = _read_record(folder)
    for name in filter(_ships, models):
        _warn_of_taken_name(name, folder / RECORD)
    return {name: model for name, model in models.items() if not _ships(name)}


def files_in(path: Path) -> list[Path]:
    """Return `path` itself, or each .param file with a .bin if it is a folder. Raises WeightsError if there is none."""
    if not path.is_dir():
        return [path]
    try:
        found = sorted(one for one in path.iterdir() if one.suffix == ".param" and one.with_suffix(".bin").is_file())
    except OSError as error:
        raise WeightsError("weights_add_no_file", file=path, reason=error.strerror or error) from error
    if not found:
        raise WeightsError("weights_add_empty_folder", folder=path)
    return found


def add(path: Path, name: str | None, folder: Path) -> Model:
    """Convert the network in a .pth, .safetensors or .param file (with its .bin) to a user model in `folder`.

    `name` defaults to the file name. Raises WeightsError if the network cannot be streamed by rows, or the name is not
    allowed or taken, and StorageError. Nothing is written then.
    """
    if name is None:
        name = re.sub(r"[^a-z0-9._]+", "-", path.stem.lower()).strip("-._")[:64] or "model"
    if not _NAME.fullmatch(name):
        raise WeightsError("weights_add_no_name", name=name)
    if _ships(name):
        raise WeightsError("weights_add_name_taken", name=name)
    detected = _read_model(path)
    content = _to_safetensors(detected, path.name)
    sha256 = hashlib.sha256(content).hexdigest()
    model = Model(
        name=name,
        purpose="",
        network=detected.network,
        file=f"{name}.{sha256[:8]}.safetensors",
        bytes=len(content),
        sha256=sha256,
        licence="",
        own=True,
        scale=detected.graph.scale,
        origin=path.name,
    )
    with locked(folder, "own"):
        models = _read_record(folder)
        old, file = models.get(name), folder / model.file
        if old and _is_verified(folder / old.file, old):
            raise WeightsError("weights_add_name_taken", name=name)
        for corrupt in {file, *([folder / old.file] if old else [])}:
            if corrupt.exists() and not _is_verified(corrupt, model):
                rename_corrupt(corrupt)
        write_file(file, content)
        try:
            _write_record({**models, name: model}, folder)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
    return model


def remove(name: str, folder: Path) -> Model:
    """Remove a user model from the record and delete its file. A file that has changed is renamed instead.

    Raises WeightsError for an unknown name and StorageError.
    """
    with locked(folder, "own"):
        models = _read_record(folder)
        model = models.pop(name, None)
        if model is None:
            key = "weights_remove_shipped" if name in manifest() else "weights_remove_unknown"
            raise WeightsError(key, name=name, known=", ".join(models) or "-")
        _write_record(models, folder)
        file = folder / model.file
        if _is_verified(file, model):
            with storage_errors(folder):
                file.unlink()
        elif file.exists():
            rename_corrupt(file)
    return model


# --- Reading a file to add


def _read_model(path: Path) -> Detected:
    suffix = path.suffix.lower()
    if suffix not in (".pth", ".safetensors", ".param"):
        raise WeightsError("weights_add_other_ending", file=path.name)
    _check_size(path)
    try:
        detected = _read_ncnn(path) if suffix == ".param" else _read_state(path)
    except WeightsError as error:
        if error.key == "ncnn_other_layer":
            raise WeightsError("weights_add_other_layer", file=path.name, **error.values) from error
        if error.key.startswith("weights_add_"):
            raise
        raise WeightsError("weights_add_unreadable", file=path.name, reason=error) from error
    except (OSError, ValueError, MemoryError, zipfile.BadZipFile, NotImplementedError) as error:
        raise WeightsError("weights_add_unreadable", file=path.name, reason=WeightsError("file_damaged")) from error
    _check_form(detected.graph, path.name)
    return detected


def _read_state(path: Path) -> Detected:
    from .detect import detect, unwrap
    from .tensors import read_tensors

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _check_bytes(sum(one.file_size for one in archive.infolist()), path.name)
    state = unwrap(read_tensors(path), path.name)
    # An expanded tensor is small in the file and large in memory.
    _check_bytes(sum(tensor.numel() * tensor.element_size() for tensor in state.values()), path.name)
    return detect(state, path.name)


def _read_ncnn(path: Path) -> Detected:
    from .detect import Detected
    from .ncnn import read_ncnn

    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise WeightsError("weights_add_no_bin", file=path.name, bin=weights.name)
    _check_size(weights)
    return Detected("ncnn", *read_ncnn(path.read_text(encoding="utf-8"), weights.read_bytes()))


def _check_size(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise WeightsError("weights_add_no_file", file=path, reason=error.strerror or error) from error
    if not path.is_file():
        raise WeightsError("weights_add_other_ending", file=path.name)
    _check_bytes(size, path.name)


def _check_bytes(size: int, file: str) -> None:
    if size > LARGEST:
        raise WeightsError("weights_add_large", file=file, size=size / 1e6, most=LARGEST / 1e6)


def _check_form(graph: Graph, file: str) -> None:
    """Raise WeightsError unless the network maps colour or grey images to colour or grey images at 1x to 16x."""
    for channels in (graph.image_channels, graph.nodes[-1].channels):
        if channels not in (1, 3):
            raise WeightsError("weights_add_channels", file=file, channels=channels)
    scale = graph.nodes[-1].scale / graph.unshuffle
    if scale != graph.scale or not 1 <= scale <= _LARGEST_SCALE:
        raise WeightsError("weights_add_scale", file=file, scale=f"{scale:g}", most=_LARGEST_SCALE)


def _to_safetensors(detected: Detected, file: str) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    from .tensors import GRAPH

    arrays = {name: np.ascontiguousarray(np.asarray(tensor)) for name, tensor in detected.tensors.items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise WeightsError("weights_add_not_finite", file=file, tensor=name)
    return save(arrays, {GRAPH: detected.graph.as_json()})


# --- The record


@cache
def _warn_of_taken_name(name: str, record: Path) -> None:
    """Log that a user model is hidden. The cache limits it to once for each process."""
    _log.warning("%s is now a shipped model or preset, which replaces the one in %s", name, record)


def _ships(name: str) -> bool:
    return name in manifest() or name in PRESETS


def _is_verified(path: Path, model: Model) -> bool:
    with storage_errors(path.parent):
        return path.is_file() and digest(path) == model.sha256


def _read_record(folder: Path) -> dict[str, Model]:
    path = folder / RECORD
    with storage_errors(folder):
        if not path.is_file():
            return {}
        content = path.read_bytes()
    try:
        tables = tomllib.loads(content.decode())
        return {name: _model(name, table) for name, table in tables.items()}
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError("weights_own_damaged", path=path) from error


def _model(name: str, table: Mapping[str, Any]) -> Model:
    fields = {field: table[field] for field in _FIELDS}
    if not all(type(fields[field]) is kind for field, kind in _FIELDS.items()) or not _NAME.fullmatch(name):
        raise ValueError(f"not a model: {name}")
    if Path(fields["file"]).name != fields["file"]:
        raise ValueError(f"not a file name: {fields['file']}")
    return Model(name=name, purpose="", licence="", own=True, **fields)


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
        value = "".join(one if one.isprintable() else "?" for one in value)
    return json.dumps(value, ensure_ascii=False)
