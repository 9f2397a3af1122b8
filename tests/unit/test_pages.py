"""Files with several pages: the first one is enhanced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from enhance.cli import main
from enhance.images import inspect_image, read_image
from enhance.images.pages import count_pages

pytestmark = pytest.mark.usefixtures("fresh_store")


def write_pages(path: Path, dtype: str = "uint8", **options: bool | str) -> np.ndarray:
    """Write a TIFF with three pages of different pixels and sizes; return the first."""
    pages = [
        np.random.default_rng(page).integers(0, 250, (12 + page, 16, 3)).astype(dtype)
        for page in range(3)
    ]
    with tifffile.TiffWriter(path, **options) as file:  # type: ignore[arg-type]
        for pixels in pages:
            file.write(pixels, photometric="rgb", metadata=None)
    return pages[0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_only_the_first_page_is_decoded(tmp_path, dtype, options):
    first = write_pages(tmp_path / "scan.tif", dtype, **options)
    image = read_image(tmp_path / "scan.tif")
    assert np.array_equal(image.rgb, first)
    assert image.metadata.notes == ("first_frame",)
    assert b"tifffile" in (image.metadata.exif or b""), "the name of the program"
    assert inspect_image(tmp_path / "scan.tif").frames == 3


@pytest.mark.filterwarnings("error")
def test_damaged_files_have_one_page(tmp_path):
    write_pages(tmp_path / "scan.tif")
    whole = (tmp_path / "scan.tif").read_bytes()
    start = int.from_bytes(whole[4:8], "little")
    next_at = start + 2 + 12 * int.from_bytes(whole[start : start + 2], "little")
    loop = whole[:next_at] + whole[4:8] + whole[next_at + 4 :]
    for content in (b"", b"II*\0", whole[: start + 1], loop):
        (tmp_path / "file").write_bytes(content)
        with (tmp_path / "file").open("rb") as file:
            assert count_pages(file) == 1


def test_command_line_enhances_the_first_page_and_says_so(tmp_path, capsys):
    first = write_pages(tmp_path / "scan.tif")
    call = [
        "run",
        str(tmp_path / "scan.tif"),
        "-o",
        str(tmp_path / "large.png"),
        "--preset=anime-fast",
    ]
    assert main(call) == 0
    assert "Only the first image of the file was enhanced" in capsys.readouterr().err
    assert inspect_image(tmp_path / "large.png").height == 4 * len(first)
