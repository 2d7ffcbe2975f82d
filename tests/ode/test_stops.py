"""Stops and the largest step: equations that are not smooth everywhere."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import linearize, value_and_grad
from equilib.models import NeuralODE
from equilib.ode import LibraryIntegrator, OdeOptions, integrate
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.evolution import evolve
from equilib.ode.stops import stretches
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM
from equilib_scipy.integrators import LSODA, RK45
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import Heun

Y0 = np.array([[1.0, 0.3], [0.5, 0.2]])
RATES = np.array([0.3, 2.0, 0.7])
STOPS = (1.0, 2.0)
WAYS = [Interpolating(), Gauss(), Backsolve(), Discrete()]
INTEGRATORS = [Tsit5(), VCAB3(), VCABM(), Heun(), RK45(), LSODA()]


def piecewise(t: Any, y: Any, rates: Any) -> Any:
    """Return −k y with k one of three rates, which takes over where t is 1, and where it is 2."""
    places = np.clip(np.floor(np.asarray(t)).astype(int), 0, 2).ravel()
    return -ops.sum(ops.multiply(np.eye(3)[places], rates), axis=1, keepdims=True) * y


def known(times: Any) -> np.ndarray:
    """Return the solution of `piecewise`."""
    spent = np.clip(np.asarray(times, dtype=float)[:, None] - np.arange(3), 0, [1, 1, np.inf])
    decay: np.ndarray = np.exp(-spent @ RATES)[:, None, None] * Y0
    return decay


def test_a_jump_in_single_precision(xp: ModuleType) -> None:
    """States of float32 are no reason to see the other side of a stop, also where they could not hold its time."""
    for stop in (0.1, 1.7e9 + 1 / 3):

        def jump(t: Any, y: Any, stop: float = stop) -> Any:
            return -xp.astype(t >= stop, y.dtype) + xp.zeros_like(y)

        for integrator in (Tsit5(), RK45()):
            found = integrate(jump, lift(xp, Y0, "float32"), [stop - 1, stop + 1], integrator, stops=[stop])
            assert found.rejected.tolist() == [0, 0]
            np.testing.assert_allclose(lower(found.y[-1, ...]), Y0 - 1, atol=1e-6)


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("integrator", INTEGRATORS, ids=str)
def test_a_jump_is_no_error(integrator: Any, per_sample: bool) -> None:
    """With its jumps for stops an equation is followed to the tolerance, either way, whatever f is at the stop."""
    times = np.array([0.0, 0.4, 1.0, 1.7, 3.0])
    settings: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5, "per_sample": per_sample, "stops": (*STOPS, 7.0)}
    found = integrate(lambda t, y: piecewise(t, y, RATES), Y0, times, integrator, dense=True, **settings)
    np.testing.assert_allclose(found.y, known(times), atol=3e-5)
    np.testing.assert_allclose(found.trajectory(1.1), known([1.1])[0], atol=3e-5)
    back = integrate(lambda t, y: piecewise(t, y, RATES), known([3.0])[0], times[::-1], integrator, **settings)
    np.testing.assert_allclose(back.y, known(times[::-1]), rtol=1e-3)
    if not isinstance(integrator, LibraryIntegrator):
        assert {float(record.t[0]) for record in found.record} >= set(STOPS)
        assert int(found.rejected.max()) <= 3


@pytest.mark.parametrize("integrator", [Tsit5(), VCABM(), RK45()], ids=str)
def test_gradients_see_both_sides_of_a_jump(integrator: Any) -> None:
    """Parameters that are piecewise in time have the gradients of differences, to 1e-6, by every adjoint."""
    target, times = np.array([0.0, 0.4, 2.5])[:, None, None], (0.0, 0.5, 3.0)

    def exact(y0: np.ndarray, rates: np.ndarray) -> float:
        spent = np.clip(np.asarray(times)[:, None] - np.arange(3), 0, 1)
        return float(np.sum(np.sin(np.exp(-spent @ rates)[:, None, None] * y0 - target)))

    step = 1e-5
    expected = [(exact(Y0, RATES + e) - exact(Y0, RATES - e)) / (2 * step) for e in step * np.eye(3)]
    for way in WAYS[: 3 if isinstance(integrator, LibraryIntegrator) else 4]:
        options = OdeOptions(rtol=1e-8, atol=1e-8, per_sample=isinstance(integrator, VCABM))

        def loss(rates: Any, way: Any = way, options: OdeOptions = options) -> Any:
            found = evolve(
                piecewise, Y0, times, rates, integrator=integrator, adjoint=way, options=options, stops=STOPS
            )
            return ops.sum(ops.sin(found.y - target))

        np.testing.assert_allclose(value_and_grad(loss)(RATES)[1], expected, atol=1e-6, err_msg=str(way))


def test_stretches_are_open_at_their_stops() -> None:
    """Between two stops f is evaluated strictly inside; ends that are no stops belong to the interval."""
    times = np.array([[0.0, 2.0, 0.0], [2.0, 0.0, 0.5]])
    first, second = stretches(times, (1.0, 3.0, -1.0))
    np.testing.assert_array_equal([first.start, first.end, second.end], [[0, 2, 0], [1, 1, 0.5], [2, 0, 0.5]])
    np.testing.assert_array_equal(first.inside(first.start), first.start)
    np.testing.assert_array_equal(first.inside(first.end), [np.nextafter(1, 0), np.nextafter(1, 2), 0.5])
    np.testing.assert_array_equal(second.inside(first.end), [np.nextafter(1, 2), np.nextafter(1, 0), 0.5])
    (whole,) = stretches(times[:, :1], (0.0, 2.0))
    np.testing.assert_array_equal(whole.inside(times[0]), [np.nextafter(0, 1), np.nextafter(2, 1), np.nextafter(0, 1)])


@pytest.mark.parametrize("integrator", [Tsit5(), VCABM(), RK45()], ids=str)
def test_no_step_is_longer_than_the_largest(integrator: Any) -> None:
    """`largest_step` bounds each step, the first one and those backward in time too: a pulse is not stepped over."""

    def pulse(t: Any, y: Any) -> Any:
        return np.where(np.abs(np.asarray(t) - 5) < 0.25, 4.0, 0.0) + 0 * y

    y0, settings = np.zeros((1, 1)), {"first_step": 5.0, "rtol": 1e-4}
    assert integrate(pulse, y0, [0, 9.9], integrator, **settings).y[-1] == 0
    found = integrate(pulse, y0, [0, 9.9], integrator, largest_step=0.2, **settings)
    np.testing.assert_allclose(found.y[-1], 2.0, rtol=1e-2)
    assert found.accepted[0] >= 50
    model = NeuralODE(_Rate(), integrator, options=OdeOptions(largest_step=0.1), span=(0.0, 1.0))
    evolution = []

    def loss(params: Any) -> Any:
        evolution.append(model.evolve(params, np.ones((1, 1)), (0.0, 1.0)))
        return ops.sum(evolution[0].state)

    value_and_grad(loss)({"rate": np.ones(1)})
    assert evolution[0].adjoints[0].accepted[0] >= 10


class _Rate:
    def init(self, rng: Any) -> Any:
        return {"rate": np.ones(1)}

    def __call__(self, params: Any, t: Any, y: Any) -> Any:
        return params["rate"] * y


def test_what_is_no_time_is_no_stop() -> None:
    """A stop that is no finite number is refused."""
    for stops in ((np.nan,), ("noon",), (np.inf, 1.0)):
        with pytest.raises(ValueError, match="stops must be finite times"):
            integrate(lambda t, y: -y, Y0, [0, 1], Tsit5(), stops=stops)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: type(way).__name__)
def test_each_sample_comes_to_a_stop_in_its_own_time(way: Any) -> None:
    """With times of each sample a stop is met by each in its own interval, also backward, and by none outside."""
    times, rates = np.array([[0.2, 2.5], [0.5, 1.2], [2.5, 1.1]]), np.array([0.3, 2.0, 0.7])
    options = OdeOptions(rtol=1e-8, atol=1e-8, per_sample=True, largest_step=0.25)

    def loss(rates: Any) -> Any:
        found = evolve(piecewise, Y0, times, rates, integrator=Tsit5(), adjoint=way, options=options, stops=STOPS)
        assert found.solution.t.shape == (3, 2)
        return ops.sum(found.y)

    def spent(times: np.ndarray) -> np.ndarray:
        return np.clip(times[:, :, None] - np.arange(3), 0, 1)

    def exact(rates: np.ndarray) -> float:
        return float(np.sum(np.exp(-(spent(times) - spent(times[:1])) @ rates)[:, :, None] * Y0))

    value, gradient = value_and_grad(loss)(rates)
    np.testing.assert_allclose(value, exact(rates), rtol=1e-7)
    expected = [(exact(rates + e) - exact(rates - e)) / 2e-5 for e in 1e-5 * np.eye(3)]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    if isinstance(way, Discrete):
        np.testing.assert_allclose(linearize(loss, rates).jvp(np.ones(3)), np.sum(expected), atol=1e-6)
