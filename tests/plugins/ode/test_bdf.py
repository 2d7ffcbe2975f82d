"""The backward differentiation formulas: their constants, their differences, their orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib.fixed_points.linearization import Linearization
from equilib.ode import Attempt, Flow, FlowPoint, Memory, OdeProblem, Step, integrate
from equilib_ode.bdf import ALPHA, BDF, ERROR, GAMMA, KAPPA, History, _rescaled
from equilib_ode.bdf_start import ORDER, SHARE, started
from tests.initial_value_problems import forced, reference
from tests.plugins.ode.test_stiff import forced_by_ops

ORDERS = pytest.mark.parametrize("k", range(1, 6))


def backward_differences(polynomial: Any, t: float, h: float, count: int) -> list[np.ndarray]:
    """Return ∇ʲ of a polynomial at t for j = 0, 1, ..., as states of one sample with one number."""
    values = polynomial(t - h * np.arange(count + 1))
    table = [np.array(values)]
    for _ in range(count):
        table.append(table[-1][:-1] - table[-1][1:])
    return [np.array([[row[0]]]) for row in table]


def attempted(polynomial: Any, k: int, h: float) -> tuple[Flow, FlowPoint, Memory, Attempt]:
    """Return a step of order k of y' = p'(t) from differences that are exact."""
    slope = polynomial.deriv()

    def f(t: np.ndarray, y: np.ndarray) -> np.ndarray:
        return slope(t)[:, None] + 0 * y

    def linearize(t: np.ndarray, y: np.ndarray) -> Linearization:
        return Linearization(value=f(t, y), jvp=lambda v: 0 * v, vjp=lambda w: 0 * w, inputs_vjp=lambda w: ())

    flow = Flow(f, np.zeros((1, 1)), 1, lambda error, start, y: np.abs(error).ravel() / 1e-8, linearize=linearize)
    y, *differences = backward_differences(polynomial, 0.3, h, k + 2)
    start = FlowPoint(np.array([0.3]), y, f(np.array([0.3]), y))
    memory = Memory(tuple(differences), History(np.array([k]), np.array([0]), np.array([h])))
    return flow, start, memory, BDF().attempt(flow, start, np.array([h]), memory)


def test_the_constants_are_the_published_ones() -> None:
    """κ is Shampine & Reichelt's (table 1); with κ = 0 order 2 is 3/2 yₙ₊₁ − 2 yₙ + 1/2 yₙ₋₁ = h f."""
    assert KAPPA[1:6].tolist() == [-0.1850, -1 / 9, -0.0823, -0.0415, 0.0]
    np.testing.assert_allclose(GAMMA[:4], [0, 1, 3 / 2, 11 / 6])
    assert ALPHA[5] == GAMMA[5]
    assert ERROR[5] == pytest.approx(1 / 6)


@ORDERS
def test_order_k_is_exact_for_degree_k(k: int) -> None:
    """A polynomial of degree k is continued exactly, and of degree k + 1 with the error of the formula."""
    rng, h = np.random.default_rng(k), 0.4
    polynomial = np.polynomial.Polynomial(rng.standard_normal(k + 1))
    *_, exact = attempted(polynomial, k, h)
    np.testing.assert_allclose(exact.y, [[polynomial(0.7)]], atol=1e-12)
    polynomial = np.polynomial.Polynomial(rng.standard_normal(k + 2))
    *_, attempt = attempted(polynomial, k, h)
    last = backward_differences(polynomial, 0.7, h, k + 1)[-1]
    np.testing.assert_allclose(attempt.y - polynomial(0.7), ERROR[k] * last / ALPHA[k], atol=1e-10)


@ORDERS
def test_differences_and_values_between_are_those_of_the_polynomial(k: int) -> None:
    """After the step, at another step size, and inside the step the polynomial is what it was."""
    polynomial = np.polynomial.Polynomial(np.random.default_rng(k).standard_normal(k + 1))
    flow, start, memory, attempt = attempted(polynomial, k, 0.4)
    np.testing.assert_allclose(
        attempt.memory.arrays[: k + 1], backward_differences(polynomial, 0.7, 0.4, k + 1)[1:], atol=1e-11
    )
    shorter = _rescaled(flow, attempt.memory.arrays, np.array([k]), np.array([0.3]))
    np.testing.assert_allclose(shorter[:k], backward_differences(polynomial, 0.7, 0.12, k)[1:], atol=1e-11)
    step = Step(start=start, end=start, h=np.array([0.4]), accepted=np.array([True]), attempt=attempt, memory=memory)
    inside = start.y + sum(q * 0.6**power for power, q in enumerate(BDF().interpolant(flow, step), 1))
    np.testing.assert_allclose(inside, [[polynomial(0.3 + 0.6 * 0.4)]], atol=1e-11)


def test_a_step_of_the_start_has_the_differences_of_the_solution() -> None:
    """A quartic is stepped exactly, and its differences are those of points a third of the step apart."""
    polynomial = np.polynomial.Polynomial(np.random.default_rng(3).standard_normal(5))
    flow, start, *_ = attempted(polynomial, 3, 0.4)
    begun = started(BDF(), flow, start, np.array([0.4]), None)
    np.testing.assert_allclose(begun.attempt.y, [[polynomial(0.7)]], atol=1e-12)
    expected = backward_differences(polynomial, 0.7, 0.4 * SHARE, ORDER)[1:]
    np.testing.assert_allclose(begun.differences[:ORDER], expected, atol=1e-12)


@ORDERS
def test_the_order_grows_to_its_limit(k: int) -> None:
    """`max_order` bounds the order of a smooth solution, which gets there, and the error follows the tolerance."""
    y0, tolerance = np.array([[1.0, 0.3]]), 1e-5 if k == 1 else 1e-7
    found = integrate(forced_by_ops, y0, [0, 2], BDF(max_order=k), rtol=tolerance, atol=tolerance)
    assert max(int(record.plan.order.max()) for record in found.record) == k
    np.testing.assert_allclose(found.y[1], reference(forced, y0, [0, 2])[1], atol=300 * tolerance)


def test_the_start_of_one_lane_leaves_another_its_history() -> None:
    """An idle lane of order 5 has all its differences once the lane beside it has begun."""
    problem, y = OdeProblem(lambda t, y: -y), np.ones((2, 3))
    flow = Flow(problem.at, y, 2, lambda error, start, y: np.abs(error).max(axis=1), linearize=problem.linearize_at)
    waiting = Memory((y,) * 7, History(np.array([5, 0]), np.zeros(2, dtype=int), np.ones(2)))
    begun = BDF().attempt(flow, FlowPoint(np.zeros(2), y, -y), np.array([0.0, 1e-3]), waiting)
    assert len(begun.memory.arrays) == 7
