"""The audit of `make check`."""

from __future__ import annotations

from ..audit import ask, mendable


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


def test_an_audit_that_takes_too_long_is_given_up_in_one_sentence():
    assert ask(seconds=0.01) == "no answer within 0.01 s"
