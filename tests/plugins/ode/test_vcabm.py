"""Adams-Bashforth-Moulton of variable order: coefficients, order selection, cost, accuracy."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks.jumps import by_ours, jump_in_time
from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.integration import integrate
from equilib.ode.integrator import Memory
from equilib_ode.adams import distances, rescaling, weight_polynomials, weights
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcabm import VCABM
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import forced, reference, rotated, rotation

Y0 = np.array([[1.0, 0.0], [0.0, 2.0], [-0.5, 0.5]])
CONSTANT = distances(np.full((8, 1), 0.1))


def test_weights_at_constant_steps() -> None:
    """At constant steps gⱼ are the coefficients 1, 1/2, 5/12, 3/8, 251/720, 95/288 of Adams and Bashforth."""
    g = weights(np.array([0.1]), CONSTANT, 6)
    np.testing.assert_allclose(np.ravel(g), [1, 1 / 2, 5 / 12, 3 / 8, 251 / 720, 95 / 288], rtol=1e-13)
    np.testing.assert_allclose(np.ravel(rescaling(np.array([0.1]), CONSTANT, 6)), 1, rtol=1e-13)


def test_differences_of_weights_are_moultons() -> None:
    """At constant steps gⱼ − gⱼ₋₁ are those of Adams and Moulton (Hairer, Nørsett & Wanner I, table III.1.2)."""
    g = np.ravel(weights(np.array([0.1]), CONSTANT, 8))
    moulton = [-1 / 2, -1 / 12, -1 / 24, -19 / 720, -3 / 160, -863 / 60480, -275 / 24192]
    np.testing.assert_allclose(np.diff(g), moulton, rtol=1e-12)


def test_weights_are_the_polynomials_at_one() -> None:
    """With any steps Gⱼ(1) = gⱼ."""
    h, d = np.array([0.2, 0.05]), distances(np.array([[0.1, 0.3], [0.4, 0.2], [0.1, 0.1], [0.3, 0.2]]))
    at_one = [polynomial.sum(axis=0) for polynomial in weight_polynomials(h, d, 5)]
    np.testing.assert_allclose(at_one, weights(h, d, 5), rtol=1e-13)


@pytest.mark.parametrize("degree", range(1, 6))
def test_polynomials_of_the_order_are_integrated_exactly(degree: int) -> None:
    """Y' = d t^(d−1) is exact once the order is that high, at the ends of steps of any size and inside them."""

    def f(t: Any, y: Any) -> Any:
        return degree * t ** (degree - 1) + 0 * y

    times = [1.0, 1.234, 2.0, 3.0]
    found = integrate(f, np.full((1, 1), 1.0), times, VCABM(max_order=degree), rtol=1e-10, atol=1e-10)
    late = integrate(f, np.full((1, 1), 1.0), times, VCABM(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.y[:, 0, 0], found.t**degree, rtol=1e-8)
    np.testing.assert_allclose(late.y[:, 0, 0], late.t**degree, rtol=1e-8)


def test_the_order_grows_with_the_accuracy_asked_for() -> None:
    """Tighter tolerances choose higher orders on average, never beyond the bound."""
    orders = [
        np.mean([int(r.plan.order[0]) for r in integrate(rotation, Y0, [0, 10], VCABM(), rtol=tol, atol=tol).record])
        for tol in (1e-3, 1e-6, 1e-10)
    ]
    assert orders[0] < orders[1] < orders[2] <= 12
    bounded = integrate(rotation, Y0, [0, 10], VCABM(max_order=4), rtol=1e-8, atol=1e-8)
    assert max(int(record.plan.order[0]) for record in bounded.record) == 4


def test_two_evaluations_per_accepted_step_and_one_per_rejected_one() -> None:
    """PECE: the second evaluation is spent only on what is kept; the first step, by Runge-Kutta, costs three."""
    kinked = lambda t, y: -y + 3 * np.sign(np.sin(5 * t + 1))  # noqa: E731
    found = integrate(kinked, np.ones((1, 1)), [0, 4], VCABM(), rtol=1e-5, atol=1e-5)
    assert found.rejected[0] > 3
    assert found.nfe == 2 + 3 + 2 * int(found.accepted[0] - 1) + int(found.rejected[0])


def test_high_orders_see_where_f_jumps() -> None:
    """At order k the estimate is some γ*ₖ of what a jump of f does to a step; it does not fall from order to order."""
    kind, tolerance = jump_in_time(np.random.default_rng(0), 12), 1e-8
    y, finished, _ = by_ours(kind, VCABM(), tolerance)
    assert finished.all()
    np.testing.assert_allclose(y, kind.end, rtol=100 * tolerance, atol=100 * tolerance)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-8, 1e-11])
def test_accuracy(tolerance: float) -> None:
    """The error at the ends and inside the steps is within a hundred tolerances."""
    times = [0.0, 0.9, 2.3, 5.0]
    found = integrate(forced, Y0, times, VCABM(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found.y, reference(forced, Y0, times), atol=100 * tolerance)


def test_fewer_evaluations_than_runge_kutta_at_high_accuracy() -> None:
    """That is what the method is for."""
    settings = {"rtol": 1e-10, "atol": 1e-10}
    adams, runge_kutta = (integrate(rotation, Y0, [0, 10], method, **settings) for method in (VCABM(), Tsit5()))
    assert adams.nfe < 0.4 * runge_kutta.nfe


@pytest.mark.parametrize("first_step", [None, 1.0])
def test_samples_have_their_own_order(xp: ModuleType, first_step: float | None) -> None:
    """Samples with different rates, orders and rejections each take the steps they take alone."""
    rates = np.array([[1.0], [25.0], [5.0]])
    settings: dict[str, Any] = {"per_sample": True, "rtol": 1e-5, "first_step": first_step}
    on = lift(xp, rates)
    together = integrate(lambda t, y: -on * y, lift(xp, np.ones((3, 1))), [0, 0.6, 1], VCABM(), **settings)
    assert len(set(together.accepted)) == 3
    for sample in range(3):
        alone = integrate(lambda t, y, r=rates[sample, 0]: -r * y, np.ones((1, 1)), [0, 0.6, 1], VCABM(), **settings)
        np.testing.assert_allclose(lower(together.y)[:, sample], alone.y[:, 0], rtol=1e-10)
        assert (together.accepted[sample], together.rejected[sample]) == (alone.accepted[0], alone.rejected[0])


def test_a_nan_sample_does_not_touch_the_others() -> None:
    """The samples beside a nan get what they get without it."""
    poisoned = np.concatenate((Y0, [[np.nan, 1.0]]))
    alone = integrate(forced, Y0, [0, 2], VCABM(), per_sample=True)
    found = integrate(forced, poisoned, [0, 2], VCABM(), per_sample=True, on_failure="record")
    np.testing.assert_array_equal(found.y[:, :3], alone.y)
    assert not found.success


def test_single_precision_stays(xp: ModuleType) -> None:
    """A float32 state stays float32, in the trajectory too."""
    found = integrate(rotation, lift(xp, Y0, "float32"), [0, 1], VCABM(), per_sample=True, dense=True, rtol=1e-4)
    assert found.y.dtype == found.trajectory(0.5).dtype == xp.float32
    np.testing.assert_allclose(lower(found.trajectory(0.5)), rotated(Y0, 0.5), atol=1e-3)


def test_the_order_bound_is_checked() -> None:
    """Orders beyond 12 are refused."""
    with pytest.raises(ValueError, match="max_order"):
        VCABM(max_order=13)


def test_a_bad_first_step_is_recovered_from() -> None:
    """After rejections down to order 1 the order climbs again: a first step that is far too large costs little."""
    settings = {"rtol": 1e-5, "atol": 1e-6}
    good, bad = (
        integrate(lambda t, y: -25 * y, np.ones((1, 1)), [0, 1], VCABM(), first_step=h, **settings) for h in (None, 1.0)
    )
    assert bad.rejected[0] > good.rejected[0]
    assert bad.nfe < 1.5 * good.nfe


def history_of_order(k: int, f: Any, h: float) -> tuple[Flow, FlowPoint, Memory]:
    """Return where k steps of size h lead to, ready for a predictor of order k."""
    flow = Flow(f, np.zeros((1, 1)), 1, lambda error, start, y: np.abs(np.asarray(error)).ravel())
    t = np.zeros(1)
    here = FlowPoint(t, np.zeros((1, 1)), f(t, np.zeros((1, 1))))
    memory = VCABM().begin(flow, here)
    for order in range(1, k + 1):
        memory = Memory(memory.arrays, memory.host._replace(order=np.array([order])))
        attempt = VCABM().attempt(flow, here, np.array([h]), memory)
        here, memory = VCABM().advance(flow, here, here.t + h, attempt, np.array([True]), memory)
    return flow, here, Memory(memory.arrays, memory.host._replace(order=np.array([k])))


@pytest.mark.parametrize(("k", "weight"), [(1, 1 / 2), (2, 1 / 12), (3, 1 / 24), (4, 19 / 720)])
def test_the_error_is_what_the_next_order_adds(k: int, weight: float) -> None:
    """At constant steps the error is h γ*ₖ times the k-th difference of the slopes, γ* being Adams and Moulton's."""
    h = 0.1
    flow, here, memory = history_of_order(k, lambda t, y: np.reshape(t, (1, 1)) ** k + 0 * y, h)
    attempt = VCABM().attempt(flow, here, np.array([h]), memory)
    assert attempt.error[0] == pytest.approx(h * weight * math.factorial(k) * h**k, rel=1e-9)
    assert attempt.y[0, 0] == pytest.approx((here.t[0] + h) ** (k + 1) / (k + 1), rel=0.2)


def test_rejections_end_the_start_and_at_last_the_history() -> None:
    """The first rejection ends the climb; the third in a row goes back to order 1; the differences stay."""
    flow, here, memory = history_of_order(3, lambda t, y: np.exp(np.reshape(t, (1, 1))) + 0 * y, 0.1)
    memory = Memory(memory.arrays, memory.host._replace(starting=np.array([True])))
    orders = []
    for _ in range(3):
        attempt = VCABM().attempt(flow, here, np.array([0.2]), memory)
        there, after = VCABM().advance(flow, here, here.t, attempt, np.array([False]), memory)
        assert there is here
        assert after.arrays is memory.arrays
        assert not after.host.starting[0]
        orders.append(int(after.host.order[0]))
        memory = after
    assert orders[-1] == 1
    assert orders[0] > 1


@pytest.mark.parametrize(("size", "rate"), [(3.7, 1.0), (1.0, 1 / 7), (0.1, 3.7)])
@pytest.mark.parametrize("f", [rotation, lambda t, y: -y], ids=["rotation", "decay"])
def test_rounding_decides_no_step(f: Any, size: float, rate: float) -> None:
    """In units of other than powers of two all is rounded otherwise: differences of leaps must not make that count."""

    def steps(size: float, rate: float, rtol: float) -> tuple[int, int, int]:
        found = integrate(
            lambda t, y: size * rate * f(t * rate, y / size),
            size * Y0,
            (0.0, 6.0 / rate),
            VCABM(),
            rtol=rtol,
            atol=rtol * size,
        )
        return int(found.accepted[0]), int(found.rejected[0]), found.nfe

    for rtol in (1e-6, 1e-9):
        assert steps(size, rate, rtol) == steps(1.0, 1.0, rtol)
