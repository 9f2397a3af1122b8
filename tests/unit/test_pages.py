"""Files with several pages: the first one is enhanced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from enhance.cli import main
from enhance.images import inspect, read_image
from enhance.images.pages import count_pages
from tests.unit.image_files import encode
from tests.unit.photos_with_metadata import photo

pytestmark = pytest.mark.usefixtures("fresh_store")


def write_pages(path: Path, count: int = 3, dtype: str = "uint8", **options: bool | str) -> list[np.ndarray]:
    """Write a TIFF with pages of different pixels and sizes; return their pixels."""
    pages = [np.random.default_rng(page).integers(0, 250, (12 + page, 16, 3)).astype(dtype) for page in range(count)]
    with tifffile.TiffWriter(path, **options) as file:  # type: ignore[arg-type]
        for number, pixels in enumerate(pages, 1):
            file.write(pixels, photometric="rgb", description=f"page {number}", metadata=None)
    return pages


def pages_of(path: Path) -> int:
    with path.open("rb") as file:
        return count_pages(file)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_only_the_first_page_is_decoded(tmp_path, dtype, options):
    first, *_ = write_pages(tmp_path / "scan.tif", 3, dtype, **options)
    image = read_image(tmp_path / "scan.tif")
    assert (image.rgb == first).all()
    assert image.metadata.notes == ("first_frame",)
    assert pages_of(tmp_path / "scan.tif") == inspect(tmp_path / "scan.tif").frames == 3


@pytest.mark.filterwarnings("error")
def test_other_and_damaged_files_have_one_page(tmp_path):
    write_pages(tmp_path / "scan.tif", 2)
    whole = (tmp_path / "scan.tif").read_bytes()
    start = int.from_bytes(whole[4:8], "little")
    next_at = start + 2 + 12 * int.from_bytes(whole[start : start + 2], "little")
    loop = whole[:next_at] + whole[4:8] + whole[next_at + 4 :]
    for content in (b"", b"II*\0", whole[: start + 1], loop, encode(photo(), "PNG")):
        (tmp_path / "file").write_bytes(content)
        assert pages_of(tmp_path / "file") == 1


def test_command_line_enhances_the_first_page_and_says_so(tmp_path, capsys):
    first, _ = write_pages(tmp_path / "scan.tif", 2)
    call = ["run", str(tmp_path / "scan.tif"), "-o", str(tmp_path / "large.png"), "--preset=anime-fast"]
    assert main(call) == 0
    assert "Only the first image of the file was enhanced" in capsys.readouterr().err
    assert inspect(tmp_path / "large.png").height == 4 * len(first)
