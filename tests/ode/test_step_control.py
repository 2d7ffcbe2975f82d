"""The controllers' formulas and the first step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib.ode.flow import Flow, FlowPoint, lane_rms, tolerance_norm
from equilib.ode.step_control import Controller, ControlState, IController, PIController, first_step

YES, NO = np.array([True]), np.array([False])
RUNNING = ControlState(np.array([0.5]), np.array([False]))


def pi(error: float, accepted: np.ndarray, state: ControlState = RUNNING, order: int = 5) -> float:
    """Return the factor of the default PI controller in one lane."""
    return float(PIController().factor(np.array([error]), accepted, state, order)[0])


def test_pi_formula_after_acceptance() -> None:
    """The factor is γ E^(−7/(10p)) E'^(2/(5p))."""
    assert pi(0.3, YES) == pytest.approx(0.9 * 0.3**-0.14 * 0.5**0.08, rel=1e-14)
    assert pi(0.3, YES, order=3) == pytest.approx(0.9 * 0.3 ** (-7 / 30) * 0.5 ** (2 / 15), rel=1e-14)


def test_pi_formula_after_rejection() -> None:
    """The factor is γ E^(−7/(10p)), at least a fifth, whatever the error before."""
    assert pi(2.0, NO) == pytest.approx(0.9 * 2**-0.14, rel=1e-14)
    assert pi(1e9, NO) == 0.2


def test_growth_is_bounded_and_the_first_step_is_a_guess() -> None:
    """No error lets the step grow tenfold; ten-thousandfold if none was accepted before."""
    assert pi(0.0, YES) == 10.0
    assert pi(0.0, YES, ControlState.start(1)) == 1e4


@pytest.mark.parametrize("error", [np.nan, np.inf])
@pytest.mark.parametrize("controller", [PIController(), IController()])
def test_an_error_that_is_not_finite_shrinks_most(error: float, controller: Controller) -> None:
    """Overflow in a step asks for the strongest reduction, never for nan."""
    assert controller.factor(np.array([error]), NO, RUNNING, 5)[0] == 0.2


def test_i_formula() -> None:
    """The factor is γ E^(−1/(p+1)), and below 1 after a rejection."""
    orders = np.array([1, 3])
    factor = IController().factor(np.array([0.2, 0.2]), np.array([True, True]), ControlState.start(2), orders)
    np.testing.assert_allclose(factor, 0.9 * 0.2 ** (-1 / (orders + 1)))
    assert IController().factor(np.array([1.01]), NO, RUNNING, 3)[0] <= 0.9


def test_lanes_have_their_own_memory() -> None:
    """Only lanes that accepted remember the error, and not less than 1e-4; the others are as they were."""
    state = ControlState.start(3).after(np.array([0.5, 1e-9, 7.0]), np.array([True, True, False]))
    np.testing.assert_array_equal(state.error, [0.5, 1e-4, 1e-4])
    np.testing.assert_array_equal(state.first, [False, False, True])


def guess(f: Any, y0: np.ndarray, span: float, order: int = 3, tol: float = 1e-3) -> tuple[float, int]:
    """Return the first step for one lane, and the evaluations it took."""
    flow = Flow(f, y0, 1, tolerance_norm(tol, tol, 1))
    t0 = np.zeros(1)
    start = FlowPoint(t0, y0, flow(t0, y0))
    calls = []
    counted = Flow(lambda t, y: calls.append(1) or f(t, y), y0, 1, flow.error_norm)
    scale = tol + tol * np.abs(y0)
    h = first_step(counted, start, np.array([span]), order, lambda array: lane_rms(array / scale, 1))
    return float(h[0]), len(calls)


def test_first_step_formula() -> None:
    """For y' = −y, y(0) = 1 the probe finds ‖y''‖ = ‖y'‖ = 1/2 tol⁻¹, so h = (0.02 tol)^(1/p)."""
    h, calls = guess(lambda t, y: -y, np.ones((1, 4)), 10.0)
    assert h == pytest.approx((0.01 / 500) ** (1 / 3), rel=1e-12)
    assert calls == 1


def test_first_step_points_to_the_end_and_stays_inside() -> None:
    """Its sign is the interval's, and it is no longer; where nothing moves, it is a hundred probes."""
    assert guess(lambda t, y: -y, np.ones((1, 4)), -10.0)[0] < 0
    assert guess(lambda t, y: -y, np.ones((1, 4)), 1e-5)[0] == 1e-5
    assert guess(lambda t, y: 0 * y, np.zeros((1, 4)), 1.0)[0] == pytest.approx(1e-6)
