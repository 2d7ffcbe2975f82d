"""Events: located to rounding, by every integrator, in each sample's own time."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib.arrays import array_namespace
from equilib.ode import Event, OdeStatus, integrate
from equilib.ode.event_search import zero_between
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM
from equilib_scipy.integrators import BDF, RK45
from equilib_sundials.cvode import CVODE
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import rotated, rotation

G = 9.81
BALLS = np.array([[1.0, 0.0], [2.0, 1.0], [5.0, -3.0]])
IMPACTS = (BALLS[:, 1] + np.sqrt(BALLS[:, 1] ** 2 + 2 * G * BALLS[:, 0])) / G
INTEGRATORS = [Tsit5(), VCABM(), VCAB3(), RK45(), BDF(), CVODE()]
by_all = pytest.mark.parametrize("integrator", INTEGRATORS, ids=lambda each: type(each).__name__)


def falling(t: Any, y: Any) -> Any:
    """Return the right-hand side of height' = speed, speed' = −g."""
    xp = array_namespace(y)
    return xp.stack((y[:, 1], 0 * y[:, 0] - G), axis=1)


def height(t: Any, y: Any) -> Any:
    """Return the height."""
    return y[:, 0]


def speed(t: Any, y: Any) -> Any:
    """Return the speed."""
    return y[:, 1]


@by_all
def test_balls_end_on_the_ground(integrator: Any) -> None:
    """Each sample ends at its own impact, a success; what was asked for later is nan, and what was before is there."""
    settings: dict[str, Any] = {"rtol": 1e-7, "atol": 1e-7, "per_sample": True, "dense": True}
    found = integrate(falling, BALLS, [0, 0.3, 0.5, 5], integrator, events=[Event(height)], **settings)
    assert found.status == (OdeStatus.EVENT,) * 3
    assert found.success
    (record,) = found.events
    np.testing.assert_array_equal(record.count, 1)
    np.testing.assert_array_equal(record.t[0], found.reached)
    np.testing.assert_allclose(record.t[0], IMPACTS, atol=3e-6)
    np.testing.assert_allclose(record.y[0, :, 0], 0, atol=2e-14)
    np.testing.assert_allclose(record.y[0, :, 1], BALLS[:, 1] - G * IMPACTS, atol=3e-5)
    np.testing.assert_array_equal(np.isnan(found.y[2:, :, 0]), [[True, False, False], [True, True, True]])
    np.testing.assert_allclose(found.y[2, 2, 0], 5 - 1.5 - G / 8, atol=5e-6)
    np.testing.assert_allclose(found.trajectory(np.stack([record.t[0], 0.9 * record.t[0]]))[0, :, 0], 0, atol=1e-13)
    with pytest.raises(ValueError, match="where there is a solution"):
        found.trajectory(np.full((1, 3), 1.0))


@pytest.mark.parametrize("integrator", [Tsit5(), VCABM(), RK45()], ids=str)
@pytest.mark.parametrize(("sign", "expected"), [(0, [0.5, 1.5, 2.5]), (1, [1.5]), (-1, [0.5, 2.5])])
def test_directions(sign: int, expected: list[float], integrator: Any) -> None:
    """An event that ends nothing is found each time, rising or falling as the integration goes, backward too."""
    y0, span = np.array([[1.0, 0.0]]), 3.0
    for t0, direction in ((0.0, 1), (span, -1)):
        event = Event(height, direction=sign * direction, terminal=False)
        start = rotated(y0, t0 * np.pi)
        times = [t0 * np.pi, (span - t0) * np.pi]
        found = integrate(rotation, start, times, integrator, events=[event], rtol=1e-8, atol=1e-8)
        assert found.status == (OdeStatus.FINISHED,)
        np.testing.assert_allclose(found.events[0].of(0)[0] / np.pi, expected[::direction], atol=1e-6)


def test_what_comes_after_the_end_is_no_event() -> None:
    """A terminal event ends its sample and no other; events of one step are told apart by their times."""
    first, second = Event(lambda t, y: t[:, 0] - 0.5, terminal=False), Event(lambda t, y: y[:, 0] - 1)
    third = Event(lambda t, y: t[:, 0] - 0.75, terminal=False)
    y0 = np.array([[0.4], [-9.0]])
    found = integrate(
        lambda t, y: 1 + 0 * y, y0, [0, 1], Tsit5(), events=[first, second, third], per_sample=True, first_step=1.0
    )
    assert found.status == (OdeStatus.EVENT, OdeStatus.FINISHED)
    assert [each.count.tolist() for each in found.events] == [[1, 1], [1, 0], [0, 1]]
    np.testing.assert_allclose(found.reached, [0.6, 1.0], rtol=1e-14)
    assert np.isnan(found.events[1].t[0, 1])
    times, states = found.events[2].of(1)
    np.testing.assert_allclose((times[0], states[0, 0]), (0.75, -8.25), rtol=1e-14)


def test_the_initial_time_is_no_event() -> None:
    """What begins on the ground comes down again, though the first step passes both."""
    y0 = np.array([[0.0, 1.0]])
    found = integrate(falling, y0, [0, 1], Tsit5(), events=[Event(height)], first_step=1.0)
    np.testing.assert_allclose(found.reached, 2 / G, rtol=1e-13)
    down = Event(height, direction=-1)
    again = integrate(falling, found.events[0].y[0] * np.array([1.0, -0.5]), [0, 1], Tsit5(), events=[down])
    np.testing.assert_allclose(again.reached, 1 / G, rtol=1e-12)


def test_samples_come_to_events_by_themselves(xp: ModuleType) -> None:
    """Any array library gives one answer, and a sample's is that of it alone."""
    events = [Event(height), Event(speed, terminal=False)]
    settings: dict[str, Any] = {"events": events, "per_sample": True, "rtol": 1e-6}
    for integrator in (Tsit5(), RK45()):
        found = integrate(falling, lift(xp, BALLS), [0, 5], integrator, **settings)
        for sample in range(3):
            alone = integrate(falling, BALLS[sample : sample + 1], [0, 5], integrator, **settings)
            for one, all_of_them in zip(alone.events, found.events, strict=True):
                for mine, theirs in zip(one.of(0), all_of_them.of(sample), strict=True):
                    np.testing.assert_allclose(mine, lower(theirs), rtol=1e-12, atol=1e-14)


def test_states_that_are_trees_have_events() -> None:
    """An event of a tree sees the tree, and its record holds one."""
    y0 = {"height": BALLS[:, 0], "speed": BALLS[:, 1:]}

    def f(t: Any, y: Any) -> Any:
        return {"height": y["speed"][:, 0], "speed": -G + 0 * y["speed"]}

    event = Event(lambda t, y: y["height"] + 0 * t)
    (record,) = integrate(f, y0, [0, 5], Tsit5(), events=[event], per_sample=True).events
    np.testing.assert_allclose(record.t[0], IMPACTS, rtol=1e-10)
    np.testing.assert_allclose(record.of(1)[1]["speed"], [[1 - G * IMPACTS[1]]], rtol=1e-10)


def test_zeros_are_found_to_rounding() -> None:
    """A bracket ends a float wide, at the side that follows, flat and steep functions together, either way."""
    powers, zero = np.array([1.0, 3.0, 1.0, 7.0]), np.array([0.3, 1e-9, 1 / 3, 2.0])

    def g(t: np.ndarray) -> np.ndarray:
        looked.append(t)
        return np.expm1(np.clip((t - zero) * [1, 1, 40, 1], -50, 50)) ** powers

    a, b = np.array([0.0, -1.0, 5.0, -3.0]), np.array([1.0, 2.0, -4.0, 4.0])
    looked: list[np.ndarray] = []
    t = zero_between(g, a, b, g(a), g(b))
    np.testing.assert_allclose(t, zero, atol=2e-15)
    assert (g(t) * np.sign(g(b)) >= 0).all()
    assert len(looked) < 80


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"per_sample": False}, "sample comes to an event in its own time"),
        ({"events": [Event(lambda t, y: y)]}, r"a number for each sample, shape \(3,\), it returned shape \(3, 2\)"),
        ({"events": [Event(lambda t, y: 1.0)]}, "a number for each sample, .*, it returned a float"),
    ],
)
def test_mistakes_are_refused(change: dict[str, Any], message: str) -> None:
    """What is no event is an error that says why."""
    settings: dict[str, Any] = {"events": [Event(height)], "per_sample": True} | change
    with pytest.raises((TypeError, ValueError), match=message):
        integrate(falling, BALLS, [0, 1], Tsit5(), **settings)
    with pytest.raises(TypeError, match="an event must be an Event, got a function; write Event"):
        integrate(falling, BALLS, [0, 1], Tsit5(), per_sample=True, events=[height])  # type: ignore[list-item]
    for events in (Event(height), None):
        with pytest.raises(TypeError, match=r"events must be a sequence, such as \[Event\(g\)\]"):
            integrate(falling, BALLS, [0, 1], Tsit5(), per_sample=True, events=events)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="direction must be 1"):
        Event(height, direction=2)
    with pytest.raises(TypeError, match="terminal must be a bool"):
        Event(height, terminal="yes")  # type: ignore[arg-type]
