"""Solutions and errors in other processes: pickled and copied, of every solver and every integrator."""

from __future__ import annotations

import copy
import multiprocessing
import operator
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest

from equilib import ConvergenceError, Picard, solve
from equilib.fixed_points.problem import FixedPointProblem
from equilib.fixed_points.solution import UnsolvedError
from equilib.ode import IntegrationError, integrate
from equilib.ode.library import LibraryIntegrator
from equilib.plugin import Entry, IntegratorEntry, SolverEntry
from equilib.plugin.choosing import build_named
from equilib.plugin.registry import Registry
from equilib_broyden.limited import LimitedMemoryBroyden
from equilib_broyden.shine import Shine
from equilib_ode.tsit5 import Tsit5

REGISTRY = Registry.discover()
COPIES = [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy]
TIMES = [0.0, 0.5, 1.0]


def parts(kind: type[Entry]) -> list[Any]:
    """Return what every usable entry of a kind stands for."""
    entries = [each.entry for each in REGISTRY.provided(kind)]
    named = {
        each.name: "steady:integrator=tsit5" if each.name == "steady" else each.name
        for each in entries
        if not each.unavailable
    }
    return [pytest.param(build_named(REGISTRY, kind, spec).part, id=name) for name, spec in named.items()]


def contraction(z: Any) -> Any:
    """Return cos(z)/2."""
    return 0.5 * anp.cos(z)


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy"])
@pytest.mark.parametrize("solver", parts(SolverEntry))
def test_a_solution_of_any_solver_is_copied(solver: Any, copied: Callable[[Any], Any]):
    """It comes back with the same arrays, statuses and words, whatever its solver keeps."""
    solution = solve(contraction, solver, np.linspace(0.0, 1.0, 6).reshape(2, 3), on_failure="record")
    found = copied(solution)
    np.testing.assert_array_equal(found.z, solution.z)
    np.testing.assert_array_equal(found.trace, solution.trace)
    assert (found.status, found.options, str(found)) == (solution.status, solution.options, str(solution))


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy"])
@pytest.mark.parametrize("dense", [False, True], ids=["", "dense"])
@pytest.mark.parametrize("integrator", parts(IntegratorEntry))
def test_a_solution_of_any_integrator_is_copied(integrator: Any, dense: bool, copied: Callable[[Any], Any]):
    """It comes back the same; y(t) does too, unless it is a library's and pickled."""
    solution = integrate(lambda t, y: -y, np.ones((2, 3)), TIMES, integrator, dense=dense)
    found = copied(solution)
    np.testing.assert_array_equal(found.y, solution.y)
    assert (found.status, found.options, str(found)) == (solution.status, solution.options, str(solution))
    if found.dense is not None:
        np.testing.assert_array_equal(found.trajectory(0.3), solution.trajectory(0.3))
    else:
        assert not dense or isinstance(integrator, LibraryIntegrator)


def test_what_a_solver_learned_is_pickled_where_it_is_arrays():
    """SHINE finds the inverse Jacobian of a solution that was pickled, and has the same gradient, bit for bit."""
    problem = FixedPointProblem(lambda z, b: 0.5 * anp.cos(z) + b, np.full((2, 3), 0.1))
    solution = solve(problem, LimitedMemoryBroyden(), np.zeros((2, 3)))
    expected, found = (
        Shine().pullback(problem, each, np.ones((2, 3))).inputs[0]
        for each in (solution, pickle.loads(pickle.dumps(solution)))
    )
    np.testing.assert_array_equal(found, expected)


def fails(kind: str, number: int) -> Any:
    """Raise what a failed solve or integration raises in a process of a pool."""
    if kind == "solve":
        return solve(lambda z: 2 * z + 1, Picard(), np.full((1, 2), number), max_steps=3, on_failure="raise")
    return integrate(lambda t, y: y * y, np.ones((1, 1)), [0.0, 2.0], Tsit5(), max_steps=3, on_failure="raise")


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy"])
@pytest.mark.parametrize(("kind", "error"), [("solve", ConvergenceError), ("integrate", IntegrationError)])
def test_an_error_is_copied(kind: str, error: type[UnsolvedError], copied: Callable[[Any], Any]):
    """It has its class, its text, its notes and its solution."""
    with pytest.raises(error) as caught:
        fails(kind, 1.0)
    caught.value.add_note("a note")
    found = copied(caught.value)
    assert (type(found), str(found), found.__notes__) == (error, str(caught.value), ["a note"])
    assert found.solution.status == caught.value.solution.status


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "error"), [("solve", ConvergenceError), ("integrate", IntegrationError)])
def test_an_error_arrives_from_a_pool_of_processes(kind: str, error: type[UnsolvedError]):
    """`Pool.map` raises it, with what was reached, and does not wait for ever."""
    # Of what every process can import: tests are no package there.
    failing = {
        "solve": partial(solve, np.cos, Picard(), max_steps=1, on_failure="raise"),
        "integrate": partial(
            integrate, operator.mul, t=[0.0, 9.0], integrator=Tsit5(), max_steps=3, on_failure="raise"
        ),
    }[kind]
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(error, match="max_steps") as caught:
        pool.map_async(failing, [np.ones((1, 2)), np.zeros((1, 2)) + 2]).get(timeout=120)
    assert caught.value.solution.failed.all()
