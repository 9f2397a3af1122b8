"""Files with several pages: the first one is enhanced, or each with --pages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from enhance.cli import main
from enhance.images import inspect, read_image
from enhance.images.pages import count_pages, write_page
from tests.unit.image_files import encode
from tests.unit.photos_with_metadata import photo, read_by_exiftool

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
def test_page_is_a_file_of_its_own(tmp_path, dtype, options):
    pages = write_pages(tmp_path / "scan.tif", 3, dtype, **options)
    assert read_image(tmp_path / "scan.tif").metadata.notes == ("first_frame",)
    assert pages_of(tmp_path / "scan.tif") == inspect(tmp_path / "scan.tif").frames == 3
    for number, pixels in enumerate(pages, 1):
        write_page(tmp_path / "scan.tif", number, tmp_path / "page.tif")
        image = read_image(tmp_path / "page.tif")
        assert (image.rgb == pixels).all()
        assert image.metadata.notes == ()
        assert read_by_exiftool(tmp_path / "page.tif")["IFD0:ImageDescription"] == f"page {number}"


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


def test_command_line_enhances_each_page(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    pages = write_pages(tmp_path / "in" / "scan.tif")
    write_pages(tmp_path / "in" / "single.tif", 1)
    call = ["run", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--preset=anime-fast", "--format=tiff", "--pages"]

    for cached in (False, True):
        assert main([*call, "--json"]) == 0
        infos = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [Path(info["output"]["path"]).name for info in infos] == [
            *(f"scan-p{number}.tif" for number in (1, 2, 3)),
            "single.tif",
        ]
        assert [info["input"]["height"] for info in infos] == [len(pixels) for pixels in pages] + [12]
        assert [info["cached"] for info in infos] == [cached] * 4
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["scan.tif", "single.tif"]


def test_command_line_numbers_a_named_output(tmp_path, capsys):
    write_pages(tmp_path / "scan.tif", 2)
    call = ["run", str(tmp_path / "scan.tif"), "-o", str(tmp_path / "large.png"), "--preset=anime-fast"]
    assert main([*call, "--pages"]) == 0
    assert sorted(path.name for path in tmp_path.glob("large*")) == ["large-p1.png", "large-p2.png"]
    assert main(call) == 0
    assert "Only the first image of the file was enhanced" in capsys.readouterr().err
