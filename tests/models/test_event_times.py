"""Events as functions of everything: their times and states against formulas and differences."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import linearize, value_and_grad
from equilib.errors import NoDerivativeError
from equilib.ode import Event, OdeOptions, OdeStatus
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.evolution import evolve
from equilib_ode.kencarp47 import KenCarp47
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcabm import VCABM
from equilib_scipy.integrators import RK45
from tests.arrays_under_test import lift, lower

WAYS = [Interpolating(), Gauss(), Backsolve(), Discrete()]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: type(way).__name__)
START = {
    "y0": np.array([[1.0, 0.3], [2.0, 1.0], [5.0, -3.0]]),
    "gravity": np.array(9.81),
    "drag": np.array(0.02),
    "floor": np.array([0.0, 0.1, -0.2]),
    "slope": np.array(0.3),
    "t0": np.array(0.1),
}


def flight(t: Any, y: Any, gravity: Any, drag: Any) -> Any:
    """Return height' = speed, speed' = −gravity − drag · speed³."""
    speed = y[:, 1]
    return ops.stack((speed, -gravity - drag * speed * speed * speed), axis=1)


def impact(a: Any, way: Any, integrator: Any, tol: float) -> Any:
    """Return a loss of impacts on a floor that rises, of highest points, of ends, and of a time between."""
    floor = Event(lambda t, y, floor, slope: y[:, 0] - floor - slope * t[:, 0], a["floor"], a["slope"])
    top = Event(lambda t, y: y[:, 1], terminal=False, direction=-1)
    options = OdeOptions(rtol=tol, atol=tol, per_sample=True)
    how: dict[str, Any] = {"adjoint": way, "options": options, "stops": (0.35,), "events": [floor, top]}
    found = evolve(flight, a["y0"], [a["t0"], 0.4, 5.0], a["gravity"], a["drag"], integrator=integrator, **how)
    assert found.status == (OdeStatus.EVENT,) * 3
    down, up = found.events
    assert up.count.tolist() == [1, 1, 0]
    loss = ops.sum(ops.sin(down.t[0])) + ops.sum(down.y[0] * np.array([0.3, 0.5])) + ops.sum(ops.cos(found.state))
    return loss + ops.sum(0.2 * found.y[1][1:]) + up.t[0][1] * up.t[0][1] + ops.sum(up.y[0][:2])


DIRECTION = {name: np.random.default_rng(3).uniform(0.5, 1.5, value.shape) for name, value in START.items()}


@pytest.fixture(scope="module")
def differences() -> dict[str, float]:
    """Return the derivatives of `impact` along the direction, by each name alone, by central differences."""
    derivatives = {}
    for name, value in START.items():
        ends = [START | {name: value + step * DIRECTION[name]} for step in (1e-5, -1e-5)]
        more, less = (float(impact(end, Discrete(), Tsit5(), 1e-11)) for end in ends)
        derivatives[name] = (more - less) / 2e-5
    return derivatives


@pytest.mark.parametrize(
    ("way", "integrator"),
    [*((way, Tsit5()) for way in WAYS), (Discrete(), VCABM()), (Gauss(), RK45()), (Discrete(), KenCarp47())],
    ids=lambda each: type(each).__name__,
)
def test_gradients_are_those_of_differences(way: Any, integrator: Any, differences: dict[str, float]) -> None:
    """By each adjoint, in the initial value and time, the inputs of f and those of the event."""
    _, gradient = value_and_grad(lambda a: impact(a, way, integrator, 1e-9))(START)
    for name, expected in differences.items():
        found = np.sum(gradient[name] * DIRECTION[name])
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("direction", [1, -1])
@every_way
def test_the_time_of_a_fall(way: Any, direction: int, xp: ModuleType) -> None:
    """From a height h a ball falls for √(2h/g): on every array library, in a batch of one, backward in time too."""
    dtype, precision = ("float64", 1e-7) if direction > 0 else ("float32", 1e-3)

    def time(pair: Any) -> Any:
        h, g = pair
        options = OdeOptions(rtol=1e-2 * precision, atol=1e-2 * precision)
        how: dict[str, Any] = {"adjoint": way, "options": options, "events": [Event(lambda t, y: y[:, 0])]}

        def f(t: Any, y: Any, g: Any) -> Any:
            return ops.stack((y[:, 1], 0 * y[:, 1] - g), axis=1)

        return ops.sum(
            evolve(f, ops.stack((h, 0 * h), axis=1), [0, 9 * direction], g, integrator=Tsit5(), **how).events[0].t
        )

    value, (by_h, by_g) = value_and_grad(time)(tuple(lift(xp, np.array([each]), dtype) for each in (2.0, 10.0)))
    root = direction * np.sqrt(2 * 2.0 / 10.0)
    found = [float(lower(value)), *lower(by_h), *lower(by_g)]
    np.testing.assert_allclose(found, [root, root / 4, -root / 20], rtol=precision)


@every_way
def test_an_integration_begins_where_an_event_ended_another(way: Any) -> None:
    """A ball that comes up again with half its speed is back after twice the time of its fall, differentiably."""

    def third_impact(a: Any) -> Any:
        t, y = np.zeros(2), ops.stack((a["height"], 0 * a["height"]), axis=1)
        options = OdeOptions(rtol=1e-8, atol=1e-8, per_sample=True)
        event = Event(lambda t, y: y[:, 0], direction=-1)
        for _ in range(3):
            times, drag = ops.stack((t, t + 9.0)), np.zeros(())
            (impact,) = evolve(
                flight, y, times, a["gravity"], drag, integrator=Tsit5(), adjoint=way, options=options, events=[event]
            ).events
            t, y = impact.t[0], impact.y[0] * np.array([0.0, -0.5])
        return ops.sum(t)

    a = {"height": np.array([2.0, 1.0]), "gravity": np.array(9.81)}
    value, gradient = value_and_grad(third_impact)(a)
    times = 2.5 * np.sqrt(2 * a["height"] / 9.81)
    np.testing.assert_allclose(value, np.sum(times), rtol=1e-9)
    np.testing.assert_allclose(gradient["height"], times / (2 * a["height"]), rtol=1e-7)
    np.testing.assert_allclose(gradient["gravity"], -np.sum(times) / (2 * 9.81), rtol=1e-7)


@every_way
def test_who_comes_to_no_event_is_not_moved_by_it(way: Any) -> None:
    """A sample without an occurrence has nan in the record, its end in `state`, and the gradient of that."""

    def loss(y0: Any, rate: Any, bound: Any) -> Any:
        event = Event(lambda t, y, bound: y[:, 0] - bound, bound)
        options = OdeOptions(rtol=1e-8, atol=1e-8, per_sample=True)
        found = evolve(
            lambda t, y, k: k * y, y0, [0, 1], rate, integrator=Tsit5(), adjoint=way, options=options, events=[event]
        )
        assert found.status == (OdeStatus.EVENT, OdeStatus.FINISHED)
        assert np.isnan(lower(found.solution.events[0].t)[0]).tolist() == [False, True]
        return found.events[0].t[0][0] + ops.sum(found.state)

    y0, rate, bound = np.array([[1.0], [0.1]]), np.array(0.8), np.array(1.5)
    value, (by_y0, by_rate, by_bound) = value_and_grad(lambda a: loss(*a))((y0, rate, bound))
    time, end = np.log(1.5) / 0.8, 0.1 * np.exp(0.8)
    np.testing.assert_allclose(value, time + 1.5 + end, rtol=1e-7)
    np.testing.assert_allclose(by_y0, [[-1 / 0.8], [np.exp(0.8)]], rtol=1e-6)
    np.testing.assert_allclose(by_rate, -time / 0.8 + end, rtol=1e-6)
    np.testing.assert_allclose(by_bound, 1 / (1.5 * 0.8) + 1, rtol=1e-6)


def test_trees_and_further_derivatives() -> None:
    """The states of a record are trees like y0; there is one derivative, in reverse, and others say so."""

    def time(h: Any) -> Any:
        y0 = {"height": h, "speed": 0 * h}

        def f(t: Any, y: Any) -> Any:
            return {"height": y["speed"], "speed": -10 + 0 * y["speed"]}

        (record,) = evolve(
            f, y0, [0, 5], integrator=Tsit5(), adjoint=Discrete(), events=[Event(lambda t, y: y["height"])]
        ).events
        return ops.sum(record.t) + 2 * ops.sum(record.y["speed"])

    h = np.array([2.0])
    np.testing.assert_allclose(value_and_grad(time)(h)[1], (1 - 20) * np.sqrt(0.4) / 4, rtol=1e-6)
    with pytest.raises(NoDerivativeError, match="an integration with events has first derivatives"):
        linearize(time, h).jvp(h)
    with pytest.raises(NoDerivativeError, match="an integration with events has first derivatives"):
        value_and_grad(lambda h: ops.sum(value_and_grad(time)(h)[1]))(h)
