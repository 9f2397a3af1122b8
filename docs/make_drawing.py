"""Make docs/streaming.svg, the drawing in docs/streaming.md: `python docs/make_drawing.py`."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
LAYERS = ("image", "layer 1", "layer 2", "layer 3", "layer 4", "result")
ROWS, AT_ONCE, KERNEL = 14, 3, 2
CELL, GAP, LEFT, TOP = 22, 46, 24, 44
LEGEND = {
    "gone": "done and released",
    "kept": "done, needed by the next layer",
    "now": "computed in this step",
    "later": "not computed yet",
}
STYLE = """
text { font: 14px ui-sans-serif, system-ui, sans-serif; fill: #1c1917 }
.gone { fill: #d6d3d1 } .kept { fill: #5eead4 } .now { fill: #0f766e }
.later { fill: none; stroke: #a8a29e }
path { stroke: #57534e; fill: none; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #f5f5f4 } .gone { fill: #44403c } .kept { fill: #115e59 } .now { fill: #2dd4bf }
  .later { stroke: #78716c }
  path { stroke: #d6d3d1 }
}
"""


def state_of(row: int, layer: int) -> str:
    """Return the state of a layer's row in this step. Each layer is one row behind the previous
    one."""
    done = ROWS - 3 - layer
    if row >= done:
        return "later"
    if row >= done - AT_ONCE:
        return "now"
    last = layer == len(LAYERS) - 1
    return "gone" if last or row < done - AT_ONCE - KERNEL else "kept"


def box(kind: str, x: int, y: int, width: int) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{CELL - 4}" rx="3"/>'


def drawing() -> str:
    """Return the SVG: layers from left to right, rows from top to bottom, in light or dark colours
    like the page."""
    wide, parts = 78, list[str]()
    for layer, name in enumerate(LAYERS):
        x = LEFT + layer * (wide + GAP)
        parts.append(
            f'<text x="{x + wide / 2:g}" y="{TOP - 14}" text-anchor="middle">{name}</text>'
        )
        parts += [box(state_of(row, layer), x, TOP + row * CELL, wide) for row in range(ROWS)]
        if layer:
            y = TOP + (ROWS - 4 - layer) * CELL + CELL // 2
            start = x - GAP + 6
            parts.append(f'<path d="M{start} {y - 4} H{x - 10} m-5 -4 l5 4 l-5 4"/>')
    for place, (kind, words) in enumerate(LEGEND.items()):
        x, y = LEFT + (place % 2) * 340, TOP + ROWS * CELL + 20 + (place // 2) * 28
        parts += [box(kind, x, y, 30), f'<text x="{x + 40}" y="{y + 14}">{words}</text>']
    width, height = LEFT * 2 + len(LAYERS) * (wide + GAP) - GAP, TOP + ROWS * CELL + 84
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" role="img">'
    )
    title = (
        "<title>A step of row streaming: each layer computes a few rows, one row behind the "
        "previous layer</title>"
    )
    return "\n".join([head, title, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


if __name__ == "__main__":
    (HERE / "streaming.svg").write_text(drawing(), "utf-8")
