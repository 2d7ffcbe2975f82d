"""States of an integration that are trees."""

from __future__ import annotations

import pickle
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import linearize, value_and_grad
from equilib.ode import OdeOptions, OdeProblem, integrate
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.evolution import evolve
from equilib_ode.tsit5 import Tsit5
from equilib_scipy.integrators import RK45
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import Heun

PLACE, SPEED = np.array([1.0, 0.5, -0.3]), np.array([[0.0, 1.0], [0.5, 0.2], [2.0, 0.1]])
TIMES = [0.0, 0.7, 2.0]


def flat(t: Any, y: Any) -> Any:
    """Return the derivative of (x, v, w): an oscillator that drives a decay."""
    x, v, w = y[:, 0], y[:, 1], y[:, 2]
    return np.stack([v, -x, x - w + np.cos(t[:, 0])], axis=1)


@pytest.mark.parametrize("integrator", [Heun(), RK45()], ids=str)
@pytest.mark.parametrize("per_sample", [False, True])
def test_a_tree_is_integrated_as_the_array_of_its_elements(integrator: Any, per_sample: bool) -> None:
    """Its leaves, of any number of axes, make one sample; the solution and the trajectory are such trees."""
    shapes = set()

    def f(t: Any, y: Any) -> Any:
        shapes.add(t.shape)
        x, (speed,) = y["x"], y["rest"]
        v, w = speed[:, 0], speed[:, 1]
        return {"rest": (np.stack([-x, x - w + np.cos(t)], axis=1),), "x": v}

    settings: dict[str, Any] = {"per_sample": per_sample, "dense": True, "atol": np.array([1e-3, 1e-4, 1e-5])}
    found = integrate(f, {"x": PLACE, "rest": (SPEED,)}, TIMES, integrator, **settings)
    plain = integrate(flat, np.concatenate([PLACE[:, None], SPEED], axis=1), TIMES, integrator, **settings)
    assert found.nfe == plain.nfe
    assert shapes == {(3,) if per_sample else (1,)}
    assert isinstance(found.y["rest"], tuple)
    np.testing.assert_array_equal(found.y["x"], plain.y[..., 0])
    np.testing.assert_array_equal(found.y["rest"][0], plain.y[..., 1:])
    found = pickle.loads(pickle.dumps(found)) if isinstance(integrator, Heun) else found
    np.testing.assert_array_equal(found.trajectory(1.1)["x"], plain.trajectory(1.1)[:, 0])
    np.testing.assert_array_equal(found.trajectory(np.array([0.2, 1.1]))["rest"][0].shape, (2, 3, 2))


def test_trees_on_any_array_library(xp: ModuleType) -> None:
    """A list of arrays in, a list of arrays out, of its library and dtype."""
    y0 = [lift(xp, PLACE, "float32"), lift(xp, SPEED, "float32")]
    found = integrate(lambda t, y: [-y[0], -2 * y[1]], y0, TIMES, Tsit5())
    assert [leaf.dtype for leaf in found.y] == [xp.float32] * 2
    np.testing.assert_allclose(lower(found.y[1][-1, ...]), SPEED * np.exp(-4.0), atol=1e-3)


@pytest.mark.parametrize("way", [Interpolating(), Gauss(), Backsolve(), Discrete()], ids=lambda way: type(way).__name__)
def test_gradients_with_respect_to_a_tree(way: Any, rng: np.random.Generator) -> None:
    """Value, gradient and, by the steps, tangents are those of the array; a parameter may be a Python number."""
    options = OdeOptions(rtol=1e-7, atol=1e-7)
    weights = rng.standard_normal((3, 3))
    y0 = {"x": PLACE, "v": SPEED}

    def loss(y0: Any, rate: Any) -> Any:
        def f(t: Any, y: Any, rate: Any) -> Any:
            drive = ops.expand_dims(ops.sin(y["x"]), 1)
            return {"x": ops.multiply(rate, y["v"][:, 0]), "v": ops.subtract(drive, ops.multiply(y["v"], t[0]))}

        end = evolve(f, y0, TIMES, rate, integrator=Tsit5(), adjoint=way, options=options).state
        return ops.add(ops.sum(ops.multiply(end["x"], weights[:, 0])), ops.sum(ops.multiply(end["v"], weights[:, 1:])))

    direction = {"x": rng.standard_normal(3), "v": rng.standard_normal((3, 2))}
    ends = [loss({name: y0[name] + s * direction[name] for name in y0}, 0.7) for s in (1e-5, -1e-5)]
    _, gradient = value_and_grad(loss)(y0, 0.7)
    slope = sum(float(np.sum(gradient[name] * direction[name])) for name in y0)
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)
    rates = value_and_grad(lambda rate: loss(y0, rate))(0.7)[1]
    assert rates == pytest.approx((loss(y0, 0.7 + 1e-5) - loss(y0, 0.7 - 1e-5)) / 2e-5, abs=1e-6)
    if isinstance(way, Discrete):
        assert linearize(lambda y0: loss(y0, 0.7), y0).jvp(direction) == pytest.approx(slope, rel=1e-9)


@pytest.mark.parametrize(
    ("y0", "f", "sentence"),
    [
        ((PLACE, SPEED[:2]), None, r"y0 at '1' has the shape \(2, 2\) and dtype float64, at '0' \(3,\) and float64"),
        ((PLACE, SPEED.astype("f")), None, "y0 at '1' has .* dtype float32"),
        ({"a": PLACE, "b": 1.0}, None, "y0 at 'b' must be an array"),
        ({"a": PLACE * 1j}, None, "y0 at 'a' must be real, it is of complex128; stack"),
        ({"a": PLACE.astype(int)}, None, "y0 at 'a' must hold floating-point numbers"),
        ((), None, r"y0 must be an array"),
        ((PLACE, SPEED), lambda t, y: y[0], r"f must return a tree like y: the trees differ: a tuple of 2"),
        ((PLACE, SPEED), lambda t, y: (y[0], y[1][:, 0]), r"f must keep the shape and dtype of y at '1': \(3, 2\)"),
        ((PLACE, SPEED), lambda t, y: (y[0], None), r"f must return a tree like y"),
        (
            (PLACE,),
            OdeProblem(lambda t, y: y, linearize=lambda f, t, y: None),
            "a state that is a tree needs automatic",
        ),
    ],
)
def test_wrong_trees(y0: Any, f: Any, sentence: str) -> None:
    """Each is answered by one sentence that names the leaf."""
    with pytest.raises((TypeError, ValueError), match=f"^{sentence}"):
        integrate(f or (lambda t, y: y), y0, TIMES, Tsit5())
