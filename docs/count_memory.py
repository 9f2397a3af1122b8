"""What a graphics card needs for a picture, counted from the network's graph: `python -m docs.count_memory`.

Weights as they came and at 16 bits, the rows that wait for a reader, a strip at its largest and the buffers; what the
card's own libraries take comes on top (about 0.5 GB). The width is that of the picture's shorter side.
"""

from __future__ import annotations

import sys

import torch

from enhance.engine.steps import Threads, strip_rows
from enhance.models import graph_of
from enhance.models.memory import stream_bytes, weight_bytes

MODELS = ("realesrgan-x4plus", "realesrgan-x4plus-anime", "realesr-animevideov3")
TILES = (64, 192, 512, 1024)
WIDTHS = (500, 1000, 2000, 4000, 8000)
_FLOAT16 = 2


def megabytes(model: str, tile: int, width: int) -> int:
    """What the model takes at fp16 on a card."""
    graph = graph_of(model)
    rows = strip_rows(width, tile, torch.device("cuda"), Threads(1))
    return round((weight_bytes(graph, _FLOAT16) + stream_bytes(graph, width, rows, _FLOAT16)) / 1e6)


def table() -> str:
    """All of them as Markdown."""
    lines = [f"| MB at most | tile | {' | '.join(f'{width:,} px' for width in WIDTHS)} |", "| --- " * 7 + "|"]
    for model in MODELS:
        for tile in TILES:
            counted = " | ".join(f"{megabytes(model, tile, width):,}" for width in WIDTHS)
            lines.append(f"| {model} | {tile} | {counted} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
