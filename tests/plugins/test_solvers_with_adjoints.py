"""Every solver with every adjoint that can use its solutions, against what needs neither."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from equilib import ImplicitAdjoint, Solution, SolveOptions, fixed_point, ops, solve
from equilib.autodiff import linearize
from equilib.errors import NoDerivativeError
from equilib.plugin import Entry, SensitivityEntry, SolverEntry
from equilib.plugin.choosing import build_named
from equilib.plugin.registry import Registry
from equilib_newton_gmres.solver import NewtonGMRES
from tests.adjoint_formulas import approximation
from tests.models.hessians import MODES, by_differences, drawn_like, off
from tests.small_equilibria import CELLS, SmallEquilibrium, as_vector, times

REGISTRY = Registry.discover()
SOLVERS = [each.entry for each in REGISTRY.provided(SolverEntry)]
ADJOINTS = [each.entry for each in REGISTRY.provided(SensitivityEntry) if each.entry.solves == "fixed point"]

each_cell = pytest.mark.parametrize("small", CELLS, ids=str)


def parameters(*entries: Entry) -> Any:
    """Return them as one case, skipped with the reason where one of them cannot be used here."""
    absent = [f"{entry.name}: {entry.unavailable}" for entry in entries if entry.unavailable]
    marks = [pytest.mark.skip(reason=reason) for reason in absent]
    return pytest.param(*entries, id="+".join(entry.name for entry in entries), marks=marks)


def pairs() -> Iterator[tuple[SolverEntry, SensitivityEntry]]:
    """Yield every solver with every adjoint that can use its solutions."""
    for solver in SOLVERS:
        for adjoint in ADJOINTS:
            if not adjoint.solvers or solver.name in adjoint.solvers:
                yield solver, adjoint


def built(entry: Entry) -> Any:
    """Return what a record stands for, with its default options."""
    return build_named(REGISTRY, type(entry), entry.name).part


@cache
def solved(small: SmallEquilibrium, solver: str) -> Solution:
    """Solve to the last digits but five; fail where the solver does not converge."""
    options = {"rtol": 1e-11, "max_steps": 1000, "on_failure": "raise"}
    return solve(small.problem(), built(REGISTRY.get(SolverEntry, solver)), small.z0, **options)


@each_cell
def test_the_reference_is_right(small: SmallEquilibrium):
    """The fixed point leaves rounding, the cell contracts by half, and differences agree with dense matrices."""
    assert np.max(np.abs(small(small.z_star, small.params, small.x) - small.z_star)) < 1e-13
    assert 0.4 < np.max(np.abs(np.linalg.eigvals(small.jacobians))) < 0.6
    inverse = np.linalg.inv(np.eye(small.jacobians.shape[1]) - small.jacobians.swapaxes(1, 2))
    w = times(inverse, small.cotangent(small.z_star)).reshape(-1)
    np.testing.assert_allclose(small.by_inputs.T @ w, small.gradient, rtol=0, atol=1e-8 * norm(small.gradient))


@each_cell
@pytest.mark.parametrize("solver", [parameters(entry) for entry in SOLVERS])
def test_the_fixed_point(small: SmallEquilibrium, solver: SolverEntry):
    """Every solver finds the fixed point that Newton's method with dense matrices finds."""
    assert np.max(np.abs(solved(small, solver.name).z - small.z_star)) < 1e-9


@each_cell
@pytest.mark.parametrize(("solver", "adjoint"), [parameters(*pair) for pair in pairs()])
def test_the_gradient(small: SmallEquilibrium, solver: SolverEntry, adjoint: SensitivityEntry):
    """An exact adjoint gives the finite differences of the fixed point; another its formula, within its bound."""
    solution, sensitivity = solved(small, solver.name), built(adjoint)
    pulled = sensitivity.pullback(small.problem(), solution, small.cotangent(solution.z))
    gradient = as_vector(pulled.inputs)
    assert gradient.dtype == np.float64
    error = norm(gradient - small.gradient)
    if adjoint.exact:
        assert pulled.solves[0].success, pulled.solves[0].failure_report()
        assert error < 1e-6 * norm(small.gradient)
        return
    expected = approximation(adjoint.name, sensitivity, small, solution)
    assert norm(gradient - expected.gradient) < 1e-8 * norm(small.gradient)
    assert error <= expected.error + 1e-8 * norm(small.gradient)


@each_cell
@pytest.mark.parametrize("adjoint", [parameters(entry) for entry in ADJOINTS])
def test_the_hessian(small: SmallEquilibrium, adjoint: SensitivityEntry):
    """An exact adjoint, or a loop, gives H·v as differences of gradients do, to 1e-6; another refuses it by name."""
    solver = built(REGISTRY.get(SolverEntry, (adjoint.solvers or ("newton-gmres",))[0]))
    both, sensitivity = (small.params, small.x), built(adjoint)
    v = drawn_like(both)

    def loss(sensitivity: Any, solver: Any = solver) -> Any:
        options = SolveOptions(rtol=1e-13, max_steps=500, on_failure="record")
        z = lambda both: fixed_point(small, small.z0, *both, solver=solver, adjoint=sensitivity, options=options)  # noqa: E731
        return lambda both: ops.sum(ops.multiply(small.weights, ops.sin(z(both))))

    if not (adjoint.exact or adjoint.name in ("unrolled", "reversible")):
        with pytest.raises(NoDerivativeError, match=f"{type(sensitivity).__name__} has first derivatives in reverse"):
            linearize(loss(sensitivity), both).jvp(v)
        return
    expected = by_differences(loss(ImplicitAdjoint(), NewtonGMRES()), both, v)
    for multiply in MODES.values():
        assert off(multiply(loss(sensitivity), both, v), expected) < 1e-6


def test_every_adjoint_meets_every_solver_that_it_serves():
    """Only `shine` and `reversible` need the state of a solver, Broyden's and revdeq's; all other pairs there are."""
    met = {adjoint.name: {s.name for s, a in pairs() if a is adjoint} for adjoint in ADJOINTS}
    assert met.pop("shine") == {"broyden", "lbroyden"}
    assert met.pop("reversible") == {"revdeq"}
    everyone = {solver.name for solver in SOLVERS}
    assert {name: solvers for name, solvers in met.items() if solvers != everyone} == {}


def test_an_approximation_without_a_formula_is_no_pass():
    """A new adjoint that calls itself approximate fails here until somebody writes down what it approximates."""
    small = CELLS[0]
    with pytest.raises(AssertionError, match=r"'sketched' is registered with exact=False.*add its formula"):
        approximation("sketched", object(), small, solved(small, "picard"))


def norm(vector: np.ndarray) -> float:
    """Return the Euclidean norm."""
    return float(np.linalg.norm(vector))
