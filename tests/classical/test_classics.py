from __future__ import annotations

import numpy as np
import pytest

from equilib import Status
from tests.classical.problems import CLASSICS, Classic
from tests.classical.solving import SOLVERS, Outcome, ours, scipys

SOLUTIONS: dict[int, list[list[float]]] = {
    1: [[1.0] * 10],
    2: [[0.0] * 4],
    3: [[1.0981593296999e-5, 9.1061467398665]],
    4: [[1.0] * 4],
    5: [[1.0, 0.0, 0.0]],
    7: [[0.5 - 12**-0.5, 0.5 + 12**-0.5]],
    8: [[1.0] * 10],
    11: [[0.0] * 10],
    12: [[1.0] * 10],
    15: [[0.01, 50.0, 0.0, 0.01]],
    16: [[0.01, 50.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 0.01]],
    17: [[0.0, 3.0], [3.0, 0.0]],
    18: [[0.0, 0.0]],
    19: [[0.0, 0.0]],
    20: [[0.0], [5.0]],
    21: [[5.0, 4.0]],
    22: [[0.0, 1.0], [-1.0, 2.0], [-(0.5**0.5), 1.5]],
}

each_classic = pytest.mark.parametrize("classic", CLASSICS, ids=str)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[Outcome]]:
    """Solve every system by the solvers that must solve most of them."""
    names = ("newton-dense", "newton-gmres", "auto", "broyden", "broyden, jacobian=products")
    return {name: [ours(classic, SOLVERS[name]) for classic in CLASSICS] for name in names}


def unsolved(outcomes: list[Outcome]) -> list[int]:
    """Return the numbers of the systems without a solution."""
    return [classic.number for classic, outcome in zip(CLASSICS, outcomes, strict=True) if not outcome.solved]


@each_classic
def test_known_solutions_solve_the_systems(classic: Classic):
    """F vanishes at the solutions that the literature gives."""
    for solution in SOLUTIONS.get(classic.number, []):
        assert np.max(np.abs(classic.F(np.array(solution)))) < 1e-7


def test_gradients_have_symmetric_jacobians():
    """Watson's and the variably dimensioned system are gradients, and the boundary value problem is symmetric."""
    for number in (6, 9, 12):
        classic = CLASSICS[number - 1]
        J = classic.jacobian(classic.z0 + 0.1)
        np.testing.assert_allclose(J, J.T, rtol=1e-12)


def test_the_two_discretizations_agree():
    """The boundary value problem and the integral equation have nearly the same solution."""
    first, second = (ours(CLASSICS[k], SOLVERS["newton-dense"]).solution for k in (8, 9))
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(first.z, second.z, rtol=1e-6)


@each_classic
def test_derivatives_by_the_complex_step_are_those_by_differences(classic: Classic):
    """The products that the solvers use are F' v, and their transposes (F')ᵀ w."""
    rng = np.random.default_rng(classic.number)
    x = classic.z0 + 0.05 * rng.uniform(0.5, 1.0, classic.z0.shape)
    v, w = rng.standard_normal((2, len(x)))
    h = 1e-6
    difference = (classic.F(x + h * v) - classic.F(x - h * v)) / (2 * h)
    scale = np.linalg.norm(classic.jacobian(x)) * np.linalg.norm(v)
    np.testing.assert_allclose(classic.product(x, v), difference, atol=1e-7 * scale)
    linear = classic.problem().linearize(x[None, :])
    np.testing.assert_allclose(np.sum(linear.jvp(v[None, :]) * w), np.sum(linear.vjp(w[None, :]) * v), rtol=1e-9)


def test_newton_with_a_line_search_solves_22(outcomes: dict[str, list[Outcome]]):
    """All but Freudenstein and Roth's, where every descent from the start ends in a minimum that is no solution."""
    assert unsolved(outcomes["newton-dense"]) == [21]
    stuck = outcomes["newton-dense"][20].solution
    assert stuck is not None
    assert stuck.status == (Status.STALLED,)
    np.testing.assert_allclose(stuck.z[0, 1], -0.8968, atol=1e-3)


def test_newton_without_a_line_search_solves_the_one_that_is_left():
    """From the standard start of Freudenstein and Roth's plain Newton steps jump out of the minimum."""
    assert ours(CLASSICS[20], SOLVERS["newton-dense, no line search"]).solved


def test_auto_solves_all_23(outcomes: dict[str, list[Outcome]]):
    """Every system, and easy ones without a derivative."""
    assert unsolved(outcomes["auto"]) == []
    finished = {outcome.solution.state.finished_by[0] for outcome in outcomes["auto"] if outcome.solution is not None}
    assert finished >= {"broyden", "newton", "newton-without-line-search"}
    assert outcomes["auto"][22].products == 0


@pytest.mark.parametrize(("name", "least"), [("anderson", 38), ("lbroyden", 33), ("auto", 46)])
def test_the_sign_of_the_residual_matters_little(name: str, least: int):
    """As fixed points of z − F(z) and of z + F(z), where no small Picard step is a descent, most are solved."""
    found = [ours(classic, SOLVERS[name], sign) for sign in (-1.0, 1.0) for classic in CLASSICS]
    assert sum(outcome.solved for outcome in found) >= least


@pytest.mark.parametrize("name", ["broyden", "broyden, jacobian=products"])
def test_broyden_solves_at_least_20(outcomes: dict[str, list[Outcome]], name: str):
    """From −I and, where that fails, from the true Jacobian: all but one of the hard ones, give or take rounding."""
    assert len(CLASSICS) - len(unsolved(outcomes[name])) >= 20


def test_broyden_asks_for_no_product_where_it_does_well_without(outcomes: dict[str, list[Outcome]]):
    """On the systems near a contraction the default costs what it costs from −I, and more are solved."""
    without = [ours(classic, SOLVERS["broyden, jacobian=identity"]) for classic in CLASSICS]
    for number in (7, 10, 18, 19, 20, 23):
        outcome = outcomes["broyden"][number - 1]
        assert (outcome.nfe, outcome.products) == (without[number - 1].nfe, 0)
    assert len(unsolved(without)) > len(unsolved(outcomes["broyden"])) + 4


def test_newton_gmres_solves_22(outcomes: dict[str, list[Outcome]]):
    """Inexact steps do as well as exact ones."""
    assert unsolved(outcomes["newton-gmres"]) == [21]


def test_no_solver_claims_what_it_has_not_solved(outcomes: dict[str, list[Outcome]]):
    """A status of CONVERGED comes with ‖F‖∞ ≤ 1e-8, and with that alone."""
    for each in outcomes.values():
        for outcome in each:
            assert outcome.solution is not None
            assert outcome.solution.success == (outcome.size <= 1e-8)


def test_the_standard_method_of_the_library_solves_fewer(outcomes: dict[str, list[Outcome]]):
    """MINPACK's hybrid method fails on some of the 23, and `auto` solves those as well."""
    failing = unsolved([scipys(classic, "hybr") for classic in CLASSICS])
    assert 3 <= len(failing) <= 7
    assert 1 in failing
