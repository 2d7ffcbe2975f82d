"""Laws of `fixed_point` on every tape: values, first and second derivatives, trees, batches of none and one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import Unrolled
from tests.embed.tapes import TAPES, Tape
from tests.embed.tapes import tape as tape_called

SOLVERS = ("picard", "anderson", "lbroyden", "newton-gmres", "tsit5")
EXACT = ("implicit", "implicit:solver=anderson", Unrolled(depth=60))
HOW: dict[str, Any] = {"rtol": 1e-12, "max_steps": 300}


@pytest.fixture(params=TAPES)
def tape(request: pytest.FixtureRequest) -> Tape:
    """Return each tape whose library is installed."""
    return tape_called(request.param)


def drawn(rng: np.random.Generator, batch: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a weight of norm 0.5, an injection, and a direction of the weight."""
    weight = rng.standard_normal((2, 2))
    return 0.5 * weight / np.linalg.norm(weight, 2), rng.standard_normal((batch, 2)), rng.standard_normal((2, 2))


def iterated(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the fixed point of tanh(z W + x)."""
    z = np.zeros_like(x)
    for _ in range(100):
        z = np.tanh(z @ weight + x)
    return z


def layer(tape: Tape, weight: Any, x: Any, **how: Any) -> Any:
    """Return the fixed point of tanh(z W + x)."""
    step = lambda z, weight, x: tape.tanh(z @ weight + x)  # noqa: E731
    return tape.fixed_point(step, 0 * x, weight, x, **{**HOW, **how})


@pytest.mark.parametrize("solver", SOLVERS)
def test_values(tape: Tape, rng: np.random.Generator, solver: str):
    """Every solver finds the fixed point of iterations."""
    weight, x, _ = drawn(rng)
    z = layer(tape, tape.array(weight), tape.array(x), solver=solver)
    np.testing.assert_allclose(tape.host(z), iterated(weight, x), rtol=1e-9)


@pytest.mark.parametrize("adjoint", EXACT, ids=str)
def test_derivatives_are_those_of_differences(tape: Tape, rng: np.random.Generator, adjoint: Any):
    """The gradient by the weight and its second derivative are differences of values and of gradients."""
    weight, x, direction = drawn(rng)
    arrays = tape.array(weight), tape.array(x)
    loss = lambda weight, x: layer(tape, weight, x, solver="newton-gmres", adjoint=adjoint) ** 2  # noqa: E731
    gradient = tape.grad(loss)
    h = 1e-5
    ends = [iterated(weight + sign * h * direction, x) for sign in (1, -1)]
    slope = (np.sum(ends[0] ** 2) - np.sum(ends[1] ** 2)) / (2 * h)
    assert np.sum(tape.host(gradient(*arrays)) * direction) == pytest.approx(slope, rel=1e-7)
    along = tape.array(direction)
    curvature = tape.host(tape.grad(lambda weight, x: gradient(weight, x) * along)(*arrays))
    moved = [tape.host(gradient(tape.array(weight + sign * h * direction), arrays[1])) for sign in (1, -1)]
    np.testing.assert_allclose(curvature, (moved[0] - moved[1]) / (2 * h), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "tolerance",
    [{"rtol": np.full(2, 1e-12)}, {"rtol": 0.0, "atol": 1e-12}, {"rtol": np.array([0.0, 1e-12]), "atol": 1e-12}],
    ids=["components", "absolute", "both"],
)
def test_gradients_have_the_tolerance_of_the_solve(tape: Tape, rng: np.random.Generator, tolerance: dict[str, Any]):
    """A tolerance of each component, or one that is absolute, is that of the adjoint equation, too."""
    weight, x, _ = drawn(rng)
    arrays = tape.array(weight), tape.array(x)
    expected, found = (
        tape.host(tape.grad(lambda weight, x, how=how: layer(tape, weight, x, **how) ** 2)(*arrays))
        for how in ({"rtol": 1e-13}, tolerance)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_trees(tape: Tape, rng: np.random.Generator):
    """A state of two arrays is solved and differentiated as the joint system."""
    weight, x, direction = drawn(rng)

    def step(z: Any, weight: Any, x: Any) -> Any:
        return {"a": tape.tanh(z["b"][0] @ weight + x), "b": (0.5 * z["a"],)}

    def loss(weight: Any, x: Any) -> Any:
        return tape.fixed_point(step, {"a": 0 * x, "b": (0 * x,)}, weight, x, solver="anderson", **HOW)["a"] ** 2

    h = 1e-5
    ends = [iterated(0.5 * (weight + sign * h * direction), x) for sign in (1, -1)]
    slope = (np.sum(ends[0] ** 2) - np.sum(ends[1] ** 2)) / (2 * h)
    found = tape.host(tape.grad(loss)(tape.array(weight), tape.array(x)))
    assert np.sum(found * direction) == pytest.approx(slope, rel=1e-7)


def test_no_sample_and_one(tape: Tape, rng: np.random.Generator):
    """An empty batch has an empty fixed point; a sample alone has that which it has among others."""
    weight, x, _ = drawn(rng)
    assert tape.host(layer(tape, tape.array(weight), tape.array(x[:0]), solver="anderson")).shape == (0, 2)
    one = tape.host(layer(tape, tape.array(weight), tape.array(x[:1]), solver="anderson"))
    both = tape.host(layer(tape, tape.array(weight), tape.array(x), solver="anderson"))
    np.testing.assert_allclose(one, both[:1], rtol=1e-10)


def test_records(tape: Tape, rng: np.random.Generator):
    """`equilibrium` tells status and residual of each sample, and what f returned beside z."""
    weight, x, _ = drawn(rng)
    step = lambda z, weight, x: (tape.tanh(z @ weight + x), 2 * z)  # noqa: E731
    arrays = tape.array(weight), tape.array(x)
    found = tape.equilibrium(step, 0 * arrays[1], *arrays, solver="anderson", has_aux=True, **HOW)
    assert found.solution.success
    assert len(found.solution.status) == 2
    np.testing.assert_allclose(tape.host(found.aux), 2 * tape.host(found.z), rtol=1e-12)
