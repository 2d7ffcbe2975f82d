"""Derivatives in threads: each is what it is alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np

from equilib import ops
from equilib.arrays import tree_leaves
from equilib.autodiff import jvp, value_and_grad
from equilib.models import DeepEquilibrium, OneStepGuess
from equilib_newton_gmres.solver import NewtonGMRES
from tests.models.small import CELL, batch, drawn

THREADS, REPEATED = 8, 125


def wrong_in_threads(gradient: Callable[[], Any]) -> int:
    """Count the gradients in eight threads at once that differ from the one alone."""
    alone, together = tree_leaves(gradient()), Barrier(THREADS)

    def wrong(_: int) -> int:
        together.wait()
        found = (tree_leaves(gradient()) for _ in range(REPEATED))
        return sum(any(np.any(a != b) for a, b in zip(alone, each, strict=True)) for each in found)

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(wrong, range(THREADS)))


def test_nested_gradients_of_a_model_are_right_in_threads():
    """A thousand gradients of a loss with the estimate of ‖J‖², itself a derivative, in eight threads."""
    deq = DeepEquilibrium(CELL, NewtonGMRES(), OneStepGuess(), jacobian_loss=True)
    params, x = drawn(deq), batch(np.random.default_rng(0))

    def loss(params: Any) -> Any:
        found = deq(params, x, rng=np.random.default_rng(1))
        return ops.add(ops.mean(ops.multiply(found.z, found.z)), found.jacobian_loss)

    assert wrong_in_threads(lambda: value_and_grad(loss)(params)) == 0


def test_autograds_own_traces_are_right_in_threads():
    """autograd's grad of grad, and ours within it, do not see the traces of other threads."""
    x = np.linspace(-1.0, 1.0, 5)

    def inner(x: Any) -> Any:
        return anp.sum(x * jvp(ops.tanh, (x,), (x,))[1])

    assert wrong_in_threads(lambda: autograd.grad(lambda x: anp.sum(autograd.grad(inner)(x) ** 2))(x)) == 0


def test_a_traced_array_may_be_used_in_another_thread():
    """A function that works in threads of its own, and differentiates there, has the derivative that it has."""

    def inner(x: Any) -> Any:
        return value_and_grad(lambda y: ops.sum(ops.multiply(x, ops.multiply(y, y))))(x)[1]

    def loss(x: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return ops.sum(pool.submit(inner, x).result())

    _, gradient = value_and_grad(loss)(np.arange(3.0))
    np.testing.assert_array_equal(gradient, 4 * np.arange(3.0))
