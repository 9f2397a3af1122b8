"""The facts of a run, `info`, with the keys that the library, the API, the command line and the
report share."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypedDict

import psutil
from numpy import ndarray
from PIL.Image import Image
from PIL.PngImagePlugin import PngImageFile
from typing_extensions import NotRequired

from .errors import StorageError
from .files import file_sha256
from .formats.encoding import Encoding, export, notes_of
from .formats.png_reader import PngReader
from .images import SourceImage
from .json_object import JsonObject
from .metadata.provenance import check_replaceable
from .models import Located
from .restore.fidelity import Fidelity, fidelity_grade
from .settings import Settings, network_key
from .size import Size


class InputInfo(TypedDict):
    """The input file."""

    name: str
    sha256: str
    width: int
    height: int
    mode: str
    bytes: int


class ModelInfo(TypedDict):
    """The model, with the checksum of its weights, their source and their licence.

    `licence` is an SPDX identifier, the text that was given when the model was added, or “unknown”.
    It is missing in results of earlier versions.
    """

    name: str
    sha256: str
    source: str
    licence: NotRequired[str]


class OutputInfo(TypedDict):
    """The output file. `format` and `quality` are missing for a stored PNG, and `notes` if nothing
    was lost."""

    path: str
    sha256: str
    width: int
    height: int
    bytes: int
    format: NotRequired[str]
    quality: NotRequired[int | None]
    notes: NotRequired[list[str]]


class AutoInfo(TypedDict):
    """What `auto` chose, the key of its reason, and the analysis of the image."""

    preset: str
    reason: str
    analysis: JsonObject


class _RunInfo(TypedDict):
    status: str
    signature: str
    preset: str
    settings: JsonObject
    input: InputInfo
    model: ModelInfo
    second_model: ModelInfo | None
    device: str
    precision: str
    tile: int
    seconds: dict[str, float]
    megapixels_per_second: float | None
    peak_memory_mb: float | None
    agreement_db: None
    fidelity_db: float | None
    fidelity_worst_db: float | None
    cached: bool
    finished: str
    auto: AutoInfo | None
    faces: NotRequired[dict[str, int]]


class Info(_RunInfo):
    """The facts of a run: `Result.info`, and `info` in the API and in `--json`.

    - `task_id`: identifies the result in the data folder, set at the end of the run.
    - `signature`: equal for two runs if and only if their pixels are.
    - `seconds`: the time of each step, and the `total`.
    - `cached`: whether the result was stored already.
    - `auto`: the preset that Auto selected and why, or None if another preset was set.
    - `fidelity_db`, `fidelity_worst_db`: how closely the result matches its input, on average
      and in the areas that differ most; None if the result is smaller than the input.
    - `fidelity_worst_place`: the centre of the area with the lowest fidelity, x and y in pixels of
      the input; missing if the fidelity was not measured in this run.
    - `agreement_db`: always None.
    """

    task_id: str
    output: OutputInfo
    fidelity_worst_place: NotRequired[list[int]]


class PreviewInfo(_RunInfo):
    """The facts of a preview. `preview` is its region: left, top, width and height in input pixels.

    A preview is `approximate` if the network needs statistics of the whole image.
    """

    task_id: None
    output: None
    preview: dict[str, int]
    approximate: bool


class PeakMemory:
    """The peak memory since this object was created: of the GPU for CUDA, otherwise of this
    process.

    The memory of a process is measured when `sample` is called, between steps. CUDA has one count
    for all runs of a process: only a run can `reset` it, not a preview in between.
    """

    def __init__(self, device_type: str = "cpu", *, reset: bool = True):
        self._is_cuda = device_type == "cuda"
        self._process = psutil.Process()
        self._peak = 0.0
        if self._is_cuda and reset:
            sys.modules["torch"].cuda.reset_peak_memory_stats()
        self.sample()

    def sample(self) -> float:
        """Measure the memory and return the peak in MB."""
        if self._is_cuda:
            return sys.modules["torch"].cuda.max_memory_allocated() / 1e6
        self._peak = max(self._peak, self._process.memory_info().rss / 1e6)
        return self._peak


@dataclass(frozen=True)
class Result:
    """An output file and its `info`.

    `png` is the lossless result. It can be None or deleted if the output file has another format.
    """

    path: Path
    info: Info
    png: Path | None
    temporary: TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)
    """The temporary folder of a result, which is deleted together with this object."""

    @property
    def array(self) -> ndarray:
        """The pixels of the lossless result, uint8 or uint16 [H, W, C].

        They are grey, grey and alpha, RGB, or RGB and alpha. Raises StorageError if the PNG was
        deleted.
        """
        with PngReader(existing_png(self)) as png:
            return png.rows(0, png.size.height)

    @property
    def image(self) -> Image:
        """The lossless result as a Pillow image, which reads the pixels when they are needed.

        Colour with 16 bits becomes 8-bit, because Pillow has no mode for it. Raises StorageError if
        the PNG was deleted.
        """
        return PngImageFile(existing_png(self))

    def save(
        self,
        path: Path | str,
        quality: int = 92,
        metadata: str = "keep",
        label: bool = True,
        background: str = "white",
    ) -> Result:
        """Save the result to `path`, in the format of its extension, and return it with this file.

        An existing file is replaced only if it is an earlier result. `quality`, `metadata`, `label`
        and `background` are fields of `Encoding`. `info["output"]["notes"]` of the returned result
        lists what the format does not support. Raises SettingsError, PictureError or
        MemoryShortError if the file cannot have this format, and StorageError.
        """
        path = Path(path)
        encoding = Encoding.of_file(
            path, quality=quality, metadata=metadata, label=label, background=background
        )
        png = existing_png(self)
        given = self.info["input"]
        if (
            path.is_file()
            and path.stat().st_size == given["bytes"]
            and file_sha256(path) == given["sha256"]
        ):
            raise StorageError("own_input", output=path)
        check_replaceable(path)
        if not (path.exists() and path.samefile(png)):
            export(png, path, encoding)
        return self.exported_as(path, encoding)

    def exported_as(self, path: Path, encoding: Encoding) -> Result:
        """Return this result with the file `path`, which was exported from its PNG."""
        output: OutputInfo = {**self.info["output"], "path": str(path)}
        if self.png is not None and not encoding.is_stored:
            notes = notes_of(self.png, encoding, output.get("notes", ()))
            output |= output_info(path, Size(output["width"], output["height"]))
            output = exported_output_info(output, encoding, notes)
        return replace(self, path=path, info={**self.info, "output": output})


def existing_png(result: Result) -> Path:
    """Return the path of the lossless result. Raises StorageError if it was deleted."""
    if result.png is None or not result.png.exists():
        raise StorageError("result_png_gone", name=result.path.name)
    return result.png


def input_info(image: SourceImage) -> InputInfo:
    """Return the facts of an input."""
    facts: Any = {name: getattr(image, name) for name in InputInfo.__annotations__}
    return facts


def model_info(located: Located) -> ModelInfo:
    """Return the facts of a model."""
    return ModelInfo(
        name=located.name,
        sha256=located.sha256,
        source=located.source,
        licence=located.licence,
    )


def output_info(path: Path, size: Size) -> OutputInfo:
    """Return the facts of a file whose image has this size."""
    return OutputInfo(
        path=str(path),
        sha256=file_sha256(path),
        width=size.width,
        height=size.height,
        bytes=path.stat().st_size,
    )


def exported_output_info(output: OutputInfo, encoding: Encoding, notes: list[str]) -> OutputInfo:
    """Return the facts of a file in this encoding, which lost what `notes` state."""
    quality = None
    if not encoding.lossless:
        quality = encoding.quality
    return {**output, "format": encoding.format, "quality": quality, "notes": notes}


def fidelity_info(fidelity: Fidelity | None) -> dict[str, float | None]:
    """Return the facts of a fidelity, None if it was not measured: on average, and in the areas
    that differ most."""
    if fidelity is None:
        return {"fidelity_db": None, "fidelity_worst_db": None}
    return {"fidelity_db": fidelity.average_db, "fidelity_worst_db": fidelity.worst_db}


def timestamp() -> str:
    """Return the current time in UTC, in ISO format to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def grade_in(info: Info) -> str:
    """Return the grade of a result's fidelity, as `fidelity_grade`; "" if it was not measured."""
    worst = info.get("fidelity_worst_db")
    if worst is None:
        return ""
    return fidelity_grade(worst)


def network_key_of(info: Info) -> str:
    """Return the `Plan.network_key` of a finished run."""
    second = info.get("second_model")
    return network_key(
        info["input"]["sha256"],
        settings_in(info),
        info["model"]["sha256"],
        info["precision"],
        second["sha256"] if second else None,
    )


def settings_in(info: Info) -> Settings:
    """Return the settings of a finished run, with the scale of its result if no size was requested.

    The scale of its network is unknown if it is a user model that was removed.
    """
    settings = Settings(**{**info["settings"], "preset": info["preset"], "tile": info["tile"]})
    if settings.sizes:
        return settings
    factor = settings.reduce * info["output"]["width"] / info["input"]["width"]
    return replace(settings, scale=round(factor) / settings.reduce)
