"""Owners: who owns what a request makes, and which limits it shares."""

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import Headers

from enhance.errors import EnhanceError
from enhance.web.owners import owner_of

KEY = "a1" * 16
OTHER_KEY = "b2" * 16


def owner(key=None, user=None, session="a", address="10.0.0.1"):
    """Return the owner of a request."""
    headers = {}
    if key is not None:
        headers["X-Enhance-Key"] = key
    request: Any = SimpleNamespace(
        username=user,
        session_hash=session,
        headers=Headers(headers),
        client=SimpleNamespace(host=address),
    )
    return owner_of(request)


def test_a_login_comes_before_a_key_and_a_key_before_the_session():
    owners = [
        [owner(user="ada"), owner(KEY, "ada", session="b"), owner(OTHER_KEY, "ada")],
        [owner(KEY), owner(KEY, session="b", address="10.0.0.2")],
        *([owner(session=one)] for one in ("b", "\ud800", "\ud801", KEY, f"key {KEY}")),
        *([owner(user=one)] for one in (KEY, f"key {KEY}")),
    ]
    digests = [{one.digest for one in same} for same in owners]
    assert all(len(same) == 1 for same in digests)
    assert len(set.union(*digests)) == len(owners)


def test_a_login_and_a_key_are_lasting():
    owners = [owner(), owner(KEY), owner(user="ada")]
    assert [one.is_lasting for one in owners] == [False, True, True]


@pytest.mark.parametrize(
    "key", ["", "a" * 31, "a" * 129, "a" * 31 + " ", "é" * 40, "a" * 40 + "\n", "../" * 20]
)
def test_a_key_that_is_not_valid_is_rejected(key):
    with pytest.raises(EnhanceError, match="32 to 128"):
        owner(key)


def test_limits_are_by_login_or_address_whatever_the_key_and_the_session():
    of_address = [owner(KEY), owner(OTHER_KEY), owner(session="b")]
    assert {one.caller[0] for one in of_address} == {owner().caller[0]}
    elsewhere = owner(KEY, address="10.0.0.2").caller[0]
    of_login = owner(user="ada").caller
    assert owner(KEY, user="ada", address="10.0.0.2").caller == of_login
    assert len({owner().caller[0], elsewhere, of_login[0]}) == 3
