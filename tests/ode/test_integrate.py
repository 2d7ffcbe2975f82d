"""`integrate`: what it returns, at which times, at what cost, and what it says where it fails."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib.arrays import array_namespace
from equilib.ode.integration import integrate
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import IntegrationError, IntegrationWarning, OdeStatus
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import Heun, at_fixed_steps, forced, measured_order, rotated, rotation

Y0 = np.array([[1.0, 0.0], [0.0, 2.0], [-0.5, 0.5]])


@pytest.mark.parametrize("per_sample", [False, True])
def test_values_at_the_times_asked_for(xp: ModuleType, per_sample: bool) -> None:
    """y(t) is right at the ends and inside, on every array library, in either way of stepping."""
    times = [0.0, 0.1, 1.0, 1.0001, 2.5]
    found = integrate(rotation, lift(xp, Y0), times, Heun(), rtol=1e-4, atol=1e-5, per_sample=per_sample)
    assert found.success
    np.testing.assert_allclose(lower(found.y), [rotated(Y0, t) for t in times], atol=1e-3)
    assert set(found.reached) == {2.5}


def test_libraries_agree() -> None:
    """NumPy and the strict array library take the same steps to the same answer."""
    import array_api_strict

    for per_sample in (False, True):
        ours, strict = (
            integrate(forced, lift(xp, Y0), [0, 1, 3], Heun(), per_sample=per_sample) for xp in (np, array_api_strict)
        )
        np.testing.assert_allclose(ours.y, lower(strict.y), rtol=1e-13)
        assert (ours.nfe, ours.accepted.tolist()) == (strict.nfe, strict.accepted.tolist())


@pytest.mark.parametrize("per_sample", [False, True])
def test_single_precision_stays(xp: ModuleType, per_sample: bool) -> None:
    """A float32 initial value gives float32 throughout, time included."""
    seen = set()

    def f(t: Any, y: Any) -> Any:
        seen.update((str(t.dtype).rpartition(".")[2], str(y.dtype).rpartition(".")[2]))
        return forced(t, y)

    found = integrate(f, lift(xp, Y0, "float32"), [0, 0.5, 1], Heun(), per_sample=per_sample, dense=True)
    assert found.y.dtype == xp.float32
    assert found.trajectory(0.3).dtype == xp.float32
    assert seen == {"float32"}


def test_backward_in_time() -> None:
    """Decreasing times integrate backward, back to where a forward integration began."""
    there = integrate(forced, Y0, [0, 1], Heun(), rtol=1e-5, atol=1e-6)
    back = integrate(forced, there.y[-1], [1, 0.5, 0], Heun(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(back.y[-1], Y0, atol=1e-3)


def test_steps_do_not_depend_on_the_times_between() -> None:
    """Further output times change neither the cost nor the end."""
    few, many = integrate(forced, Y0, [0, 3], Heun()), integrate(forced, Y0, np.linspace(0, 3, 40), Heun())
    assert few.nfe == many.nfe
    np.testing.assert_array_equal(few.y[-1], many.y[-1])


@pytest.mark.parametrize("per_sample", [False, True])
def test_the_trajectory_is_the_solution_between_the_times(xp: ModuleType, per_sample: bool) -> None:
    """With `dense`, y(t) is there for every t of the interval, and equals the output at output times."""
    settings: dict[str, Any] = {"rtol": 1e-3, "atol": 1e-4, "dense": True, "per_sample": per_sample}
    found = integrate(forced, lift(xp, Y0), [0, 0.7, 2], Heun(), **settings)
    np.testing.assert_allclose(lower(found.trajectory(0.7)), lower(found.y[1, ...]), rtol=1e-14)
    np.testing.assert_allclose(lower(found.trajectory(2.0)), lower(found.y[2, ...]), rtol=1e-12)
    np.testing.assert_array_equal(lower(found.trajectory(0.0)), Y0)
    between = integrate(forced, lift(xp, Y0), [0, 1.3], Heun(), **settings)
    np.testing.assert_allclose(lower(found.trajectory(1.3)), lower(between.y[1, ...]), atol=5e-3)
    with pytest.raises(ValueError, match=r"t = 2.5 is not between 0.0 and 2.0"):
        found.trajectory(2.5)


def test_the_cubic_interpolant_has_order_three() -> None:
    """The error inside a step shrinks as h³ or faster where the method itself is not the limit."""
    y0 = np.array([[1.0, 0.5]])
    errors = []
    for n in (2, 4):
        h, t = 1 / n, 0.4 / n
        found = at_fixed_steps(Heun(), lambda t, y: 4 * t**3 + 0 * y, y0, [0, t, 1], h)
        ends = at_fixed_steps(Heun(), lambda t, y: 4 * t**3 + 0 * y, y0, [0, h, 1], h).y[1] - y0
        theta = 0.4
        cubic = theta**2 * (3 - 2 * theta) * ends + h * theta**2 * (theta - 1) * 4 * h**3
        np.testing.assert_allclose(found.y[1] - y0, cubic, rtol=1e-12)
        errors.append(np.abs(found.y[1] - y0 - t**4).max())
    assert errors[0] / errors[1] >= 2**3


def test_the_order_of_a_fixed_step_is_the_methods() -> None:
    """The way from `integrate` to a method's own arithmetic loses no order: Heun's is 2."""
    assert measured_order(Heun(), (64, 128)) == pytest.approx(2, abs=0.1)


def test_the_error_follows_the_tolerance() -> None:
    """A hundredth of the tolerance gives about a hundredth of the error."""
    errors = [
        np.abs(integrate(rotation, Y0, [0, 2], Heun(), rtol=tol, atol=tol).y[-1] - rotated(Y0, 2)).max()
        for tol in (1e-3, 1e-5)
    ]
    assert 20 < errors[0] / errors[1] < 500


def test_evaluations_are_counted() -> None:
    """`nfe` is the number of calls of f, and Heun's method costs two per step, the first step's guess two more."""
    calls = []

    def f(t: Any, y: Any) -> Any:
        calls.append(1)
        return forced(t, y)

    found = integrate(f, Y0, [0, 3], Heun())
    assert found.nfe == len(calls) == 2 + 2 * (found.accepted[0] + found.rejected[0])
    problem = OdeProblem(f)
    assert integrate(problem, Y0, [0, 3], Heun()).nfe == found.nfe
    assert problem.f is f


def test_a_first_step_that_is_given_is_taken() -> None:
    """`first_step` replaces the estimate and its evaluation; it is no longer than the interval."""
    given = at_fixed_steps(Heun(), forced, Y0, [0, 1], 0.25)
    assert (given.nfe, given.accepted[0]) == (9, 4)
    assert at_fixed_steps(Heun(), forced, Y0, [0, 1], 7.0).accepted[0] == 1


def test_the_last_step_lands_on_the_end() -> None:
    """The end of the interval is met exactly, however the steps fall."""
    found = at_fixed_steps(Heun(), forced, Y0, [0, 1], 0.3)
    assert found.reached[0] == 1.0
    assert [float(record.t[0]) for record in found.record[:-1]] == pytest.approx([0.3, 0.6, 0.9])


def test_a_nan_sample_does_not_touch_the_others() -> None:
    """Where samples step by themselves, the others' answers and steps are bit for bit those without it."""
    poisoned = np.concatenate((Y0, [[np.nan, 1.0]]))
    alone = integrate(forced, Y0, [0, 1, 2], Heun(), per_sample=True)
    found = integrate(forced, poisoned, [0, 1, 2], Heun(), per_sample=True, on_failure="record")
    assert found.status == (OdeStatus.FINISHED,) * 3 + (OdeStatus.NONFINITE,)
    np.testing.assert_array_equal(found.y[:, :3], alone.y)
    np.testing.assert_array_equal(found.accepted[:3], alone.accepted)
    assert np.isnan(found.y[1:, 3]).all()


def test_a_batch_that_steps_as_one_says_who_held_it_back() -> None:
    """With one error norm for the batch a nan ends all, and the status tells the culprit from the rest."""
    poisoned = np.concatenate((Y0, [[np.nan, 1.0]]))
    found = integrate(forced, poisoned, [0, 2], Heun(), on_failure="record")
    assert found.status == (OdeStatus.HELD_BACK,) * 3 + (OdeStatus.NONFINITE,)

    def fails_later(t: Any, y: Any) -> Any:
        late = np.asarray([[1.0], [1.0], [np.inf if float(t.max()) > 0.5 else 1.0]])
        return -y * late

    later = integrate(fails_later, Y0, [0, 2], Heun(), on_failure="record")
    assert later.status == (OdeStatus.HELD_BACK,) * 2 + (OdeStatus.NONFINITE,)
    assert 0.4 < later.reached[0] <= 0.5


def test_samples_have_their_own_steps() -> None:
    """A fast sample makes no slow one step more finely, and each has the accuracy of its own integration."""
    rates = np.array([[1.0], [30.0]])
    y0 = np.ones((2, 1))
    together = integrate(lambda t, y: -rates * y, y0, [0, 1, 2], Heun(), per_sample=True)
    assert together.accepted[1] > 3 * together.accepted[0]
    for sample in (0, 1):
        rate = rates[sample : sample + 1]
        alone = integrate(lambda t, y, rate=rate: -rate * y, y0[:1], [0, 1, 2], Heun(), per_sample=True)
        np.testing.assert_allclose(together.y[:, sample : sample + 1], alone.y, rtol=1e-13)
        assert together.accepted[sample] == alone.accepted[0]


def test_blow_up_is_not_a_solution() -> None:
    """The solution of y' = y² has a pole at t = 1: the step vanishes there, and that is said with the place."""
    with pytest.raises(
        IntegrationError, match=r"1 of 2 samples before t = 2: 1 × the step size vanished.*at t = 1"
    ) as e:
        integrate(lambda t, y: y * y, np.array([[1.0], [-1.0]]), [0, 2], Heun(), per_sample=True, on_failure="raise")
    assert e.value.solution.status == (OdeStatus.STEP_TOO_SMALL, OdeStatus.FINISHED)
    assert e.value.solution.reached[0] == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(e.value.solution.y[-1, 1], 1 / (-1 - 2), rtol=1e-3)


def test_the_step_limit_is_a_status() -> None:
    """Running out of steps warns or records, as asked, and leaves nan where nothing was computed."""
    with pytest.warns(IntegrationWarning, match="3 × max_steps was reached"):
        found = integrate(rotation, Y0, [0, 0.001, 50], Heun(), max_steps=9, on_failure="warn")
    assert set(found.status) == {OdeStatus.MAX_STEPS}
    assert found.accepted[0] + found.rejected[0] == 9
    assert np.isfinite(found.y[1]).all()
    assert np.isnan(found.y[2]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": [0.0]}, "two or more finite times"),
        ({"t": [0.0, 1.0, 0.5]}, "increasing or decreasing"),
        ({"t": [0.0, np.inf]}, "finite"),
        ({"t": 1.0}, "two or more"),
        ({"rtol": -1.0}, "rtol"),
        ({"atol": 0.0}, "atol"),
        ({"first_step": -0.1}, "first_step"),
        ({"on_failure": "ignore"}, "on_failure"),
        ({"y0": np.float64(1.0)}, "batch axis"),
        ({"f": lambda t, y: y[:, :1]}, r"shape of y: \(3, 2\) became \(3, 1\)"),
        ({"f": lambda t, y: y.astype(np.float32)}, "dtype of y: float64 became float32"),
    ],
)
def test_mistakes_are_refused(change: dict[str, Any], message: str) -> None:
    """What cannot be integrated is an error that says why."""
    arguments = {"f": rotation, "y0": Y0, "t": [0, 1], "integrator": Heun()} | change
    with pytest.raises(ValueError, match=message):
        integrate(**arguments)


def test_time_broadcasts_against_the_state() -> None:
    """The map sees one time for the batch, or one for each sample, with an axis for each of the state's."""
    shapes = set()

    def f(t: Any, y: Any) -> Any:
        shapes.add(tuple(t.shape))
        return array_namespace(y).cos(t) + 0 * y

    y0 = np.zeros((3, 2, 2))
    for per_sample in (False, True):
        found = integrate(f, y0, [0, 1], Heun(), per_sample=per_sample, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.y[-1], np.full((3, 2, 2), np.sin(1)), atol=1e-3)
    assert shapes == {(1, 1, 1), (3, 1, 1)}
