"""Warnings about solves: the line that they name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import equilib
from equilib import ops
from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.arrays import in_dtype
from equilib.autodiff import value_and_grad
from equilib.fixed_points.solution import UnsolvedWarning
from equilib.layers import Chain, Dense
from equilib.models import DeepEquilibrium, InjectedCell

X = np.linspace(-1, 1, 6).reshape(2, 3)
HARD: dict[str, Any] = {"solver": "picard", "max_steps": 2}
LOOSE: dict[str, Any] = {"adjoint": ImplicitAdjoint(equilib.Picard(), None, max_steps=1)}


def step(z: Any, x: Any) -> Any:
    """Return the next state."""
    return ops.tanh(ops.add(ops.multiply(0.9, z), x))


def model(x: Any) -> Any:
    """Solve for a model whose options allow two steps."""
    cell = InjectedCell(Dense(3, 3), Dense(3, 3), Chain(ops.tanh))
    deq = DeepEquilibrium(cell, "picard", options=equilib.SolveOptions(max_steps=2))
    return deq(in_dtype(deq.init(np.random.default_rng(0)), "float64"), x).z


WARNS: dict[str, Callable[[], Any]] = {
    "solve": lambda: equilib.solve(lambda z: z + 1, "picard", X, max_steps=2),
    "fixed_point": lambda: equilib.fixed_point(step, X, X, **HARD),
    "its equilibrium": lambda: equilib.equilibrium(step, X, X, **HARD),
    "a tree": lambda: equilib.fixed_point(lambda z: {"a": step(z["a"], X)}, {"a": X}, **HARD),
    "a model": lambda: model(X),
    "a gradient": lambda: value_and_grad(lambda x: ops.sum(equilib.fixed_point(step, X, x, rtol=1e-6, **LOOSE)))(X),
    "a gradient of nan": lambda: value_and_grad(
        lambda x: ops.sum(ops.getitem(equilib.fixed_point(step, X, x, on_failure="record"), (0, ...)))
    )(np.where(np.arange(2)[:, None] == 1, np.nan, X)),
    "odeint": lambda: equilib.odeint(lambda t, y: -y, X, [0.0, 9.0], rtol=1e-9, max_steps=2),
}


@pytest.mark.parametrize("kind", WARNS)
def test_a_warning_names_the_line_of_the_user(kind: str):
    """However deep a solve is that failed, the warning is about the line outside of equilib that led to it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WARNS[kind]()
    solves = [each for each in caught if issubclass(each.category, UnsolvedWarning)]
    assert solves
    assert {each.filename for each in solves} == {__file__}


def test_a_line_warns_once():
    """By Python's own rule of `default` the same text at one line is shown once, at another line again."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            WARNS["solve"]()
        equilib.solve(lambda z: z + 1, "picard", X, max_steps=2)
    assert len(caught) == 2
