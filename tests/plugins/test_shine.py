from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, ImplicitAdjoint, Picard, Solution, SolveOptions, Solver, solve
from equilib.fixed_points.evaluator import Counts, counted
from equilib.options import OptionError
from equilib_broyden.full import Broyden
from equilib_broyden.limited import LimitedMemoryBroyden
from equilib_broyden.shine import NoInverseError, Shine
from tests.arrays_under_test import lift, lower
from tests.problems import ROTATION, SIZE, TANH, KnownMap

SOLVERS = (Broyden(), LimitedMemoryBroyden())
each_solver = pytest.mark.parametrize("solver", SOLVERS, ids=str)


def equilibrium(known: KnownMap, solver: Solver, xp: ModuleType = np, **options: Any) -> tuple[Any, Solution]:
    """Return the problem, traced, and its solution."""
    problem = known.problem(xp, by_hand=False)
    return problem, solve(problem, solver, lift(xp, known.z0), SolveOptions(rtol=1e-8, max_steps=100), **options)


def exact(known: KnownMap, g: np.ndarray) -> np.ndarray:
    """Return (I − J)⁻ᵀ g."""
    J = known.jacobians()
    return np.linalg.solve(np.eye(SIZE) - np.swapaxes(J, 1, 2), g[:, :, None])[:, :, 0]


@each_solver
def test_it_applies_the_transposed_inverse_of_the_forward_solve(solver: Solver, xp: ModuleType):
    """The result is w = −Hᵀ g with the H of the forward solve's last state, formed as a matrix column by column."""
    problem, solution = equilibrium(TANH, solver, xp)
    g = np.linspace(-1.0, 1.0, TANH.z0.size).reshape(TANH.z0.shape)
    units = [np.broadcast_to(unit, TANH.z0.shape) for unit in np.eye(SIZE)]
    H = np.stack([lower(solution.state.inverse.apply(lift(xp, unit))) for unit in units], axis=2)
    expected = -np.einsum("bij,bi->bj", H, g)
    pulled = Shine().pullback(problem, solution, lift(xp, g))
    np.testing.assert_allclose(lower(pulled.solves[0].z), expected, rtol=1e-10, atol=1e-12)
    (through_bias,) = problem.linearize(solution.z).inputs_vjp(pulled.solves[0].z)
    np.testing.assert_array_equal(lower(pulled.inputs[0]), lower(through_bias))


def test_before_any_step_it_is_jacobian_free():
    """From a forward solve without a step H = −I, and so w = g."""
    problem, solution = equilibrium(TANH, LimitedMemoryBroyden(), max_steps=0, on_failure="record")
    g = np.ones_like(TANH.z0)
    adjoint = Shine().pullback(problem, solution, g).solves[0]
    assert adjoint is not None
    np.testing.assert_array_equal(adjoint.z, g)


@each_solver
def test_it_is_exact_where_the_forward_solve_saw_every_direction(solver: Solver):
    """On affine maps of one element a secant is the slope, so the result is g / (1 − J)."""
    slopes = np.array([[0.9], [-0.5], [-3.0]])
    problem = FixedPointProblem(lambda z: slopes * z + 1, vjp=lambda z, w: slopes * w)
    solution = solve(problem, solver, np.zeros((3, 1)), rtol=1e-12)
    adjoint = Shine().pullback(problem, solution, np.ones((3, 1))).solves[0]
    assert adjoint is not None
    assert adjoint.success
    np.testing.assert_allclose(adjoint.z, 1 / (1 - slopes), rtol=1e-9)


@each_solver
@pytest.mark.parametrize("known", [TANH, ROTATION], ids=str)
def test_refinement_converges_to_the_exact_adjoint(known: KnownMap, solver: Solver, rng: np.random.Generator):
    """Refined as far as it goes, the result is (I − J)⁻ᵀ g, and every step less leaves no smaller a residual."""
    problem, solution = equilibrium(known, solver)
    g = rng.standard_normal(known.z0.shape)
    norms = [Shine(refine=k).pullback(problem, solution, g).solves[0].residual_norm for k in range(4)]
    assert np.all(np.diff(norms, axis=0) <= 1e-15)
    adjoint = Shine(refine=60).pullback(problem, solution, g).solves[0]
    assert adjoint.success
    np.testing.assert_allclose(adjoint.z, exact(known, g), rtol=1e-5, atol=1e-6)


def test_refinement_ends_after_twice_the_dimensions(rng: np.random.Generator):
    """The equation is linear, so large residuals on the way are no reason to take steps back (Gay 1979)."""
    W = 1.5 * rng.standard_normal((16, 10, 10)) / 10**0.5
    problem = FixedPointProblem(lambda z: z + 1, vjp=lambda z, w: np.einsum("bij,bi->bj", W, w))
    solution = solve(problem, LimitedMemoryBroyden(), np.zeros((16, 10)), max_steps=0, on_failure="record")
    adjoint = Shine(refine=20).pullback(problem, solution, rng.standard_normal((16, 10))).solves[0]
    assert adjoint is not None
    assert adjoint.success


def test_it_starts_nearer_than_the_cotangent(rng: np.random.Generator):
    """On the rotation the reused inverse leaves less of the residual than w = g does."""
    problem, solution = equilibrium(ROTATION, LimitedMemoryBroyden())
    g = rng.standard_normal(ROTATION.z0.shape)
    shine = Shine().pullback(problem, solution, g).solves[0]
    none = ImplicitAdjoint(Picard(), max_steps=1).pullback(problem, solution, g).solves[0]
    assert np.mean(shine.residual_norm) < 0.5 * np.mean(none.trace[0])


def test_finished_samples_keep_their_inverse():
    """A sample's H, and so its gradient, do not depend on how long its batch mates take."""
    solver, g = LimitedMemoryBroyden(), np.ones_like(TANH.z0)
    z0 = TANH.solution + 10.0 ** -np.arange(0.0, 10.0, 2.0)[:, None]
    problem = TANH.problem(by_hand=False)
    together = solve(problem, solver, z0, rtol=1e-4)
    assert len(set(together.steps)) > 2
    w = Shine().pullback(problem, together, g).solves[0].z
    for i in range(5):
        part = TANH.rows([i]).problem(by_hand=False)
        alone = solve(part, solver, z0[i : i + 1], rtol=1e-4)
        np.testing.assert_allclose(Shine().pullback(part, alone, g[:1]).solves[0].z[0], w[i], rtol=1e-9)


def test_the_counts_are_those_of_its_products(rng: np.random.Generator):
    """It takes one product for the report and one for each refinement."""
    problem, solution = equilibrium(TANH, LimitedMemoryBroyden())
    for refine in (0, 3):
        counts = Counts()
        g = rng.standard_normal(TANH.z0.shape)
        adjoint = Shine(refine).pullback(counted(problem, counts), solution, g).solves[0]
        assert counts.nvjp == adjoint.nfe == refine + 1


def test_without_a_batch_axis(rng: np.random.Generator):
    """An unbatched solve has an unbatched pullback."""
    W = 0.2 * rng.standard_normal((4, 4))
    problem = FixedPointProblem(lambda z: W @ z + 1, vjp=lambda z, w: W.T @ w)
    solution = solve(problem, LimitedMemoryBroyden(), np.zeros(4), batched=False, rtol=1e-10)
    adjoint = Shine(refine=20).pullback(problem, solution, np.ones(4)).solves[0]
    np.testing.assert_allclose(adjoint.z, np.linalg.solve(np.eye(4) - W.T, np.ones(4)), rtol=1e-6)
    assert Shine().pullback(problem, solution, np.ones(4)).solves[0].z.shape == (4,)


def test_other_solvers_are_refused():
    """After a solver without an inverse the error names it and says what to choose."""
    problem, solution = equilibrium(TANH, Picard())
    with pytest.raises(NoInverseError, match=r"solver was Picard\(damping=0.0\); choose one of those, or .* implicit"):
        Shine().pullback(problem, solution, np.ones_like(TANH.z0))


def test_options_out_of_range_are_refused():
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match="refine"):
        Shine(-1)
