"""What every bridge to a library with loops of its own must do; a test module names its solvers."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, ImplicitAdjoint, Solution, Status, solve
from equilib.arrays import rms_norm
from equilib.fixed_points.solver import WholeSolver
from equilib.plugin import SolverEntry
from equilib.plugin.choosing import build_named
from equilib.plugin.registry import Registry
from tests.plugins.solver_laws import OPTIONS, counting, solve_map
from tests.problems import EXPANSIVE, LINEAR, NO_FIXED_POINT, TANH, KnownMap

OTHERS = np.arange(5) != 3


def loaded(registry: Registry) -> dict[str, WholeSolver]:
    """Return the solvers of a registry by their names, with default options, where they can be used."""
    entries = (each.entry for each in registry.provided(SolverEntry))
    return {each.name: build_named(registry, SolverEntry, each.name).part for each in entries if not each.unavailable}


def solve_traced(known: KnownMap, **options: Any) -> Solution:
    """Solve with derivatives by automatic differentiation, so that the inputs have cotangents."""
    solver = options.pop("solver")
    return solve(known.problem(by_hand=False), solver, known.z0, **{**OPTIONS, **options})


class BridgeLaws:
    """Laws of a solver whose `run` calls a library once for each sample; a subclass parametrizes `solver`."""

    @pytest.mark.parametrize("known", [LINEAR, TANH, EXPANSIVE], ids=str)
    def test_it_finds_known_fixed_points(self, solver: WholeSolver, known: KnownMap):
        """Contractions, and an expansive map with regular I − J, are solved to the driver's tolerance."""
        solution = solve_map(known, solver, rtol=1e-8)
        assert solution.success, solution
        np.testing.assert_allclose(solution.z, known.solution, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(solution.residual, known.f(solution.z, known.bias) - solution.z)

    def test_no_fixed_point_is_reported(self, solver: WholeSolver):
        """A map without a fixed point never converges, however far the iterates run away, and they stay finite."""
        solution = solve_map(NO_FIXED_POINT, solver, max_steps=60)
        assert not set(solution.status) & {Status.CONVERGED, Status.NONFINITE}
        assert np.isfinite(solution.z).all()

    @pytest.mark.parametrize("known", [TANH, NO_FIXED_POINT], ids=str)
    def test_a_nan_in_one_sample_does_not_touch_the_others(self, solver: WholeSolver, known: KnownMap):
        """The others' iterates, residuals and statuses are bit for bit those of a run without it."""
        ordinary, ill = (solve_map(each, solver, max_steps=20) for each in (known, known.poisoned(3)))
        assert ill.status[3] is Status.NONFINITE
        assert [s for i, s in enumerate(ill.status) if i != 3] == [s for i, s in enumerate(ordinary.status) if i != 3]
        for name in ("z", "residual", "residual_norm", "steps"):
            np.testing.assert_array_equal(getattr(ill, name)[OTHERS], getattr(ordinary, name)[OTHERS], err_msg=name)

    def test_a_nan_that_appears_on_the_way_is_reported(self, solver: WholeSolver):
        """Where f is nan everywhere but at the guess, that sample ends as non-finite and keeps its guess."""
        f = lambda z: np.where((np.arange(3)[:, None] == 1) & (z != 0.25), np.nan, 0.5 * np.cos(z))  # noqa: E731
        product = lambda z, v: -0.5 * np.sin(z) * v  # noqa: E731
        solution = solve(FixedPointProblem(f, jvp=product), solver, np.full((3, 2), 0.25), rtol=1e-6, **OPTIONS)
        assert solution.status == (Status.CONVERGED, Status.NONFINITE, Status.CONVERGED)
        np.testing.assert_array_equal(solution.z[1], 0.25)

    @pytest.mark.parametrize("known", [TANH, NO_FIXED_POINT], ids=str)
    def test_counters_are_the_real_numbers_of_calls(self, solver: WholeSolver, known: KnownMap):
        """`nfe`, `njvp` and `nvjp` equal what the functions counted."""
        problem, calls = counting(known)
        solution = solve(problem, solver, known.z0, max_steps=20, on_failure="record")
        assert (solution.nfe, solution.njvp, solution.nvjp) == (calls["f"], calls["jvp"], calls["vjp"])

    def test_f_gets_whole_batches_in_the_dtype_of_the_guess(self, solver: WholeSolver):
        """Every evaluation is of the shape and dtype of z0, which the answer has too; SciPy's float64 stays inside."""
        seen = set()

        def f(z: np.ndarray) -> np.ndarray:
            seen.add((z.shape, z.dtype.name))
            return (np.cos(z) * 0.5).astype(z.dtype)

        def jvp(z: np.ndarray, v: np.ndarray) -> np.ndarray:
            seen.add((v.shape, v.dtype.name))
            return (-0.5 * np.sin(z) * v).astype(z.dtype)

        z0 = np.zeros((4, 2, 3), dtype=np.float32)
        solution = solve(FixedPointProblem(f, jvp=jvp), solver, z0, rtol=1e-4, **OPTIONS)
        assert seen == {((4, 2, 3), "float32")}
        assert solution.success
        assert solution.z.dtype == solution.residual.dtype == np.float32
        np.testing.assert_allclose(solution.z, 0.45018361129487357, rtol=1e-3)

    @pytest.mark.parametrize(("rtol", "atol"), [(0.0, 1e-2), (1e-5, 0.0)])
    def test_a_sample_ends_at_the_first_point_that_meets_the_tolerance(
        self, solver: WholeSolver, rtol: float, atol: float
    ):
        """The tolerance is the driver's: the answer is the first of the points tried where the residual met it."""
        tried: list[np.ndarray] = []

        def f(z: np.ndarray) -> np.ndarray:
            tried.append(z.copy())
            return TANH.f(z, TANH.bias)

        problem = FixedPointProblem(f, jvp=lambda z, v: TANH.jvp(z, v, TANH.bias))
        solution = solve(problem, solver, TANH.z0, rtol=rtol, atol=atol, max_steps=400)
        points = np.stack(tried)
        residuals = [TANH.f(z, TANH.bias) - z for z in tried]
        scale = np.maximum.reduce([rms_norm(each) for each in (TANH.z0, TANH.z0 + residuals[0], residuals[0])])
        allowed = [atol + rtol * np.minimum(rms_norm(z), scale) for z in tried]
        met = [rms_norm(residual) <= each for residual, each in zip(residuals, allowed, strict=True)]
        first = np.argmax(np.stack(met), axis=0)
        np.testing.assert_array_equal(solution.z, points[first, np.arange(5)])

    @pytest.mark.parametrize("guess", [0.0, 30.0])
    @pytest.mark.parametrize("norm", ["rms", "max", "two"])
    def test_the_tolerance_is_that_of_the_answer(self, solver: WholeSolver, guess: float, norm: str):
        """From guesses much smaller and much larger than the answer, ‖f(z) − z‖ ≤ atol + rtol·‖z‖ holds at the end."""
        f = lambda z: 0.5 * np.cos(z)  # noqa: E731
        problem = FixedPointProblem(f, jvp=lambda z, v: -0.5 * np.sin(z) * v)
        solution = solve(problem, solver, np.full((2, 3), guess), rtol=1e-3, atol=1e-6, norm=norm, max_steps=200)
        assert solution.success

    @pytest.mark.parametrize("known", [EXPANSIVE, NO_FIXED_POINT], ids=str)
    def test_samples_solved_one_by_one_give_the_same(self, solver: WholeSolver, known: KnownMap):
        """Where f itself is computed element by element, a sample's answer is bit for bit that of its own solve."""
        together = solve_map(known, solver, rtol=1e-6, max_steps=20)
        for i in (0, 4):
            alone = solve_map(known.rows([i]), solver, rtol=1e-6, max_steps=20)
            np.testing.assert_array_equal(alone.z[0], together.z[i])
            assert alone.status[0] is together.status[i]

    def test_a_batch_costs_as_much_as_its_slowest_sample(self, solver: WholeSolver):
        """Evaluations are shared: solving five samples costs no more than half of what five solves cost."""
        if hasattr(solver, "integrator") and not solver.integrator.together:
            pytest.skip("this release of the library cannot be called again before it returns")
        together = solve_map(EXPANSIVE, solver, rtol=1e-6)
        alone = [solve_map(EXPANSIVE.rows([i]), solver, rtol=1e-6).nfe for i in range(5)]
        assert max(alone) <= together.nfe <= sum(alone) / 2

    def test_the_implicit_adjoint_gives_the_derivative(self, solver: WholeSolver, rng: np.random.Generator):
        """Its cotangents agree with central differences of the fixed point in float64."""
        direction, weights = rng.standard_normal((2, *TANH.bias.shape))
        solution = solve_traced(TANH, solver=solver, rtol=1e-11)
        adjoint = ImplicitAdjoint(rtol=1e-10, max_steps=200)
        (bias,) = adjoint.pullback(TANH.problem(by_hand=False), solution, weights).inputs
        ends = [np.sum(weights * solve_map(_shifted(TANH, h * direction), solver, rtol=1e-11).z) for h in (1e-4, -1e-4)]
        np.testing.assert_allclose(np.sum(bias * direction), (ends[0] - ends[1]) / 2e-4, rtol=1e-6)

    def test_what_f_raises_comes_out_and_no_thread_stays(self, solver: WholeSolver):
        """An exception of f ends the solve as it is, and every sample's call with it."""
        calls = iter(range(100))

        def f(z: np.ndarray) -> np.ndarray:
            if next(calls) == 3:
                raise RuntimeError("the map is broken")
            return 0.9 * np.cos(z)

        before = threading.active_count()
        with pytest.raises(RuntimeError, match="the map is broken"):
            solve(FixedPointProblem(f, jvp=lambda z, v: -0.9 * np.sin(z) * v), solver, np.zeros((3, 2)), rtol=1e-12)
        assert threading.active_count() == before


def _shifted(known: KnownMap, shift: np.ndarray) -> KnownMap:
    return replace(known, bias=known.bias + shift)
