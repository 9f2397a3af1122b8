"""Owners: who owns what a request makes, and which limits it shares."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import Headers

from enhance.errors import EnhanceError
from enhance.web.owners import Owner, owner_of

KEY, OTHER_KEY = "a1" * 16, "b2" * 16


def owner(
    key: str | None = None, user: str | None = None, session: str = "a", address: str = "10.0.0.1"
) -> Owner:
    """Return the owner of a request."""
    headers = Headers({} if key is None else {"X-Enhance-Key": key})
    client = SimpleNamespace(host=address)
    request: Any = SimpleNamespace(
        username=user, session_hash=session, headers=headers, client=client
    )
    return owner_of(request)


def test_a_login_comes_before_a_key_and_a_key_before_the_session():
    assert (
        owner(user="ada").digest
        == owner(KEY, user="ada", session="b").digest
        == owner(OTHER_KEY, "ada").digest
    )
    assert owner(KEY).digest == owner(KEY, session="b", address="10.0.0.2").digest
    assert owner(session="a").digest == owner(session="a").digest != owner(session="b").digest
    assert owner(session="\ud800").digest != owner(session="\ud801").digest
    digests = {
        one.digest
        for one in (
            *(owner(KEY), owner(OTHER_KEY), owner(session=KEY), owner(session=f"key {KEY}")),
            *(owner(user="ada"), owner(user=KEY), owner(user=f"key {KEY}")),
        )
    }
    assert len(digests) == 7
    assert not any(KEY in digest for digest in digests)
    assert [one.is_lasting for one in (owner(), owner(KEY), owner(user="ada"))] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    "key", ["", "a" * 31, "a" * 129, "a" * 31 + " ", "é" * 40, "a" * 40 + "\n", "../" * 20]
)
def test_a_key_that_is_not_valid_is_rejected(key):
    with pytest.raises(EnhanceError, match="32 to 128"):
        owner(key)


def test_limits_are_by_login_or_address_whatever_the_key_and_the_session():
    of_address = {
        one.caller[0] for one in (owner(KEY), owner(OTHER_KEY), owner(session="b"), owner())
    }
    assert len(of_address) == 1
    assert owner(KEY, address="10.0.0.2").caller[0] not in of_address
    assert owner(KEY, user="ada", address="10.0.0.2").caller == owner(user="ada").caller
    assert owner(user="ada").caller[0] not in of_address
