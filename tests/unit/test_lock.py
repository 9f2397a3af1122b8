"""The lock has one release of everything, each with its hash, and none that requirements.txt would not take."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..audit import ask, excused, mendable

ROOT = Path(__file__).parents[2]
PLACE = {"python_version": "3.12", "python_full_version": "3.12.0", "sys_platform": "linux", "platform_system": "Linux"}


def ranges() -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines())
    wanted = [Requirement(line) for line in lines if line]
    return [one for one in wanted if one.marker is None or one.marker.evaluate(PLACE)]


def locked() -> dict[str, tuple[str, list[str]]]:
    """The version and the hashes of each package in the lock."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "requirements.lock").read_text("utf-8"), flags=re.MULTILINE)
    found = {}
    for entry in text.replace("\\\n", " ").strip().splitlines():
        pinned, *hashes = entry.split()
        requirement = Requirement(pinned)
        (one,) = requirement.specifier
        assert one.operator == "==", entry
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", part) for part in hashes), entry
        found[canonicalize_name(requirement.name)] = one.version, hashes
    return found


def test_the_lock_has_what_the_ranges_ask_for():
    lock = locked()
    assert len(ranges()) > 10
    for wanted in ranges():
        version, _ = lock[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version), f"{wanted}: `make lock`"


def test_every_release_in_the_lock_has_its_hashes_and_comes_from_anywhere():
    for name, (version, hashes) in locked().items():
        assert hashes, name
        assert "+" not in version, name
    assert not re.search(r"://|--(extra-)?index|--find-links", (ROOT / "requirements.lock").read_text("utf-8"))


def test_only_what_a_later_release_mends_and_nobody_excused_fails_the_audit():
    def known(number: int, *mended: str, aliases: tuple[str, ...] = ()) -> dict:
        return {"id": f"PYSEC-{number}", "aliases": list(aliases), "fix_versions": list(mended)}

    answer = {
        "dependencies": [
            {"name": "sound", "version": "1.0", "vulns": []},
            {"name": "unknown", "skip_reason": "not there"},
            {
                "name": "open",
                "version": "1.0",
                "vulns": [known(1), known(2, "1.1"), known(3, "1.2", aliases=("CVE-3",))],
            },
        ]
    }
    assert mendable(answer, {"CVE-3"}) == ["open 1.0: PYSEC-2 is mended in 1.1"]
    assert len(mendable(answer, ())) == 2


def test_what_is_excused_says_why():
    assert all(len(reason) > 20 for reason in excused().values())


def test_an_audit_that_takes_too_long_is_given_up_in_one_sentence():
    assert ask(seconds=0.01) == "no answer within 0.01 s"
