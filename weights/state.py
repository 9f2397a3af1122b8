"""Verified weight files become tensors."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ModelFileError
from .files import digest
from .store import Located

if TYPE_CHECKING:
    import torch

_WRAPPERS = ("params_ema", "params")


def read_state_dict(located: Located) -> dict[str, torch.Tensor]:
    """The tensors of a located weight file on the CPU, by official name, as stored (float32 for Real-ESRGAN).

    A .pth may hold them bare or under `params_ema` or `params`; it is read without running any code in it. Raises
    ModelFileError when the file has changed since it was verified, or is no .safetensors or .pth of tensors.
    """
    path = located.path
    file = {"path": path, "name": located.name}
    try:
        changed = digest(path) != located.sha256
        state = None if changed else _read(path)
    except (OSError, ValueError, ModelFileError) as error:
        reason = error if isinstance(error, ModelFileError) else str(error)
        raise ModelFileError("weights_unreadable", reason=reason, **file) from error
    if changed:
        raise ModelFileError("weights_changed", **file)
    if not isinstance(state, Mapping) or not state or not all(_is_tensor(value) for value in state.values()):
        raise ModelFileError("weights_without_tensors", **file)
    return dict(state)


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(error) from error
    if path.suffix != ".pth":
        raise ModelFileError("file_of_other_kind", suffix=path.suffix)
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        # Its message advises to read the file with weights_only=False, which would run whatever is in it.
        raise ModelFileError("file_of_other_things") from error
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and wrapper in state:
            return state[wrapper]
    return state


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)
