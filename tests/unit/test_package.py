"""The packages that `pip install .` builds: their requirements, files and commands."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DIST_INFO = f"enhance_photos-{PROJECT['version']}.dist-info"


def requirements_in(file):
    lines = (ROOT / file).read_text("utf-8").splitlines()
    return {line.partition("#")[0].strip() for line in lines} - {""}


def tracked(*folders):
    return {*subprocess.check_output(["git", "ls-files", *folders], cwd=ROOT, text=True).split()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution of what git tracks, and the wheel that is built from it."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a checkout")
    folder = tmp_path_factory.mktemp("package")

    def build(kind, source):
        backend = f"from setuptools import build_meta; build_meta.build_{kind}({str(folder)!r})"
        subprocess.run([sys.executable, "-c", backend], cwd=source, capture_output=True, check=True)

    checkout = ["git", "checkout-index", "--all", f"--prefix={folder}/checkout/"]
    subprocess.run(checkout, cwd=ROOT, check=True)
    build("sdist", folder / "checkout")
    (source,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(source, folder)
    build("wheel", folder / source.name.removesuffix(".tar.gz"))
    (wheel,) = folder.glob("*.whl")
    return source, wheel


def test_the_project_and_the_requirements_files_agree():
    extras = PROJECT["optional-dependencies"]
    page = {*PROJECT["dependencies"], *extras["app"], *extras["report"], *extras["models"]}
    own = {"enhance-photos[report,models]"}
    assert page - own == requirements_in("requirements.txt")


def test_wheel_and_source_distribution_have_all_files(built):
    source, wheel = built
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(source) as archive:
        in_source = {name.partition("/")[2] for name in archive.getnames()}
    licences = {f"{DIST_INFO}/licenses/{name}" for name in ("LICENSE", "NOTICE")}
    assert tracked("enhance") | licences <= in_wheel
    assert tracked() - in_source == {".ci/run", ".gitignore"}
    assert {name.split("/")[0] for name in in_wheel} == {"enhance", DIST_INFO}


def test_the_installed_program_stores_weights_in_the_data_folder_of_the_user(
    built, tmp_path, monkeypatch
):
    place = tmp_path / "site"
    options = ["--quiet", "--no-deps", "--no-index", f"--target={place}"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, built[1]], check=True)
    Image.new("RGB", (10, 8), "teal").save(place / "photo.png")
    monkeypatch.setenv("PYTHONPATH", str(place))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("ENHANCE_WEIGHTS", "")

    def run(*arguments):
        command = [sys.executable, place / "bin/enhance", *arguments]
        return subprocess.check_output(command, cwd=place, text=True)

    assert run("--version") == f"enhance {PROJECT['version']}\n"
    run("run", "photo.png", "-o", "large.png", "--preset", "anime-fast")
    assert Image.open(place / "large.png").size == (40, 32)
    assert (tmp_path / "enhance/weights/realesr-animevideov3.bin").is_file()
