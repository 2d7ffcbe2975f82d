"""The steady state by a library's integrator: one computation under every name, with exact Jacobians."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from equilib import Solution, ops, solve
from equilib.ode import SteadyState
from equilib.plugin import IntegratorEntry, SolverEntry
from equilib.plugin.choosing import build_named, choose
from equilib.plugin.registry import Registry
from equilib.testing.maps import DENSE

REGISTRY = Registry.discover()
# Evaluations and products J·v at rtol=1e-6 on the kit's tanh cell, by SciPy 1.17 and SUNDIALS 7.
COSTS = {
    "scipy:rk45": (77, 0),
    "scipy:dop853": (84, 0),
    "scipy:bdf": (113, 36),
    "scipy:radau": (94, 36),
    "scipy:lsoda": (142, 0),
    "sundials:cvode": (248, 0),
}
IMPLICIT = {"scipy:bdf": "", "scipy:radau": "", "sundials:cvode": "integrator.linear_solver=dense"}


@pytest.fixture(params=COSTS)
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of an integrator that can be used here."""
    if missing := REGISTRY.get(IntegratorEntry, request.param).unavailable:
        pytest.skip(missing)
    return str(request.param)


def found(spec: str) -> tuple[np.ndarray, int, int, int]:
    """Return the answer of a solver on the kit's tanh cell, its steps, evaluations and products."""
    calls: Counter[str] = Counter()
    solver = build_named(REGISTRY, SolverEntry, spec).part
    solution = solve(DENSE.problem(calls=calls), solver, DENSE.start(), rtol=1e-6, max_steps=400)
    assert (solution.nfe, solution.njvp) == (calls["f"], calls["jvp"])
    return solution.z, int(solution.steps.max()), solution.nfe, solution.njvp


@pytest.mark.parametrize("options", ["", "step_rtol=0.003,first_step=0.2,largest_step=3"])
def test_a_name_and_the_general_form_are_one_computation(name: str, options: str) -> None:
    """`scipy:bdf` and `steady:integrator=scipy:bdf` give the same bits for the same evaluations and products."""
    short, general = (
        found(f"{name}:{options}" if options else name),
        found(f"steady:integrator={name},{options}".rstrip(",")),
    )
    np.testing.assert_array_equal(short[0], general[0])
    assert short[1:] == general[1:]
    np.testing.assert_allclose(short[0], DENSE.solution, atol=1e-5)


def test_the_cost_is_that_of_the_options_that_suit_it(name: str) -> None:
    """Evaluations and products stay within a tenth of what they are by the releases tried."""
    _, _, nfe, njvp = found(name)
    expected = COSTS[name]
    assert nfe + njvp == pytest.approx(sum(expected), rel=0.1)
    assert bool(njvp) == bool(expected[1])


@pytest.mark.parametrize("name", IMPLICIT, indirect=True)
def test_dense_jacobians_are_products(name: str) -> None:
    """An implicit method asks for J·v, and has the same answer by difference quotients for more evaluations."""
    given = f"steady:integrator={name},{IMPLICIT[name]}".rstrip(",")
    exact, quotients = found(given), found(f"{given},integrator.jacobian=difference")
    assert exact[3] > 0
    assert quotients[3] == 0
    assert quotients[2] > exact[2]
    np.testing.assert_allclose(quotients[0], exact[0], atol=1e-5)


def test_every_one_is_a_solver_of_enough_steps(name: str) -> None:
    """Each is listed among the solvers, and is given the steps that time stepping needs."""
    assert name in REGISTRY.names("solver")
    assert isinstance(build_named(REGISTRY, SolverEntry, name).part, SteadyState)
    assert choose(REGISTRY, name, defaults={"max_steps": 10}, defaults_for="picard").options.max_steps == 100


def test_a_trial_step_that_leaves_the_domain_of_f_is_rejected(name: str) -> None:
    """A stage with nan ends the step and not the sample; batch mates, and one on its way out, have their own end."""
    x = np.array([[0.1], [0.05], [0.124], [0.2]])
    solver = build_named(REGISTRY, SolverEntry, name).part

    def solved(rows: slice) -> Solution:
        f = lambda z: ops.where(z > 0.25, np.nan, 0.5 * z + x[rows])  # noqa: E731
        return solve(f, solver, np.zeros_like(x[rows]), rtol=1e-6, max_steps=500, on_failure="record")

    found = solved(slice(None))
    assert list(found.converged) == [True, True, True, False]
    np.testing.assert_allclose(found.z[:3], 2 * x[:3], rtol=1e-5)
    assert found.z[3] <= 0.25
    np.testing.assert_array_equal(solved(slice(1, 2)).z, found.z[1:2])
