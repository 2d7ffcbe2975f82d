"""Models whose cell has a tree as its state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from equilib import SolveOptions, ops
from equilib.autodiff import value_and_grad
from equilib.models import CellODE, DeepEquilibrium
from equilib.ode import OdeOptions
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.tsit5 import Tsit5
from tests.models.hessians import MODES, by_differences, off

OPTIONS = SolveOptions(rtol=1e-12, max_steps=200)


@dataclass(frozen=True)
class TwoLayers:
    """Two layers that see each other; the lower one sees x."""

    joined: bool = False
    """Whether its state is one array, with the same values."""

    def init(self, rng: np.random.Generator) -> Any:
        """Draw two matrices."""
        return {"up": 0.3 * rng.standard_normal((3, 2)), "down": 0.3 * rng.standard_normal((2, 3))}

    def inject(self, params: Any, x: Any) -> Any:
        """Return x."""
        return x

    def step(self, params: Any, z: Any, u: Any) -> Any:
        """Return both layers."""
        low, high = (z[:, :3], z[:, 3:]) if self.joined else (z["low"], z["high"])
        new = ops.tanh(high @ params["down"] + u), ops.sin(low @ params["up"])
        return ops.concat(list(new), axis=1) if self.joined else {"low": new[0], "high": new[1]}

    def zeros(self, params: Any, u: Any) -> Any:
        """Return zeros of both."""
        size = len(u)
        return np.zeros((size, 5)) if self.joined else {"low": np.zeros((size, 3)), "high": np.zeros((size, 2))}


X = np.random.default_rng(0).standard_normal((4, 3))
MODEL = DeepEquilibrium(TwoLayers(), NewtonGMRES(), options=OPTIONS)
PARAMS = MODEL.init(np.random.default_rng(1))


@pytest.mark.parametrize(
    "change", [{}, {"fixed_depth": 4}, {"fixed_depth": 4, "checkpoints": 2}, {"residual_loss": True}], ids=str
)
def test_a_cell_of_a_tree_is_the_cell_of_its_elements(change: dict[str, Any]):
    """Output, gradient and counts are those of one array; `z` is packed, and `output` is the tree."""
    tree = replace(MODEL, **change)
    flat = replace(tree, cell=TwoLayers(joined=True))

    def loss(params: Any, model: Any) -> Any:
        found = model(params, X)
        extra = found.residual_loss if model.residual_loss else 0.0
        return ops.sum(ops.sin(found.z)) + ops.sum((found.z - found.z0) ** 2) + extra

    for one, other in zip(
        *(value_and_grad(loss)(PARAMS, model)[1]["cell"].values() for model in (tree, flat)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)
    found, expected = tree(PARAMS, X), flat(PARAMS, X)
    np.testing.assert_array_equal(found.z, expected.z)
    np.testing.assert_array_equal(found.output["high"], expected.z[:, 3:])
    assert (found.nfe, found.njvp) == (expected.nfe, expected.njvp)


def test_a_pass_may_start_from_a_tree():
    """A guess, a start and an adjoint guess are trees or packed."""
    found = MODEL(PARAMS, X)
    again = MODEL(PARAMS, X, guess=found.output)
    assert again.nfe < found.nfe
    np.testing.assert_array_equal(MODEL(PARAMS, X, start=found.output).z, MODEL(PARAMS, X, start=found.z).z)


def test_second_derivatives_of_a_tree_cell():
    """H·v in every mode agrees with differences."""
    loss = lambda x: ops.sum(ops.sin(MODEL(PARAMS, x).output["high"]))  # noqa: E731
    v = np.random.default_rng(2).standard_normal(X.shape)
    for multiply in MODES.values():
        assert off(multiply(loss, X, v), by_differences(loss, X, v)) < 1e-6


def test_a_cell_of_a_tree_evolves():
    """`CellODE` integrates it: the tree at the end is that of one array."""
    ends = [
        CellODE(TwoLayers(joined=joined), Tsit5(), options=OdeOptions(rtol=1e-8))(PARAMS, X) for joined in (False, True)
    ]
    np.testing.assert_allclose(ends[0]["low"], ends[1][:, :3], rtol=1e-12)
