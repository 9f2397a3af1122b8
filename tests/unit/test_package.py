"""The packages that `pip install .` builds: their requirements, files and commands."""

from __future__ import annotations

import os
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


def requirements_in(file: str) -> set[str]:
    lines = (
        line.partition("#")[0].strip() for line in (ROOT / file).read_text("utf-8").splitlines()
    )
    return {line for line in lines if line}


def tracked(*folders: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(listed.stdout.split())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution of what git tracks, and the wheel that is built from
    it."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a checkout")
    checkout, unpacked, built = (
        tmp_path_factory.mktemp(name) for name in ("checkout", "unpacked", "built")
    )
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    copy = ["tar", "--null", "--files-from=-", "--create"]
    packed = subprocess.run(copy, cwd=ROOT, input=files, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract"], cwd=checkout, input=packed, check=True)

    def build(kind: str, folder: Path) -> None:
        backend = (
            f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
        )
        subprocess.run(
            [sys.executable, "-c", backend, str(built)], cwd=folder, capture_output=True, check=True
        )

    build("sdist", checkout)
    (source,) = built.glob("*.tar.gz")
    subprocess.run(
        ["tar", "--extract", "--file", str(source), "--strip-components=1"],
        cwd=unpacked,
        check=True,
    )
    build("wheel", unpacked)
    return built


def test_the_project_and_the_requirements_files_agree():
    extras = PROJECT["optional-dependencies"]
    own = "enhance-photos[report,models]"
    page = {*PROJECT["dependencies"], *extras["app"], *extras["report"], *extras["models"]}
    assert page - {own} == requirements_in("requirements.txt")
    assert {*extras["reference"], *extras["raw"], *extras["ray"]} <= requirements_in(
        "tests/requirements.txt"
    )


def test_wheel_and_source_distribution_have_all_files(built: Path):
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(source) as archive:
        in_source = {name.partition("/")[2] for name in archive.getnames()}
    files = tracked("enhance")
    assert {f"{DIST_INFO}/licenses/{name}" for name in ("LICENSE", "NOTICE")} <= in_wheel
    assert any(name.endswith(".woff") for name in files)
    assert files - in_wheel == set()
    assert tracked() - in_source == {".ci/run", ".gitignore"}
    assert {name.split("/")[0] for name in in_wheel} == {"enhance", DIST_INFO}


def test_the_installed_program_stores_weights_in_the_data_folder_of_the_user(built, tmp_path):
    place, photo, large = tmp_path / "site", tmp_path / "photo.png", tmp_path / "large.png"
    options = ["--quiet", "--no-deps", "--no-index", "--target", str(place)]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, *built.glob("*.whl")], check=True
    )
    Image.new("RGB", (10, 8), "teal").save(photo)
    variables = {
        "PYTHONPATH": str(place),
        "XDG_DATA_HOME": str(tmp_path),
        "ENHANCE_WEIGHTS": "",
        "HF_HUB_OFFLINE": "1",
    }

    def run(*arguments: str | Path) -> str:
        command, environment = (
            [sys.executable, place / "bin/enhance", *arguments],
            os.environ | variables,
        )
        return subprocess.run(
            command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    assert run("--version") == f"enhance {PROJECT['version']}\n"
    run("run", photo, "-o", large, "--preset", "anime-fast")
    assert Image.open(large).size == (40, 32)
    assert (tmp_path / "enhance/weights/realesr-animevideov3.bin").is_file()
    assert not [*(place / "weights").glob("*.bin")]
