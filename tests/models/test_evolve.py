"""Integrations as functions of everything: output times, tangents, second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import linearize, static_value, value_and_grad
from equilib.errors import NoDerivativeError
from equilib.ode import FixedStepIntegrator, LibraryIntegrator, OdeOptions
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.adjoints.discrete import UnseenStepsError
from equilib.ode.evolution import evolve
from equilib.plugin import IntegratorEntry
from equilib.plugin.choosing import build_named
from equilib.plugin.registry import Registry
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM
from equilib_scipy.integrators import RK45
from tests.arrays_under_test import lift, lower

WAYS = [Interpolating(), Gauss(), Backsolve(), Discrete()]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: type(way).__name__)
REGISTRY = Registry.discover()
NAMES = [each.entry.name for each in REGISTRY.provided(IntegratorEntry) if not each.entry.unavailable]
SHARED, OWN = np.array([0.2, 0.9, 0.9, 1.4]), np.array([[0.2, 1.0], [0.9, 0.6], [0.9, 0.5], [1.4, 0.0]])
by_both = pytest.mark.parametrize("times", [SHARED, OWN], ids=["shared", "own"])


def field(t: Any, y: Any, theta: Any) -> Any:
    """Return θ sin(y + t) − y/2, of each sample by itself."""
    return ops.subtract(ops.multiply(theta, ops.sin(ops.add(y, t))), ops.multiply(y, 0.5))


@pytest.fixture
def tree(rng: np.random.Generator) -> dict[str, Any]:
    """Return an initial value and a parameter."""
    return {"y0": rng.standard_normal((2, 3)), "theta": rng.standard_normal(3)}


def loss_of(way: Any, weights: Any, integrator: Any = None, **options: Any) -> Callable[[Any], Any]:
    """Return the loss Σ weights · sin(y) as a function of a tree of y0, θ and t."""

    def loss(tree: Any) -> Any:
        settings = OdeOptions(**{"rtol": 1e-8, "atol": 1e-8} | options)
        y0, t, theta = tree["y0"], tree["t"], tree["theta"]
        found = evolve(field, y0, t, theta, integrator=integrator or Tsit5(), adjoint=way, options=settings)
        return ops.sum(ops.multiply(ops.sin(found.y), weights))

    return loss


def along(function: Callable[[Any], Any], at: Any, direction: Any, step: float) -> Any:
    """Return the derivative of a function of a tree by central differences, of the values' structure."""
    ends = [function({name: at[name] + sign * step * direction[name] for name in at}) for sign in (1, -1)]
    if not isinstance(ends[0], dict):
        return (ends[0] - ends[1]) / (2 * step)
    return {name: (ends[0][name] - ends[1][name]) / (2 * step) for name in at}


def random_like(tree: Any, rng: np.random.Generator) -> Any:
    """Return a direction."""
    return {name: rng.standard_normal(leaf.shape) for name, leaf in tree.items()}


@every_way
@by_both
def test_gradients_with_respect_to_the_output_times(
    way: Any, times: np.ndarray, tree: dict[str, Any], rng: np.random.Generator
) -> None:
    """They are the differences, the first time, the last, and one that is named twice among them."""
    tree["t"] = times
    loss = loss_of(way, rng.standard_normal((4, 2, 3)), per_sample=times.ndim == 2)
    gradient = value_and_grad(loss)(tree)[1]["t"]
    assert gradient.shape == times.shape
    # A time that is named twice can be moved in one direction only, so both are moved.
    groups = [np.isin(np.arange(4), group) for group in ([0], [1, 2], [3])]
    for moved in groups:
        for sample in range(2) if times.ndim == 2 else [...]:
            direction = {name: 0 * leaf for name, leaf in tree.items()}
            direction["t"][moved, sample] = 1.0
            expected = along(loss, tree, direction, 1e-4)
            assert np.sum(gradient * direction["t"]) == pytest.approx(expected, abs=1e-6)


def test_a_time_among_constants(tree: dict[str, Any]) -> None:
    """A list of times may hold one that is differentiated, a number too, and a time and y of other dtypes meet."""

    def end(last: Any) -> Any:
        found = evolve(lambda t, y: ops.multiply(y, -0.5), tree["y0"].astype("float32"), [0, last], integrator=Tsit5())
        return ops.sum(found.state)

    for last in (np.asarray(1.5), 1.5):
        value, slope = value_and_grad(end)(last)
        assert slope.dtype == np.float64
        assert slope == pytest.approx(-0.5 * value, rel=1e-5)


@pytest.mark.parametrize(
    ("integrator", "per_sample"),
    [(Tsit5(), False), (BogackiShampine3(), True), (VCAB3(), True), (VCABM(max_order=4), False)],
    ids=str,
)
def test_tangents_and_second_derivatives(
    integrator: Any, per_sample: bool, tree: dict[str, Any], rng: np.random.Generator
) -> None:
    """Those of the steps are the differences of value and gradient, forward over reverse and reverse over reverse."""
    tree["t"] = OWN if per_sample else SHARED
    options: dict[str, Any] = {"rtol": 0.0, "atol": 1e6, "first_step": 0.4, "per_sample": per_sample}
    if isinstance(integrator, Tsit5):
        # What is a constant in the derivative, the size of steps, is none in differences.
        options = {"rtol": 1e-10, "atol": 1e-10}
    loss = loss_of(Discrete(), rng.standard_normal((4, 2, 3)), integrator, **options)
    direction = random_like(tree, rng)
    if not isinstance(integrator, Tsit5):
        direction["t"] *= 0  # its derivative is that of the solution, not of rough steps
    direction["t"][2] = direction["t"][1]
    slope = linearize(loss, tree).jvp(direction)
    assert slope == pytest.approx(along(loss, tree, direction, 1e-5), abs=1e-6)

    def gradient(tree: Any) -> Any:
        return value_and_grad(loss)(tree)[1]

    def slope_of(tree: Any) -> Any:
        bars = gradient(tree)
        return sum(ops.sum(ops.multiply(bars[name], direction[name])) for name in tree)

    expected = along(gradient, tree, direction, 1e-4)
    forward, reverse = linearize(gradient, tree).jvp(direction), value_and_grad(slope_of)(tree)[1]
    for name in ("y0", "theta", "t"):
        np.testing.assert_allclose(reverse[name], forward[name], rtol=1e-9, atol=1e-11)
        if name != "t" or isinstance(integrator, Tsit5):
            np.testing.assert_allclose(forward[name], expected[name], atol=1e-6)


def test_times_on_any_array_library(xp: Any, tree: dict[str, Any]) -> None:
    """One beside a number is of the library of y."""
    y0 = lift(xp, tree["y0"])

    def end(last: Any) -> Any:
        return ops.sum(evolve(lambda t, y: ops.multiply(y, -0.5), y0, [0.0, last], integrator=Tsit5()).state)

    value, slope = value_and_grad(end)(lift(xp, np.asarray(1.5)))
    assert float(slope) == pytest.approx(-0.5 * float(value), rel=1e-5)


def test_tangents_on_any_array_library(xp: Any, tree: dict[str, Any]) -> None:
    """The steps are replayed by operations: dy(1)/dt = −y(1)/2."""
    y0 = lift(xp, tree["y0"])

    def end(t: Any) -> Any:
        options = OdeOptions(rtol=1e-6)
        return evolve(
            lambda t, y: ops.multiply(y, -0.5), y0, t, integrator=Tsit5(), adjoint=Discrete(), options=options
        ).state

    linear = linearize(end, np.array([0.0, 1.0]))
    moved = lower(linear.jvp(np.array([0.3, 1.3])))
    np.testing.assert_allclose(moved, -0.5 * lower(linear.value), rtol=1e-6)


@every_way
def test_other_derivatives_are_refused(way: Any, tree: dict[str, Any]) -> None:
    """Where they would be others' than the gradient's, with the way out; a library's steps are out of sight."""
    if isinstance(way, Discrete):
        loss = loss_of(way, 1.0, RK45())
        with pytest.raises(UnseenStepsError, match=r"RK45\(\) takes its steps out of sight"):
            linearize(loss, tree | {"t": SHARED}).jvp(tree | {"t": SHARED})
        return
    loss = loss_of(way, 1.0)
    for derivative in (lambda x: linearize(loss, x).jvp(x), lambda x: linearize(value_and_grad(loss), x)):
        with pytest.raises(NoDerivativeError, match=f"{type(way).__name__}; .* take the adjoint discrete"):
            derivative(tree | {"t": SHARED})


def test_tangents_of_a_failed_integration_are_nan(tree: dict[str, Any]) -> None:
    """By whatever f depends on."""
    for name in ("y0", "theta"):

        def end(leaf: Any, name: str = name) -> Any:
            at = tree | {name: leaf}
            options = OdeOptions(max_steps=2, first_step=1e-3, on_failure="record")
            found = evolve(
                field, at["y0"], SHARED, at["theta"], integrator=Tsit5(), adjoint=Discrete(), options=options
            )
            return ops.sum(ops.where(np.isnan(static_value(found.y)), 0.0, found.y))

        assert np.isnan(linearize(end, tree[name]).jvp(np.ones_like(tree[name])))


@pytest.mark.parametrize("name", NAMES)
def test_every_integrator_has_the_gradient_of_a_tree_and_of_times(name: str) -> None:
    """Of y' = −θ cos(t) y it is known: y(t) = y₀ exp(θ (sin t₀ − sin t)), by every adjoint there is for it."""
    integrator = build_named(REGISTRY, IntegratorEntry, name).part
    if isinstance(integrator, FixedStepIntegrator):
        integrator = replace(integrator, steps=20)  # type: ignore[type-var]
    t0, t1, theta, y0 = 0.2, 0.5, 0.7, {"a": np.array([[0.6]]), "b": np.array([0.9])}
    tol = 2e-8 if integrator.order == 3 else 1e-9
    options = OdeOptions(rtol=tol, atol=tol)

    def loss(y0: Any, t: Any, theta: Any, way: Any) -> Any:
        def f(t: Any, y: Any, theta: Any) -> Any:
            return {key: ops.multiply(ops.multiply(y[key], ops.negative(ops.cos(t))), theta) for key in y}

        end = evolve(f, y0, t, theta, integrator=integrator, adjoint=way, options=options).state
        return ops.add(ops.sum(end["a"]), ops.multiply(ops.sum(end["b"]), 2.0))

    known = np.exp(theta * (np.sin(t0) - np.sin(t1)))
    total = (0.6 + 2 * 0.9) * known
    rates = total * theta * np.array([np.cos(t0), -np.cos(t1)])
    order = integrator.order if isinstance(integrator, FixedStepIntegrator) else 9
    close = {1: 3e-2, 2: 3e-4}.get(order, 1e-6)
    for way in WAYS:
        if isinstance(way, Discrete) and isinstance(integrator, LibraryIntegrator):
            continue
        linear = linearize(partial(loss, way=way), y0, np.array([t0, t1]), theta)
        by_y0, by_t, by_theta = linear.vjp(np.ones(()), (0, 1, 2))
        np.testing.assert_allclose([by_y0["a"].item(), by_y0["b"].item()], [known, 2 * known], atol=close)
        np.testing.assert_allclose(by_t, rates, atol=close)
        np.testing.assert_allclose(by_theta, total * (np.sin(t0) - np.sin(t1)), atol=close)
