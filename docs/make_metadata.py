"""Update the table of metadata in docs/files.md: `python -m docs.make_metadata`. It needs exiftool
and pyjpegxl."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.unit.metadata_pairs import table

_FILES = Path(__file__).with_name("files.md")

if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        rows = table(Path(folder))
    text = _FILES.read_text("utf-8")
    _FILES.write_text(
        re.sub(
            r"(<!-- metadata -->\n).*?(<!-- /metadata -->)", rf"\1{rows}\n\2", text, flags=re.DOTALL
        ),
        "utf-8",
    )
