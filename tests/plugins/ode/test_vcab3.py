"""Adams-Bashforth of order 3 with variable steps: its formula, its cost, and its history."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib.ode.flow import Flow, FlowPoint
from equilib.ode.integration import integrate
from equilib.ode.integrator import Memory
from equilib_ode.vcab3 import VCAB3
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import at_fixed_steps, forced, measured_order, reference, rotated, rotation

Y0 = np.array([[1.0, 0.0], [0.0, 2.0], [-0.5, 0.5]])


def evolve(f: Any, times: list[float], values: list[float]) -> tuple[Flow, FlowPoint, Memory]:
    """Return a history of steps that were taken at `times` with the given solution values, and where it stands."""
    flow = Flow(f, np.zeros((1, 1)), 1, lambda error, start, y: np.abs(np.asarray(error)).ravel())
    points = [
        FlowPoint(np.array([t]), np.array([[y]]), f(t, np.array([[y]]))) for t, y in zip(times, values, strict=True)
    ]
    memory = VCAB3().begin(flow, points[0])
    for here, there in pairwise(points):
        attempt = VCAB3().attempt(flow, here, there.t - here.t, memory)
        _, memory = VCAB3().advance(flow, here, there.t, attempt, np.array([True]), memory)
    return flow, points[-1], memory


def test_the_step_integrates_the_parabola_through_three_slopes() -> None:
    """After steps of 0.3 and 0.1, one of 0.25 is the integral of the quadratic through the last three slopes."""
    times = [0.0, 0.3, 0.4]
    slopes = [1.0, -2.0, 0.5]
    parabola = np.polyfit(times, slopes, 2)
    flow, here, memory = evolve(lambda t, y: np.polyval(parabola, t) + 0 * y, times, [0.0, 0.0, 0.0])
    attempt = VCAB3().attempt(flow, here, np.array([0.25]), memory)
    quadratic = np.polyint(parabola)
    line = np.polyint(np.polyfit(times[1:], slopes[1:], 1))
    by_three = np.polyval(quadratic, 0.65) - np.polyval(quadratic, 0.4)
    by_two = np.polyval(line, 0.65) - np.polyval(line, 0.4)
    assert attempt.y.item() == pytest.approx(by_three, rel=1e-12)
    assert attempt.error[0] == pytest.approx(abs(by_three - by_two), rel=1e-12)


def test_constant_steps_have_the_classical_weights() -> None:
    """At constant steps the weights of fₙ, fₙ₋₁, fₙ₋₂ are 23/12, −16/12, 5/12."""
    weights = []
    for slopes in np.eye(3)[::-1]:
        flow, here, memory = evolve(
            lambda t, y, s=slopes: np.interp(t, range(3), s) + 0 * y, [0.0, 1.0, 2.0], [0.0, 0.0, 0.0]
        )
        weights.append(VCAB3().attempt(flow, here, np.ones(1), memory).y.item())
    np.testing.assert_allclose(weights, np.array([23, -16, 5]) / 12)


def test_the_order_is_measured() -> None:
    """Halving a fixed step divides the error by 2³, to the power within 0.2."""
    assert measured_order(VCAB3(), (64, 128)) == pytest.approx(3, abs=0.2)


def test_quadratic_slopes_are_integrated_exactly() -> None:
    """Y' = 3t² is exact to rounding, with steps that vary as the controller likes, and inside them."""
    found = integrate(lambda t, y: 3 * t**2 + 0 * y, np.zeros((1, 1)), [0, 0.77, 2], VCAB3(), rtol=1e-4)
    np.testing.assert_allclose(found.y[:, 0, 0], found.t**3, atol=1e-12)


def test_one_evaluation_per_accepted_step_and_one_at_most_per_rejected_one() -> None:
    """After the ramp, three evaluations for each of its two steps, a step costs one, unless its estimate refuses it."""
    for end in (2.0, 3.0, 4.0):
        found = integrate(
            lambda t, y: -y + np.sign(np.sin(5 * t + 1)), np.ones((1, 1)), [0, end], VCAB3(), rtol=1e-4, atol=1e-4
        )
        accepted, rejected = int(found.accepted[0]), int(found.rejected[0])
        assert rejected > 3
        assert 2 + 3 * 2 + accepted - 2 < found.nfe <= 2 + 3 * 2 + accepted + rejected - 2
    flow, here, memory = evolve(lambda t, y: np.exp(t) + 0 * y, [0.0, 0.1, 0.2], [1.0, 1.1, 1.2])
    assert VCAB3().attempt(flow, here, np.full(1, 9.0), memory).stages == ()
    assert at_fixed_steps(VCAB3(), forced, Y0, [0, 1], 1 / 16).nfe == 1 + 3 * 2 + 14


@pytest.mark.parametrize(("tolerance", "bound"), [(1e-4, 1e-3), (1e-6, 1e-5)])
def test_the_slope_at_the_end_of_a_step_is_seen(tolerance: float, bound: float) -> None:
    """A switch, a sudden step and a kink lie ahead of the history: what happens there is rejected, not skipped."""
    rises = [
        (lambda t, y: 1 / (1 + np.exp(-20 * (t - 5))) + 0 * y, 10.0, 5.0),
        (lambda t, y: (t > 1) + 0 * y, 2.0, 1.0),
        (lambda t, y: np.maximum(t - 1, 0) + 0 * y, 3.0, 2.0),
    ]
    for f, end, rise in rises:
        found = integrate(f, np.zeros((1, 1)), [0, end], VCAB3(), rtol=tolerance, atol=tolerance)
        assert found.y[-1, 0, 0] == pytest.approx(rise, abs=bound)


def test_the_slope_at_the_end_costs_little_on_smooth_equations() -> None:
    """Where the extrapolated slope is right nothing is rejected that was not, but for a step in a hundred."""

    class Trusting(VCAB3):
        """The method that believes its own estimate."""

        def attempt(self, flow: Any, start: Any, h: Any, memory: Any) -> Any:
            """Leave out the second estimate."""
            seen: list[Any] = []
            norm = flow.error_norm
            flow.error_norm = lambda *args: seen.append(norm(*args)) or seen[0]
            found = super().attempt(flow, start, h, memory)
            flow.error_norm = norm
            return found

    wary, trusting = (integrate(rotation, Y0, [0, 20], each, rtol=1e-5, atol=1e-5) for each in (VCAB3(), Trusting()))
    assert wary.nfe <= 1.01 * trusting.nfe


@dataclass(frozen=True)
class Forgetful(VCAB3):
    """The defect of other implementations: a step that is rejected in the ramp stays in the history."""

    def advance(self, flow: Any, start: Any, t: Any, attempt: Any, accepted: Any, memory: Any) -> Any:
        """Keep the history of the attempt whatever comes of it."""
        point, kept = super().advance(flow, start, t, attempt, accepted, memory)
        return point, attempt.memory if attempt.stages else kept


@pytest.mark.parametrize("tolerance", [1e-7, 1e-3])
def test_a_rejected_step_restores_the_history(tolerance: float) -> None:
    """Y' = −y + sin t with a first step that is far too large: the error is that of a good start."""

    def outcome(method: VCAB3, first_step: float | None) -> tuple[float, int]:
        f = lambda t, y: -y + np.sin(t)  # noqa: E731
        found = integrate(f, np.ones((1, 1)), [0, 4], method, rtol=tolerance, atol=tolerance, first_step=first_step)
        assert first_step is None or found.rejected[0] > 0
        exact = 1.5 * np.exp(-4) + (np.sin(4) - np.cos(4)) / 2
        return abs(float(found.y[-1, 0, 0]) - exact), found.nfe

    (error, cost), (usual, _), (_, cost_with_a_wrong_history) = (
        outcome(VCAB3(), 3.0),
        outcome(VCAB3(), None),
        outcome(Forgetful(), 3.0),
    )
    assert error < 3 * usual
    # The slope at the end of the next step shows a wrong history: it costs evaluations, not digits.
    assert cost_with_a_wrong_history > cost


def test_rejection_leaves_point_and_memory_as_they_were() -> None:
    """A step that is not accepted returns the very objects it was given, in the ramp as after it."""
    for times in ([0.0], [0.0, 0.1], [0.0, 0.1, 0.2]):
        flow, here, memory = evolve(forced, times, [1.0] * len(times))
        attempt = VCAB3().attempt(flow, here, np.ones(1), memory)
        assert VCAB3().advance(flow, here, here.t, attempt, np.array([False]), memory) == (here, memory)


@pytest.mark.parametrize("first_step", [None, 1.0])
def test_samples_with_their_own_history(xp: ModuleType, first_step: float | None) -> None:
    """Samples that ramp, reject and run side by side each take the steps they take alone, to the same answer."""
    rates = np.array([[1.0], [25.0], [5.0]])
    y0 = np.ones((3, 1))
    settings: dict[str, Any] = {"per_sample": True, "rtol": 1e-4, "first_step": first_step}
    on = lift(xp, rates)
    together = integrate(lambda t, y: -on * y, lift(xp, y0), [0, 0.6, 1], VCAB3(), **settings)
    assert len(set(together.accepted)) == 3
    for sample in range(3):
        alone = integrate(lambda t, y, rate=rates[sample, 0]: -rate * y, y0[:1], [0, 0.6, 1], VCAB3(), **settings)
        np.testing.assert_allclose(lower(together.y)[:, sample], alone.y[:, 0], rtol=1e-12)
        assert (together.accepted[sample], together.rejected[sample]) == (alone.accepted[0], alone.rejected[0])


def test_a_nan_sample_does_not_touch_the_others() -> None:
    """The samples beside a nan get bit for bit what they get without it."""
    poisoned = np.concatenate((Y0, [[np.nan, 1.0]]))
    alone = integrate(forced, Y0, [0, 2], VCAB3(), per_sample=True)
    found = integrate(forced, poisoned, [0, 2], VCAB3(), per_sample=True, on_failure="record")
    np.testing.assert_array_equal(found.y[:, :3], alone.y)
    assert not found.success


def test_accuracy_and_precision(xp: ModuleType) -> None:
    """The error is of the size of the tolerance, and float32 stays float32."""
    found = integrate(rotation, lift(xp, Y0), [0, 3], VCAB3(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(lower(found.y[-1, ...]), rotated(Y0, 3), atol=1e-3)
    single = integrate(rotation, lift(xp, Y0, "float32"), [0, 3], VCAB3(), per_sample=True, dense=True)
    assert single.y.dtype == xp.float32
    assert single.trajectory(1.0).dtype == xp.float32


def test_the_interpolant_has_order_three() -> None:
    """Inside a step the error is of the size of that at its ends."""
    y0 = np.array([[1.0, 0.3]])
    times = (0.0, 0.37, 0.61, 1.0)
    errors = [
        np.abs(at_fixed_steps(VCAB3(), forced, y0, times, 1 / n).y - reference(forced, y0, times)) for n in (32, 64)
    ]
    np.testing.assert_allclose(np.log2(errors[0][1:].max(axis=(1, 2)) / errors[1][1:].max(axis=(1, 2))), 3, atol=0.35)
