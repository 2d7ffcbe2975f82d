"""Samples that depend on each other are told of, on every tape, where their gradient is asked for; others never are."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from equilib import ConvergenceError, ConvergenceWarning, equilibrium, ops
from equilib.autodiff import linearize, value_and_grad
from tests.embed.every import SOLVERS, exact
from tests.embed.tapes import TAPES, Tape
from tests.embed.tapes import tape as tape_called
from tests.problems import BADLY_SCALED, LINEAR, ROTATION, TANH, KnownMap

SIGN = "samples of f depend on each other"
STARTS = ("picard", "anderson", "newton-gmres", "auto")


@pytest.fixture(params=TAPES)
def tape(request: pytest.FixtureRequest) -> Tape:
    """Return each tape whose library is installed."""
    return tape_called(request.param)


def told(call: Callable[[], object]) -> list[str]:
    """Return the warnings that tell of samples that depend on each other."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(issubclass(each.category, ConvergenceWarning) for each in caught if SIGN in str(each.message))
    return [str(each.message) for each in caught if SIGN in str(each.message)]


def shrunk(matrix: np.ndarray, norm: float) -> np.ndarray:
    """Return a matrix of this norm."""
    return norm * matrix / np.linalg.norm(matrix, 2)


Step = Callable[[Any, Any], Any]


def vector(tape: Tape, rng: np.random.Generator) -> tuple[Step, np.ndarray]:
    """Return the map of a vector, which is one system, by a dense matrix."""
    A = tape.array(shrunk(rng.standard_normal((8, 8)), 0.7))
    return lambda z, x: tape.tanh(A @ z + x), rng.standard_normal(8)


def mean(tape: Tape, rng: np.random.Generator) -> tuple[Step, np.ndarray]:
    """Return a map with a mean over samples of very different sizes."""
    x = rng.standard_normal((8, 4)) * np.logspace(-3, 0, 8)[:, None]
    return lambda z, x: tape.tanh(0.5 * z + 0.4 * z.mean(0) + x), x


def graph(tape: Tape, rng: np.random.Generator) -> tuple[Step, np.ndarray]:
    """Return a map in which the nodes of a graph, of six features, see their neighbours."""
    edges = rng.random((20, 20)) < 0.2
    A = tape.array(shrunk((edges | edges.T | np.eye(20, dtype=bool)).astype(float), 1.0))
    W = tape.array(shrunk(rng.standard_normal((6, 6)), 0.8))
    return lambda z, x: tape.tanh(A @ z @ W + x), rng.standard_normal((20, 6))


def normalized(tape: Tape, rng: np.random.Generator) -> tuple[Step, np.ndarray]:
    """Return a map that normalizes by the batch."""
    W = tape.array(shrunk(rng.standard_normal((6, 6)), 0.9))

    def step(z: Any, x: Any) -> Any:
        y = z @ W + x
        away = y - y.mean(0)
        return 0.5 * away / (1e-5 + (away**2).mean(0)) ** 0.5

    return step, rng.standard_normal((16, 6))


KINDS = {each.__name__: each for each in (vector, mean, graph, normalized)}
each_kind = pytest.mark.parametrize("kind", KINDS)


def gradient(tape: Tape, step: Step, x: np.ndarray, weight: np.ndarray | None = None, **how: Any) -> np.ndarray:
    """Return the gradient of a weighted sum of the fixed point by x."""
    c = np.cos(np.arange(x.size)).reshape(x.shape) if weight is None else weight
    loss = lambda x: tape.array(c) * tape.fixed_point(step, 0 * x, x, **{"max_steps": 300, **how})  # noqa: E731
    return tape.host(tape.grad(loss)(tape.array(x)))


@each_kind
@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
def test_coupled_samples_are_told(tape: Tape, rng: np.random.Generator, kind: str, rtol: float):
    """Whatever the solver and the tolerance, the gradient of samples that see each other is not silent."""
    step, x = KINDS[kind](tape, rng)
    for solver in STARTS if rtol == 1e-3 else STARTS[:1]:
        assert told(lambda s=solver: gradient(tape, step, x, solver=s, rtol=rtol)), solver


@each_kind
def test_as_one_system_they_have_their_gradient(tape: Tape, rng: np.random.Generator, kind: str):
    """What the warning says to do, batched=False, is silent and right: the gradient is that of differences."""
    step, x = KINDS[kind](tape, rng)
    how: dict[str, Any] = {"solver": "newton-gmres", "rtol": 1e-11, "batched": False}
    found: list[np.ndarray] = []
    assert not told(lambda: found.append(gradient(tape, step, x, **how)))
    c, direction, h = np.cos(np.arange(x.size)).reshape(x.shape), rng.standard_normal(x.shape), 1e-5
    ends = [
        tape.host(tape.fixed_point(step, 0 * tape.array(x), tape.array(x + s * h * direction), **how)) for s in (1, -1)
    ]
    slope = np.sum(c * (ends[0] - ends[1])) / (2 * h)
    assert np.sum(found[0] * direction) == pytest.approx(slope, rel=1e-6)


@each_kind
def test_the_policy_decides(tape: Tape, rng: np.random.Generator, kind: str):
    """With "raise" it is a ConvergenceError, with "record" nothing is said."""
    step, x = KINDS[kind](tape, rng)
    with pytest.raises(ConvergenceError, match=SIGN):
        gradient(tape, step, x, solver="picard", on_failure="raise")
    assert not told(lambda: gradient(tape, step, x, solver="picard", on_failure="record"))


@pytest.mark.parametrize("adjoint", ["implicit", "implicit:solver=picard"])
def test_a_loss_of_one_node_tells_of_its_neighbours(tape: Tape, rng: np.random.Generator, adjoint: str):
    """Where a loss leaves samples out, cotangents that arrive there all the same come from others."""
    step, x = graph(tape, rng)
    weight = np.zeros_like(x)
    weight[0] = 1.0
    assert told(lambda: gradient(tape, step, x, weight, solver="picard", adjoint=adjoint))


def test_a_residual_that_came_back_is_told_with_its_size(rng: np.random.Generator):
    """An approximate adjoint, which solves nothing, tells what the residual is at the end, and what it was."""
    x = np.array([[0.0], [1.0]])
    step = lambda z, x: x * (0.9 * z + 0.1) + (1 - x) * ops.maximum(ops.sum(z) - 0.5, 0.0)  # noqa: E731

    def backward(**how: Any) -> object:
        layer = lambda x: equilibrium(step, np.zeros((2, 1)), x, solver="picard", adjoint="jacobian-free", **how)  # noqa: E731
        linear = linearize(lambda x: layer(x).z, x)
        return linear.vjp(np.ones((2, 1))), linear.vjp(np.ones((2, 1)))

    (text,) = told(lambda: backward(max_steps=200))  # once for both
    assert "1 of 2 samples" in text
    assert "is 5.00e-01" in text
    assert "ended with 0.00e+00" in text
    with pytest.raises(ConvergenceError, match="‖f"):
        backward(max_steps=200, on_failure="raise")
    assert not told(lambda: backward(max_steps=200, on_failure="record"))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("known", "dtype"),
    [(LINEAR, "float32"), (TANH, "float64"), (ROTATION, "float32"), (BADLY_SCALED, "float64")],
    ids=str,
)
def test_independent_samples_are_never_told(solver: str, dtype: str, known: KnownMap):
    """Every solver with every adjoint that is exact, with samples that leave the batch, is silent about them."""
    z0, bias = known.z0.astype(dtype), known.bias.astype(dtype)
    how: dict[str, Any] = {"solver": solver, "batched_inputs": (True,), "compact": 1.0, "max_steps": 200}
    for adjoint in exact(solver):
        for rtol in (1e-3, 1e-6 if dtype == "float32" else 1e-10):
            loss = lambda x, a=adjoint, r=rtol: ops.sum(  # noqa: E731
                ops.sin(equilibrium(known.f, z0, x, adjoint=a, rtol=r, **how).z)
            )
            assert not told(lambda loss=loss: value_and_grad(loss)(bias)), adjoint


@pytest.mark.parametrize("solver", STARTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_independent_samples_are_never_told_elsewhere(tape: Tape, rng: np.random.Generator, solver: str, dtype: str):
    """On every tape samples of very different sizes, some without a cotangent, are silent."""
    W = tape.array(shrunk(rng.standard_normal((6, 6)), 0.8).astype(dtype))
    x = (rng.standard_normal((12, 6)) * np.logspace(-4, 1, 12)[:, None]).astype(dtype)
    weight = rng.standard_normal((12, 6)).astype(dtype)
    weight[3] = 0.0
    step = lambda z, x: tape.tanh(z @ W + x)  # noqa: E731
    for rtol in (1e-3, 1e-6):
        how: dict[str, Any] = {"batched_inputs": (True,), "compact": 1.0, "rtol": rtol}
        assert not told(lambda how=how: gradient(tape, step, x, weight, solver=solver, **how))


def test_scalars_of_a_batch_are_never_told(tape: Tape, rng: np.random.Generator):
    """A batch of scalar equations, shape (batch,), which end with one product each, is silent."""
    x = rng.standard_normal(9) * np.logspace(-3, 0, 9)
    for solver in STARTS:
        assert not told(lambda s=solver: gradient(tape, lambda z, x: tape.tanh(0.9 * z + x), x, solver=s))


def test_autocast_is_never_told(rng: np.random.Generator):
    """What f rounds to bfloat16 differs with the number of rows, which is none of the samples' doing."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    tape = tape_called("torch")
    W = torch.from_numpy(shrunk(rng.standard_normal((64, 64)), 0.8)).float()
    x = (rng.standard_normal((40, 64)) * np.logspace(-2, 1, 40)[:, None]).astype(np.float32)
    how: dict[str, Any] = {"batched_inputs": (True,), "compact": 1.0, "rtol": 1e-5, "solver": "picard"}
    with torch.autocast("cpu", torch.bfloat16):
        assert not told(lambda: gradient(tape, lambda z, x: torch.tanh(z @ W + x), x, **how))
    assert not told(lambda: gradient(tape, lambda z, x: torch.tanh(z @ W + x), x, coarse=torch.bfloat16, **how))
