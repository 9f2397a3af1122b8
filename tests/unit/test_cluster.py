"""A folder over the workers of a Ray cluster: the same results as by one process, whatever becomes of a worker."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import torch
from PIL import Image

from enhance import EnhanceError, Enhancer, Settings
from enhance.__main__ import main
from enhance.batch import Item, plan
from enhance.cluster import Crew, Maker, Staffing, reach
from enhance.cluster_batch import Spread

from ..api.test_endpoints import wait_until
from .test_folders import FAST, picture, results

ROOT = Path(__file__).parents[2]
MACHINES = [{"CPU": 32.0, "GPU": 2.0}, {"CPU": 12.0}, {}]


@pytest.fixture(scope="module")
def with_ray() -> Iterator[None]:
    """Ray, with a word of its own for who may use the cluster."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_AUTH_MODE", "token")
        environment.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-cluster.txt")
        yield


@pytest.fixture(scope="module")
def cluster(with_ray) -> Iterator[str]:
    """The address of a cluster with room for two programs at once, each with two workers of one core."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        f"--port={port}",
        "--num-cpus=4",
    ]
    start += ["--include-dashboard=false", "--disable-usage-stats", f"--object-store-memory={80 << 20}"]
    head = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port) or head.poll() is not None)
        assert head.poll() is None
        yield f"127.0.0.1:{port}"
    finally:
        head.terminate()
        head.wait(60)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def spread(address: str) -> list[str]:
    return [f"--ray={address}", "--ray-workers=2", "--ray-cores=1", "--json", *FAST]


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in results(folder)}


def makers_in(folder: Path) -> set[int]:
    """The processes that are writing a result there now, by the names of what they write."""
    here = {int(path.name.split("-")[2]) for path in folder.glob(".enhance-*.part")}
    return here - {os.getpid()}


@pytest.mark.slow
def test_the_results_are_those_of_a_plain_run_and_are_not_made_again(cluster, tmp_path, capsys):
    folder, output = tmp_path / "in", tmp_path / "out"
    for shade in range(4):
        picture(folder / f"sub/{shade // 2}.{('bmp', 'png')[shade % 2]}", shade, 24)
    (folder / "broken.jpg").write_bytes(b"no picture")
    assert main(["run", str(folder), "-o", str(tmp_path / "plain"), "--json", *FAST]) == 1
    plain = lines(capsys.readouterr().out)

    status = main(["run", str(folder), "-o", str(output), *spread(cluster)])
    first = lines(capsys.readouterr().out)
    again = main(["run", str(folder), "-o", str(output), *spread(cluster), "--ray-workers=1"])  # one is enough to look
    second = lines(capsys.readouterr().out)

    assert (status, again, len(contents(output))) == (1, 1, 4)
    assert contents(output) == contents(tmp_path / "plain")
    assert [one for one in first if one["status"] == "failed"] == [one for one in plain if one["status"] == "failed"]
    assert {tuple(one) for one in first} == {tuple(one) for one in plain}
    made = {one["output"]["path"]: one["cached"] for one in first if one["status"] == "done"}
    assert made == {str(output / name): False for name in results(output)}
    assert {one["cached"] for one in second if one["status"] == "done"} == {True}


@pytest.mark.slow
def test_a_file_whose_worker_is_killed_is_made_by_another(cluster, tmp_path, capsys):
    folder, output = tmp_path / "in", tmp_path / "out"
    for shade in range(4):
        picture(folder / f"{shade}.png", shade, 120)

    with one_killed(output):
        status = main(["run", str(folder), "-o", str(output), *spread(cluster)])

    told = lines(capsys.readouterr().out)
    assert (status, [one["status"] for one in told], [one["cached"] for one in told]) == (0, ["done"] * 4, [False] * 4)
    assert main(["run", str(folder), "-o", str(tmp_path / "plain"), *FAST]) == 0
    assert contents(output) == contents(tmp_path / "plain")


def test_a_thread_of_ray_may_print_until_the_shutdown_has_ended_it(monkeypatch, capsys):
    ended, lost = threading.Event(), list[str]()

    def listen() -> None:
        sink = sys.stdout
        ended.wait()
        try:
            sink.write("a worker died")
            sys.stdout.write("a worker died")
        except ValueError as error:
            lost.append(str(error))

    thread = threading.Thread(target=listen)

    def shut_down() -> None:
        ended.set()
        thread.join()

    ray = ModuleType("ray")
    ray.__dict__.update(init=lambda **_: thread.start(), shutdown=shut_down, is_initialized=thread.is_alive)
    exceptions = ModuleType("ray.exceptions")
    exceptions.__dict__["RayError"] = RuntimeError
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", exceptions)

    with reach("local"):
        pass

    assert (lost, capsys.readouterr().out) == ([], "")


@contextmanager
def one_killed(folder: Path) -> Iterator[None]:
    """The first process that is seen to write a result there is killed; there has to be one before this is left."""
    over = threading.Event()

    def look() -> bool:
        while not over.wait(0.002):
            for maker in makers_in(folder):
                os.kill(maker, signal.SIGKILL)
                return True
        return False

    with ThreadPoolExecutor(1) as beside:
        killed = beside.submit(look)
        yield
        over.set()
        assert killed.result(), "the run was over before a process was killed"


@pytest.mark.slow
@pytest.mark.parametrize("size", [(60, 200), (200, 60)], ids=["landscape", "portrait"])
def test_the_slabs_of_one_picture_join_into_the_file_of_a_plain_run_also_when_a_worker_is_killed(
    cluster, tmp_path, capsys, size
):
    file, output = picture(tmp_path / "in" / "a.png", 1, 200), tmp_path / "out"
    Image.open(file).resize(size).save(file)

    with one_killed(output):
        status = main(["run", str(file.parent), "-o", str(output), "--slabs=3", *spread(cluster)])

    told = capsys.readouterr()
    assert (status, [one["status"] for one in lines(told.out)]) == (0, ["done"])
    assert "of 3 is gone; another one makes it" in told.err
    assert main(["run", str(file), "-o", str(tmp_path / "plain" / "a.png"), *FAST]) == 0
    assert contents(output) == contents(tmp_path / "plain")


@pytest.mark.parametrize(
    ("sizes", "wanted", "cut"),
    [
        ([(400, 40)], Staffing("cpu", workers=2), True),
        ([(40, 400)], Staffing("cpu", workers=2), True),
        ([(40, 40)], Staffing("cpu", workers=2), False),
        ([(400, 40)], Staffing("cpu", workers=1), False),
        ([(400, 40)], Staffing("cpu", workers=2, slabs=1), False),
        ([(40, 40)], Staffing("cpu", workers=2, slabs=2), True),
        ([(400, 40)] * 2, Staffing("cpu", workers=4), True),
        ([(400, 40)] * 3, Staffing("cpu", workers=4), False),
        ([(400, 40), (40, 40)], Staffing("cpu", workers=4), False),
    ],
)
def test_pictures_are_cut_where_that_is_sooner_than_a_worker_for_each(tmp_path, sizes, wanted, cut):
    items = [Item(Path(f"{place}.png"), Path(f"{place}.png"), size=size) for place, size in enumerate(sizes)]
    spread = Spread(Enhancer("cpu", data=tmp_path), Settings.from_preset("anime-fast"), plan(items), wanted=wanted)
    assert spread._cuts(items, MACHINES) == cut


def test_where_only_the_workers_have_cards_no_picture_is_cut_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    items = [Item(Path("a.png"), Path("a.png"), size=(400, 40))]
    spread = Spread(Enhancer("cpu", data=tmp_path), Settings.from_preset("anime-fast"), plan(items))
    assert [spread._cuts(items, machines) for machines in (MACHINES, [{"CPU": 32.0}])] == [False, True]


@pytest.mark.slow
def test_a_stop_ends_all_workers_in_order_also_those_of_slabs(cluster, tmp_path):
    folder, outputs = tmp_path / "in", {slabs: tmp_path / f"out-{slabs}" for slabs in (1, 3)}
    for shade in range(3):
        picture(folder / f"{shade}.png", shade, 480)

    def program(slabs: int) -> list[str]:
        way = [*spread(cluster), f"--slabs={slabs}"]
        return [sys.executable, "-m", "enhance", "run", str(folder), "-o", str(outputs[slabs]), *way]

    with ExitStack() as runs:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started = {slabs: runs.enter_context(subprocess.Popen(program(slabs), cwd=ROOT, **pipes)) for slabs in outputs}
        makers = {slabs: stopped_while_it_writes(run, outputs[slabs]) for slabs, run in started.items()}
        said = {slabs: run.communicate(timeout=60)[1].splitlines()[-1] for slabs, run in started.items()}

    assert [run.returncode for run in started.values()] == [143] * 2
    assert set(said.values()) == {"enhance: stopped; what was done is kept, nothing half-written is left."}
    for slabs, output in outputs.items():
        assert [path.name for path in output.iterdir() if path.name.startswith(".")] == []
        wait_until(lambda left=makers[slabs]: not any(maker.is_running() for maker in left))


def stopped_while_it_writes(run: subprocess.Popen[str], output: Path) -> list[psutil.Process]:
    """The workers that were writing a result there when the run was told to stop."""
    wait_until(lambda: makers_in(output) - {run.pid})
    makers = [psutil.Process(pid) for pid in makers_in(output) - {run.pid}]
    run.send_signal(signal.SIGTERM)  # which Ray would take for itself
    return makers


@pytest.mark.slow
def test_without_a_folder_the_results_are_tasks_of_the_shared_data(cluster, tmp_path, capsys):
    file = picture(tmp_path / "a.png", 1, 16)

    assert main(["run", str(file), *spread(cluster)]) == 0

    [told] = lines(capsys.readouterr().out)
    assert Path(told["output"]["path"]).parent == tmp_path / "data/processed"


@pytest.mark.parametrize(
    ("wanted", "crew"),
    [
        (Staffing(), Crew(2, 1, 1)),
        (Staffing(cores=16), Crew(2, 16, 1)),
        (Staffing(device="cpu"), Crew(5, 8, 0)),
        (Staffing(device="cpu", workers=2), Crew(2, 8, 0)),
        (Staffing(device="cpu", cores=12), Crew(3, 12, 0)),
    ],
)
def test_there_is_a_worker_for_each_card_or_else_for_each_group_of_cores(wanted, crew):
    assert Crew.on(MACHINES, wanted, files=100) == crew
    assert Crew.on(MACHINES, wanted, files=1).count == 1


def test_cores_that_no_machine_has_are_one_sentence():
    with pytest.raises(EnhanceError, match="the largest has 32: choose a smaller --ray-cores"):
        Crew.on(MACHINES, Staffing(cores=33), files=1)


def test_two_workers_share_a_small_machine():
    assert Crew.on([{"CPU": 2.0}], Staffing(workers=2), files=9) == Crew(2, 1, 0)


def test_a_worker_that_does_not_see_the_folders_says_which(tmp_path):
    maker = Maker(Staffing("cpu", "fp32"), tmp_path / "data", {})
    proof = tmp_path / "proof"
    proof.write_text("another disk")

    unseen = maker.look(proof, "secret", [tmp_path, tmp_path / "in"])
    other = maker.look(proof, "secret", [tmp_path])

    assert isinstance(unseen, EnhanceError)
    assert isinstance(other, EnhanceError)
    assert f"does not see the folder {tmp_path / 'in'} as" in unseen.sentence()
    assert f"does not see the folder {tmp_path} as" in other.sentence()
    assert isinstance(maker.look(proof, "another disk", [tmp_path]), str)


@pytest.mark.parametrize(
    ("address", "status", "sentence"),
    [
        ("nonsense", 2, "--ray takes local, auto, or the address"),
        ("127.0.0.1:1", 1, "No Ray cluster answers at 127.0.0.1:1 ("),
    ],
)
def test_an_address_where_no_cluster_is_ends_with_a_sentence(with_ray, tmp_path, capsys, address, status, sentence):
    assert main(["run", str(picture(tmp_path / "a.png")), f"--ray={address}", *FAST]) == status

    assert capsys.readouterr().err.splitlines()[-1].startswith(f"enhance: {sentence}")


def test_without_ray_there_is_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)

    assert main(["run", str(picture(tmp_path / "a.png")), "--ray=local", *FAST]) == 2

    assert "pip install -r requirements-cluster.txt" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--slabs", "--ray-workers", "--ray-cores"])
def test_what_is_said_of_a_cluster_alone_is_refused(tmp_path, capsys, option):
    assert main(["run", str(picture(tmp_path / "a.png")), option, "2", *FAST]) == 2
    assert f"{option} is for --ray: add --ray auto" in capsys.readouterr().err


def test_ray_is_not_imported_unless_it_is_asked_for():
    code = "import sys, enhance.__main__, enhance.batch, enhance.cluster_batch; print('ray' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "False\n"
