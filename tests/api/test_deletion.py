"""Deleting a result also deletes all downloads that contain it, and no others.

No other test has photos of these sizes, because users who have the same photo share its result.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file

from enhance.web.owners import KEY_HEADER

from ..site import Site
from .calls import FAST

OPTIONS: dict[str, Any] = {**FAST}


@pytest.fixture
def owner(connect: Callable[..., Client]) -> Client:
    return connect(headers={KEY_HEADER: secrets.token_hex(16)})


def enhance(site: Site, owner: Client, name: str, **given: Any) -> tuple[str, str]:
    """Enhance a photo with this name, and return the name of the job and the id of the task."""
    job = secrets.token_hex(16)
    image = handle_file(site.photo(name, 43, 57))
    _, info = owner.predict(image=image, job=job, api_name="/enhance", **OPTIONS, **given)
    return job, info["task_id"]


def downloads(site: Site, pattern: str) -> set[str]:
    """Return the downloads on the server, without the uploads."""
    return {path.name for path in (site.page / "results").rglob(pattern)}


def test_a_deleted_result_leaves_no_download_of_it(site: Site, owner: Client):
    job, task = enhance(site, owner, "deleted.png")
    for form in ("jpeg", "tiff"):
        owner.predict(id=job, format=form, api_name="/export")
    owner.predict(task_id=task, api_name="/report")
    suffixes = {Path(name).suffix for name in downloads(site, "deleted-*")}
    assert suffixes == {".png", ".jpg", ".tif", ".pdf"}

    owner.predict(id=job, api_name="/forget")

    assert downloads(site, "deleted-*") == set()


def test_a_deleted_result_leaves_the_downloads_of_other_results(site: Site, owner: Client):
    first, _ = enhance(site, owner, "twice.png")
    second, task = enhance(site, owner, "twice.png", saturation=0)

    owner.predict(id=first, api_name="/forget")

    assert downloads(site, "twice-4x.png") == {"twice-4x.png"}
    assert owner.predict(task_id=task, api_name="/report")
    (entry,) = owner.predict(api_name="/runs")
    assert (entry["id"], {*entry["regions"]}) == (second, {"photo", "result"})


def test_a_deleted_file_of_a_batch_leaves_no_archive_that_contains_it(site: Site, owner: Client):
    images, job = (
        [handle_file(site.photo(f"packed-{side}.png", side, 57)) for side in (30, 31)],
        "batch-to-delete",
    )
    owner.predict(images=images, job=job, api_name="/batch", **OPTIONS)
    archives = {
        path
        for path in (site.page / "results").rglob("enhanced.zip")
        if b"packed-30" in path.read_bytes()
    }
    assert archives

    owner.predict(id=f"{job}.1", api_name="/forget")

    assert [path for path in archives if path.exists()] == []
