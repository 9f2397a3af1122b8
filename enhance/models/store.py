"""From a model's name to a verified file: what lies in the weights folder, and what to fetch when it does not.

Only models of the manifest and those that were added exist here, and only a file with the right checksum is given out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..errors import Cancelled, WeightsError
from . import hub, package
from .files import digest, is_writable, locked, set_aside, storage
from .manifest import NOWHERE, Located, Model, manifest
from .records import origin
from .sources import fetch
from .user_models import own_models

Progress = Callable[[int, int], object]
Status = Literal["verified", "missing", "corrupt"]


@dataclass(frozen=True)
class Holding:
    """What the folder holds of one model: the verified file if any, and the files that must not be loaded."""

    model: Model
    located: Located | None
    wrong: tuple[Path, ...]

    @property
    def status(self) -> Status:
        if self.located:
            return "verified"
        return "corrupt" if self.wrong else "missing"


def folder() -> Path:
    """Where weight files lie; a fetch creates it if need be.

    ENHANCE_WEIGHTS, else this package's own folder in a checkout, else, where the program was installed by pip, the
    user's folder for data: what lies among installed modules is lost with the next version.
    """
    chosen = os.environ.get("ENHANCE_WEIGHTS")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_data_path

    checkout = Path(__file__).parents[2]
    return (checkout if (checkout / "pyproject.toml").is_file() else user_data_path("enhance")) / "weights"


@dataclass(frozen=True)
class Store:
    """A weights folder and the models that may lie in it; by default the program's own."""

    folder: Path = field(default_factory=folder)
    models: Mapping[str, Model] = field(default_factory=manifest)

    def find(self, name: str) -> Model:
        """The model called `name`, one that ships or one's own; raises WeightsError that names the known ones."""
        if name in self.models:
            return self.models[name]
        own = own_models(self.folder)
        if name not in own:
            raise WeightsError("weights_unknown_model", name=name, known=", ".join((*self.models, *own)))
        return own[name]


def locate(name: str, store: Store | None = None) -> Located | None:
    """The verified local file of a model, or None; neither the network nor the package is asked, nothing is changed.

    It lies in the weights folder, or in Hugging Face's own cache on this machine.

    Raises WeightsError for a name that is not in the manifest.
    """
    return inspect(name, store).located


def ensure(
    name: str, progress: Progress | None = None, store: Store | None = None, *, stop: threading.Event | None = None
) -> Located:
    """The verified file of a model: the local one, else from Hugging Face, the authors' release or the package.

    `progress(done_bytes, total_bytes)` is called during a fetch; what it raises ends the fetch, and the bytes so far
    are kept for the next. Corrupt files are set aside. Raises WeightsError for a name that is not in the manifest and
    when no source has the model, StorageError when the folder cannot be written, Cancelled once `stop` is set.
    """

    def report(done: int, total: int) -> None:
        if stop is not None and stop.is_set():
            raise Cancelled("stopped")
        if progress:
            progress(done, total)

    store = store or Store()
    held = inspect(name, store)
    if held.located:
        return held.located
    with locked(store.folder, name, waiting=lambda: report(0, held.model.bytes)):
        discard(inspect(name, store))
        if located := locate(name, store):
            return located
        if held.model.own:
            raise WeightsError("weights_own_gone", name=name)
        return fetch(held.model, store.folder, report)


def is_convertible(name: str, store: Store | None = None) -> bool:
    """Whether a model of the manifest that is not here can be had without a network: from an installed package."""
    store = store or Store()
    source = store.find(name).package
    return source is not None and not source.version and package.is_installed(source) and is_writable(store.folder)


def inspect(name: str, store: Store | None = None) -> Holding:
    """What the folder holds of a model, by checksum; nothing is changed. Raises WeightsError for an unknown name."""
    store = store or Store()
    model = store.find(name)
    located, wrong = None, []
    for file in _names(model):
        path = store.folder / file
        if not path.exists():
            continue
        with storage(store.folder):
            sha256 = digest(path)
        source = _source(model, path, sha256)
        if source is None:
            wrong.append(path)
        else:
            located = located or Located(name, path, sha256, source)
    return Holding(model, located or _in_cache(model), tuple(wrong))


def _names(model: Model) -> tuple[str, ...]:
    """What a model's files are called in the weights folder: the official ones, then the converted one."""
    if model.own:
        return (model.file,)
    converted = package.converted_path(model, Path()).name
    return tuple(dict.fromkeys((*(download.file for download in model.downloads), converted)))


def _source(model: Model, path: Path, sha256: str) -> str | None:
    """Where a file of the weights folder came from; None where it is none of the model's."""
    if model.own:
        return model.origin if sha256 == model.sha256 else None
    if (path.name, sha256) in {(download.file, download.sha256) for download in model.downloads}:
        return origin(path)
    record = package.recorded(model, path.parent)
    return record.source if record and (path.name, sha256) == (record.file, record.sha256) else None


def _in_cache(model: Model) -> Located | None:
    """The verified copy in Hugging Face's own cache, used where it lies."""
    if model.hub == NOWHERE:
        return None
    for path in hub.cached(model.hub):
        if _is_whole(path, model):
            return Located(model.name, path, model.sha256, f"{model.hub} (its cache)")
    return None


def _is_whole(path: Path, model: Model) -> bool:
    try:
        return path.stat().st_size == model.bytes and digest(path) == model.sha256
    except OSError:  # another program's folder: what cannot be read there is not there
        return False


def verify(name: str, store: Store | None = None) -> tuple[Holding, tuple[Path, ...]]:
    """What the folder holds of a model once corrupt files are set aside, and the names they now have.

    Raises WeightsError for an unknown name, StorageError when a file cannot be renamed.
    """
    store = store or Store()
    held = inspect(name, store)
    if not held.wrong:
        return held, ()
    with locked(store.folder, name, waiting=lambda: None):
        aside = discard(inspect(name, store))
    return inspect(name, store), aside


def discard(held: Holding) -> tuple[Path, ...]:
    """Sets the corrupt files of a model aside and gives their new names; the caller holds the model's lock."""
    return tuple(set_aside(path, path.name, "its checksum is not that of the model") for path in held.wrong)
