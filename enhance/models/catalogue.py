"""The catalogue: models by other authors, which users can search and add by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import WeightsError
from .download import DownloadProgress
from .manifest import Model, allows_commercial_use, catalogue
from .user_models import add, check_name, own_models
from .weights import WeightStore, ensure, locate
from .weights_folder import folder_errors

_ENTRY = "{name} {network} {scale}x {author} {licence} {purpose}"
"""The text of a model that `find` searches."""


def find(text: str, *, photo: bool, commercial: bool) -> Iterator[Model]:
    """Yield the models whose entry contains every word of `text`, ignoring case.

    `photo` selects models that were trained on photos, `commercial` models that permit commercial
    use.
    """
    words = text.lower().split()
    for model in catalogue().values():
        if photo and not model.for_photos:
            continue
        if commercial and not allows_commercial_use(model.licence):
            continue
        entry = _ENTRY.format(**vars(model)).lower()
        if all(word in entry for word in words):
            yield model


def get(name: str) -> Model:
    """Return a model of the catalogue by its name, ignoring case. Raises WeightsError."""
    for model in catalogue().values():
        if model.name.lower() == name.lower():
            return model
    raise WeightsError("weights_find_unknown", name=name)


def add_by_name(
    model: Model,
    name: str | None,
    folder: Path,
    progress: DownloadProgress | None = None,
) -> Model:
    """Download a model of the catalogue and add it as a user model.

    `name` defaults to the name of its file.

    A model that was added before is returned. An interrupted download is resumed by the next call.
    Raises WeightsError if the model cannot be downloaded or the name is not allowed or taken, and
    StorageError.
    """
    (source,) = model.sources
    name = check_name(name, Path(source.file))
    store = WeightStore(folder / "downloads", {model.name: model})
    present = own_models(folder).get(name)
    if present and locate(name, WeightStore(folder)):
        if present.origin == str(source):
            return present
        raise WeightsError("weights_add_name_taken", name=name)
    try:
        located = ensure(model.name, progress, store)
    except WeightsError as error:
        tried = error.values["tried"]
        raise WeightsError(
            "weights_find_failed", name=model.name, tried=tried, url=source.url
        ) from error
    added = add(
        located.path,
        name,
        folder,
        licence=model.licence,
        author=model.author,
        origin=str(source),
    )
    if located.path.parent == store.folder:  # not in the cache of Hugging Face
        with folder_errors(store.folder):
            located.path.unlink()
    return added
