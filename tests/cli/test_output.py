"""Tables of the command line."""

from __future__ import annotations

import re

import pytest

from equilib.cli import main
from equilib.cli.output import table

HEADER = ("SOLVER", "ADJOINT", "ACCURACY", "NFE", "TIME", "MEMORY", "RESULT")
ROWS = [
    ("newton-gmres:linear_solver.restart=10", "implicit", "97.800%", "4.0 + 5.0", "22.5 s", "123 MB", ""),
    ("anderson", "shine:refine=2", "1.200%", "50.0", "1.5 s", "96 MB", "failed: a loss is not finite, see its log"),
]
PROSE = [("a_law_with_a_long_name_of_its_own", "ok", "The reason why it should hold, in a sentence of some length.")]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize(("header", "rows"), [(HEADER, ROWS), (("CHECK", "RESULT", "REASON"), PROSE)])
def test_a_table_fits_the_terminal(header: tuple[str, ...], rows: list[tuple[str, ...]], width: int):
    """No line is wider than it, and every word and number is whole and there."""
    text = table(header, rows, width=width)
    assert max(map(len, text.splitlines())) <= width
    words = set(re.findall(r"\S+", text))
    assert {word for row in rows for cell in row for word in cell.split() if len(word) <= 24} <= words


@pytest.mark.parametrize("width", [1, 3, 10])
def test_a_terminal_may_be_narrower_than_a_word(width: int):
    """Nothing is lost, and nothing fails."""
    for header, rows in ((HEADER, ROWS), (("CHECK",), [("a_law",)])):
        text = table(header, rows, width=width)
        assert "".join("".join(row) for row in rows).split()[0][:5] in "".join(text.split())


def test_a_table_in_a_file_has_a_line_for_each_row():
    """Without a width nothing is wrapped."""
    assert len(table(HEADER, ROWS).splitlines()) == 3


def test_summaries_of_commands_are_whole(capsys: pytest.CaptureFixture[str]):
    """None ends in dots."""
    assert main(["--help"]) == 0
    assert "..." not in capsys.readouterr().out.partition("Commands:")[2]
