"""The table of metadata in docs/files.md: what each pair of formats keeps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enhance.output import jxl
from enhance.output.formats import FORMATS
from tests.unit.metadata_pairs import INPUTS, compare

TABLE = Path(__file__).parents[2] / "docs" / "files.md"
SKIPPED = pytest.mark.skipif(not jxl.is_available(), reason="pyjpegxl is not installed")
OUTPUTS = [pytest.param(name, marks=SKIPPED if name == "jxl" else ()) for name in FORMATS]


def documented() -> dict[str, dict[str, str]]:
    """Return the cells of the table by input format and column."""
    (rows,) = re.findall(r"<!-- metadata -->\n(.*?)<!-- /metadata -->", TABLE.read_text("utf-8"), re.DOTALL)
    head, _, *lines = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()]
    return {cells[0]: dict(zip(head, cells, strict=True)) for cells in lines}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("source", INPUTS)
def test_every_tag_is_kept_except_those_of_the_kinds_in_the_table(tmp_path, source, output):
    cells, found = documented()[INPUTS[source]], compare(tmp_path, source, output)
    left_out = set(cells[FORMATS[output].name].removeprefix("all").removeprefix("no ").split(", ")) - {""}

    assert {kind for kind, (count, _) in found.items() if count} == set(cells["metadata"].split(", "))
    assert {kind: lost for kind, (_, lost) in found.items() if lost and kind not in left_out} == {}
    assert {kind for kind, (_, lost) in found.items() if lost} == left_out
