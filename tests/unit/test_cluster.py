"""A folder processed by a Ray cluster: the results equal those of one process, even if a worker
dies."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from enhance import EnhanceError, Settings
from enhance.jobs.batch import BatchFile, plan
from enhance.jobs.cluster import ClusterBatch, plan_workers, process_file

from ..site import free_port, wait_until
from .runs import FAST, cached, contents, image, run, start

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def with_ray():
    """Ray, with an access token for the cluster."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_AUTH_MODE", "token")
        environment.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
        yield


@pytest.fixture(scope="module")
def cluster(with_ray):
    """The address of a cluster of two machines with one core each."""
    port = free_port()
    with machine("--head", f"--port={port}", "--include-dashboard=false") as head:
        wait_until(lambda: is_open(port) or head.poll() is not None)
        assert head.poll() is None
        with machine(f"--address=127.0.0.1:{port}"):
            yield f"127.0.0.1:{port}"


@contextmanager
def machine(*options):
    """Start a process of Ray with one core."""
    fixed = ["--block", "--num-cpus=1", "--disable-usage-stats", "--object-store-memory=80000000"]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", *fixed, *options]
    process = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def writers_in(folder):
    """Return the other processes that are writing results to the folder, by their partial files."""
    here = {int(path.name.split("-")[2]) for path in folder.glob(".enhance-*.part")}
    return here - {os.getpid()}


@pytest.mark.long
def test_the_results_equal_those_of_a_plain_run_although_a_worker_is_killed(
    cluster, tmp_path, capsys
):
    folder = tmp_path / "in"
    output = tmp_path / "out"
    for shade, name in enumerate(("0.bmp", "0.png", "1.bmp", "1.png")):
        image(folder / "sub" / name, shade, 120)
    (folder / "broken.jpg").write_bytes(b"not an image")
    plain = run(capsys, folder, "-o", tmp_path / "plain", status=1)

    with kill_a_writer(output / "sub"):
        first = run(capsys, folder, "-o", output, "--ray", cluster, status=1)
    second = run(capsys, folder, "-o", output, "--ray", cluster, status=1)

    assert contents(output) == contents(tmp_path / "plain")
    assert {tuple(one) for one in first} == {tuple(one) for one in plain}
    assert not any(cached(first).values())
    assert cached(second) == dict.fromkeys(cached(first), True)
    assert writers_in(output / "sub") == set()


@contextmanager
def kill_a_writer(folder):
    """Kill the first process that writes a result to the folder."""

    def kill():
        wait_until(lambda: writers_in(folder))
        os.kill(writers_in(folder).pop(), signal.SIGKILL)

    with ThreadPoolExecutor(1) as executor:
        killing = executor.submit(kill)
        yield
        killing.result()


def test_a_worker_without_the_shared_folder_names_it(tmp_path):
    item = BatchFile(tmp_path / "in/a.png", Path("a.png"))

    ended, _ = process_file(item, None, ("cpu", "fp32", Path.cwd(), ()))

    assert ended.state == "failed"
    assert f"{socket.gethostname()} does not share the folder {tmp_path / 'in'}." in str(
        ended.error
    )


def test_an_output_that_only_its_worker_can_see_names_the_worker(enhancer, tmp_path):
    item = BatchFile(tmp_path / "a.png", Path("a.png"), output=tmp_path / "out/a.png")
    ray = Mock()
    ray.wait.return_value = [item], []
    ray.get.return_value = item, "worker-7"
    batch = ClusterBatch(enhancer, Settings(), plan([item]), ray=ray)
    batch._process_file = Mock()

    with pytest.raises(EnhanceError, match="worker-7 does not share the folder"):
        batch._run_file(item)


@pytest.mark.long
def test_sigterm_ends_all_workers_and_leaves_no_partial_file(cluster, tmp_path):
    output = tmp_path / "out"
    for shade in range(3):
        image(tmp_path / f"in/{shade}.png", shade, 480)
    command = ["run", str(tmp_path / "in"), "-o", str(output), f"--ray={cluster}", *FAST]

    with subprocess.Popen([sys.executable, "-m", "enhance", *command], cwd=ROOT) as started:
        wait_until(lambda: writers_in(output) - {started.pid})
        writers = [psutil.Process(pid) for pid in writers_in(output) - {started.pid}]
        started.send_signal(signal.SIGTERM)  # Ray replaces the handler of this signal.

    assert started.returncode == 143
    assert writers_in(output) == set()
    wait_until(lambda: not any(writer.is_running() for writer in writers))


def test_there_is_a_worker_for_each_gpu_or_else_for_each_group_of_cores():
    nodes = [{"CPU": 32.0, "GPU": 2.0}, {"CPU": 12.0}, {}]
    assert plan_workers(nodes) == (2, 1, 1)
    assert plan_workers(nodes, "cpu") == (5, 8, 0)
    assert plan_workers([{"CPU": 2.0}, {"CPU": 4.0}]) == (3, 2, 0)
    with pytest.raises(EnhanceError, match="has CPU cores"):
        plan_workers([{"GPU": 2.0}])


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("nonsense", "--ray cannot be “nonsense”"),
        ("127.0.0.1:1", "Cannot connect to a Ray cluster at 127.0.0.1:1 ("),
    ],
)
def test_an_address_without_a_cluster_is_an_error(with_ray, tmp_path, capsys, address, sentence):
    photo = image(tmp_path / "a.png")

    assert start(photo, "-o", tmp_path / "out.png", f"--ray={address}") in (1, 2)

    assert sentence in capsys.readouterr().err
