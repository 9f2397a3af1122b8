"""The container image, built by buildah and run as compose.yaml and docs/cluster.md configure it:
`make container`.

Needs root on Debian, but not Docker Hub: debootstrap makes a stand-in for the base image
python:3.13-slim. It stays in buildah's store with the layers of the image. `buildah rmi --all`
deletes both.
"""

from __future__ import annotations

import io
import json
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from PIL import Image

from .site import free_port, is_ready, wait_until

ROOT = Path(__file__).parents[1]
BASE = "localhost/enhance-base"
NAME = "localhost/enhance-test"
PRIVATE = (".env", ".venv/bin/python", "data/uploads/me.jpg", "weights/own.toml", "weights/x.bin")
"""Files in a checkout that are not for the image."""


def buildah(*words):
    done = subprocess.run(
        ["buildah", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The stand-in: Python and pip have the names of the official image, and no packages of
    Debian."""
    # buildah's own limits are higher than those that root can set in every container.
    limits = []
    for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        value = resource.getrlimit(kind)[1]
        if value > 0:
            limits.append(f"{name}={value}:{value}")
    file = tmp_path_factory.mktemp("buildah") / "containers.conf"
    file.write_text(f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF_OVERRIDE", str(file))
        if not buildah("images", "--quiet", "--filter", f"reference={BASE}"):
            container = buildah("from", "scratch")
            packages = "--include=ca-certificates,python3,python3-pip-whl"
            variant = ["--variant=minbase", packages, "trixie", buildah("mount", container)]
            subprocess.run(["debootstrap", *variant], check=True)
            script = """set -e; wheels=/usr/share/python-wheels
rm /usr/lib/python3*/EXTERNALLY-MANAGED
export PYTHONPATH=$(echo $wheels/pip-*)
python3 -m pip install --no-index --find-links $wheels pip
ln -s /usr/bin/python3 /usr/local/bin/python"""
            buildah("run", "--isolation=chroot", container, "--", "sh", "-c", script)
            buildah("commit", "--quiet", container, BASE)
            buildah("rm", container)
        yield BASE


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of this checkout, with files that are not for the image."""
    folder = tmp_path_factory.mktemp("checkout")
    copy = ["git", "checkout-index", "--all", f"--prefix={folder}/"]
    subprocess.run(copy, cwd=ROOT, check=True)
    for name in PRIVATE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("private")
    return folder


def build(base, folder):
    """Build the image with CUDA, whose packages are all on PyPI, with pip's settings and the
    certificates of this computer."""
    options = "--isolation=chroot --layers --force-rm --format=docker --build-arg=TORCH=cuda"
    settings = [path for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists()]
    volumes = [f"--volume={path}:{path}:ro" for path in settings]
    buildah("bud", *options.split(), f"--from={base}", f"--tag={NAME}", *volumes, folder)


@dataclass(frozen=True)
class Container:
    """The files of an image, its configuration, and a folder for each volume."""

    root: Path
    config: dict
    mounts: dict

    def start(self, *command, root="ro", **variables):
        """Start the command of the image, or another one, as its user in a root that is
        read-only."""
        script = [
            'mount --bind "$0" "$0"',
            'for name in dev proc; do mount --rbind /$name "$0/$name"; done',
            *(f'mount --bind "{folder}" "$0{target}"' for target, folder in self.mounts.items()),
            f'mount -o "remount,bind,{root}" "$0"',
            f'exec chroot --userspec={self.config["User"]} "$0" env -i "$@"',
        ]
        environment = [f"{name}={value}" for name, value in variables.items()]
        enter = f'cd {self.config["WorkingDir"]} && exec "$@"'
        words = ["unshare", "--mount", "sh", "-ec", "\n".join(script), str(self.root)]
        words += [*self.config["Env"], "HOME=/home/user", *environment, "sh", "-c", enter, "sh"]
        words += [*self.config["Entrypoint"], *(command or self.config["Cmd"])]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *command, **options):
        """Run a command to its end and return its exit status and its output."""
        with self.start(*command, **options) as process:
            output = process.communicate()[0]
        return process.returncode, output


@pytest.fixture(scope="module")
def image(base, checkout, tmp_path_factory):
    """The image, unpacked, with the volumes of compose.yaml."""
    build(base, checkout)
    container = buildah("from", NAME)
    config = json.loads(buildah("inspect", "--type=image", NAME))["Docker"]["config"]
    service = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]["enhance"]
    assert service["read_only"]
    mounts = {}
    for volume in service["volumes"]:
        folder = tmp_path_factory.mktemp("volume")
        folder.chmod(0o1777)  # as the folders of the image
        mounts[volume.rpartition(":")[2]] = folder
    yield Container(Path(buildah("mount", container)), config, mounts)
    buildah("rm", container)


def test_the_image_contains_the_program_and_no_private_files(image):
    folder = image.root / "home/user/app"
    assert {path.name for path in folder.iterdir()} == {
        *("app.py", "enhance", "weights", "LICENSE", "NOTICE", "README.md", "__pycache__"),
        *("packages.txt", "pyproject.toml", "requirements.lock", "requirements.txt"),
    }
    assert [name for name in PRIVATE if (folder / name).exists()] == []
    assert list((image.root / "home/user/weights").glob("*.lock")) == []


def test_the_user_can_write_only_data_and_temporary_files(image):
    assert image.config["User"] == "1000"
    command = "find / -xdev -writable ! -type l 2>/dev/null || :"
    _, output = image.run("sh", "-c", command, root="rw")
    writable = {*output.split()}
    assert {"/home/user/data"} <= writable <= {"/home/user/data", "/run/lock", "/tmp", "/var/tmp"}


def test_the_server_is_healthy_and_enhances_a_photo_in_a_read_only_image(image):
    port = free_port()
    variables = {"GRADIO_SERVER_PORT": str(port), "HTTP_PROXY": "http://127.0.0.1:9"}
    variables["NO_PROXY"] = "127.0.0.1,localhost"
    check = image.config["Healthcheck"]["Test"][1:]
    address = f"http://127.0.0.1:{port}/"
    photo = io.BytesIO()
    Image.new("RGB", (96, 64), "teal").save(photo, "JPEG")
    with image.start(**variables) as server:
        try:
            status, _ = image.run(*check, **variables)
            assert status != 0, "the server has just started"
            wait_until(lambda: server.poll() is not None or is_ready(address), 600)
            status, output = image.run(*check, **variables)
            assert status == 0, output
            data = {"preset": "original", "format": "png"}
            files = {"image": photo.getvalue()}
            response = httpx.post(f"{address}api/enhance", files=files, data=data, timeout=200)
            assert response.status_code == 200, response.text
            assert response.content.startswith(b"\x89PNG")
        finally:
            server.terminate()
            output = server.communicate()[0]
    assert server.returncode in (0, -15, 143), output
