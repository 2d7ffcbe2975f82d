"""The checks of what plugins register, as their records declare it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equilib.adjoints.sensitivity import Sensitivity
from equilib.errors import UserError
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.ode.library import AnyIntegrator, LibraryIntegrator
from equilib.options import build
from equilib.options.named import ODE
from equilib.plugin import (
    DatasetEntry,
    Entry,
    IntegratorEntry,
    KernelEntry,
    LinearSolverEntry,
    OptimizerEntry,
    SensitivityEntry,
    SolverEntry,
)
from equilib.plugin.registry import Registry
from equilib.testing.check import Check
from equilib.testing.kit import (
    dataset_checks,
    integrator_checks,
    kernel_checks,
    linear_solver_checks,
    ode_sensitivity_checks,
    optimizer_checks,
    sensitivity_checks,
    solver_checks,
)

CHECKED: tuple[type[Entry], ...] = (
    SolverEntry,
    SensitivityEntry,
    IntegratorEntry,
    LinearSolverEntry,
    OptimizerEntry,
    DatasetEntry,
    KernelEntry,
)
"""The records that there are checks for."""


def entry_checks(registry: Registry, kind: type[Entry], name: str, values: Mapping[str, object]) -> list[Check]:
    """Return the checks of what is registered, with the given options.

    Raises
    ------
    UnknownName, DuplicateError, EntryError
        If there is none of that name, or it cannot be used here.
    OptionError
        If an option is unknown or its value is refused.
    UserError
        If there are no checks for records of this kind.
    """
    entry = registry.find(kind, name).entry
    built: Any = build(entry.blueprint(), values, owner=f"{kind.noun} {name!r}", parts=registry)
    if isinstance(entry, SolverEntry):
        return _checks_of_a_solver(registry, entry, built)
    if isinstance(entry, SensitivityEntry) and entry.solves == ODE:
        return ode_sensitivity_checks(built, _stepped(registry), exact=entry.exact)
    if isinstance(entry, SensitivityEntry):
        return sensitivity_checks(built, exact=entry.exact, solver=solver_beside(registry, name))
    if isinstance(entry, IntegratorEntry):
        return integrator_checks(built)
    if isinstance(entry, LinearSolverEntry):
        return linear_solver_checks(built, couples_samples=entry.couples_samples, backends=entry.backends)
    if isinstance(entry, OptimizerEntry):
        return optimizer_checks(built)
    if isinstance(entry, DatasetEntry):
        return dataset_checks(built)
    if isinstance(entry, KernelEntry):
        return kernel_checks(built)
    raise UserError(
        f"there are no checks for {kind.noun} {name!r}; there are for {', '.join(each.plural for each in CHECKED)}"
    )


def _checks_of_a_solver(registry: Registry, entry: SolverEntry, solver: Solver | WholeSolver) -> list[Check]:
    declared = entry.capabilities
    adjoint = registry.get(SensitivityEntry, entry.adjoint)
    own: Sensitivity[Solution] | None = None
    if not hasattr(solver, "adjoint"):
        own = build(adjoint.blueprint(), {}, owner=f"adjoint {entry.adjoint!r}", parts=registry)
    needs = [product for product, needed in (("jvp", declared.needs_jvp), ("vjp", declared.needs_vjp)) if needed]
    return solver_checks(
        solver,
        couples_samples=declared.couples_samples,
        needs=needs,
        backends=declared.backends,
        sensitivity=own,
        exact=adjoint.exact,
    )


def _stepped(registry: Registry) -> AnyIntegrator:
    """Return an integrator of equilib's loop, since an adjoint may ask for its steps; of order 5 if there is one.

    Raises
    ------
    UserError
        If none is installed.
    """
    usable = [each.entry for each in registry.provided(IntegratorEntry) if not each.entry.unavailable]
    for entry in sorted(usable, key=lambda entry: (abs(entry.order - 5), entry.name)):
        integrator: AnyIntegrator = build(entry.blueprint(), {}, owner=f"integrator {entry.name!r}", parts=registry)
        if not isinstance(integrator, LibraryIntegrator):
            return integrator
    raise UserError("adjoints of ODEs are checked with an integrator, and none is installed")


def solver_beside(registry: Registry, sensitivity: str) -> Solver | WholeSolver | None:
    """Return a solver of the plugin that provides a sensitivity, whose states that may reuse; None if it has none."""
    owner = registry.find(SensitivityEntry, sensitivity).owner
    beside = [
        each.entry for each in registry.provided(SolverEntry) if each.owner == owner and not each.entry.unavailable
    ]
    if not beside:
        return None
    entry = min(beside, key=lambda entry: (entry.adjoint != sensitivity, entry.name))
    solver: Solver | WholeSolver = build(entry.blueprint(), {}, owner=f"solver {entry.name!r}", parts=registry)
    return solver
