"""The facts of a run, under the names that the API, the command line and the report share."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from .job import Job
from .output.result import Written
from .settings import Settings, from_preset


def describe(job: Job, *, device: str) -> dict[str, Any]:
    """What is known before the network runs: the input, the settings, the model and the signature."""
    picture, settings, located = job.picture, job.settings, job.located
    return {
        "task_id": None,
        "status": "running",
        "signature": job.signature,
        "preset": settings.preset,
        "settings": {name: value for name, value in settings.as_dict().items() if name not in ("preset", "tile")},
        "input": {
            "name": picture.name,
            "sha256": picture.sha256,
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "bytes": picture.bytes,
        },
        "output": None,
        "model": {"name": located.name, "sha256": located.sha256, "source": located.source},
        "device": device,
        "precision": job.precision,
        "tile": settings.tile,
        "seconds": dict.fromkeys(("decode", "network", "tuning", "encode", "total"), 0.0),
        "megapixels_per_second": None,
        "peak_memory_mb": None,
        "agreement_db": None,
        "cached": False,
    }


def measured(pixels: int, seconds: dict[str, float], peak_memory_mb: float) -> dict[str, Any]:
    """The figures of a finished run; the speed is in megapixels of the input through the network."""
    speed = pixels / 1e6 / seconds["network"] if seconds["network"] > 0 else None
    return {
        "status": "done",
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "megapixels_per_second": round(speed, 4) if speed else None,
        "peak_memory_mb": round(peak_memory_mb, 1),
    }


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


def settings_of(info: dict[str, Any]) -> Settings:
    """The settings that a finished task ran with."""
    return from_preset(info["preset"], **info["settings"], tile=info["tile"])
