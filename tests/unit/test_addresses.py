"""Signed addresses: for one owner, one file and some hours, and a secret that all servers of a data
folder share."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest

from enhance.errors import StorageError
from enhance.store.secret import read_secret
from enhance.web import addresses
from enhance.web.addresses import VALID_SECONDS, Addresses
from enhance.web.owners import Owner

ADA, EVE = Owner("key ada", "10.0.0.1"), Owner("key eve", "10.0.0.1")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files of one folder, and one outside it."""
    paths = [
        tmp_path / "page/ab/cat 100%.png",
        tmp_path / "page/cd/猫.png",
        tmp_path / "outside.png",
    ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def create(folder: Path) -> Addresses:
    """Return the addresses of a server with this data folder."""
    return Addresses(
        read_secret(folder), {"page": folder / "page", "processed": folder / "processed"}
    )


def parts_of(address: str | None) -> list[str]:
    """Return the token, the kind, the name of the folder and the file in an address."""
    assert address is not None
    return unquote(address).split("/", 4)[1:]


def test_an_address_leads_to_the_file_on_every_server_of_the_folder(tmp_path, files):
    signing, other = create(tmp_path), create(tmp_path)
    for path in files[:2]:
        address = signing.region_address(ADA, "photo", path)
        assert other.find(*parts_of(address)) == (ADA.digest, path)
        assert signing.region_address(ADA, "photo", path) == address, "browsers can cache it"
        assert signing.region_address(EVE, "photo", path) != address
        assert str(address).isascii()
    assert (
        create(tmp_path / "another").find(*parts_of(signing.region_address(ADA, "photo", files[0])))
        is None
    )
    through = tmp_path / "page/ab/../cd/猫.png"
    assert parts_of(signing.region_address(ADA, "photo", through))[3] == "cd/猫.png"
    for outside in (
        files[2],
        tmp_path / "page/../outside.png",
        tmp_path / "page/ab/../../outside.png",
    ):
        assert signing.region_address(ADA, "photo", outside) is None


def test_another_owner_file_kind_folder_or_time_needs_another_signature(tmp_path, files):
    signing = create(tmp_path)
    token, kind, folder, file = parts_of(signing.region_address(ADA, "photo", files[0]))
    theirs = parts_of(signing.region_address(EVE, "photo", files[1]))
    digest, expires, signature = token.split(".")
    tokens = [
        *(
            "",
            ".",
            "..",
            "é",
            "0" * 64,
            f"{digest}..{signature}",
            f"{digest}.{expires}.",
            f"{digest}.{expires}",
        ),
        *(
            f"{EVE.digest}.{expires}.{signature}",
            f"{digest}.{int(expires) + 1}.{signature}",
            f"{token}0",
            theirs[0],
        ),
        f"{digest}.{expires}.{signature[:-1]}{'1' if signature[-1] == '0' else '0'}",
    ]
    files_ = [
        "cd/猫.png",
        "ab",
        "",
        f"./{file}",
        f"ab/../{file}",
        "../outside.png",
        "/etc/passwd",
        str(files[0]),
    ]
    wrongs = [(one, kind, folder, file) for one in tokens]
    wrongs += [(token, kind, folder, one) for one in files_]
    wrongs += [
        (token, "result", folder, file),
        (token, kind, "processed", file),
        (token, kind, "..", file),
    ]
    assert [wrong for wrong in wrongs if signing.find(*wrong)] == []


def test_an_address_expires(tmp_path, files, monkeypatch):
    signing, clock = create(tmp_path), SimpleNamespace(time=lambda: 0.0)
    monkeypatch.setattr(addresses, "time", clock)
    for signed_at in (0.0, VALID_SECONDS - 1, VALID_SECONDS):
        clock.time = lambda signed_at=signed_at: signed_at
        parts = parts_of(signing.region_address(ADA, "photo", files[0]))
        for later, is_valid in ((0, True), (VALID_SECONDS, True), (2 * VALID_SECONDS + 1, False)):
            clock.time = lambda now=signed_at + later: now
            assert bool(signing.find(*parts)) == is_valid, (signed_at, later)


def test_servers_that_start_together_have_one_secret_which_only_their_user_can_read(tmp_path):
    with ThreadPoolExecutor(16) as threads:
        read = set(threads.map(read_secret, [tmp_path] * 64))
    assert len(read) == 1
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_secret(tmp_path / "other") not in read


def test_the_secret_of_a_server_that_was_faster_is_used(tmp_path, monkeypatch):
    others = list[str]()

    def link_later(*given: Any, link: Any = os.link) -> None:
        if not others:
            others.append("")
            others.append(read_secret(tmp_path))
        link(*given)

    monkeypatch.setattr("os.link", link_later)
    assert read_secret(tmp_path) == others[1] == read_secret(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"0" * 63, b"\0" * 64, b"\xff" * 64, b"0" * 65])
def test_a_damaged_secret_is_replaced(tmp_path, content):
    first = read_secret(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    second = read_secret(tmp_path)
    assert second != first
    assert second == read_secret(tmp_path)
    assert len(second) == 64


def test_a_file_system_without_links_has_a_secret_too(tmp_path, monkeypatch):
    def no_link(*_: object) -> None:
        raise OSError("no links")

    monkeypatch.setattr("os.link", no_link)
    assert read_secret(tmp_path) == read_secret(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_without_permission_is_an_error(tmp_path):
    (tmp_path / ".enhance-secret").mkdir()
    with pytest.raises(StorageError):
        read_secret(tmp_path)
