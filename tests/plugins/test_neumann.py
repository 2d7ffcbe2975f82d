from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, JacobianFree, Picard, Solution, Status, solve
from equilib.fixed_points.evaluator import Counts, counted
from equilib.options import OptionError
from equilib_neumann.series import Neumann
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift, lower
from tests.problems import EXPANSIVE, LINEAR, ROTATION, TANH, KnownMap


def equilibrium(known: KnownMap, xp: ModuleType = np, dtype: str = "float64") -> tuple[FixedPointProblem, Solution]:
    """Return the problem, traced, and its solution."""
    problem = known.problem(xp, by_hand=False, dtype=dtype)
    rtol = 1e-10 if dtype == "float64" else 1e-5
    return problem, solve(problem, NewtonGMRES(), lift(xp, known.z0, dtype), rtol=rtol)


def partial_sums(known: KnownMap, g: np.ndarray, terms: int, damping: float) -> np.ndarray:
    """Return λ Σ_{k<K} Bᵏ g with B = (1 − λ) I + λ Jᵀ by matrix powers, and its residual Jᵀw + g − w."""
    share = 1 - damping
    w = np.zeros_like(g)
    for i, J in enumerate(known.jacobians()):
        B = damping * np.eye(len(J)) + share * J.T
        w[i] = share * sum(np.linalg.matrix_power(B, k) for k in range(terms)) @ g[i]
    return w


@pytest.mark.parametrize("known", [LINEAR, TANH, ROTATION, EXPANSIVE], ids=str)
@pytest.mark.parametrize(
    "series", [Neumann(), Neumann(1), Neumann(3, damping=0.25), Neumann(damping=0.5), Neumann(9, damping=0.5)], ids=str
)
def test_it_is_the_truncated_series(known: KnownMap, series: Any, rng: np.random.Generator, xp: ModuleType):
    """The result is the partial sum of the formula, on maps that contract and on such that do not."""
    problem, solution = equilibrium(known, xp)
    g = rng.standard_normal(known.z0.shape)
    pulled = series.pullback(problem, solution, lift(xp, g))
    expected = partial_sums(known, g, series.terms, series.damping)
    np.testing.assert_allclose(lower(pulled.solves[0].z), expected, rtol=1e-6, atol=1e-9)
    (through_bias,) = problem.linearize(solution.z).inputs_vjp(pulled.solves[0].z)
    np.testing.assert_array_equal(lower(pulled.inputs[0]), lower(through_bias))


def test_the_residual_is_reported(rng: np.random.Generator):
    """The adjoint's residual is Jᵀw + g − w, its statuses follow from it, and K terms cost K products."""
    problem, solution = equilibrium(TANH)
    g = rng.standard_normal(TANH.z0.shape)
    for terms in (2, 60):
        counts = Counts()
        adjoint = Neumann(terms).pullback(counted(problem, counts), solution, g).solves[0]
        assert adjoint is not None
        np.testing.assert_allclose(
            adjoint.residual, TANH.vjp(solution.z, adjoint.z, TANH.bias) + g - adjoint.z, atol=1e-15
        )
        assert counts.nvjp == adjoint.nfe == terms
        assert adjoint.success == (terms == 60)
        assert "terms" in adjoint.solver


def test_a_series_that_grows_is_reported():
    """On an expansive map nothing is raised, and no sample passes for converged."""
    problem, solution = equilibrium(EXPANSIVE)
    adjoint = Neumann(600).pullback(problem, solution, np.ones_like(EXPANSIVE.z0)).solves[0]
    assert adjoint is not None
    assert set(adjoint.status) == {Status.NONFINITE}


def test_one_term_is_jacobian_free(rng: np.random.Generator):
    """With one undamped term the cotangents are those of `jacobian-free`."""
    problem, solution = equilibrium(TANH)
    g = rng.standard_normal(TANH.z0.shape)
    expected = JacobianFree().pullback(problem, solution, g).inputs
    np.testing.assert_array_equal(Neumann(1).pullback(problem, solution, g).inputs[0], expected[0])


def test_the_damped_series_converges_where_the_other_does_not(rng: np.random.Generator):
    """With eigenvalues of J near −4 the plain series grows and one damped by 0.75 has the exact limit."""
    problem, solution = equilibrium(EXPANSIVE)
    g = rng.standard_normal(EXPANSIVE.z0.shape)
    exact = g / (1 - np.diagonal(EXPANSIVE.jacobians(), axis1=1, axis2=2))
    damped = Neumann(80, damping=0.75).pullback(problem, solution, g).solves[0]
    assert damped is not None
    np.testing.assert_allclose(damped.z, exact, rtol=1e-6)


def test_float32_stays_float32(xp: ModuleType):
    """No constant widens the dtype."""
    problem, solution = equilibrium(TANH, xp, "float32")
    pulled = Neumann(damping=0.5).pullback(problem, solution, xp.ones_like(solution.z))
    assert str(pulled.inputs[0].dtype).endswith("float32")


def test_without_a_batch_axis(rng: np.random.Generator):
    """An unbatched solve has an unbatched pullback with one status."""
    W = 0.3 * rng.standard_normal((4, 4))
    problem = FixedPointProblem(lambda z: np.tanh(W @ z), vjp=lambda z, w: W.T @ ((1 - np.tanh(W @ z) ** 2) * w))
    solution = solve(problem, Picard(), np.ones(4), batched=False)
    adjoint = Neumann().pullback(problem, solution, np.ones(4)).solves[0]
    assert adjoint is not None
    assert adjoint.z.shape == (4,)
    assert len(adjoint.status) == 1


@pytest.mark.parametrize("options", [{"terms": 0}, {"damping": 1.0}])
def test_options_out_of_range_are_refused(options: dict[str, Any]):
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match=next(iter(options))):
        Neumann(**options)
