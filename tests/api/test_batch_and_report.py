"""/batch and /report."""

import errno
import json
import shutil
import zipfile

from PIL import Image

from enhance.files import storage_error

from ..site import wait_until
from .calls import submit, upload, values_for


def test_a_batch_returns_a_zip_in_the_given_format_and_the_state_of_every_file(site, owner):
    files = [site.photo("a.png", 20, 20), site.text("bad-one.png"), site.photo("b.png", 30, 20)]
    path, info = owner.call("batch", files, scale=2, format="webp", quality=70)

    assert (info["done"], info["failed"], info["cancelled"]) == (2, 1, 0)
    assert [file["state"] for file in info["files"]] == ["done", "failed", "done"]
    assert "bad-one.png" in info["files"][1]["error"]
    with zipfile.ZipFile(path) as archive:
        assert {*archive.namelist()} == {"a-2x.webp", "b-2x.webp", "report.csv", "summary.pdf"}
        with Image.open(archive.open("b-2x.webp")) as image:
            assert (image.format, image.size) == ("WEBP", (40, 60))


def test_a_batch_whose_zip_does_not_fit_on_the_disk_returns_its_files_one_by_one(
    site, owner, monkeypatch
):
    def full(_, path, *__):
        raise storage_error(path, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr("enhance.web.job_calls.pack", full)
    files = [site.photo("one.png", 20, 30), site.photo("two.png", 30, 20)]
    path, info = owner.call("batch", files)
    assert path is None
    assert info["error"]
    assert [Image.open(file["file"]).size for file in info["files"]] == [(120, 80), (80, 120)]


def test_a_batch_is_complete_beyond_the_disk_limit_and_if_the_data_folder_is_deleted_meanwhile(
    site, monkeypatch
):
    files = [upload(site, f"{side}.png", side) for side in (21, 22, 23)]
    runs = site.enhancer.calls["run"]
    secret = site.enhancer.tasks.folder / ".enhance-secret"
    known = secret.read_bytes()
    monkeypatch.setattr(site.enhancer.tasks, "_max_disk", 1)
    with site.enhancer.paused("run", of="21.png"):
        answer = submit(site, "batch", [files, *values_for("enhance", None)[1:]])
        wait_until(lambda: site.enhancer.calls["run"] > runs)
        shutil.rmtree(site.enhancer.tasks.folder)
        secret.parent.mkdir(exist_ok=True)
        secret.write_bytes(known)  # for the tests that sign addresses as this server does
    file, info = json.loads(answer.result().rpartition("data: ")[2])
    assert (info["done"], info["error"]) == (3, None)
    with zipfile.ZipFile(file["path"]) as archive:
        assert {"21-4x.png", "22-4x.png", "23-4x.png"} < {*archive.namelist()}
