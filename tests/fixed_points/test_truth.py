"""CONVERGED is true: maps on which a small residual beside a large z proves nothing, for every installed solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import autograd.numpy as anp
import numpy as np
import pytest

from equilib import Evaluator, FixedPointProblem, ImplicitAdjoint, Picard, Solution, SolveOptions, State, Status, solve
from equilib.arrays import Array, max_norm, rms_norm, two_norm
from equilib_anderson.solver import Anderson
from tests.installed import solvers

Map = Callable[[Array], Array]
SOLVERS = solvers()
every_solver = pytest.mark.parametrize("solver", SOLVERS)


def attempt(f: Map, solver: object, z0: object, **options: object) -> Solution:
    """Solve with the defaults, whatever comes of it."""
    return solve(FixedPointProblem(f), solver, np.asarray(z0), on_failure="record", **options)  # type: ignore[arg-type]


@every_solver
@pytest.mark.parametrize("start", [3.0, 20.0, -300.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_bounded_residual_is_not_small_far_away(solver: object, start: float, dtype: type) -> None:
    """z − tanh(z) has the fixed point 0, and a residual of 1 wherever else a long step may end."""
    found = attempt(lambda z: z - anp.tanh(z), solver, np.full((1, 1), start, dtype))
    if found.success:
        assert abs(float(found.z[0, 0])) < 1e-3


@every_solver
@pytest.mark.parametrize("seed", range(3))
def test_residual_blocks_end_at_their_fixed_point(solver: object, seed: int) -> None:
    """z + tanh(zW + x) has one fixed point, −xW⁻¹, and plateaus where a Newton step is as long as one likes."""
    rng = np.random.default_rng(seed)
    W = -(np.eye(8) + 0.3 * rng.normal(size=(8, 8)) / np.sqrt(8))
    x = rng.normal(size=(16, 8))
    found = attempt(lambda z: z + anp.tanh(anp.dot(z, W) + x), solver, np.zeros((16, 8)))
    error = np.max(np.abs(found.z + x @ np.linalg.inv(W)), axis=1)
    assert np.all(error[found.converged] < 0.05)


@every_solver
@pytest.mark.parametrize(
    "f",
    [
        lambda z: z + 1,
        lambda z: z + 0.05 + anp.sin(z) ** 2 / 2,
        lambda z: z + anp.exp(-anp.abs(z)) + 1e-2,
        lambda z: anp.sqrt(z**2 + 1),
    ],
    ids=["shift", "waves", "bump", "hyperbola"],
)
def test_what_has_no_fixed_point_does_not_converge(solver: object, f: Map) -> None:
    """The iterates drift, and no distance makes their residual small."""
    found = attempt(f, solver, [[30.0, 40.0, 50.0]], max_steps=300)
    assert found.status[0] is not Status.CONVERGED


@every_solver
@pytest.mark.parametrize("gap", [0.02, 0.01])
def test_a_minimum_of_the_residual_is_no_fixed_point(solver: object, gap: float) -> None:
    """f(z) − z ≥ gap, but less than the tolerance: no slope where a claim is made tells a fixed point so far away."""
    for start in (5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 100.0):
        found = attempt(lambda z: z + gap + anp.sin(z) ** 2 / 2, solver, [[start]])
        z, tolerance = float(found.z[0, 0]), 1e-3 * min(start, float(found.z[0, 0]))
        distance = (gap + np.sin(z) ** 2 / 2) / abs(np.sin(2 * z) / 2)
        assert not found.success or distance < 30 * tolerance, (start, z, distance / tolerance)


@every_solver
def test_a_drift_is_not_taken_for_the_fixed_point(solver: object) -> None:
    """1.0005 z + 1 has the fixed point −2000, and Picard goes the other way."""
    found = attempt(lambda z: 1.0005 * z + 1, solver, np.zeros((1, 1)), max_steps=2000)
    if found.success:
        assert float(found.z[0, 0]) == pytest.approx(-2000, rel=1e-2)
    else:
        assert found.status[0] in (Status.DIVERGED, Status.STALLED)


@pytest.mark.parametrize("solver", [Picard(), Anderson()], ids=str)
@pytest.mark.parametrize("f", [lambda z: z - np.float32(1e-4) * (z - 100), lambda z: z + 1 / (1 + z * z)])
def test_rounding_is_no_slope(solver: object, f: Map) -> None:
    """In float32 the change of a residual near the identity is rounding, which would tell a distance much too small."""
    found = attempt(f, solver, np.full((1, 1), 90, np.float32))
    assert not found.success or abs(float(found.z[0, 0]) - 100) < 1


@pytest.mark.parametrize("norm", [lambda r: np.abs(r).max(), lambda r: np.abs(r).max(axis=1, keepdims=True)])
def test_a_norm_of_another_shape_is_refused(norm: Callable[[Array], Array]) -> None:
    """The sentence names the norm and the shape."""
    with pytest.raises(ValueError, match=r"norm must return one number a sample, shape \(3,\)"):
        attempt(lambda z: 0.5 * z + 1, Picard(), np.zeros((3, 4)), norm=norm)


@pytest.mark.parametrize("norm", [lambda r: -np.abs(r).max(axis=1), lambda r: r.sum(axis=1)], ids=["minus", "sum"])
@pytest.mark.parametrize("z0", [0.0, 5.0])
def test_a_norm_that_turns_negative_is_refused(norm: Callable[[Array], Array], z0: float) -> None:
    """Less than zero is below every tolerance: it is a mistake, and nobody has converged."""
    with pytest.raises(ValueError, match=r"norm must return numbers of at least zero, of .* it returned -"):
        attempt(lambda z: -0.5 * z + 1, Picard(), np.full((3, 4), z0), norm=norm)


@pytest.mark.parametrize("rtol", ["1e-3", np.array([1e-3j] * 4)], ids=["text", "complex"])
def test_a_tolerance_is_a_number(rtol: object) -> None:
    """Text and complex numbers are refused by name."""
    with pytest.raises(ValueError, match="option 'rtol' expects"):
        attempt(lambda z: 0.5 * z + 1, Picard(), np.zeros((3, 4)), rtol=rtol)


@every_solver
@pytest.mark.parametrize("step", [1e-2, 1e-4])
@pytest.mark.parametrize("start", [0.0, 5.0])
def test_small_steps_of_gradient_descent_are_not_the_minimum(solver: object, step: float, start: float) -> None:
    """z − η∇E(z) has residuals of η·‖∇E‖: small everywhere, and the distance tells."""
    x = np.linspace(1.0, 2.0, 4)[None, :]
    found = attempt(lambda z: z - step * (z - x + anp.tanh(z - x)), solver, np.full((1, 4), start))
    if found.success:
        np.testing.assert_allclose(found.z, x, atol=2e-2)


@dataclass(frozen=True)
class Leap(Picard):
    """One long step."""

    def step(self, f: Evaluator, state: State) -> State:
        """Go to 1e18."""
        z = np.full_like(state.z, 1e18)
        return State(z, f.residual(z))


def test_a_zero_residual_far_from_the_start_is_rounding() -> None:
    """Where z is so large that f(z) == z in floating point, the residual says nothing about the equation."""
    found = attempt(lambda z: z + 3 + np.cos(z), Leap(), np.ones((1, 1)), rtol=0.0, max_steps=5)
    assert found.status[0] is Status.DIVERGED


@pytest.mark.parametrize(("residual", "expected"), [(0.99e-3, Status.CONVERGED), (1.01e-3, Status.STALLED)])
def test_a_residual_beside_the_current_z_is_enough_on_demand(residual: float, expected: Status) -> None:
    """With criterion="residual" CONVERGED is ‖f(z) − z‖ ≤ atol + rtol·‖z‖, wherever the solve began, and no more."""

    @dataclass(frozen=True)
    class Far(Leap):
        def step(self, f: Evaluator, state: State) -> State:
            return replace(super().step(f, state), residual=np.full_like(state.z, residual * 1e18))

    options = {"criterion": "residual", "atol": 0.0, "max_steps": 2, "stagnation": 1}
    assert attempt(lambda z: z + 1, Far(), np.ones((1, 1)), **options).status[0] is expected
    assert attempt(lambda z: z + 1, Far(), np.ones((1, 1)), max_steps=2).status[0] is Status.DIVERGED
    # 1e-4 (2 − z), a residual far from the fixed point.
    slow = attempt(lambda z: z - 1e-4 * (z - 2), Picard(), [[1.0]], criterion="residual")
    assert (slow.status[0], slow.nfe) == (Status.CONVERGED, 1)


@pytest.mark.parametrize("constant", [1e-5, 1e-9, 1e-11])
def test_a_tiny_first_residual_is_no_divergence(constant: float) -> None:
    """tanh(2z + c) from 0 goes to 0.9575, whose residuals on the way are many times the first one."""
    found = attempt(lambda z: np.tanh(2 * z + constant), Picard(), np.zeros((1, 1)), max_steps=100)
    assert found.success
    assert float(found.z[0, 0]) == pytest.approx(0.957504, rel=1e-3)


def test_a_drift_hands_over_to_the_fallback() -> None:
    """What has drifted away is DIVERGED, and the next solver starts where it began."""
    found = solve(
        FixedPointProblem(lambda z: 1.0005 * z + 1), Picard(), np.zeros((1, 1)), fallback=(Anderson(),), max_steps=2000
    )
    assert found.success
    assert found.attempt.tolist() == [1]


def test_an_initial_guess_is_measured_before_it_is_believed() -> None:
    """A guess with a small residual costs one evaluation more, and counts where f contracts, however small it is."""
    good = attempt(lambda z: 0.5 * z + 1, Picard(), [[2.0005]])
    assert (good.status[0], good.nfe, good.steps[0]) == (Status.CONVERGED, 2, 0)
    for rate in (1e-4, 1e-7):
        assert not attempt(lambda z, rate=rate: z - rate * (z - 2), Picard(), [[1.0]]).success


def test_steps_within_rounding_are_no_evidence() -> None:
    """Near 97 steps of 1e-3 (3 − z) in float16 are an ulp long, and tell no slope: one is asked for before a claim."""
    slow = attempt(lambda z: z - np.float16(1e-3) * (z - np.float16(3)), Picard(), np.full((1, 1), 100, np.float16))
    assert slow.status[0] is Status.MAX_STEPS
    half = attempt(lambda z: z / 2 + np.float16(50), Picard(), np.full((1, 1), 90, np.float16))
    assert half.success
    assert float(half.z[0, 0]) == pytest.approx(100, abs=0.2)


# --- norms and tolerances


@pytest.mark.parametrize("norm", [two_norm, rms_norm, max_norm], ids=lambda norm: norm.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [-0.95, -0.6, 0.0, 0.6, 0.95])
def test_norms_scale(norm: Callable[[Array], Array], dtype: type, exponent: float) -> None:
    """‖c·z‖ = c·‖z‖ over the whole range of the dtype, beside zeros, and whatever the other samples are."""
    c = dtype(float(np.finfo(dtype).max) ** exponent)
    z = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0], [np.nan, 1.0, 1.0]], dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(norm(c * z)[:2], c * norm(z)[:2], rtol=1e-6)
    assert np.isnan(norm(z)[2])


def test_half_precision_is_added_up_in_single() -> None:
    """10,000 elements of 0.1 in float16, whose running sum would stop at 32."""
    z = np.full((1, 10_000), 0.1, np.float16)
    assert float(rms_norm(z)[0]) == pytest.approx(0.1, rel=1e-3)


def test_a_tiny_problem_is_solved_like_any_other() -> None:
    """z ← z/2 + 1e-25 in float32, without an absolute tolerance."""
    found = attempt(lambda z: z / 2 + np.float32(1e-25), Picard(), np.zeros((1, 3), np.float32), rtol=1e-4, atol=0.0)
    assert found.success
    np.testing.assert_allclose(found.z, 2e-25, rtol=1e-3)


def test_a_large_float32_state_is_finite() -> None:
    """Squares overflow beyond 1.8e19, the norm does not."""
    found = attempt(lambda z: z / 2 + np.float32(1e25), Picard(), np.zeros((1, 3), np.float32), rtol=1e-4)
    assert found.success
    np.testing.assert_allclose(found.z, 2e25, rtol=1e-3)


@every_solver
@pytest.mark.parametrize("scale", [1e-30, 1e-23, 1.0, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_do_not_depend_on_the_size_of_the_cotangent(solver: object, scale: float, dtype: type) -> None:
    """The adjoint is linear in g over the whole range of the dtype."""
    M = (0.4 * np.random.default_rng(0).normal(size=(4, 4)) / 2).astype(dtype)
    problem = FixedPointProblem(lambda z, b: anp.tanh(anp.dot(z, M) + b), np.ones((2, 4), dtype))
    solution = solve(problem, Anderson(), np.zeros((2, 4), dtype), rtol=1e-5)
    g = np.random.default_rng(1).normal(size=(2, 4)).astype(dtype)
    adjoint = ImplicitAdjoint(solver=solver, linear_solver=None, rtol=1e-4, max_steps=400)  # type: ignore[arg-type]
    pulled = [adjoint.pullback(problem, solution, dtype(c) * g) for c in (1.0, scale)]
    expected, found = (each.inputs[0].astype(np.float64) for each in pulled)
    np.testing.assert_allclose(found / scale, expected, rtol=5e-3, atol=5e-4)


@every_solver
def test_an_adjoint_is_as_good_in_its_small_components(solver: object) -> None:
    """40 decoupled scalars, one with slope 0.999: the large w of that one does not excuse the others."""
    slopes = np.full(40, 0.5)
    slopes[7] = 0.999
    problem = FixedPointProblem(lambda z, b: slopes * z + b, np.ones((1, 40)))
    solution = solve(problem, Anderson(), 1 / (1 - slopes)[None, :])
    adjoint = ImplicitAdjoint(solver=solver, linear_solver=None, max_steps=20_000)  # type: ignore[arg-type]
    pulled = adjoint.pullback(problem, solution, np.ones((1, 40)))
    if pulled.solves[0].success:
        np.testing.assert_allclose(pulled.inputs[0][0], 1 / (1 - slopes), rtol=0.02)


@pytest.mark.parametrize("own", [None, 1e-9])
def test_absolute_tolerances_by_component_leave_an_adjoint_its_own(own: float | None) -> None:
    """The relative tolerance of the forward solve, or of the adjoint, counts beside an array of absolute ones."""
    M = 0.4 * np.random.default_rng(0).normal(size=(3, 3))
    problem = FixedPointProblem(lambda z, b: anp.tanh(anp.dot(z, M) + b), np.ones((2, 3)))
    solution = solve(problem, Anderson(), np.zeros((2, 3)), rtol=1e-9, atol=np.full(3, 1e-12))
    g = np.ones((2, 3))
    adjoint = ImplicitAdjoint(rtol=own).pullback(problem, solution, g).solves[0]
    assert adjoint.options.rtol == 1e-9
    assert np.all(adjoint.residual_norm <= 1e-9)


def badly_scaled(z: Array) -> Array:
    """Return a contraction whose fixed point is 2·(1e-6, 1, 1e6), component by component."""
    return 0.5 * z + np.array([1e-6, 1.0, 1e6])


@pytest.mark.parametrize("options", [{"rtol": 1e-4, "atol": np.array([1e-10, 1e-4, 1e2])}, {"rtol": np.full(3, 1e-4)}])
def test_components_have_tolerances_of_their_own(options: dict[str, object]) -> None:
    """With an array every component of a badly scaled state is right, relative to itself."""
    found = attempt(badly_scaled, Picard(), np.zeros((2, 3)), max_steps=200, **options)
    assert found.success
    np.testing.assert_allclose(found.z, np.broadcast_to([2e-6, 2.0, 2e6], (2, 3)), rtol=1e-3)


def test_arrays_of_tolerances_fit_a_sample() -> None:
    """A tolerance of another shape is refused with both shapes, one that is negative with its value."""
    with pytest.raises(
        ValueError, match=r"'atol' has the shape \(4,\), which does not broadcast against a sample, \(3,\)"
    ):
        attempt(badly_scaled, Picard(), np.zeros((2, 3)), atol=np.full(4, 1e-3))
    with pytest.raises(ValueError, match=r"'rtol' expects .* got -1.0"):
        SolveOptions(rtol=np.array([1.0, -1.0]))


@pytest.mark.parametrize("name", ["rtol", "atol"])
def test_an_array_without_axes_is_a_number(name: str) -> None:
    """A tolerance that comes out of an array is that number."""
    assert getattr(SolveOptions(**{name: np.array(1e-3)}), name) == 1e-3


def test_a_norm_may_be_a_function() -> None:
    """What it says decides: here the first component alone."""
    found = attempt(badly_scaled, Picard(), np.zeros((1, 3)), norm=lambda z: np.abs(z[:, 0]), rtol=1e-6, max_steps=100)
    assert found.success
    assert float(found.z[0, 0]) == pytest.approx(2e-6, rel=1e-5)
