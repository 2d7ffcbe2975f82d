"""What the kit asks of every plugin on other arrays, with CuPy among them."""

from __future__ import annotations

import pytest

from equilib.plugin import Entry
from equilib.testing import run_checks
from equilib.testing.entries import CHECKED, entry_checks
from equilib.testing.subject import namespaces
from tests.plugins.test_all_solvers import REGISTRY

NUMERIC = [
    pytest.param(kind, each.entry, id=f"{kind.noun}-{each.entry.name}")
    for kind in CHECKED
    for each in REGISTRY.provided(kind)
    if not each.entry.unavailable
    and any(str(check) == "runs_on_other_arrays" for check in entry_checks(REGISTRY, kind, each.entry.name, {}))
]


@pytest.mark.cupy
@pytest.mark.parametrize(("kind", "entry"), NUMERIC)
def test_it_keeps_its_contract_on_cupy(kind: type[Entry], entry: Entry) -> None:
    """Who declares any arrays, or CuPy's, gives on them the answers, steps and counts that it gives on NumPy's."""
    checks = [each for each in entry_checks(REGISTRY, kind, entry.name, {}) if str(each) == "runs_on_other_arrays"]
    outcomes = list(run_checks(checks))
    assert outcomes
    assert not [each.evidence for each in outcomes if each.status == "failed"]


@pytest.mark.cupy
def test_cupy_is_tried_for_any_arrays() -> None:
    """The kit does so where CuPy computes, beside the strict library."""
    assert {"cupy", "array-api-strict"} <= set(namespaces(("any",)))
