"""The models of the product: the one door to `weights`, their networks, and which presets can be chosen with them.

The errors of `weights` leave it as the product's own. Importing this loads neither torch nor huggingface_hub.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import weights
from weights import Located
from weights.graphs import Graph

from ..errors import Cancelled, StorageError, WeightsError
from ..settings import DEFAULT_PRESET, PRESETS, Preset, Settings, all_presets
from ..texts import DEFAULT_LANGUAGE, say

if TYPE_CHECKING:
    import torch

_SCENE_MODELS = {"face": ("gfpgan-v1.4", "yunet")}


def ensure(name: str, stop: threading.Event | None = None) -> Located:
    """The verified file of a model, fetched if need be; what has come when `stop` is set is kept for the next fetch.

    Raises WeightsError when it cannot be had, StorageError when the weights folder cannot be used, Cancelled.
    """

    def arrived(done: int, total: int) -> None:
        if stop is not None and stop.is_set():
            raise Cancelled("stopped")

    with _own_errors():
        return weights.ensure(name, arrived)


def locate(name: str) -> Located | None:
    """The verified file of a model if it is here; nothing is fetched or changed. Raises as `ensure` does."""
    with _own_errors():
        return weights.locate(name)


def checksum(name: str) -> str:
    """The SHA-256 that the file of the model called `name` has to have; another model of that name has another."""
    with _own_errors():
        return weights.Store().find(name).sha256


def state_dict(located: Located) -> dict[str, torch.Tensor]:
    """The tensors of a located file on the CPU, by official name, as stored.

    Raises WeightsError when the file has changed since it was verified, or holds no tensors.
    """
    with _own_errors():
        return weights.read_state_dict(located)


def known_graph(name: str) -> Graph:
    """The row graph of the model called `name`; raises as `ensure` does."""
    with _own_errors():
        return weights.graph_of(name)


def checked_graph(state: Mapping[str, torch.Tensor], name: str) -> Graph:
    """The row graph of the model `name`, which `state` holds the weights of.

    Raises WeightsError when the tensors' names or shapes are not those of that network.
    """
    graph = known_graph(name)
    expected, found = graph.shapes(), {key: tuple(tensor.shape) for key, tensor in state.items()}
    if found != expected:
        odd = min(key for key, _ in set(found.items()) ^ set(expected.items()))
        raise WeightsError("other_network", model=name, tensor=odd)
    return graph


@contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except weights.WeightsFolderError as error:
        raise StorageError(error.key, **error.values) from error
    except weights.ModelFileError as error:
        raise WeightsError(error.key, **error.values) from error


def describe_presets(language: str = DEFAULT_LANGUAGE) -> list[dict[str, Any]]:
    """Every preset in order, one's own models last: its purpose, its settings, whether and why it cannot be chosen."""
    return [_describe(preset, language) for preset in all_presets().values()]


def missing_models(preset: Preset) -> list[str]:
    """The models of the preset that are neither here nor to be had from an installed package."""
    names = (*Settings.from_preset(preset.name).recipe.models, *_SCENE_MODELS.get(preset.scene or "", ()))
    return [name for name in names if not (_is_here(name) or weights.is_convertible(name))]


def _is_here(name: str) -> bool:
    try:
        return locate(name) is not None
    except StorageError:  # a folder that cannot be read has nothing for us
        return False


def _describe(preset: Preset, language: str) -> dict[str, Any]:
    missing = missing_models(preset)
    settings, reason = Settings.from_preset(preset.name).as_dict(), _reason(preset, missing, language)
    return {
        "name": preset.name,
        "own": preset.own,
        "summary": _summary(preset, language),
        "model": preset.model,
        "network": _called(weights.Store().find(preset.model).network),
        "settings": {name: value for name, value in settings.items() if name != "preset"},
        "denoises": preset.denoises,
        "scale": preset.scale,
        "available": reason is None,
        "reason": reason,
        "relative_time": None if preset.own and missing else _relative_time(preset),
    }


def _summary(preset: Preset, language: str) -> str:
    if not preset.own:
        return say(language, f"about_{preset.name}")
    model = weights.Store().find(preset.model)
    about = "about_own" if preset.scale > 1 else "about_own_1x"
    return say(language, about, network=_called(model.network), scale=preset.scale, file=model.origin)


def _called(network: str) -> str:
    """What the community calls a kind of network."""
    return {"rrdbnet": "ESRGAN", "srvgg": "Compact", "span": "SPAN"}.get(network, network)


def _reason(preset: Preset, missing: list[str], language: str) -> str | None:
    """Why a preset cannot be chosen; None where it can."""
    if not missing:
        return None
    if preset.own:
        return say(language, "weights_own_gone", name=preset.model)
    if not weights.is_writable(weights.folder()):
        return say(language, "weights_not_kept", names=" ".join(missing))
    store = weights.Store()
    files = [weights.by_hand(store.find(name)) for name in missing]
    if not all(files):
        return say(language, "weights_missing", names=" ".join(missing))
    told = " · ".join(say(language, "weights_missing_file", file=one.file, url=one.url) for one in files if one)
    return say(language, "weights_missing_by_hand", names=" ".join(missing), folder=_told(store.folder), files=told)


def _told(folder: Path) -> Path:
    """The weights folder as strangers may read it: where the program itself lies is not said."""
    program = Path(weights.__file__).parents[1]
    return folder.relative_to(program) if folder.is_relative_to(program) else folder


def _relative_time(preset: Preset) -> float:
    work, usual = (_work(name, checksum(name)) for name in (preset.model, PRESETS[DEFAULT_PRESET].model))
    return round(work / usual, 3)


@lru_cache(maxsize=64)
def _work(name: str, sha256: str) -> float:
    """Return the multiply-adds per pixel of the model whose file has this checksum. Raises as `ensure` does."""
    return known_graph(name).work
