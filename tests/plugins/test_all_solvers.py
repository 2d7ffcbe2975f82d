"""Every plugin that is installed keeps its contract."""

from __future__ import annotations

import json

import pytest

from equilib.cli import main
from equilib.plugin import DatasetEntry, Entry, SensitivityEntry, SolverEntry
from equilib.plugin.registry import Registry
from equilib.testing import run_checks
from equilib.testing.entries import CHECKED, entry_checks

REGISTRY = Registry.discover()
ENTRIES = [
    pytest.param(kind, each.entry, id=f"{kind.noun}-{each.entry.name}")
    for kind in CHECKED
    for each in REGISTRY.provided(kind)
    if kind is not DatasetEntry or each.entry.name == "digits"  # the others may ask the network
]


@pytest.mark.parametrize(("kind", "entry"), ENTRIES)
def test_it_keeps_its_contract(kind: type[Entry], entry: Entry):
    """It passes the checks that an author gets, as its record declares it."""
    if entry.unavailable:
        pytest.skip(f"{entry.name}: {entry.unavailable}")
    outcomes = list(run_checks(entry_checks(REGISTRY, kind, entry.name, {})))
    assert {str(each.check): each.evidence for each in outcomes if each.status == "failed"} == {}


def test_the_default_adjoints_exist():
    """The adjoint that a solver's record names is registered."""
    known = {each.entry.name for each in REGISTRY.provided(SensitivityEntry)}
    assert {
        each.entry.name: each.entry.adjoint
        for each in REGISTRY.provided(SolverEntry)
        if each.entry.adjoint not in known
    } == {}


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]):
    """`equilib check NAME` prints a line per check, the counts, and exits with 0 where none fails."""
    assert main(["check", "picard"]) == 0
    header, *rows, empty, summary = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "CHECK"
    assert all(row.split()[1] == "ok" for row in rows)
    assert (empty, summary) == ("", f"Solver picard: {len(rows)} passed, 0 failed.")


def test_the_command_fails_with_evidence(capsys: pytest.CaptureFixture[str]):
    """Options choose what is checked; a failing check shows its evidence and makes the exit status 1."""
    assert main(["check", "newton-gmres:linear_solver=library", "--json"]) == 1
    records = {record["check"]: record for record in json.loads(capsys.readouterr().out)}
    failed = records["treats_samples_separately"]
    assert (failed["kind"], failed["status"]) == ("solver", "failed")
    assert "sample" in failed["evidence"]
    assert records["keeps_shapes"] == {
        "kind": "solver",
        "check": "keeps_shapes",
        "status": "ok",
        "reason": "`z` and `residual` have the shape of z0; `failed`, where there is one, is a bool per sample on the "
        "host.",
        "evidence": "",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["newton-gmers"], " 'newton-gmers'. Did you mean 'newton-gmres'?"),
        (["picard", "--kind", "adjoint"], "no adjoint 'picard'. Available: "),
        (["picard:dampign=0.1"], "solver 'picard' has no option 'dampign'. Did you mean 'damping'?"),
        (["newton-gmres:restrat=9"], "has no option 'restrat'. Did you mean 'linear_solver.restart'?"),
    ],
)
def test_mistakes_are_answered(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    """Unknown names and options get a did-you-mean and the exit status 2."""
    assert main(["check", *arguments]) == 2
    assert message in capsys.readouterr().err
