"""The GPU memory of a run, counted from the network's graph: `python -m docs.count_memory` prints
the table.

It includes the weights, the waiting rows, the largest strip and the buffers at fp16. The GPU's own
libraries need about 0.5 GB more. The width is the shorter side of the image.
"""

from __future__ import annotations

import sys

import torch

from enhance.engine.steps import Threads, strip_rows
from enhance.models import graph_of
from enhance.models.memory import stream_bytes, weight_bytes

MODEL = "realesrgan-x4plus"
"""The largest network of the presets."""
TILES = (192, 1024)
WIDTHS = (500, 1000, 2000, 4000, 8000)
_FLOAT16 = 2


def megabytes(tile: int, width: int) -> int:
    """Return the peak memory at fp16 on a GPU, in MB."""
    graph = graph_of(MODEL)
    rows = strip_rows(width, tile, torch.device("cuda"), Threads(1))
    return round((weight_bytes(graph, _FLOAT16) + stream_bytes(graph, width, rows, _FLOAT16)) / 1e6)


def table() -> str:
    """Return the table of all tile sizes and widths in Markdown."""
    lines = [
        f"| tile | {' | '.join(f'{width:,} px' for width in WIDTHS)} |",
        "| --- " * 6 + "|",
    ]
    for tile in TILES:
        cells = " | ".join(f"{megabytes(tile, width):,}" for width in WIDTHS)
        lines.append(f"| {tile} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
