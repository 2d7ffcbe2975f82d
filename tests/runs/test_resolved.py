"""What a record says of a method makes that method again, whatever the defaults are by then."""

from __future__ import annotations

import pytest

from equilib.plugin import IntegratorEntry, SensitivityEntry, SolverEntry
from equilib.plugin.choosing import choose
from equilib.plugin.entries import FIXED_POINT, ODE
from equilib.plugin.registry import Registry
from equilib.runs.spellings import spec_of

REGISTRY = Registry.discover()


@pytest.mark.parametrize(("kind", "solves"), [(SolverEntry, FIXED_POINT), (IntegratorEntry, ODE)])
def test_each_method_is_made_again_from_its_description(kind: type, solves: str) -> None:
    """Each solver and integrator with its own adjoint, and each adjoint, spelled out and read again, is the same."""
    entries = [each.entry for each in REGISTRY.provided(kind) if not each.entry.unavailable]
    first = "tsit5" if solves == ODE else "newton-gmres"
    of_kind = [each.entry for each in REGISTRY.provided(SensitivityEntry) if each.entry.solves == solves]
    adjoints = [(each.solvers[0] if each.solvers else first, each.name) for each in of_kind]
    for solver, adjoint in [*((entry.name, None) for entry in entries), *adjoints]:
        made = choose(REGISTRY, solver, solves=solves, adjoint=adjoint).describe()
        again = choose(
            REGISTRY,
            spec_of(made["solver"]),
            solves=solves,
            adjoint=spec_of(made["adjoint"]),
            options={name: "none" if value is None else str(value) for name, value in made["solve"].items()},
        )
        assert again.describe() == made
