"""What plugins return and nothing can use is named: who returned it, and what it must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from equilib import Needs, Pullback, State, fixed_point, ops
from equilib.autodiff import value_and_grad

Z0 = np.zeros((3, 4))
X = np.linspace(-1, 1, 12).reshape(3, 4)


def f(z: Any, w: Any) -> Any:
    """Return tanh(w z + X)."""
    return ops.tanh(w * z + X)


@dataclass(frozen=True)
class Broken:
    """Steps that return what `returned` makes of a state."""

    returned: Callable[[State], Any]
    early: bool = False

    def init(self, f: Any, z0: Any) -> Any:
        """Return what is made of the first state, or that."""
        state = State(z0, f.residual(z0))
        return self.returned(state) if self.early else state

    def step(self, f: Any, state: Any) -> Any:
        """Return what is made of the state."""
        return self.returned(state)


class BrokenRun:
    """A loop of its own that returns nothing."""

    def run(self, f: Any, z0: Any, max_steps: int) -> Any:
        """Return nothing."""
        return None


@dataclass(frozen=True)
class BrokenPullback:
    """An adjoint that returns what it is told to."""

    returned: Any
    needs = Needs()

    def pullback(self, problem: Any, solution: Any, cotangent: Any, *, guess: Any = None) -> Any:
        """Return it."""
        return self.returned


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (lambda state: None, "the solver Broken must return a state with z and residual, .* it returned a NoneType"),
        (lambda state: state.z, "the solver Broken must return a state with z and residual, .* it returned a ndarray"),
        (lambda state: SimpleNamespace(z=state.z), "the solver Broken must return a state with z and residual"),
        (lambda state: State(state.z[:, :2], state.residual), r"the z that the solver Broken returned .*\(3, 2\)"),
        (lambda state: State(state.z, state.residual[:1]), r"the residual that the solver Broken returned .*\(1, 4\)"),
        (lambda state: State(state.z.astype(np.float32), state.residual), "the z that the solver .* float32"),
        (lambda state: State(state.z.tolist(), state.residual), "the z that the solver .* no array but of type list"),
    ],
)
def test_a_solver_whose_state_nothing_can_use_is_named(returned: Any, sentence: str, early: bool) -> None:
    """A state that lacks z or residual, or has them in another shape, dtype or library, is refused."""
    with pytest.raises((TypeError, ValueError), match=sentence):
        fixed_point(lambda z: 0.5 * z + X, Z0, solver=Broken(returned, early))


def test_a_method_with_its_own_loop_is_named_likewise() -> None:
    """What `run` returns is a state as well."""
    with pytest.raises(TypeError, match="the solver BrokenRun must return a state"):
        fixed_point(lambda z: 0.5 * z + X, Z0, solver=BrokenRun())


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (None, "the adjoint BrokenPullback must return an equilib.Pullback, it returned a NoneType"),
        (Pullback(inputs=(np.zeros(4), np.zeros(3))), "must return 1 cotangents of inputs, it returned 2"),
        (Pullback(inputs=(np.zeros(3),)), r"at '0' a cotangent of shape \(4,\), it is \(3,\)"),
    ],
)
def test_an_adjoint_whose_cotangents_fit_no_input_is_named(returned: Any, sentence: str) -> None:
    """What is no Pullback, or has other cotangents than inputs, is refused."""

    def loss(w: Any) -> Any:
        return ops.sum(fixed_point(f, Z0, w, solver="picard", adjoint=BrokenPullback(returned)))

    with pytest.raises((TypeError, ValueError), match=sentence):
        value_and_grad(loss)(np.full(4, 0.3))
