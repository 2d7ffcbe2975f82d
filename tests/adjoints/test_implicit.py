from __future__ import annotations

from dataclasses import fields, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import (
    GMRES,
    Affine,
    FixedPointProblem,
    ImplicitAdjoint,
    JacobianFree,
    Linearization,
    Picard,
    Sensitivity,
    Solution,
    SolveOptions,
    Status,
    Unrolled,
    ops,
    solve,
)
from equilib.fixed_points.evaluator import Counts, counted
from equilib.numerics.bicgstab import BiCGStab
from equilib_linear_solvers.library import LibraryGMRES
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import NAMESPACES, lift, lower
from tests.problems import BADLY_SCALED, EXPANSIVE, LINEAR, ROTATION, SIZE, STEEP, TANH, KnownMap

TIGHT = SolveOptions(rtol=1e-12, atol=1e-13, max_steps=100)
EXACT = (
    ImplicitAdjoint(),
    ImplicitAdjoint(Affine(GMRES(3)), max_steps=100),
    ImplicitAdjoint(NewtonGMRES(forcing=1e-10)),
    ImplicitAdjoint(linear_solver=BiCGStab(), max_steps=100),
)
ANYWHERE = [(each, name) for each in EXACT for name in NAMESPACES] + [
    (ImplicitAdjoint(linear_solver=LibraryGMRES()), "numpy")
]


def equilibrium(known: KnownMap, xp: ModuleType = np) -> tuple[FixedPointProblem, Solution]:
    """Return the problem, traced, and its solution to the last digits."""
    problem = known.problem(xp, by_hand=False)
    return problem, solve(problem, NewtonGMRES(), lift(xp, known.z0), TIGHT)


def cotangent_of(known: KnownMap, rng: np.random.Generator) -> np.ndarray:
    """Draw a cotangent whose samples differ in size, as those of a loss do."""
    return rng.standard_normal(known.z0.shape) * 10.0 ** -np.arange(len(known.z0))[:, None]


def by_dense_matrices(known: KnownMap, g: np.ndarray) -> np.ndarray:
    """Return w = (I − J)⁻ᵀ g by numpy.linalg.solve on each sample's Jacobian."""
    J = known.jacobians()
    return np.linalg.solve(np.eye(J.shape[1]) - np.swapaxes(J, 1, 2), g[:, :, None])[:, :, 0]


@pytest.mark.parametrize(("sensitivity", "library"), ANYWHERE, ids=str)
@pytest.mark.parametrize("known", [LINEAR, TANH, ROTATION, STEEP, EXPANSIVE, BADLY_SCALED], ids=str)
def test_implicit_adjoints_solve_the_transposed_system(
    known: KnownMap, sensitivity: Sensitivity, library: str, rng: np.random.Generator
):
    """They find w = (I − J)⁻ᵀ g for each sample, however small its g, and the cotangent of the bias is (∂f/∂b)ᵀ w."""
    xp = NAMESPACES[library]
    problem, solution = equilibrium(known, xp)
    g = cotangent_of(known, rng)
    pulled = sensitivity.pullback(problem, solution, lift(xp, g))
    expected = by_dense_matrices(known, g)
    assert pulled.solves[0].success
    assert pulled.start is None
    scale = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(lower(pulled.solves[0].z) / scale, expected / scale, atol=1e-9)
    (through_bias,) = problem.linearize(solution.z).inputs_vjp(lift(xp, expected))
    np.testing.assert_allclose(lower(pulled.inputs[0]) / scale, lower(through_bias) / scale, atol=1e-9)


@pytest.mark.parametrize(
    "sensitivity", [ImplicitAdjoint(rtol=1e-3), ImplicitAdjoint(linear_solver=GMRES(19), rtol=1e-3)], ids=str
)
def test_an_adjoint_costs_the_products_of_its_krylov_space(sensitivity: Sensitivity, rng: np.random.Generator):
    """From w = g it takes Jᵀg, and as many products more as the residual has to shrink: none confirms what is known."""
    problem, solution = equilibrium(TANH)
    g = cotangent_of(TANH, rng)
    adjoint = sensitivity.pullback(problem, solution, g).solves[0]
    assert adjoint is not None
    assert (adjoint.nfe, adjoint.success) == (1, True)
    J = np.swapaxes(TANH.jacobians(), 1, 2)
    tolerance = adjoint.options.rtol * np.linalg.norm(adjoint.z, axis=1)

    def enough(products: int) -> bool:
        """Tell whether the space of so many products holds a w that meets the tolerance, for every sample."""
        least = []
        for row, A in zip(np.einsum("bij,bj->bi", J, g), np.eye(SIZE) - J, strict=True):
            space = np.stack([np.linalg.matrix_power(A, k) @ row for k in range(1, products + 1)], axis=1)
            least.append(np.linalg.norm(row - space @ np.linalg.lstsq(space, row)[0]))
        return bool(np.all(np.array(least) <= tolerance))

    assert enough(adjoint.njvp)
    assert not enough(adjoint.njvp - 1)


@pytest.mark.parametrize("known", [LINEAR, TANH, ROTATION], ids=str)
def test_picard_iteration_solves_the_adjoint_where_it_contracts(known: KnownMap, rng: np.random.Generator):
    """The same equation by w ← Jᵀw + g: any fixed-point solver will do."""
    problem, solution = equilibrium(known)
    g = cotangent_of(known, rng)
    adjoint = ImplicitAdjoint(Picard(), rtol=1e-11, max_steps=1000).pullback(problem, solution, g).solves[0]
    assert adjoint is not None
    assert adjoint.success
    assert adjoint.nfe > 10
    assert adjoint.njvp == 0
    np.testing.assert_allclose(adjoint.z, by_dense_matrices(known, g), rtol=1e-8)


def test_the_adjoint_reports_like_a_solve(rng: np.random.Generator):
    """Its record holds w, the residual of the transposed system, a status for each sample, and the counts."""
    problem, solution = equilibrium(TANH)
    g = cotangent_of(TANH, rng)
    adjoint = ImplicitAdjoint(rtol=1e-6).pullback(problem, solution, g).solves[0]
    assert adjoint is not None
    residual = TANH.vjp(solution.z, adjoint.z, TANH.bias) + g - adjoint.z
    np.testing.assert_allclose(adjoint.residual, residual, atol=1e-15)
    norms = np.sqrt(np.mean(residual**2, axis=1))
    np.testing.assert_allclose(adjoint.residual_norm, norms, atol=1e-15)
    assert np.all(norms <= 1e-6 * np.sqrt(np.mean(adjoint.z**2, axis=1)))
    assert adjoint.status == (Status.CONVERGED,) * 5


@pytest.mark.parametrize(
    ("sensitivity", "known", "status"),
    [
        (ImplicitAdjoint(Affine(GMRES(1)), max_steps=1), TANH, Status.MAX_STEPS),
        (ImplicitAdjoint(linear_solver=GMRES(1), max_steps=1), TANH, Status.MAX_STEPS),
        (ImplicitAdjoint(linear_solver=LibraryGMRES(1), max_steps=1), TANH, Status.MAX_STEPS),
        (ImplicitAdjoint(Picard(), max_steps=3), ROTATION, Status.MAX_STEPS),
        (ImplicitAdjoint(Picard(), max_steps=100), EXPANSIVE, Status.DIVERGED),
    ],
    ids=str,
)
def test_a_failing_adjoint_is_reported(sensitivity: Sensitivity, known: KnownMap, status: Status):
    """An adjoint that does not converge neither raises nor passes for converged, whatever the forward policy."""
    problem, solution = equilibrium(known)
    solution = replace(solution, options=replace(solution.options, on_failure="raise"))
    pulled = sensitivity.pullback(problem, solution, np.ones_like(known.z0))
    assert set(pulled.solves[0].status) == {status}
    assert np.all(pulled.solves[0].residual_norm > 0)
    assert np.all(np.isfinite(pulled.inputs[0]))


def test_the_adjoint_has_its_own_tolerance_or_the_forward_one():
    """Without an rtol or max_steps of its own the adjoint takes the forward ones, but no atol beside an rtol."""
    problem = TANH.problem(by_hand=False)
    forward = SolveOptions(rtol=1e-2, atol=10.0, max_steps=17, norm="max")
    solution = solve(problem, Picard(), TANH.z0, forward)
    g = 1e-9 * np.ones_like(TANH.z0)
    taken = ImplicitAdjoint().pullback(problem, solution, g).solves[0]
    own = ImplicitAdjoint(rtol=1e-8, max_steps=5).pullback(problem, solution, g).solves[0]
    assert taken is not None
    assert own is not None
    assert (taken.options.rtol, taken.options.max_steps, taken.options.norm) == (1e-2, 17, "max")
    assert (own.options.rtol, own.options.max_steps) == (1e-8, 5)
    for adjoint in (taken, own):
        assert adjoint.options.atol == 0.0
        assert np.all(adjoint.residual_norm <= adjoint.options.rtol * np.max(np.abs(adjoint.z), axis=1))
        assert np.all(adjoint.steps >= 1)


@pytest.mark.parametrize(
    ("rtol", "atol", "expected"),
    [
        (np.array([1e-2, 1e-6, 1e-4]), 0.0, 1e-6),
        (np.array([0.0, 1e-6, 0.0]), 1e-3, 1e-6),
        (0.0, 1e-8, 1e-8),
        (0.0, np.array([1e-2, 1e-9, 0.0]), 1e-9),
        (np.zeros(3), 1e-8, 1e-8),
        (0.0, 1.0, 1e-3),  # cotangents have no such size
        (0.0, 1e-300, 1000 * np.finfo(float).eps),
        (0.0, 0.0, 1e-3),
    ],
)
@pytest.mark.parametrize("sensitivity", [ImplicitAdjoint(), ImplicitAdjoint(Picard())], ids=str)
def test_the_adjoint_has_the_tightest_tolerance_of_the_forward_solve(
    sensitivity: Sensitivity, rtol: Any, atol: Any, expected: float
):
    """Of an rtol of each component it is the least one; where there is none, it is the least atol, if that is one."""
    problem = FixedPointProblem(lambda z, x: ops.tanh(0.5 * z + x), np.ones((2, 3)))
    options = SolveOptions(rtol=rtol, atol=atol, max_steps=100, on_failure="record")
    solution = solve(problem, Picard(), np.zeros((2, 3)), options)
    g = np.array([[1.0, 2.0, 3.0], [1e-5, 0.0, 0.0]])
    found = sensitivity.pullback(problem, solution, g)
    slope, w, size = 0.5 * (1 - np.tanh(0.5 * solution.z + 1) ** 2), found.solves[0].z, np.linalg.norm(g, axis=1)
    assert found.solves[0].success
    assert found.solves[0].options.rtol == pytest.approx(expected)
    assert np.all(np.linalg.norm(g + slope * w - w, axis=1) <= 2 * expected * size)
    np.testing.assert_allclose(found.inputs[0], 2 * slope * g / (1 - slope), rtol=0, atol=10 * expected * size[0])


@pytest.mark.parametrize(("criterion", "of"), [("distance", "g"), ("residual", "w")])
def test_an_adjoint_is_solved_relative_to_the_cotangent_or_to_itself(criterion: str, of: str):
    """It ends at the first w of ‖Jᵀw + g − w‖ ≤ rtol·‖g‖, with criterion="residual" of rtol·‖w‖."""
    problem, g = FixedPointProblem(lambda z, x: 0.99 * z + x, np.ones((1, 2))), np.ones((1, 2))
    forward = solve(problem, Picard(), np.full((1, 2), 100.0), criterion=criterion, max_steps=1000)
    found = ImplicitAdjoint(Picard(), rtol=1e-1).pullback(problem, forward, g).solves[0]
    w = np.cumsum(0.99 ** np.arange(300))
    limit = 0.1 * (w if of == "w" else np.ones_like(w))
    assert found.success
    assert found.steps[0] == np.argmax(0.99 ** (1 + np.arange(300)) <= limit)


@pytest.mark.parametrize("sensitivity", [ImplicitAdjoint(), ImplicitAdjoint(linear_solver=BiCGStab())], ids=str)
def test_samples_without_gradient_and_samples_with_nan_stay_apart(sensitivity: Sensitivity, rng: np.random.Generator):
    """A zero cotangent gives w = 0 at once; a nan one ends as NONFINITE; the others are bit for bit as without."""
    problem, solution = equilibrium(TANH)
    g = cotangent_of(TANH, rng)
    reference = sensitivity.pullback(problem, solution, g).solves[0]
    g[1], g[3] = 0.0, np.nan
    adjoint = sensitivity.pullback(problem, solution, g).solves[0]
    assert adjoint is not None
    assert reference is not None
    assert adjoint.status[1] is Status.CONVERGED
    assert not adjoint.z[1].any()
    assert adjoint.steps[1] == 0
    assert adjoint.status[3] is Status.NONFINITE
    others = [0, 2, 4]
    np.testing.assert_array_equal(adjoint.z[others], reference.z[others])
    np.testing.assert_array_equal(adjoint.residual_norm[others], reference.residual_norm[others])


def test_a_guess_does_not_change_the_answer(xp: ModuleType, rng: np.random.Generator):
    """From anywhere the same w to tolerance; from w itself no step and the same bits; where g is zero, zero."""
    problem, solution = equilibrium(TANH, xp)
    g = cotangent_of(TANH, rng)
    g[1] = 0.0
    start = rng.standard_normal(g.shape)
    start[2] = np.inf
    first = ImplicitAdjoint().pullback(problem, solution, lift(xp, g), guess=lift(xp, start)).solves[0]
    assert first is not None
    assert first.success
    assert first.steps[1] == 0
    np.testing.assert_allclose(lower(first.z), by_dense_matrices(TANH, g), rtol=1e-8, atol=1e-15)
    again = ImplicitAdjoint().pullback(problem, solution, lift(xp, g), guess=first.z).solves[0]
    assert again is not None
    np.testing.assert_array_equal(again.steps, 0)
    np.testing.assert_array_equal(lower(again.z), lower(first.z))


def test_a_guess_is_like_the_cotangent(xp: ModuleType):
    """One of another shape, dtype or library is refused in one sentence with both."""
    problem, solution = equilibrium(TANH, xp)
    g = lift(xp, np.ones_like(TANH.z0))
    other = next(each for each in NAMESPACES.values() if each is not xp)
    for wrong in (g[:2, ...], xp.astype(g, xp.float32) if xp is not np else g.astype("float32"), other.ones((5, 6))):
        with pytest.raises(ValueError, match=r"^the adjoint guess must be like the fixed point, .*; it is .* of shape"):
            ImplicitAdjoint().pullback(problem, solution, g, guess=wrong)


def test_a_guess_does_not_tell_adjoints_apart():
    """It is where a solve starts, not what it is: an argument, and no option that a record would have to hold."""
    assert ImplicitAdjoint.needs.guess
    assert "guess" not in {each.name for each in fields(ImplicitAdjoint)}
    assert hash(ImplicitAdjoint(rtol=0.1)) == hash(ImplicitAdjoint(rtol=0.1))


@pytest.mark.parametrize(
    ("sensitivity", "guess"),
    [
        (ImplicitAdjoint(), None),
        (ImplicitAdjoint(), np.arange(6.0)),
        (JacobianFree(), None),
        (Unrolled(80), None),
        (Unrolled(80, None), None),
    ],
)
@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_sensitivities_of_one_system_without_a_batch_axis(sensitivity: Any, guess: Any, shape: tuple[int, ...]):
    """With batched=False all elements are coupled in the adjoint too, and its record has no batch axis either."""
    rng = np.random.default_rng(3)
    M = 0.6 * np.linalg.qr(rng.standard_normal((6, 6)))[0]

    def f(z: Any, b: Any) -> Any:
        return ops.tanh(ops.add(ops.reshape(ops.matmul(ops.reshape(z, (1, 6)), M), shape), b))

    problem = FixedPointProblem(f, rng.standard_normal(shape))
    solution = solve(problem, NewtonGMRES(), np.zeros(shape), TIGHT, batched=False)
    g = rng.standard_normal(shape)
    pulled = sensitivity.pullback(problem, solution, g, guess=None if guess is None else np.reshape(guess, shape))
    slope = 1 - solution.z.ravel() ** 2
    J = slope[:, None] * M.T
    w = g.ravel() if isinstance(sensitivity, JacobianFree) else np.linalg.solve((np.eye(6) - J).T, g.ravel())
    np.testing.assert_allclose(pulled.inputs[0].ravel(), slope * w, rtol=1e-9)
    if pulled.solves:
        assert pulled.solves[0].z.shape == pulled.solves[0].residual.shape == shape
        assert pulled.solves[0].status == (Status.CONVERGED,)
        assert len(pulled.solves[0].steps) == 1
        assert not pulled.solves[0].batched


def test_jacobian_free_is_its_formula(xp: ModuleType, rng: np.random.Generator):
    """It takes w = g: its cotangents are those of one evaluation of f, bit for bit, and nothing is solved."""
    problem, solution = equilibrium(TANH, xp)
    g = lift(xp, cotangent_of(TANH, rng))
    counts = Counts()
    pulled = JacobianFree().pullback(counted(problem, counts), solution, g)
    assert (counts.nfe, counts.nvjp) == (1, 0)
    (expected,) = problem.linearize(solution.z).inputs_vjp(g)
    np.testing.assert_array_equal(lower(pulled.inputs[0]), lower(expected))
    np.testing.assert_allclose(lower(expected), (1 - lower(solution.z) ** 2) * lower(g), rtol=1e-9)
    assert not pulled.solves
    assert pulled.start is None


# --- unrolling


def test_unrolled_agrees_with_the_implicit_adjoint_where_picard_converges(xp: ModuleType, rng: np.random.Generator):
    """After enough iterations the two cotangents agree, and that of the initial guess has died out."""
    for known, depth in ((LINEAR, 60), (TANH, 100)):
        problem, solution = equilibrium(known, xp)
        g = lift(xp, cotangent_of(known, rng))
        exact = ImplicitAdjoint().pullback(problem, solution, g)
        pulled = Unrolled(depth).pullback(problem, solution, g)
        np.testing.assert_allclose(lower(pulled.inputs[0]), lower(exact.inputs[0]), rtol=1e-9, atol=1e-13)
        assert float(np.max(np.abs(lower(pulled.start)))) < 1e-9
        assert pulled.solves[0].success


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_unrolled_is_exact_for_its_last_iterate(depth: int, rng: np.random.Generator):
    """At any depth the cotangents of inputs and guess are those of the loop, by finite differences."""
    problem, solution = equilibrium(TANH)
    g, db, dz = (rng.standard_normal(TANH.z0.shape) for _ in range(3))
    pulled = Unrolled(depth).pullback(problem, solution, g)

    def last(bias: np.ndarray, z: np.ndarray) -> float:
        for _ in range(depth):
            z = TANH.f(z, bias)
        return float(np.sum(g * z))

    h = 1e-6
    for place, direction, found in ((0, db, pulled.inputs[0]), (1, dz, pulled.start)):
        ahead, behind = [TANH.bias, TANH.z0], [TANH.bias, TANH.z0]
        ahead[place], behind[place] = ahead[place] + h * direction, behind[place] - h * direction
        assert np.sum(found * direction) == pytest.approx((last(*ahead) - last(*behind)) / (2 * h), rel=1e-7)


@pytest.mark.parametrize("depth", [1, 2, 9])
def test_unrolled_reports_its_last_step(depth: int):
    """Its record holds the last iterate and how far the last step moved it, judged like any residual."""
    problem, solution = equilibrium(TANH)
    adjoint = Unrolled(depth).pullback(problem, solution, np.ones_like(TANH.z0)).solves[0]
    assert adjoint is not None
    iterates = [TANH.z0]
    for _ in range(depth):
        iterates.append(TANH.f(iterates[-1], TANH.bias))
    np.testing.assert_allclose(adjoint.z, iterates[-1], rtol=1e-14)
    np.testing.assert_allclose(adjoint.residual, iterates[-1] - iterates[-2], atol=1e-15)
    np.testing.assert_allclose(adjoint.residual_norm, np.sqrt(np.mean(adjoint.residual**2, axis=1)), rtol=1e-12)
    assert set(adjoint.status) == {Status.MAX_STEPS}
    assert set(adjoint.steps) == {depth}
    assert f"depth={depth}" in adjoint.solver


def test_unrolled_tells_where_picard_does_not_converge():
    """On an expansive map, and where it overflows, the status is not CONVERGED, though the forward solve's is."""
    problem, solution = equilibrium(EXPANSIVE)
    assert solution.success
    adjoint = Unrolled(30).pullback(problem, solution, np.ones_like(EXPANSIVE.z0)).solves[0]
    assert adjoint is not None
    assert Status.CONVERGED not in adjoint.status
    assert np.all(adjoint.residual_norm > 1)
    squares = FixedPointProblem(lambda z, b: ops.add(ops.multiply(z, z), b), np.full((1, 1), -2.0))
    root = solve(squares, NewtonGMRES(), np.full((1, 1), 3.0), TIGHT)
    overflow = Unrolled(30).pullback(squares, root, np.ones((1, 1))).solves[0]
    assert overflow is not None
    assert overflow.status == (Status.NONFINITE,)


def test_options_out_of_range_are_refused():
    """Depths, tolerances and steps that make no sense are refused when the sensitivity is made."""
    for make, name in (
        (lambda: Unrolled(0), "depth"),
        (lambda: ImplicitAdjoint(rtol=-1.0), "rtol"),
        (lambda: ImplicitAdjoint(max_steps=0), "max_steps"),
        (lambda: ImplicitAdjoint(linear_solver=GMRES), "linear_solver"),
    ):
        with pytest.raises(ValueError, match=f"option '{name}' expects"):
            make()


def test_an_adjoint_has_a_solver_or_a_linear_solver():
    """Given both, it refuses to choose."""
    with pytest.raises(ValueError, match="leave out one of them"):
        ImplicitAdjoint(Picard(), GMRES())


# --- without autograd


def test_the_adjoint_of_a_map_whose_derivatives_are_given(xp: ModuleType, rng: np.random.Generator):
    """With `linearize`, and without inputs even with jvp and vjp alone, the adjoint needs nothing from autodiff."""
    g = cotangent_of(TANH, rng)
    bias = lift(xp, TANH.bias)
    products = FixedPointProblem(
        lambda z: TANH.f(z, bias), jvp=lambda z, v: TANH.jvp(z, v, bias), vjp=lambda z, w: TANH.vjp(z, w, bias)
    )

    def by_hand(f: Any, z: Any, b: Any) -> Linearization:
        return Linearization(
            value=f(z, b),
            jvp=lambda v: TANH.jvp(z, v, b),
            vjp=lambda w: TANH.vjp(z, w, b),
            inputs_vjp=lambda w: ((1 - f(z, b) ** 2) * w,),
        )

    for problem in (products, FixedPointProblem(TANH.f, bias, linearize=by_hand)):
        solution = solve(problem, NewtonGMRES(), lift(xp, TANH.z0), TIGHT)
        pulled = ImplicitAdjoint().pullback(problem, solution, lift(xp, g))
        assert pulled.solves
        w = by_dense_matrices(TANH, g)
        np.testing.assert_allclose(lower(pulled.solves[0].z), w, rtol=1e-8)
        assert len(pulled.inputs) == len(problem.inputs)
        for cotangent in pulled.inputs:
            np.testing.assert_allclose(lower(cotangent), (1 - TANH.solution**2) * w, rtol=1e-8)
