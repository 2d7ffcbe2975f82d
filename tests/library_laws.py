"""What every integrator of a library must do; a test module names its integrators."""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ops, solve
from equilib.autodiff import value_and_grad
from equilib.errors import UserError
from equilib.ode import Event, LibraryIntegrator, OdeOptions, OdeProblem, OdeStatus, SteadyState, integrate
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.evolution import evolve
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import forced, reference, rotated, rotation

Y0 = np.array([[1.0, 0.3], [0.2, 2.0], [-0.5, 0.5]])
TIMES = np.linspace(0.0, 3.0, 8)


class LibraryLaws:
    """Laws of an integrator that is a library's; a subclass parametrizes `integrator`."""

    def test_it_is_one(self, integrator: LibraryIntegrator) -> None:
        """`integrate` and `SteadyState` know it by its protocol."""
        assert isinstance(integrator, LibraryIntegrator)
        assert hasattr(SteadyState(integrator), "run")

    @pytest.mark.parametrize("per_sample", [False, True])
    def test_the_error_follows_the_tolerance(self, integrator: LibraryIntegrator, per_sample: bool) -> None:
        """At the ends of steps and between them, and in the trajectory, the error is within a hundred tolerances."""
        for tolerance in (1e-4, 1e-6):
            found = integrate(
                forced, Y0, TIMES, integrator, rtol=tolerance, atol=tolerance, per_sample=per_sample, dense=True
            )
            expected = reference(forced, Y0, TIMES)
            np.testing.assert_allclose(found.y, expected, atol=100 * tolerance)
            between = [found.trajectory(float(t)) for t in TIMES]
            np.testing.assert_allclose(between, expected, atol=100 * tolerance)

    def test_backward_in_time(self, integrator: LibraryIntegrator) -> None:
        """Adjoints run from the end to the beginning."""
        found = integrate(
            rotation, rotated(Y0, 2.0), [2.0, 1.3, 0.0], integrator, rtol=1e-6, atol=1e-6, per_sample=True
        )
        np.testing.assert_allclose(found.y[1:], [rotated(Y0, 1.3), Y0], atol=3e-4)

    @pytest.mark.parametrize("t0", [3e14, 4e15])
    def test_coarse_times_do_not_cut_an_integration_short(self, integrator: LibraryIntegrator, t0: float) -> None:
        """Where many steps of the library lie between two numbers, the answers are those from 0; events are near."""
        times = np.array([0.0, 1.0, 2.0])
        found, expected = (
            integrate(lambda t, y: -y, np.ones((1, 2)), times + start, integrator, rtol=1e-6, atol=1e-9, dense=True)
            for start in (t0, 0.0)
        )
        np.testing.assert_allclose(found.y, expected.y, rtol=1e-12)
        np.testing.assert_allclose(found.trajectory(times + t0), expected.y, rtol=1e-12)
        half = integrate(
            lambda t, y: -y, np.ones((1, 2)), times + t0, integrator, events=[Event(lambda t, y: y[:, 0] - 0.5)]
        )
        assert abs(half.reached[0] - t0 - np.log(2)) <= 2 * np.spacing(t0)

    def test_a_sample_does_not_know_its_batch(self, integrator: LibraryIntegrator) -> None:
        """With a step size for each sample, also one with nan, a sample's answer is bit for bit that of it alone."""
        y0 = np.concatenate((Y0, [[np.nan, 1.0]]))
        found = integrate(forced, y0, TIMES, integrator, per_sample=True, on_failure="record")
        assert found.status == (OdeStatus.FINISHED,) * 3 + (OdeStatus.NONFINITE,)
        assert np.isnan(found.y[1:, 3]).all()
        for sample in range(3):
            alone = integrate(forced, Y0[sample : sample + 1], TIMES, integrator, per_sample=True)
            np.testing.assert_array_equal(found.y[:, sample], alone.y[:, 0])
            assert found.accepted[sample] == alone.accepted[0]

    def test_who_is_to_blame_where_the_batch_steps_as_one(self, integrator: LibraryIntegrator) -> None:
        """A nan ends the integration of all, and the status says whose it is."""
        found = integrate(forced, [*Y0[:1], [np.nan, 1.0]] @ np.eye(2), TIMES, integrator, on_failure="record")
        assert found.status == (OdeStatus.HELD_BACK, OdeStatus.NONFINITE)

    def test_a_singularity_is_not_passed(self, integrator: LibraryIntegrator) -> None:
        """The solution of y' = y² from 1 ends at 1: the integration stops there, with a status and finite values."""
        found = integrate(lambda t, y: y * y, np.ones((1, 1)), [0, 0.5, 2], integrator, on_failure="record")
        assert found.status[0] in (OdeStatus.GAVE_UP, OdeStatus.STEP_TOO_SMALL, OdeStatus.NONFINITE)
        assert found.reached[0] == pytest.approx(1, abs=0.02)
        assert np.isfinite(found.y[1]).all()
        assert np.isnan(found.y[2]).all()

    def test_running_out_of_steps(self, integrator: LibraryIntegrator) -> None:
        """`max_steps` bounds the accepted steps of each lane."""
        found = integrate(forced, Y0, [0, 100], integrator, max_steps=5, rtol=1e-6, on_failure="record")
        assert set(found.status) == {OdeStatus.MAX_STEPS}
        assert set(found.accepted) == {5}

    def test_every_evaluation_is_counted_and_of_the_whole_batch(self, integrator: LibraryIntegrator) -> None:
        """`nfe` is the number of calls; f sees the shape and dtype of y0 and the times of the lanes."""
        for per_sample, lanes in ((False, 1), (True, 3)):
            seen = []

            def f(t: Any, y: Any, seen: list[Any] = seen) -> Any:
                seen.append((t.shape, y.shape, y.dtype))
                return np.cos(t) - y

            found = integrate(f, Y0.astype(np.float32), [0, 1], integrator, per_sample=per_sample)
            assert found.y.dtype == np.float32
            assert found.nfe == len(seen)
            assert set(seen) == {((lanes, 1), (3, 2), np.dtype(np.float32))}

    def test_any_array_library(self, integrator: LibraryIntegrator, xp: ModuleType) -> None:
        """The same steps on every array library, with the answer on that library."""
        expected = integrate(rotation, Y0, TIMES, integrator, dense=True)
        found = integrate(rotation, lift(xp, Y0), TIMES, integrator, dense=True)
        assert found.nfe == expected.nfe
        assert type(found.y) is type(lift(xp, Y0))
        np.testing.assert_allclose(lower(found.y), expected.y, rtol=1e-9)
        assert type(found.trajectory(1.0)) is type(lift(xp, Y0))

    def test_what_f_raises_reaches_the_user(self, integrator: LibraryIntegrator) -> None:
        """An exception passes through the library's loops unchanged and leaves no thread behind."""

        def f(t: Any, y: Any) -> Any:
            if np.max(t) > 0.1:
                raise RuntimeError("mine")
            return -y

        before = threading.active_count()
        with pytest.raises(RuntimeError, match="mine"):
            integrate(f, Y0, [0, 5], integrator, per_sample=True)
        assert threading.active_count() == before

    @pytest.mark.parametrize("way", [Interpolating(), Gauss(), Backsolve()], ids=lambda way: type(way).__name__)
    def test_gradients_are_those_of_finite_differences(self, integrator: LibraryIntegrator, way: Any) -> None:
        """Along a random direction of y0, and of the parameters, for a loss of y at three times."""
        weights = np.random.default_rng(3).standard_normal((3, 3, 2))

        def loss(point: Any) -> Any:
            y0, rate = point
            found = evolve(
                lambda t, y, rate: ops.subtract(ops.tanh(ops.multiply(y, rate)), ops.multiply(y, np.cos(t))),
                y0,
                [0.0, 0.6, 1.5],
                rate,
                integrator=integrator,
                adjoint=way,
                options=OdeOptions(rtol=1e-6, atol=1e-6, per_sample=True),
            )
            return ops.sum(ops.multiply(found.y, weights))

        point, rng = (Y0, np.array([0.7, -0.4])), np.random.default_rng(4)
        gradient = value_and_grad(loss)(point)[1]
        for leaf in (0, 1):
            direction = rng.standard_normal(point[leaf].shape)
            ends = [
                tuple(each + step * direction if i == leaf else each for i, each in enumerate(point))
                for step in (1e-3, -1e-3)
            ]
            slope = float(loss(ends[0]) - loss(ends[1])) / 2e-3
            assert np.sum(gradient[leaf] * direction) == pytest.approx(slope, abs=3e-3)

    def test_there_is_no_discrete_adjoint(self, integrator: LibraryIntegrator) -> None:
        """One sentence says so, and what to use instead."""
        problem = OdeProblem(lambda t, y: -y)
        found = integrate(problem, Y0, [0, 1], integrator)
        with pytest.raises(UserError, match=r"no discrete adjoint.*interpolating"):
            Discrete().pullback(problem, found, np.ones_like(found.y))

    def test_it_finds_steady_states(self, integrator: LibraryIntegrator) -> None:
        """`SteadyState` makes a solver of it, also where f is expansive; samples are solved by themselves."""
        slopes = np.array([-4.0, -1.5, 0.5])
        f = lambda z: slopes * z + 1  # noqa: E731
        z0 = np.zeros((2, 3))
        z0[1] = 3.0
        solver = SteadyState(integrator, step_rtol=0.01)
        together = solve(f, solver, z0, rtol=1e-6, max_steps=400)
        np.testing.assert_allclose(together.z, np.stack([1 / (1 - slopes)] * 2), rtol=1e-4)
        alone = solve(f, solver, z0[1:], rtol=1e-6, max_steps=400)
        np.testing.assert_array_equal(together.z[1], alone.z[0])
