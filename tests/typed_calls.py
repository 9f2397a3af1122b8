"""Calls of the library that `make check` type-checks; nothing runs them.

A wrong call that the type checker accepts makes its comment unnecessary, which is an error here.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image

from enhance import Encoding, Enhancer, Preview, Result, Settings, enhance


def right() -> tuple[Settings, Preview]:
    enhancer = Enhancer("cpu", precision="fp32", data=Path("data"))
    settings = Settings.from_preset("gentle", strength=0.5, long_side=None).changed(tile=128)
    encoding = Encoding("webp", quality=80)
    enhancer.run("a.jpg", settings, output=Path("a.webp"), encoding=encoding)
    return settings, enhancer.preview("a.jpg", "gentle", x=10, y=20.5, size=64)


def kinds(
    array: np.ndarray, tensor: torch.Tensor, image: Image
) -> tuple[np.ndarray, torch.Tensor, Image, bytes, Path]:
    path = enhance(Path("a.jpg"))
    return enhance(array), enhance(tensor, "fast"), enhance(image, scale=2), enhance(b""), path


def wrong(enhancer: Enhancer, result: Result) -> None:
    Enhancer(devise="cpu")  # pyright: ignore
    enhancer.run("a.jpg", presset="gentle")  # pyright: ignore
    enhancer.run("a.jpg", 3)  # pyright: ignore
    enhancer.compare("a.jpg", settings=Settings("gentle"))  # pyright: ignore
    enhancer.export(result, Encoding(kwality=3))  # pyright: ignore
    enhance("a.jpg", "gentle", scal=2)  # pyright: ignore
    enhance(3)  # pyright: ignore
    enhance("a.jpg", "nope")  # pyright: ignore
    enhancer.run("a.jpg", "nope")  # pyright: ignore
    Settings("gentle", tile="large")  # pyright: ignore
