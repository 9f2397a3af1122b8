"""Verified weight files by model name: find them in the weights folder, download what is missing.

Only models of the manifest and user models exist, and only a file with the right checksum is
returned.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import WeightsError, check_stop
from .download import DownloadProgress, fetch, installed_file
from .graphs import Graph
from .manifest import Located, Model, manifest
from .networks import shipped_graph
from .pairs import PAIRS, parts_of
from .tensors import stored_graph
from .user_models import own_models
from .weights_folder import digest, is_verified, locked, rename_corrupt


@dataclass(frozen=True)
class ModelFiles:
    """What the weights folder has of a model: the verified file, if any, and the corrupt files."""

    model: Model
    located: Located | None
    corrupt: tuple[Path, ...]


def folder() -> Path:
    """Return the weights folder, which need not exist yet.

    ENHANCE_WEIGHTS, or `weights` in a checkout, or the user's data folder for an installed package,
    because a folder between installed modules does not survive an update.
    """
    chosen = os.environ.get("ENHANCE_WEIGHTS")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_data_path

    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file():
        return checkout / "weights"
    return user_data_path("enhance") / "weights"


@dataclass(frozen=True)
class WeightStore:
    """A weights folder and the models that ship. The default is the program's own."""

    folder: Path = field(default_factory=folder)
    models: Mapping[str, Model] = field(default_factory=manifest)

    def find(self, name: str) -> Model:
        """Return a shipped model or user model by name.

        Raises WeightsError that lists the known names.
        """
        # A damaged record of user models does not affect other models, because it is not read for
        # them.
        if name in self.models:
            return self.models[name]
        path = self.folder / name  # The name of a model of `use` begins with its folder.
        own = own_models(path.parent)
        if path.name not in own:
            known = ", ".join([*self.models, *own])
            raise WeightsError("weights_unknown_model", name=name, known=known)
        return own[path.name]


def locate(name: str, store: WeightStore | None = None) -> Located | None:
    """Return the verified file of a model in the weights folder or the Hugging Face cache, without
    downloading it.

    Raises WeightsError for an unknown name.
    """
    return verify_files(name, store or WeightStore()).located


def ensure(
    name: str,
    progress: DownloadProgress | None = None,
    store: WeightStore | None = None,
    *,
    stop: threading.Event | None = None,
) -> Located:
    """Return the verified file of a model, which is downloaded if it is missing.

    Corrupt files are renamed.

    A pair has no file of its own. Its path is the weights folder, and its checksum is calculated
    from both checksums. `progress` is called during a download. An exception that it raises ends
    the download, and the next call resumes it. Raises WeightsError for an unknown name and if no
    source has the model, StorageError if the weights folder cannot be written, and Cancelled once
    `stop` is set.
    """

    def report(done: int, total: int) -> None:
        check_stop(stop)
        if progress:
            progress(done, total)

    store = store or WeightStore()
    if name in PAIRS:
        parts = [ensure(part, progress, store, stop=stop) for part in parts_of(name)]
        return _joined(name, parts, store.folder)
    files = verify_files(name, store)
    if files.located:
        return files.located
    with locked(store.folder, name):
        files = verify_files(name, store)  # Another process can have downloaded it meanwhile.
        for corrupt in files.corrupt:
            rename_corrupt(corrupt)
        if files.located:
            return files.located
        if files.model.own:
            raise WeightsError("weights_own_gone", name=name)
        return fetch(files.model, store.folder, report)


def _joined(name: str, parts: Sequence[Located], folder: Path) -> Located:
    """Return the location of a pair, with the checksum, sources and licences of both files."""
    sha256 = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    sources = dict.fromkeys(part.source for part in parts)
    licences = dict.fromkeys(part.licence for part in parts)
    return Located(name, folder, sha256, " · ".join(sources), " · ".join(licences))


def graph_of(name: str) -> Graph:
    """Return the graph of a shipped model or user model.

    Raises WeightsError for an unknown name, and if the file of a user model is missing or has
    changed.
    """
    with suppress(KeyError):  # It is a user model, or has no graph, as yunet.
        return shipped_graph(name)
    located = locate(name)
    if located is None:
        raise WeightsError("weights_own_gone", name=name)
    return stored_graph(located)


def is_convertible(name: str) -> bool:
    """Return whether a model is available without a download, from an installed package."""
    return any(map(installed_file, WeightStore().find(name).packages))


def verify_files(name: str, store: WeightStore) -> ModelFiles:
    """Verify the files of a model in the weights folder and change nothing.

    Raises WeightsError for an unknown name.
    """
    model = store.find(name)
    files = {model.file: (model.sha256, model.origin)}
    for source in reversed(model.sources):  # The first source of a file is its origin.
        files[source.file] = source.sha256, str(source)
    verified: list[Located] = []
    corrupt: list[Path] = []
    for file, (sha256, origin) in files.items():
        path = (store.folder / name).parent / file
        if is_verified(path, sha256):
            verified.append(Located(model.name, path, sha256, origin, model.licence))
        elif path.exists():
            corrupt.append(path)
    located = verified[0] if verified else _in_hub_cache(model)
    return ModelFiles(model, located, tuple(corrupt))


def rename_corrupt_files(name: str, store: WeightStore) -> list[Path]:
    """Rename the corrupt files of a model and return their new paths.

    Raises WeightsError for an unknown name and StorageError if a file cannot be renamed.
    """
    if not verify_files(name, store).corrupt:
        return []
    with locked(store.folder, name):
        return [*map(rename_corrupt, verify_files(name, store).corrupt)]


def _in_hub_cache(model: Model) -> Located | None:
    """Return the verified copy in Hugging Face's own cache, which is used in place."""
    from huggingface_hub import try_to_load_from_cache

    for source in model.files:
        if source.site != "hub":
            continue
        with suppress(OSError):  # files of another program: an unreadable one counts as missing
            found = try_to_load_from_cache(source.repo, source.path, revision=source.version)
            if isinstance(found, str) and digest(Path(found)) == source.sha256:
                return Located(model.name, Path(found), source.sha256, str(source), model.licence)
    return None
