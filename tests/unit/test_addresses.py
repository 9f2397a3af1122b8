"""Signed addresses: for one owner, one file and some hours, and a secret that all servers of a data
folder share."""

import stat
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock
from urllib.parse import unquote

import pytest

from enhance.errors import StorageError
from enhance.store.secret import read_secret
from enhance.web import addresses
from enhance.web.addresses import VALID_SECONDS, Addresses
from enhance.web.owners import Owner

ADA = Owner("key ada", "10.0.0.1")
EVE = Owner("key eve", "10.0.0.1")
CAT = "page/ab/cat 100%.png"
HANZI = "page/cd/猫.png"


@pytest.fixture
def folder(tmp_path):
    """A data folder with two files of the page and another file."""
    for name in (CAT, HANZI, "outside.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def create(folder):
    """Return the addresses of a server with this data folder."""
    folders = {name: folder / name for name in ("page", "processed")}
    return Addresses(read_secret(folder), folders)


def sign(folder, name=CAT, owner=ADA):
    """Return the token, the kind, the name of the folder and the file in a new address."""
    address = create(folder).region_address(owner, "photo", folder / name)
    assert address is not None
    assert address.isascii()
    return unquote(address).split("/", 4)[1:]


def test_an_address_leads_to_the_file_on_every_server_of_the_folder(folder):
    for name in (CAT, HANZI):
        parts = sign(folder, name)
        assert create(folder).find(*parts) == (ADA.digest, folder / name)
        assert sign(folder, name) == parts, "browsers can cache it"
    assert create(folder / "another").find(*sign(folder)) is None


def test_only_files_in_the_folder_have_an_address(folder):
    assert sign(folder, "page/ab/../cd/猫.png")[3] == "cd/猫.png"
    for name in ("outside.png", "page/../outside.png", "page/ab/../../outside.png"):
        assert create(folder).region_address(ADA, "photo", folder / name) is None


def test_another_owner_file_kind_folder_or_time_needs_another_signature(folder):
    token, kind, place, file = sign(folder)
    digest, expires, signature = token.split(".")
    wrongs = [(token, "result", place, file), (token, kind, "processed", file)]
    for other in (
        *("", "..", "é", f"{digest}.{expires}", f"{digest}..{signature}", f"{token}0"),
        f"{digest}.{int(expires) + 1}.{signature}",
        f"{EVE.digest}.{expires}.{signature}",
        sign(folder, HANZI, EVE)[0],
    ):
        wrongs.append((other, kind, place, file))
    for other in ("cd/猫.png", "", f"./{file}", f"ab/../{file}", "../outside.png", "/etc/passwd"):
        wrongs.append((token, kind, place, other))
    assert [wrong for wrong in wrongs if create(folder).find(*wrong)] == []


def test_an_address_expires(folder, monkeypatch):
    clock = Mock()
    monkeypatch.setattr(addresses, "time", clock)
    clock.time.return_value = VALID_SECONDS - 1
    parts = sign(folder)
    for later, is_valid in ((VALID_SECONDS, True), (2 * VALID_SECONDS + 1, False)):
        clock.time.return_value = VALID_SECONDS - 1 + later
        assert bool(create(folder).find(*parts)) == is_valid


def test_servers_that_start_together_have_one_secret_which_only_their_user_can_read(tmp_path):
    with ThreadPoolExecutor(16) as threads:
        secrets = set(threads.map(read_secret, [tmp_path] * 64))
    assert len(secrets) == 1
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_secret(tmp_path / "other") not in secrets


@pytest.mark.parametrize("content", [b"", b"0" * 63, b"\0" * 64])
def test_a_damaged_secret_is_replaced(tmp_path, content):
    first = read_secret(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    second = read_secret(tmp_path)
    assert second == read_secret(tmp_path) != first
    assert len(second) == 64


def test_a_secret_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / ".enhance-secret").mkdir()
    with pytest.raises(StorageError):
        read_secret(tmp_path)
