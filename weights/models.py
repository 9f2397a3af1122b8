"""The models this program may load, as `manifest.toml` lists them."""

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

Network = Literal["rrdbnet", "srvgg", "gfpgan", "yunet"]

_MANIFEST = Path(__file__).with_name("manifest.toml")


@dataclass(frozen=True)
class HubSource:
    """A file in a Hugging Face repository, at a commit or a branch."""

    repo: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"Hugging Face {self.repo}@{self.revision[:7]}"


@dataclass(frozen=True)
class PackageSource:
    """A model's ncnn files in an installed Python package; `param` and `bin` are paths inside its module."""

    distribution: str
    module: str
    param: str
    bin: str
    bin_sha256: str


@dataclass(frozen=True)
class Model:
    """One model; `file`, `bytes` and `sha256` are those of the official weight file."""

    name: str
    purpose: str
    network: Network
    file: str
    bytes: int
    sha256: str
    licence: str
    hub: HubSource
    package: PackageSource | None = None


@cache
def manifest(path: Path = _MANIFEST) -> Mapping[str, Model]:
    """Every model that may be loaded, by name, in the order of the manifest file."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: _model(name, table) for name, table in tables.items()}


def _model(name: str, table: dict) -> Model:
    package = table.get("package")
    return Model(
        **{
            **table,
            "name": name,
            "hub": HubSource(**table["hub"]),
            "package": PackageSource(**package) if package else None,
        }
    )
