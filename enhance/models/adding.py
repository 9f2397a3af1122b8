"""A file from somewhere becomes a model of one's own: read without running anything in it, recognised, and kept.

Whatever it was, it is kept as safetensors with the names and the graph that this program runs.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EnhanceError, WeightsError
from .detect import Recognised, check_form, recognise, unwrapped
from .manifest import Model
from .store import Store, locate
from .tensors import GRAPH, read_tensors
from .user_models import check_name, keep, name_for, own_models

LARGEST = 1 << 30
"""Bytes of a file, and of the tensors in it; the largest models in use have a quarter of it."""
_ENDINGS = (".pth", ".safetensors", ".param")


def add(path: Path, name: str | None, folder: Path) -> Model:
    """Recognises the network in a .pth, .safetensors or .param file (its .bin beside it) and keeps it in `folder`.

    Without `name` it is called after its file. Raises WeightsError when the file holds no network that streams by
    rows, or the name is none or taken; StorageError. Then nothing is kept.
    """
    name = name_for(path) if name is None else name
    check_name(name)
    if name in own_models(folder) and locate(name, Store(folder)):
        raise WeightsError("weights_add_name_taken", name=name)
    made = _read(path)
    content = _as_safetensors(made, path.name)
    sha256 = hashlib.sha256(content).hexdigest()
    model = Model(
        name=name,
        purpose="",
        network=made.network,
        file=f"{name}.{sha256[:8]}.safetensors",
        bytes=len(content),
        sha256=sha256,
        licence="",
        own=True,
        scale=made.graph.scale,
        origin=path.name,
    )
    return keep(model, content, folder)


def files_in(path: Path) -> list[Path]:
    """The files that a path to be added stands for: itself, or all .param files with a .bin in a folder, by name.

    Raises WeightsError for a folder without any.
    """
    if not path.is_dir():
        return [path]
    try:
        found = sorted(one for one in path.iterdir() if one.suffix == ".param" and one.with_suffix(".bin").is_file())
    except OSError as error:
        raise WeightsError("weights_add_no_file", file=path, reason=error.strerror or error) from error
    if not found:
        raise WeightsError("weights_add_empty_folder", folder=path)
    return found


def _read(path: Path) -> Recognised:
    if path.suffix.lower() not in _ENDINGS:
        raise WeightsError("weights_add_other_ending", file=path.name)
    _check_size(path)
    if path.suffix.lower() == ".param":
        return _read_ncnn(path)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(one.file_size for one in archive.infolist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        unpacked = 0  # no archive: a file of an older PyTorch, safetensors, or nothing at all
    if unpacked > LARGEST:
        raise WeightsError("weights_add_large", file=path.name, size=unpacked / 1e6, most=LARGEST / 1e6)
    try:
        state = unwrapped(read_tensors(path))
    except (OSError, ValueError, MemoryError, EnhanceError) as error:
        raise WeightsError("weights_add_unreadable", file=path.name, reason=_reason(error)) from error
    return recognise(_tensors_of(state, path.name), path.name)


def _check_size(path: Path) -> None:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise WeightsError("weights_add_other_ending", file=path.name)
    except OSError as error:
        raise WeightsError("weights_add_no_file", file=path, reason=error.strerror or error) from error
    if size > LARGEST:
        raise WeightsError("weights_add_large", file=path.name, size=size / 1e6, most=LARGEST / 1e6)


def _tensors_of(state: Any, file: str) -> dict[str, Any]:
    import torch

    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise WeightsError("weights_add_unknown", file=file)
    tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    # Expanded ones take no room in a file and all of it in memory.
    whole = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if whole > LARGEST:
        raise WeightsError("weights_add_large", file=file, size=whole / 1e6, most=LARGEST / 1e6)
    return tensors


def _read_ncnn(path: Path) -> Recognised:
    from .ncnn_graph import read_ncnn_graph

    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise WeightsError("weights_add_no_bin", file=path.name, bin=weights.name)
    _check_size(weights)
    try:
        graph, tensors = read_ncnn_graph(path.read_text(encoding="utf-8"), weights.read_bytes())
    except EnhanceError as error:
        if error.key == "ncnn_other_layer":
            raise WeightsError("weights_add_other_layer", file=path.name, **error.values) from error
        raise WeightsError("weights_add_unreadable", file=path.name, reason=error) from error
    except (OSError, ValueError) as error:
        raise WeightsError("weights_add_unreadable", file=path.name, reason=_reason(error)) from error
    made = Recognised("ncnn", graph, tensors)
    check_form(made, path.name)
    return made


def _as_safetensors(made: Recognised, file: str) -> bytes:
    metadata = {GRAPH: made.graph.as_json()}
    odd = next((name for name, tensor in made.tensors.items() if not _is_finite(tensor)), None)
    if odd is not None:
        raise WeightsError("weights_add_not_finite", file=file, tensor=odd)
    if all(isinstance(tensor, np.ndarray) for tensor in made.tensors.values()):
        from safetensors.numpy import save

        return save(dict(made.tensors), metadata)
    from safetensors.torch import save

    # Copied, for tensors of one memory cannot be saved as they are.
    return save({name: tensor.detach().clone().contiguous() for name, tensor in made.tensors.items()}, metadata)


def _is_finite(tensor: Any) -> bool:
    if isinstance(tensor, np.ndarray):
        return bool(np.isfinite(tensor).all())
    return tensor.is_floating_point() and bool(tensor.isfinite().all())


def _reason(error: Exception) -> object:
    return error if isinstance(error, WeightsError) else WeightsError("file_cut_off")
