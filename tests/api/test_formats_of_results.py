"""Results in other formats by `gradio_client`: /enhance, /batch and /preview."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

FAST = {"preset": "anime-fast"}


def test_enhance_gives_the_format_asked_for_and_its_facts(site, client):
    image = handle_file(site.photo("IMG_0042.png", 40, 48))

    made = [client.predict(image=image, format="jpeg", quality=80, api_name="/enhance", **FAST) for _ in range(2)]

    for path, info in made:
        content = Path(path).read_bytes()
        assert (Path(path).name, Image.open(path).format, Image.open(path).size) == (
            "IMG_0042-4x.jpg",
            "JPEG",
            (192, 160),
        )
        assert info["output"]["sha256"] == hashlib.sha256(content).hexdigest()
        told = {name: info["output"][name] for name in ("path", "bytes", "format", "quality", "notes")}
        assert told == {"path": None, "bytes": len(content), "format": "jpeg", "quality": 80, "notes": []}
    digest = site.enhancer.tasks.info(made[0][1]["task_id"])["output"]["sha256"]
    assert len(list(site.enhancer.tasks.encoded.glob(f"{digest}-*"))) == 1
    assert made[0][1]["signature"] == client.predict(image=image, api_name="/enhance", **FAST)[1]["signature"]


def test_a_batch_holds_the_format_asked_for_and_its_table_says_so(site, client):
    clear = site.files / "clear.png"
    Image.fromarray(np.full((20, 20, 4), 128, np.uint8)).save(clear)
    files = [handle_file(path) for path in (clear, site.photo("right.png", 20, 30))]

    path, info = client.predict(images=files, format="webp", quality=70, api_name="/batch", **FAST)

    with zipfile.ZipFile(path) as archive:
        table = list(csv.DictReader(io.StringIO(archive.read("report.csv").decode("utf-8-sig"))))
        assert [row["result"] for row in table] == ["clear.webp", "right.webp"]
        for row in table:
            content = archive.read(row["result"])
            assert Image.open(io.BytesIO(content)).format == "WEBP"
            assert (int(row["bytes"]), row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert [file["info"]["output"]["notes"] for file in info["files"]] == [[], []]


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"format": "bmp"}, "Unknown format “bmp”. Choose from png, jpeg, webp, avif"),
        ({"format": "jpeg", "quality": 0}, "Use a whole number from 1 to 100"),
        ({"metadata": "all"}, "“all”"),
        ({"quality": 92.5}, "Use a whole number from 1 to 100"),
    ],
)
@pytest.mark.parametrize("endpoint", ["enhance", "preview"])
def test_what_is_no_format_or_quality_is_refused_in_words(site, client, endpoint, wish, sentence):
    image = handle_file(site.photo("refused.png", 16, 16))

    with pytest.raises(AppError, match=sentence):
        client.predict(image=image, api_name=f"/{endpoint}", **wish, **FAST)


def test_a_preview_takes_a_format_and_is_the_same(site, client):
    image = handle_file(site.photo("same.png", 32, 32))

    squares = [
        client.predict(image=image, size=16, api_name="/preview", **FAST, **wish) for wish in ({}, {"format": "avif"})
    ]

    assert Path(squares[0][1]).read_bytes() == Path(squares[1][1]).read_bytes()
    assert squares[0][2]["signature"] == squares[1][2]["signature"]


def with_a_place(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x010F] = "Lantern"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 24.0)})
    Image.fromarray(np.full((12, 16, 3), 99, np.uint8)).save(path, exif=exif, dpi=(240, 240))
    return path


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_the_place_where_a_photo_was_taken_goes_with_it_only_if_wanted(site, client, format):
    image = handle_file(with_a_place(site.files / f"here-{format}.jpg"))

    def told(path: str) -> tuple[object, bool, object]:
        with Image.open(path) as picture:
            exif = picture.getexif()
            return exif.get(0x010F), bool(exif.get_ifd(0x8825)), tuple(map(round, picture.info["dpi"]))

    for choice, expected in {
        "no-location": ("Lantern", False, (240, 240)),
        "none": (None, False, (240, 240)),
        "keep": ("Lantern", True, (240, 240)),
    }.items():
        path, info = client.predict(image=image, format=format, metadata=choice, api_name="/enhance", **FAST)
        assert told(path) == expected
        assert info["output"]["sha256"] == hashlib.sha256(Path(path).read_bytes()).hexdigest()
        assert "gps" not in str(info).lower()


def test_a_batch_without_locations_has_none(site, client):
    files = [handle_file(with_a_place(site.files / f"there-{number}.jpg")) for number in range(2)]
    path, _ = client.predict(images=files, metadata="no-location", api_name="/batch", **FAST)
    with zipfile.ZipFile(path) as archive:
        for name in ("there-0.png", "there-1.png"):
            exif = Image.open(io.BytesIO(archive.read(name))).getexif()
            assert (exif[0x010F], exif.get_ifd(0x8825)) == ("Lantern", {})
