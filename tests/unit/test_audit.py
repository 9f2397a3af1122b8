"""The check of the locked releases for known vulnerabilities."""

import pytest

from tests.audit import report
from tests.unit.hub_server import HubServer

SKIPPED = {"name": "a", "skip_reason": "not found"}
SAFE = {"name": "b", "version": "1", "vulns": []}
UNSAFE = {"id": "CVE-1", "aliases": ["GHSA-1"], "fix_versions": ["2"]}
FIXABLE = {"name": "c", "version": "1", "vulns": [UNSAFE]}


@pytest.fixture
def hub():
    with HubServer() as running:
        yield running


@pytest.mark.parametrize("releases", [[], [SKIPPED]])
def test_an_audit_of_nothing_fails_if_the_service_answers(hub, releases):
    hub.files["/json"] = b'{"vulnerabilities": []}'
    assert report(releases, {}, f"{hub.address}/json") == 1


@pytest.mark.parametrize("page", [{}, {"/json": b"<html>Log in</html>"}, {"/json": b"{}"}])
def test_an_audit_of_nothing_is_a_warning_if_the_service_does_not_answer(hub, page, capsys):
    hub.files |= page
    assert report([SKIPPED], {}, f"{hub.address}/json") == 0
    assert "Warning" in capsys.readouterr().out


def test_an_audit_of_nothing_is_a_warning_without_a_connection(hub):
    hub.server_close()
    assert report([], {}, f"{hub.address}/json") == 0


def test_a_vulnerability_with_a_fix_fails_unless_it_is_excused():
    assert report([SKIPPED, SAFE], {}) == 0
    assert report([SAFE, FIXABLE], {}) == 1
    assert report([SAFE, FIXABLE], {"GHSA-1": "not used"}) == 0
