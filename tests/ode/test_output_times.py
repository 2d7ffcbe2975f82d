"""Output times: those that repeat, grids for each sample, dense output at many."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.integration import integrate
from equilib.ode.problem import OdeProblem
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_scipy.integrators import RK45
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import Heun, forced

Y0 = np.array([[1.0, 0.0], [0.0, 2.0], [-0.5, 0.5]])
OWN = np.array([[0.0, 1.0, 2.0], [0.3, 0.8, 2.0], [0.3, 0.7, 2.0], [1.7, 0.4, 2.0]])
"""Times of three samples: up with one that repeats, down, and an empty span."""

by_both = pytest.mark.parametrize("integrator", [Tsit5(), RK45()], ids=str)


@by_both
@pytest.mark.parametrize("per_sample", [False, True])
def test_times_may_repeat(integrator: Any, per_sample: bool) -> None:
    """The solution at a time that is named again is the same, at the beginning, inside and at the end."""
    few, many = (
        integrate(forced, Y0, t, integrator, per_sample=per_sample) for t in ([0, 1, 2], [0, 0, 1, 1, 1, 2, 2])
    )
    np.testing.assert_array_equal(many.y, few.y[[0, 0, 1, 1, 1, 2, 2]])


@by_both
@pytest.mark.parametrize("per_sample", [False, True])
def test_an_empty_span_is_its_beginning(xp: ModuleType, integrator: Any, per_sample: bool) -> None:
    """Nothing is stepped, and the trajectory is that point."""
    found = integrate(forced, lift(xp, Y0), [3, 3, 3], integrator, per_sample=per_sample, dense=True)
    assert found.success
    np.testing.assert_array_equal(lower(found.y), [Y0] * 3)
    np.testing.assert_array_equal(lower(found.trajectory(3.0)), Y0)
    with pytest.raises(ValueError, match=r"t = 3.1 is not between 3.0 and 3.0"):
        found.trajectory(3.1)


@pytest.mark.parametrize("integrator", [Heun(), VCAB3(), RK45()], ids=str)
def test_each_sample_has_its_own_times(xp: ModuleType, integrator: Any) -> None:
    """It is integrated as it is alone, up or down or not at all, and lands on its own end."""
    settings: dict[str, Any] = {"per_sample": True, "dense": True}
    found = integrate(forced, lift(xp, Y0), OWN, integrator, **settings)
    np.testing.assert_array_equal(found.reached, OWN[-1])
    np.testing.assert_allclose(lower(found.trajectory(OWN[1:3])), lower(found.y[1:3, ...]), rtol=1e-13, atol=1e-15)
    for sample in range(3):
        rows = slice(sample, sample + 1)
        alone = integrate(forced, Y0[rows], OWN[:, sample], integrator, **settings)
        np.testing.assert_allclose(lower(found.y)[:, rows], alone.y, rtol=1e-13)
        assert found.accepted[sample] == alone.accepted[0]


def test_dense_output_at_many_times(xp: ModuleType) -> None:
    """An array of times gives what each gives by itself, stacked."""
    trajectory = integrate(forced, lift(xp, Y0), [0, 2], Heun(), dense=True, per_sample=True).trajectory
    times = np.array([1.3, 0.2, 0.0])
    np.testing.assert_array_equal(lower(trajectory(times)), [lower(trajectory(float(t))) for t in times])


@pytest.mark.parametrize(
    ("way", "integrator"),
    [*((way(), Tsit5()) for way in (Interpolating, Gauss, Backsolve, Discrete)), (Discrete(), VCAB3())],
    ids=str,
)
def test_gradients_with_times_of_each_sample(way: Any, integrator: Any, rng: np.random.Generator) -> None:
    """A cotangent is carried back over a sample's own times: from there it is the sample's gradient alone."""
    tol = 1e-9 if isinstance(integrator, Tsit5) else 1e-4
    weights, theta = rng.standard_normal((4, 3, 2)), np.array([[0.7, -0.4]])

    def pulled(rows: slice, times: np.ndarray) -> Any:
        problem = OdeProblem(lambda t, y, theta: theta * ops.sin(y) - y * t, theta)
        found = integrate(problem, Y0[rows], times, integrator, per_sample=True, rtol=tol, atol=tol, dense=True)
        return way.pullback(problem, found, weights[:, rows])

    together, alone = pulled(slice(0, 3), OWN), [pulled(slice(i, i + 1), OWN[:, i]) for i in range(3)]
    np.testing.assert_allclose(together.start, np.concatenate([each.start for each in alone]), atol=1e-6)
    np.testing.assert_allclose(together.inputs[0], sum(each.inputs[0] for each in alone), atol=1e-6)
    np.testing.assert_allclose(alone[2].start, weights[:, 2:].sum(axis=0))


@pytest.mark.parametrize("times", [OWN[:, :2], OWN * np.nan, OWN[[0, 3, 1, 2]]], ids=["two", "nan", "back"])
def test_wrong_grids(times: np.ndarray) -> None:
    """Each has as many columns as there are samples, of times in one direction."""
    with pytest.raises(ValueError, match=r"^t (of shape \(4, 2\) is a grid|must be two or more finite times)"):
        integrate(forced, Y0, times, Heun(), per_sample=True)
