"""The progress of measurements."""

from tests.progress import Progress


def test_each_part_prints_a_line_as_it_starts_and_as_it_ends(capsys):
    progress = Progress(2)
    for number, left in ((1, 1), (2, 0)):
        with progress.part("memory"):
            (start,) = capsys.readouterr().err.splitlines()
        printed = capsys.readouterr()
        assert f"{number} of 2: memory" in start
        assert f"{number} of 2: memory" in printed.err
        assert f"left: {left}\n" in printed.err
        assert printed.out == ""
