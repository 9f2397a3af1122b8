"""The second source: the ncnn files of an installed Python package, converted once to safetensors.

Beside NAME.safetensors a side file NAME.json records where the weights came from and both checksums; with it the
converted file is trusted later without the package.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path

from .errors import ModelFileError
from .files import set_aside, write_whole
from .models import Model, PackageSource

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Conversion:
    """What the side file records: the package, its version, the .bin that was read and the file that was written."""

    source: str
    distribution: str
    version: str
    bin: str
    bin_sha256: str
    file: str
    sha256: str


def converted_path(model: Model, folder: Path) -> Path:
    """Where the converted weights of a model lie, if they do."""
    return folder / f"{model.name}.safetensors"


def convert(model: Model, folder: Path) -> Path:
    """Converts the package's copy of a model into `folder` and gives the safetensors file.

    Raises ModelFileError when the package does not carry the model, is not installed or is damaged, WeightsFolderError
    when the folder cannot be written. The former is a clause for a list of what was tried.
    """
    package = model.package
    if package is None:
        raise ModelFileError("package_none")
    module, version = _installed(package)
    copy = {"package": package.distribution, "version": version}
    try:
        data = (module / package.bin).read_bytes()
        param = (module / package.param).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise ModelFileError("package_damaged", reason=str(error), **copy) from error
    found = hashlib.sha256(data).hexdigest()
    if found != package.bin_sha256:
        right = package.bin_sha256
        raise ModelFileError("package_corrupt", file=module / package.bin, found=found[:12], right=right[:12], **copy)
    return _write(model, package, version, param, data, folder)


def is_installed(package: PackageSource) -> bool:
    """Whether the Python package that carries the model is there; what is in it is seen when it is converted."""
    return util.find_spec(package.module) is not None


def _installed(package: PackageSource) -> tuple[Path, str]:
    spec = util.find_spec(package.module)
    if spec is None or not spec.submodule_search_locations:
        raise ModelFileError("package_missing", package=package.distribution)
    try:
        version = metadata.version(package.distribution)
    except metadata.PackageNotFoundError:
        version = "(unknown version)"
    return Path(next(iter(spec.submodule_search_locations))), version


def _write(model: Model, package: PackageSource, version: str, param: str, data: bytes, folder: Path) -> Path:
    from safetensors.numpy import save

    from .ncnn import read_ncnn

    try:
        tensors = read_ncnn(model.network, param, data)
    except ModelFileError as error:
        raise ModelFileError("package_damaged", package=package.distribution, version=version, reason=error) from error
    content = save(tensors)
    path = converted_path(model, folder)
    record = Conversion(
        source=f"PyPI {package.distribution} {version} (fp16-rounded)",
        distribution=package.distribution,
        version=version,
        bin=Path(package.bin).name,
        bin_sha256=package.bin_sha256,
        file=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    # The record goes first: weights without one would be taken for a corrupt file.
    side = path.with_suffix(".json")
    if side.exists() and _read_record(side) is None:
        set_aside(side, side.name, "it is no record of a conversion")
    write_whole(side, (json.dumps(asdict(record), indent=2) + "\n").encode())
    try:
        write_whole(path, content)
    except BaseException:
        side.unlink(missing_ok=True)
        raise
    _log.info("%s now holds the weights of %s.", path, record.source)
    return path


def recorded(model: Model, folder: Path) -> Conversion | None:
    """The side file's record of a conversion, if there is one and it is of the .bin that the manifest names."""
    record = _read_record(converted_path(model, folder).with_suffix(".json"))
    if record is None or model.package is None or record.bin_sha256 != model.package.bin_sha256:
        return None
    return record


def _read_record(side: Path) -> Conversion | None:
    try:
        return Conversion(**json.loads(side.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
