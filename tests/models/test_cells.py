from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import Picard
from equilib.layers import Dense
from equilib.models import DeepEquilibrium, InjectedCell, LayerGuess, OneStepGuess, ZeroGuess
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift, lower
from tests.models.networks import (
    TIGHT,
)
from tests.models.small import CELL, batch, by_hand, drawn


def test_the_cell_is_its_formula(rng: np.random.Generator):
    """step(z, inject(x)) = after(recur(z) + inject(x)), and `zeros` has the shape and dtype of the injection."""
    params, x, z = drawn(DeepEquilibrium(CELL, Picard())), batch(rng), rng.standard_normal((3, 5))
    u = CELL.inject(params["cell"], x)
    np.testing.assert_allclose(CELL.step(params["cell"], z, u), by_hand(params, z, x), rtol=1e-14)
    zeros = CELL.zeros(params["cell"], u.astype(np.float32))
    assert zeros.shape == (3, 5)
    assert zeros.dtype == np.float32
    assert not zeros.any()
    assert params["cell"].keys() == {"inject", "recur", "after"}


def test_initial_guesses(xp: ModuleType, rng: np.random.Generator):
    """A deq starts at zero, a regdeq at f(0, x), a skipdeq at a layer's output; each says what it costs."""
    x = batch(rng)
    layer = Dense(4, 5)
    for guess, cost in ((ZeroGuess(), 0), (OneStepGuess(), 1), (LayerGuess(layer), 0)):
        params = drawn(DeepEquilibrium(CELL, NewtonGMRES(), guess))
        expected = {
            ZeroGuess: np.zeros((3, 5)),
            OneStepGuess: by_hand(params, np.zeros((3, 5)), x),
            LayerGuess: layer(params["initial_guess"], x) if cost == 0 and isinstance(guess, LayerGuess) else None,
        }[type(guess)]
        assert guess.nfe == cost
        found = DeepEquilibrium(CELL, NewtonGMRES(), guess, options=TIGHT)(lift(xp, params), lift(xp, x))
        np.testing.assert_allclose(lower(found.z0), expected, atol=1e-15)
        assert found.solution is not None
        np.testing.assert_array_equal(lower(found.solution.z0), lower(found.z0))
        assert found.nfe == cost + found.solution.nfe


def test_guesses_lead_to_the_same_fixed_point(rng: np.random.Generator):
    """On a contraction z* does not depend on where the solve starts."""
    x = batch(rng)
    found = []
    for guess in (ZeroGuess(), OneStepGuess(), LayerGuess(Dense(4, 5))):
        deq = DeepEquilibrium(CELL, NewtonGMRES(), guess, options=TIGHT)
        found.append(deq({**drawn(deq), "cell": drawn(DeepEquilibrium(CELL, Picard()))["cell"]}, x).z)
    np.testing.assert_allclose(found[1], found[0], atol=1e-12)
    np.testing.assert_allclose(found[2], found[0], atol=1e-12)


@dataclass(frozen=True)
class CountingCell:
    """A cell that notes its injections and its evaluations."""

    cell: InjectedCell
    calls: list[str]

    def init(self, rng: np.random.Generator) -> Any:
        """Draw the inner cell's parameters."""
        return self.cell.init(rng)

    def inject(self, params: Any, x: Any) -> Any:
        """Note it, and inject."""
        self.calls.append("inject")
        return self.cell.inject(params, x)

    def step(self, params: Any, z: Any, u: Any) -> Any:
        """Note it, and step."""
        self.calls.append("step")
        return self.cell.step(params, z, u)

    def zeros(self, params: Any, u: Any) -> Any:
        """Return zeros."""
        return self.cell.zeros(params, u)


@pytest.mark.parametrize("depth", [0, 4])
def test_the_injection_is_computed_once(depth: int, rng: np.random.Generator):
    """`inject` is called once per pass, `step` as often as `nfe` says, those of the guess included."""
    calls: list[str] = []
    deq = DeepEquilibrium(CountingCell(CELL, calls), NewtonGMRES(), OneStepGuess(), fixed_depth=depth)
    found = deq(drawn(deq), batch(rng))
    assert calls.count("inject") == 1
    assert calls.count("step") == found.nfe > 1
