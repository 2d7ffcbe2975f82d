"""Every installed solver, and the adjoints that are exact with it."""

from __future__ import annotations

from equilib.plugin import IntegratorEntry, SensitivityEntry, SolverEntry
from equilib.plugin.entries import FIXED_POINT
from equilib.plugin.registry import Registry

REGISTRY = Registry.discover()
SOLVERS = [each.entry.name for each in REGISTRY.provided(SolverEntry) if not each.entry.unavailable]
INTEGRATORS = [each.entry.name for each in REGISTRY.provided(IntegratorEntry) if not each.entry.unavailable]


def exact(solver: str) -> list[str]:
    """Return the adjoints that are exact for a solver, by name, and that of its own equation."""
    entries = [each.entry for each in REGISTRY.provided(SensitivityEntry)]
    fit = [each for each in entries if each.solves == FIXED_POINT and each.exact and not each.unavailable]
    return [each.name for each in fit if not each.solvers or solver in each.solvers] + ["implicit:solver=same"]
