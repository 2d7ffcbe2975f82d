"""The fuzzer from fixed seeds, for seconds; `python -m tests.fuzz` goes on for as long as it is told."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from tests.fuzz.__main__ import attempt, working
from tests.fuzz.formats import FORMATS, Ground, cases
from tests.fuzz.positions import FILES, Sound, tried

EACH = 4
"""Cases of each format."""


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Train what is spoiled."""
    with working() as made:
        yield made


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", FORMATS)
def test_malformed_input_is_one_sentence(ground: Ground, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, no other exit status, no hang, nothing half written or taken for good, whatever a format holds."""
    faults = {}
    for number in range(1, EACH + 1):
        outcome, _ = attempt(ground, name, 1, number)
        if outcome.faults:
            faults[f"{name}:1:{number}"] = (outcome.faults, outcome.err[-300:])
    assert faults == {}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("file", FILES)
def test_a_changed_byte_is_refused_or_changes_nothing(ground: Ground, file: str) -> None:
    """Wherever it is in a file of a run, what reads the file says one sentence, or returns what is right."""
    sound = Sound.of(ground.root / "line")
    assert [(name, wrong) for name, _, wrong in tried(ground, sound, file, 397) if wrong] == []


def test_a_case_comes_again_by_its_name() -> None:
    """The order of formats and numbers is that of the seed."""
    assert list(islice(cases(7), 50)) == list(islice(cases(7), 50))
    assert {name for name, _ in islice(cases(7), 300)} == set(FORMATS)
