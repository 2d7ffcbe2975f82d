"""The tutorials are true: their commands run, and print the models, solvers and adjoints that their logs have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from equilib.cli import main
from tests.digits import write_digits
from tests.docs.test_docs import REPOSITORY, blocks
from tests.photographs import write_photographs

TUTORIALS = sorted((REPOSITORY / "docs" / "tutorials").glob("*.md"))
PAGES = [REPOSITORY / "README.md", *TUTORIALS]
SAID = re.compile(r"^(?:\[\S+\] )?((?:Model|Solver|Integrator|Adjoint): .*)$", re.MULTILINE)
PRETRAINED = {"mnist", "mnist-steady-state", "cifar10"}


def run_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words after `equilib` of each `equilib run` that a page shows."""
    for line in "".join((*blocks(page, "console"), *blocks(page, "sh"))).splitlines():
        command = re.search(r"(?:^\$ |&& )equilib (run .*)", line)
        if command and "--help" not in line:
            yield shlex.split(command[1], comments=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of a few made-up digits and photographs."""
    folder = tmp_path_factory.mktemp("data")
    write_digits(folder / "mnist", train=20, test=4)
    write_photographs(folder / "cifar10", train=20, test=4)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_run_and_say_what_the_logs_say(
    page: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command goes to its end, without training; and no log has a model or method that none of them prints."""
    monkeypatch.setenv("EQUILIB_DATA_DIR", str(data))
    said = set()
    for number, words in enumerate(run_commands(page)):
        short = ["--epochs", "0", *(["--pretrain-epochs", "0"] if words[1] in PRETRAINED else [])]
        place = ["--device", "cpu", "--out", str(tmp_path / str(number))]
        status = main([*words, *short, *place])
        text, errors = capsys.readouterr()
        assert (status, errors) == (0, ""), shlex.join(words)
        said |= set(SAID.findall(text))
    shown = {line for log in blocks(page, "text") for line in SAID.findall(log)}
    assert shown
    assert shown <= said, f"the log of {page.name} is of an earlier version: {sorted(shown - said)}"


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_has_what_its_reader_looks_for(page: Path) -> None:
    """Each tutorial has the idea, a command, a log, the place in the code, what to try, and the differences."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    for heading in ("The idea", "Where it is in the code", "What to try next", "Differences from the source"):
        assert heading in headings
    assert list(run_commands(page))
    assert blocks(page, "text")
    assert "@@" not in text
