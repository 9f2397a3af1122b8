"""Names of a batch's output files by a pattern, and the largest size for photos that are too small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enhance.batch import Item, plan, with_own_size
from enhance.batch_archive import archive_names
from enhance.errors import SettingsError
from enhance.output.names import check_pattern, fill_pattern
from enhance.settings import Settings

INFO = {"preset": "precise", "output": {"path": "/data/result.jpg", "width": 2048, "height": 1365}}


def done(path: str) -> Item:
    return Item(Path(path), Path(path), state="done", info=INFO)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{name}", ["mug.jpg", "sub/mug.jpg", "mug-2.jpg"]),
        ("{name}-{preset}-{n}", ["mug-precise-01.jpg", "sub/mug-precise-03.jpg", "mug-precise-04.jpg"]),
        ("shop {size}", ["shop 2048x1365.jpg", "sub/shop 2048x1365.jpg", "shop 2048x1365-2.jpg"]),
    ],
)
def test_names_follow_the_pattern_and_are_unique_in_each_folder(pattern, names):
    items = [
        done("mug.jpg"),
        Item(Path("bad.jpg"), Path("bad.jpg"), state="failed"),
        done("sub/mug.png"),
        done("MUG.jpg"),
    ]
    assert [name.replace("MUG", "mug") for name in archive_names(plan(items), pattern).values()] == names


@pytest.mark.parametrize(
    "pattern", ["../{name}", "a/b", "a\\b", "{name}:", "{nom}", "{name", "{}", "x" * 101, ".x", "a\0"]
)
def test_a_pattern_with_a_path_or_an_unknown_field_is_rejected(pattern):
    with pytest.raises(SettingsError):
        check_pattern(pattern)


def test_an_empty_pattern_is_the_usual_one_and_long_names_are_cut_between_characters():
    assert check_pattern("  ") == "{name}"
    name = fill_pattern("{name}-{n}", ".jpg", name="猫" * 200, preset="fast", size="1x1", n="07")
    assert len(name.encode()) <= 255
    assert re.fullmatch("猫+\\.jpg", name)


@pytest.mark.parametrize(
    ("settings", "size"),
    [(Settings("fast", long_side=2048), {"long_side": 1920}), (Settings("fast", scale=4), None)],
)
def test_a_photo_that_is_too_small_gets_the_largest_size_if_that_is_chosen(settings, size):
    item = Item(Path("crew.png"), Path("crew.png"), size=(80, 120))
    for chosen in (
        with_own_size(item, settings, is_flexible=True),
        with_own_size(Item(item.source, item.relative_path, size=item.size, is_flexible=True), settings),
    ):
        assert chosen.settings == (settings.changed(**size) if size else None)
        assert chosen.is_limited == bool(size)
    assert with_own_size(item, settings).settings is None
