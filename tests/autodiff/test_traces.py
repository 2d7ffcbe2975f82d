"""Traces leave nothing behind: no level, no cycle, no array, whether the function returns or raises."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import autograd
import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import linearize, static_value, value_and_grad


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switch the cyclic garbage collector off: only reference counts free anything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Watched:
    """A function that keeps weak references to the arrays it computes on the way."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.inside: list[weakref.ref[np.ndarray]] = []

    def __call__(self, x: Any) -> Any:
        """Return a scalar, or raise on the way to it."""
        for _ in range(3):
            x = ops.tanh(ops.multiply(x, x))
            self.inside.append(weakref.ref(static_value(x)))
        if self.fails:
            raise FloatingPointError("stop here")
        return ops.sum(x)

    def alive(self) -> int:
        """Count the arrays that still exist."""
        return sum(ref() is not None for ref in self.inside)


def test_an_exception_leaves_no_trace_behind():
    """After a function that raises, however deep, nested derivatives by ours and autograd's tapes are right."""

    def deep(x: Any) -> Any:
        return value_and_grad(Watched(fails=True))(x)[0]

    for _ in range(3):
        with pytest.raises(FloatingPointError, match="stop here"):
            value_and_grad(deep)(np.ones(2))
        cube = autograd.grad(lambda x: value_and_grad(lambda y: x * y**3)(x)[1])
        assert cube(2.0) == pytest.approx(36.0)  # 9 x²


@pytest.mark.usefixtures("no_collector")
def test_a_linearization_frees_its_arrays_when_it_goes():
    """The arrays of a tape live as long as the linearization and not longer, without the collector."""
    f = Watched()
    linear = linearize(f, np.full(3, 0.5))
    linear.jvp(np.ones(3))
    linear.vjp(np.asarray(1.0))
    assert f.alive() == 3
    del linear
    assert f.alive() == 0


@pytest.mark.usefixtures("no_collector")
def test_a_gradient_keeps_no_tape():
    """After `value_and_grad` returns, nothing of its trace is left, not even in nested ones."""
    f = Watched()
    value_and_grad(lambda x: ops.sum(value_and_grad(f)(x)[1]))(np.full(3, 0.5))
    assert f.alive() == 0


@pytest.mark.usefixtures("no_collector")
def test_an_exception_keeps_no_tape():
    """A function that raises leaves no array behind."""
    f = Watched(fails=True)
    with pytest.raises(FloatingPointError) as caught:
        linearize(f, np.full(3, 0.5))
    assert len(f.inside) == 3
    del caught  # the traceback holds the frames
    assert f.alive() == 0


def test_a_traced_array_that_outlives_its_function_is_refused():
    """Using a traced array after its function has returned says so, and what to do."""
    leaked = []

    def f(x: Any) -> Any:
        leaked.append(x * 2.0)
        return ops.sum(x)

    value_and_grad(f)(np.ones(2))
    with pytest.raises(RuntimeError, match="outlived the function it was traced in"):
        ops.tanh(leaked[0])
