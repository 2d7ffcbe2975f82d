from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, ImplicitAdjoint, Solution, Status, ops, solve
from equilib.numerics.forcing import next_forcing
from equilib.numerics.gmres import GMRES
from equilib.numerics.linear_solver import LinearSolver
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift, lower
from tests.problems import EXPANSIVE, LINEAR, NO_FIXED_POINT, ROTATION, SINGULAR, STEEP, TANH, KnownMap

LINEAR_SOLVERS = (GMRES(), LibraryGMRES())
each_linear_solver = pytest.mark.parametrize("linear_solver", LINEAR_SOLVERS)


def run(known: KnownMap, solver: NewtonGMRES, **options: Any) -> Solution:
    """Solve from the map's own initial guess, with the derivatives given by hand."""
    return solve(known.problem(), solver, known.z0, **{"on_failure": "record", **options})


# --- convergence


@each_linear_solver
@pytest.mark.parametrize("known", [LINEAR, ROTATION, SINGULAR], ids=str)
def test_affine_maps_are_solved_as_exactly_as_asked(known: KnownMap, linear_solver: LinearSolver):
    """On an affine map a Newton step reduces the residual by the forcing term, at least."""
    solution = run(known, NewtonGMRES(linear_solver, forcing=1e-10), rtol=1e-9)
    assert solution.steps.tolist() == [1] * 5
    assert np.all(solution.trace[1] <= 1.01e-10 * solution.trace[0] + 1e-14)


@each_linear_solver
@pytest.mark.parametrize("known", [TANH, STEEP, EXPANSIVE], ids=str)
def test_convergence_is_superlinear(known: KnownMap, linear_solver: LinearSolver):
    """Near the fixed point r shrinks like r^1.6 or faster: the forcing terms keep up with Newton's method."""
    atol = 1e-12
    trace = run(known, NewtonGMRES(linear_solver), rtol=0.0, atol=atol, max_steps=40).trace
    pairs = [
        (before, after) for before, after in zip(trace[:-1].ravel(), trace[1:].ravel(), strict=True) if before > atol
    ]
    assert all(after <= max(30 * before**1.6, atol) for before, after in pairs if before < 0.1), pairs
    assert sum(before < 1e-4 for before, _ in pairs) >= 3, "too few steps near the fixed point to tell"


def test_exact_newton_steps_converge_quadratically():
    """With a tiny forcing term the error of z ↦ cos z is squared in every step, with Newton's own constant."""
    root = 0.7390851332151607
    z0 = np.array([[0.6]])
    problem = FixedPointProblem(np.cos, jvp=lambda z, v: -np.sin(z) * v)
    errors = []
    for steps in range(4):
        solution = solve(
            problem, NewtonGMRES(forcing=1e-12), z0, rtol=0.0, atol=1e-300, max_steps=steps, on_failure="record"
        )
        errors.append(abs(float(solution.z[0, 0]) - root))
    constant = np.cos(root) / (2 * (1 + np.sin(root)))  # |f''| / 2|1 − f'|
    assert errors[2] / errors[1] ** 2 == pytest.approx(constant, rel=0.01)


@each_linear_solver
def test_expansive_maps_are_solved(linear_solver: LinearSolver):
    """Where Picard iteration diverges because |J| > 1, but I − J is regular, every sample converges."""
    solution = run(EXPANSIVE, NewtonGMRES(linear_solver), rtol=1e-10)
    assert solution.success
    np.testing.assert_allclose(solution.z, EXPANSIVE.solution, rtol=1e-8)


@each_linear_solver
def test_samples_of_different_difficulty_end_at_different_steps(linear_solver: LinearSolver):
    """A sample that starts at its fixed point is done at once; the others go on, each to its own end."""
    z0 = STEEP.solution + np.array([0.0, 1e-4, 1e-2, 0.3, 1.0])[:, None]
    solution = solve(STEEP.problem(), NewtonGMRES(linear_solver), z0, rtol=1e-8)
    assert solution.steps[0] == 0
    assert len(set(solution.steps)) >= 3
    residual = STEEP.f(solution.z, STEEP.bias) - solution.z
    assert np.all(np.linalg.norm(residual, axis=1) <= 1.1e-8 * np.linalg.norm(solution.z, axis=1))


def test_restart_bounds_the_products_of_a_step():
    """The first step takes no more products J·v than `restart`, later ones four times as many where one did little."""
    for restart in (1, 2, 5):
        first, all_steps = (
            run(STEEP.rows([3]), NewtonGMRES(GMRES(restart)), rtol=1e-8, max_steps=steps) for steps in (1, 12)
        )
        assert 0 < first.njvp <= restart
        assert first.njvp < all_steps.njvp <= STEEP.z0.shape[1] * all_steps.steps[0]


@pytest.mark.parametrize("globalization", ["line-search", "trust-region"])
def test_a_strongly_coupled_map_gets_the_products_that_it_needs(globalization: str):
    """Where I − J is orthogonal, of 200 elements, 20 products show nothing: the Krylov space grows until they do."""
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((200, 200)))[0]
    b = rng.standard_normal((2, 200))
    problem = FixedPointProblem(lambda z: z - z @ Q + b, jvp=lambda z, v: v - v @ Q, vjp=lambda z, w: w - w @ Q.T)
    solution = solve(problem, NewtonGMRES(globalization=globalization), np.zeros((2, 200)), rtol=1e-6)
    np.testing.assert_allclose(solution.z, b @ Q.T, rtol=1e-4, atol=1e-4)
    fixed = NewtonGMRES(globalization=globalization, enlarge=False)
    same = solve(problem, fixed, np.zeros((2, 200)), rtol=1e-6, max_steps=5, on_failure="record")
    assert not same.success
    assert same.njvp <= 5 * (20 + 2)  # a trust region takes two more


def test_what_does_not_converge_costs_little():
    """z + 1.5 + sin(zW) has no fixed point: large Krylov spaces in vain are followed by small ones, not by more."""
    W = 3 / 16 * np.random.default_rng(0).standard_normal((256, 256))
    problem = FixedPointProblem(lambda z: z + 1.5 + np.sin(z @ W), jvp=lambda z, v: v + np.cos(z @ W) * (v @ W))
    solution = solve(problem, NewtonGMRES(), np.zeros((1, 256)), max_steps=40, on_failure="record")
    # Twice, since the residual may be halved once: 1,000, the space in which that number is passed, and the small ones.
    assert solution.njvp <= 2 * (1000 + 256) + 40 * 20


@each_linear_solver
def test_a_linearization_is_made_once_and_applied_many_times(linear_solver: LinearSolver):
    """Every evaluation of f but that of the slope is a linearization at a trial point; products evaluate nothing."""
    solution = run(TANH, NewtonGMRES(linear_solver), rtol=1e-8)
    assert solution.nfe == 2 + solution.steps.max()
    assert solution.njvp > solution.nfe


# --- the line search


def arctan_problem(xp: ModuleType = np) -> FixedPointProblem:
    """Return f(z) − z = −arctan(10 z), on which full Newton steps diverge from |10 z| > 1.39."""
    slope = lambda z: 1 - 10 / (1 + 100 * z * z)  # noqa: E731
    arctan = lambda z: lift(xp, np.arctan(10 * lower(z)))  # noqa: E731
    return FixedPointProblem(lambda z: z - arctan(z), jvp=lambda z, v: slope(z) * v)


@each_linear_solver
def test_the_line_search_saves_newton_from_diverging(linear_solver: LinearSolver):
    """Where full Newton steps diverge, steps are shortened until the residual decreases, and the sample converges."""
    z0 = np.array([[0.05], [1.0], [-3.0], [20.0]])
    full = z0.copy()
    with np.errstate(over="ignore"):
        for _ in range(4):
            full = full - np.arctan(10 * full) * (1 + 100 * full**2) / 10
    assert np.all(np.abs(full[1:]) > 1e3), "full Newton steps should diverge from there"
    solution = solve(arctan_problem(), NewtonGMRES(linear_solver), z0, rtol=0.0, atol=1e-8, max_steps=40)
    np.testing.assert_allclose(solution.z, 0.0, atol=1e-8)
    assert solution.nfe > 1 + solution.steps.max(), "some steps should have been tried twice"
    assert np.all(np.diff(solution.trace, axis=0) <= 0), "the residual should never have grown"


def test_without_backtracking_the_same_sample_is_given_up():
    """With backtracks=0 a step that does not decrease the residual is not taken, and the sample stalls."""
    solution = solve(arctan_problem(), NewtonGMRES(backtracks=0), np.array([[0.05], [1.0]]), on_failure="record")
    assert solution.status == (Status.CONVERGED, Status.STALLED)
    assert solution.z[1, 0] == 1.0


@each_linear_solver
def test_a_map_without_fixed_point_stalls_honestly(linear_solver: LinearSolver):
    """On z ↦ z + 1 there is no descent: every sample stalls at its guess, with the residual that it has."""
    solution = run(NO_FIXED_POINT, NewtonGMRES(linear_solver))
    assert set(solution.status) == {Status.STALLED}
    np.testing.assert_array_equal(solution.residual, 1.0)
    np.testing.assert_array_equal(solution.residual_norm, 1.0)
    np.testing.assert_array_equal(solution.z, NO_FIXED_POINT.z0)


def test_a_minimum_of_the_residual_is_not_taken_for_a_solution():
    """On z ↦ z + 1 + z² the residual has a minimum, 1 at z = 0: the sample stalls there, and is not converged."""
    problem = FixedPointProblem(lambda z: z + 1 + z * z, jvp=lambda z, v: v + 2 * z * v)
    solution = solve(problem, NewtonGMRES(), np.array([[2.0]]), max_steps=200, on_failure="record")
    assert solution.status == (Status.STALLED,)
    assert solution.residual_norm[0] >= 1.0
    assert abs(solution.z[0, 0]) < 0.5


@pytest.mark.parametrize("norm", ["rms", "max", "two"])
def test_a_newton_step_descends_whatever_the_norm_of_the_test(norm: str):
    """The line search measures in the norm that GMRES reduces: in the others a good step may look like an ascent."""
    size = 64
    J = np.zeros((size, size))
    J[0, 1:] = 1.9 / np.sqrt(size)  # the first entry of the residual grows while all the others shrink
    problem = FixedPointProblem(lambda z, b: z @ J.T + b, np.ones((1, size)), jvp=lambda z, v, b: v @ J.T)
    z0 = np.zeros((1, size))
    solution = solve(problem, NewtonGMRES(GMRES(1)), z0, norm=norm, on_failure="record", max_steps=100)
    assert solution.status == (Status.CONVERGED,)
    first = solve(problem, NewtonGMRES(GMRES(1)), z0, norm=norm, on_failure="record", max_steps=1).state.residual
    assert np.linalg.norm(first) < np.sqrt(size)
    assert np.max(np.abs(first)) > 2


def test_a_trial_beyond_the_domain_is_shortened():
    """A trial point where f is nan counts as no decrease: the step is shortened, and the sample converges."""
    problem = FixedPointProblem(lambda z: z - np.log(z), jvp=lambda z, v: (1 - 1 / z) * v)
    with np.errstate(all="ignore"):
        assert np.isnan(np.log(5.0 - 5.0 * np.log(5.0)))  # where the full step from 5 leads
    solution = solve(problem, NewtonGMRES(), np.array([[5.0], [0.9]]), rtol=1e-8)
    np.testing.assert_allclose(solution.z, 1.0, rtol=1e-7)


# --- forcing terms


def test_forcing_terms_by_formula():
    """η = 0.9 (‖r‖ / ‖r before‖)², not below 0.9 η² where that exceeds 0.1, and at most 0.9 (Eisenstat & Walker)."""
    cases = [
        # previous, norm, norm before, expected
        (0.1, 0.5, 1.0, 0.9 * 0.25),
        (0.1, 1e-3, 1.0, 0.9e-6),
        (0.5, 1e-3, 1.0, 0.9 * 0.25),  # the safeguard: 0.9 · 0.5² = 0.225 > 0.1
        (0.3, 1e-3, 1.0, 0.9e-6),  # 0.9 · 0.3² = 0.081 ≤ 0.1
        (0.9, 0.99, 1.0, 0.9 * 0.99**2),
        (0.1, 2.0, 1.0, 0.9),
        (0.1, np.nan, 1.0, 0.9),
        (0.1, 0.0, 0.0, 0.9),
    ]
    previous, norm, before, expected = (np.array(column) for column in zip(*cases, strict=True))
    np.testing.assert_allclose(next_forcing(previous, norm, before), expected, rtol=1e-13)


def test_the_forcing_terms_of_a_solve_are_those_of_the_formula():
    """Step by step, the state holds η of the last two residuals, and GMRES reduced the linear residual to it."""
    solver, known = NewtonGMRES(forcing=0.3), STEEP.rows([4])
    problem = known.problem()
    asked: list[float] = []
    previous, eta = None, 0.3
    for steps in range(1, 6):
        solution = solve(problem, solver, known.z0, rtol=0.0, atol=1e-9, max_steps=steps, on_failure="record")
        norms = np.sqrt(6) * solution.trace[:, 0]
        used = max(eta, min(0.5 * 1e-9 * np.sqrt(6) / norms[-2], 0.9))
        asked.append(used)
        ratio = 0.9 * (norms[-1] / norms[-2]) ** 2
        eta = min(max(ratio, 0.9 * used**2) if 0.9 * used**2 > 0.1 else ratio, 0.9)
        assert solution.state.forcing[0] == pytest.approx(eta, rel=1e-6)
        if previous is not None:
            z, residual = previous
            step = solution.state.z - z
            left = residual - (step - known.jvp(z, step, known.bias))
            if solution.nfe == 1 + steps:  # the whole step was taken
                assert np.linalg.norm(left) <= 1.01 * used * np.linalg.norm(residual)
        previous = solution.state.z, solution.state.residual
    assert min(asked) < 1e-2 < max(asked)


def test_the_last_step_is_not_solved_beyond_the_tolerance():
    """Where the tolerance is near, half of what is missing is asked for: a loose tolerance costs few products."""
    loose, tight = (
        solve(LINEAR.problem(), NewtonGMRES(forcing=1e-12), 1.5 * LINEAR.solution, rtol=rtol) for rtol in (0.2, 1e-10)
    )
    assert loose.njvp < tight.njvp / 2


# --- options, and the adjoint


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("linear_solver", None),
        ("linear_solver", 3),
        ("forcing", 0.0),
        ("forcing", 0.91),
        ("backtracks", -1),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: object):
    """A wrong option is refused when the solver is made, not when it is used, and never taken for another."""
    with pytest.raises(ValueError, match=f"NewtonGMRES: option '{option}' expects"):
        NewtonGMRES(**{option: value})


@each_linear_solver
def test_the_adjoint_uses_the_same_linear_solver(linear_solver: GMRES | LibraryGMRES):
    """The sensitivity that suits the solver solves with its linear solver and its size of space."""
    own = replace(linear_solver, restart=7)
    adjoint = NewtonGMRES(own).adjoint()
    assert adjoint == ImplicitAdjoint(linear_solver=own)
    solution = run(TANH, NewtonGMRES(), rtol=1e-9)
    pulled = adjoint.pullback(TANH.problem(by_hand=False), solution, np.ones_like(solution.z))
    assert str(own) in pulled.solves[0].solver
    exact = np.linalg.solve(np.eye(6) - np.swapaxes(TANH.jacobians(), 1, 2), np.ones((5, 6, 1)))[:, :, 0]
    np.testing.assert_allclose(pulled.solves[0].z, exact, rtol=1e-6)


def test_traced_maps_need_no_products_by_hand(xp: ModuleType):
    """A map made of `equilib.ops` is differentiated, and its steps are those of the products by hand."""
    traced = FixedPointProblem(lambda z: ops.subtract(1.0, ops.multiply(ops.tanh(z), 3.0)))
    by_hand = FixedPointProblem(
        traced.f, jvp=lambda z, v: ops.multiply(ops.subtract(ops.multiply(ops.tanh(z), ops.tanh(z)), 1.0), 3.0) * v
    )
    z0 = lift(xp, np.array([[2.0], [-1.0]]))
    one, other = (solve(problem, NewtonGMRES(), z0, rtol=1e-9) for problem in (traced, by_hand))
    np.testing.assert_array_equal(one.steps, other.steps)
    np.testing.assert_allclose(lower(one.z), lower(other.z), rtol=1e-12)
