"""What is asked of a run, and the facts of it, under the names that the API, the command line and the report share."""

from __future__ import annotations

import math
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psutil

from .errors import SettingsError, StorageError
from .files import file_sha256
from .images.metadata import LOST
from .models import Located
from .output.formats import Encoding, export, notes_of
from .output.resample import result_size
from .scheduler import Progress, Ticket
from .settings import Settings, network_key, signature

if TYPE_CHECKING:
    import numpy as np

    from .images import Picture
    from .output.result import ResultRows, Written
    from .output.thumbnails import Thumbnail


_FAITHFUL = {"very": 36.0, "good": 32.0, "free": -math.inf}


@dataclass(frozen=True)
class Request:
    """One request: a picture file (or one that is decoded already), what is to be done with it, and its limits.

    `name` is what the picture is called, if not by its file name; `folder` has room for the pixels of a large one.
    """

    source: Path | str | Picture
    settings: Settings
    max_pixels: int | None = None
    max_bytes: int | None = None
    name: str | None = None
    folder: Path | None = None


class StripCallback(Protocol):
    """Someone who looks on while a picture is made."""

    def strip(self, strip: np.ndarray) -> None:
        """The network's next strip, [n, W, 3], or [H, n, 3] where the picture is wider than high."""

    def finished(self, rows: ResultRows) -> Thumbnail | None:
        """Called before the result is written; what it gives is fed the finished rows."""


@dataclass(frozen=True)
class RunCallbacks:
    """The ticket of a run, and what is called while it goes on; `asked` is when it began, a `time.perf_counter`."""

    ticket: Ticket
    progress: Progress | None = None
    watch: StripCallback | None = None
    asked: float = field(default_factory=time.perf_counter)

    @property
    def stop(self) -> threading.Event:
        """The event that cancels the run."""
        return self.ticket.stop


class PeakMemory:
    """The highest memory in use, in MB, since it was made: on the device for CUDA, else of this process.

    A process's memory is looked at whenever `look` is called, between steps. CUDA counts for the whole process: only
    the one long run that goes on may `reset` that count, not a preview that comes in between.
    """

    def __init__(self, device_type: str = "cpu", *, reset: bool = True):
        self._cuda = device_type == "cuda"
        self._process = psutil.Process()
        self._highest = 0.0
        if self._cuda and reset:
            sys.modules["torch"].cuda.reset_peak_memory_stats()
        self.sample()

    def sample(self) -> float:
        """The peak so far, in MB."""
        if self._cuda:
            return sys.modules["torch"].cuda.max_memory_allocated() / 1e6
        self._highest = max(self._highest, self._process.memory_info().rss / 1e6)
        return self._highest


class RunRecord:
    """What is known of one run: what was asked for, what it took so far, and what came of it.

    `located` is the model's file and `precision` that at which it runs; `started` is a `time.perf_counter`, and
    `ticket` counts the time in the queue since then.
    """

    def __init__(
        self,
        picture: Picture,
        settings: Settings,
        located: Located,
        precision: str,
        device: str,
        started: float,
        ticket: Ticket | None = None,
    ):
        self.picture, self.settings, self.located, self.precision = picture, settings, located, precision
        self._device, self._started = device, started
        self._mark = time.perf_counter()
        self._ticket = ticket or Ticket()
        self._seconds = {"wait": self._ticket.wait_seconds, "decode": self._mark - started - self._ticket.wait_seconds}
        self._extra: dict[str, Any] = {}
        self.memory: PeakMemory | None = None
        self.ran = False
        """Whether the network ran; a kept output has no speed."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result. Raises SettingsError where the picture cannot have the settings' size."""
        return result_size(self.settings, self.picture.height, self.picture.width)

    @property
    def signature(self) -> str:
        """Equal for two runs exactly where their results are."""
        return signature(self.picture.sha256, self.settings, self.located.sha256, self.precision)

    @cached_property
    def seen(self) -> Picture:
        """What is enlarged of the picture: the picture itself, or its averages."""
        return self.picture.reduced(self.settings.reduce)

    @property
    def network_key(self) -> str:
        """Equal for two runs exactly where the network's outputs are."""
        return network_key(self.picture.sha256, self.settings, self.located.sha256, self.precision)

    def watch_memory(self, device_type: str, *, reset: bool) -> None:
        """Look at the device's memory from now on; only a long run may `reset` what CUDA counts for the process."""
        self.memory = PeakMemory(device_type, reset=reset)

    def stage(self, name: str) -> None:
        """Count the time since the last stage's end as stage `name`, without what was spent waiting for a turn."""
        now = time.perf_counter()
        waited = self._ticket.wait_seconds - self._seconds["wait"]
        self._seconds["wait"] = self._ticket.wait_seconds
        self._seconds[name] = max(0.0, now - self._mark - waited)
        self._mark = now

    def spent(self, seconds: dict[str, float]) -> None:
        """Take over seconds that were measured elsewhere, by stage."""
        self._seconds |= seconds

    def add(self, **facts: Any) -> None:
        """Remember facts that only some runs have."""
        self._extra |= facts

    def info(self, output: dict[str, Any] | None = None, *, cached: bool = False) -> dict[str, Any]:
        """The facts as they stand; `output` is the finished file, `cached` whether it was there already."""
        pixels, network = self.picture.width * self.picture.height, self._seconds.get("network", 0.0)
        usual = dict.fromkeys(("wait", "decode", "network", "tuning", "encode"), 0.0)
        seconds = usual | self._seconds | {"total": time.perf_counter() - self._started}
        if output is not None and (lost := self.picture.metadata.notes):
            output = output | {"notes": [*dict.fromkeys([*lost, *output.get("notes", ())])]}
        return {
            "task_id": None,
            "status": "done",
            **self._asked(),
            "output": output,
            "device": self._device,
            "precision": self.precision,
            "tile": self.settings.tile,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "megapixels_per_second": round(pixels / 1e6 / network, 4) if self.ran and network > 0 else None,
            "peak_memory_mb": round(self.memory.sample(), 1) if self.memory else None,
            "agreement_db": None,
            "fidelity_db": None,
            "cached": cached,
            "finished": timestamp(),
            **self._extra,
        }

    def _asked(self) -> dict[str, Any]:
        """The input, the settings, the model and the signature."""
        picture, located = self.picture, self.located
        settings = self.settings.as_dict()
        return {
            "signature": self.signature,
            "preset": self.settings.preset,
            "settings": {name: value for name, value in settings.items() if name not in ("preset", "tile")},
            "input": {
                "name": picture.name,
                "sha256": picture.sha256,
                "width": picture.width,
                "height": picture.height,
                "mode": picture.mode,
                "bytes": picture.bytes,
            },
            "model": {"name": located.name, "sha256": located.sha256, "source": located.source},
        }


@dataclass(frozen=True)
class Result:
    """A finished file and everything known of how it was made (the keys are those of the API's `info`).

    `png` is the lossless result; None, or no longer there, where the file is of another format and that was not kept.
    """

    path: Path
    info: dict[str, Any]
    png: Path | None

    def save(self, path: Path | str, quality: int = 92, metadata: str = "keep") -> Result:
        """The same as a file of a format by its name's ending (.png, .jpg, .webp, .avif); what lies there is replaced.

        `quality` is 1 to 100, as `Encoding` has it; `notes` in the output of the info that is given say what the format
        could not hold. Raises SettingsError, PictureError or MemoryShortError for what the format cannot, StorageError.
        """
        path = Path(path)
        encoding = Encoding.of_file(path, quality, metadata)
        if self.png is None or not self.png.exists():
            raise StorageError("result_png_gone", name=self.path.name)
        if self._is_input(path):
            raise StorageError("own_input", output=path)
        if not (path.exists() and path.samefile(self.png)):
            export(self.png, path, encoding)
        return self.exported_as(path, encoding)

    def exported_as(self, path: Path, encoding: Encoding) -> Result:
        """The same, told as the file `path` that was made of its PNG."""
        output = self.info["output"] | {"path": str(path)}
        if self.png is not None and not encoding.is_stored:
            lost = [note for note in output.get("notes", ()) if note in LOST]
            output = exported_output(output, path, encoding, lost + notes_of(self.png, encoding))
        return Result(path, self.info | {"output": output}, self.png)

    def _is_input(self, path: Path) -> bool:
        source = self.info["input"]
        return path.is_file() and path.stat().st_size == source["bytes"] and file_sha256(path) == source["sha256"]


def exported_output(output: dict[str, Any], path: Path, encoding: Encoding, notes: list[str]) -> dict[str, Any]:
    """The finished file where it is another than the stored PNG `output`, how it was made, and what it lost by that."""
    quality = None if encoding.lossless else encoding.quality
    sha256 = None if output["sha256"] is None else file_sha256(path)
    changed = {"path": str(path), "sha256": sha256, "bytes": path.stat().st_size}
    return output | changed | {"format": encoding.format, "quality": quality, "notes": notes}


def fidelity_grade(decibels: float) -> str:
    """What a `fidelity_db` is called: very (faithful), good, or free. docs/fidelity.md has what photos measured."""
    return next(word for word, least in _FAITHFUL.items() if decibels >= least)


def timestamp() -> str:
    """The time as the facts have it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def output_of(written: Written, size: tuple[int, int]) -> dict[str, Any]:
    """The finished file; `size` is its height and width."""
    height, width = size
    return {
        "path": str(written.path),
        "sha256": written.sha256,
        "width": width,
        "height": height,
        "bytes": written.bytes,
    }


def settings_in(info: dict[str, Any]) -> Settings:
    """The settings that a finished task ran with, also where its model was removed since, or replaced by another."""
    name, values = info["preset"], {**info["settings"], "tile": info["tile"]}
    try:
        return Settings.from_preset(name, **values)
    except SettingsError:
        times = info["output"]["width"] / info["input"]["width"] * values["reduce"]
        return Settings.from_stored({**values, "preset": name}, max(1, math.ceil(times)))


def record_of(info: dict[str, Any], picture: Picture) -> RunRecord:
    """What is known of a finished run of the picture; its model lacks its file, which may be gone."""
    model = info["model"]
    located = Located(model["name"], None, model["sha256"], model["source"])  # type: ignore[arg-type]
    return RunRecord(picture, settings_in(info), located, info["precision"], info["device"], 0.0)
